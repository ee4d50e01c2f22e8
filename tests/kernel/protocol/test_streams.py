"""Output is neither lost nor drowned, whatever the clients do."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq
from jupyter_client.session import Session

from nbs_kernel.output import GATHER_BYTES, GATHER_S
from tests.kernel.protocol.conftest import until_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kernel.protocol.conftest import Served


class Listener:
    """A client of what is published that reads when it is told to."""

    def __init__(self, kernel: Served) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.rcvhwm = 1
        self._socket.setsockopt(zmq.RCVBUF, 4096)
        self._socket.connect(f"tcp://127.0.0.1:{kernel.info['iopub_port']}")
        self._socket.subscribe(b"")
        self._session = Session(key=kernel.info["key"].encode(), packer="json", unpacker="json")
        assert self.next()["msg_type"] == "iopub_welcome"

    def next(self, limit_s: float = 30) -> dict:
        assert self._socket.poll(limit_s * 1000), "nothing came"
        frames = self._session.feed_identities(self._socket.recv_multipart())[1]
        return self._session.deserialize(frames)

    def until_idle(self) -> Iterator[dict]:
        while True:
            message = self.next()
            yield message
            if message["content"].get("execution_state") == "idle":
                return

    def text(self) -> str:
        return "".join(m["content"]["text"] for m in self.until_idle() if "text" in m["content"])

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def listener_of() -> Iterator[Callable[[Served], Listener]]:
    made: list[Listener] = []

    def listen(kernel: Served) -> Listener:
        made.append(Listener(kernel))
        return made[-1]

    yield listen
    for listener in made:
        listener.close()


def test_the_first_output_of_a_cell_comes_while_it_runs(kernel: Served, tmp_path: Path) -> None:
    code = f"printf prompt; {until_there(tmp_path / 'go')}; echo; printf '\\r%s' 1 2 3"
    running = kernel.client.execute(code)
    kernel.until_output("prompt")
    (tmp_path / "go").touch()
    assert kernel.result(running).text == "\n\r1\r2\r3"


def test_many_lines_come_in_few_messages_and_all(kernel: Served) -> None:
    kernel.run("%limit off")
    began = time.monotonic()
    run = kernel.run("seq 100000")
    took = time.monotonic() - began
    assert run.text == "".join(f"{n}\n" for n in range(1, 100_001))
    assert run.kinds.count("stream") <= len(run.text) / GATHER_BYTES + took / GATHER_S + 2


def test_any_bytes_are_shown_as_text(kernel: Served) -> None:
    run = kernel.run(r"printf 'a\xff\0b\xc3\xa4\x1b[31mred\x1b[0m\xe2\x82'")
    bad = "\N{REPLACEMENT CHARACTER}"
    assert run.text == f"a{bad}\x00bä\x1b[31mred\x1b[0m{bad}"


def test_a_client_that_reads_nothing_for_four_seconds_loses_nothing(
    kernel: Served, listener_of: Callable[[Served], Listener]
) -> None:
    listener = listener_of(kernel)
    kernel.run("%limit off")
    assert list(listener.until_idle())
    kernel.client.execute("seq 3000000")
    time.sleep(4)
    text = listener.text()
    assert text.count("\n") == 3_000_000
    assert text.endswith("2999999\n3000000\n")


def test_an_interrupt_works_while_a_client_reads_nothing(
    kernel: Served, listener_of: Callable[[Served], Listener]
) -> None:
    listener = listener_of(kernel)
    kernel.run("%limit off")
    assert list(listener.until_idle())
    running = kernel.client.execute("yes")
    time.sleep(2)
    kernel.interrupt("message")
    reply = kernel.reply(running)
    assert reply["content"]["ename"] == "KeyboardInterrupt"


def test_a_client_that_is_stuck_holds_nobody_up_for_long(
    kernel: Served, listener_of: Callable[[Served], Listener]
) -> None:
    listener = listener_of(kernel)
    kernel.run("%limit off")
    assert list(listener.until_idle())
    began = time.monotonic()
    run = kernel.run("seq 4000000; echo end")
    assert run.text.endswith("4000000\nend\n")
    # No message of it took longer than the client's own limit.
    assert time.monotonic() - began > 9
    while "a client read nothing" not in listener.next()["content"].get("text", ""):
        pass
    kernel.run("echo on")
    while listener.next()["content"].get("text") != "on\n":
        pass


def test_of_much_output_the_ends_are_shown_and_the_whole_is_in_a_file(kernel: Served) -> None:
    run = kernel.run("%limit 100k\nseq 1000000")
    assert run.text.split("\n")[1:4] == ["1", "2", "3"]
    assert run.text.endswith("999999\n1000000\n")
    assert len(run.text) < 110_000
    # A cell that takes longer than a moment says it before its end, too.
    _, _, rest = run.text.rpartition("all of it is in ")
    path = Path(rest.partition("]")[0])
    whole = path.read_bytes()
    assert whole.endswith(b"".join(b"%d\n" % n for n in range(1, 1_000_001)))


def test_noisy_cells_in_a_row_stay_below_the_rates_of_a_jupyter_server(kernel: Served) -> None:
    asked = [kernel.client.execute("head -c 600k /dev/zero | tr '\\0' x") for _ in range(8)]
    began = time.monotonic()
    size = 0
    while True:
        message = kernel.client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "stream":
            size += len(message["content"]["text"])
            # Messages that were held up come together. None comes before its time.
            assert time.monotonic() - began >= 3 * (size // 3_000_000)
        state = message["content"].get("execution_state")
        if state == "idle" and message["parent_header"]["msg_id"] == asked[-1]:
            break
    assert size > 3_000_000


def test_two_hundred_megabytes_pass_in_bounded_memory(kernel: Served) -> None:
    kernel.run("%limit off")
    before = kernel.peak_memory()
    kernel.client.execute("head -c 200M /dev/zero | tr '\\0' x")
    size, digest = 0, hashlib.sha256()
    while True:
        message = kernel.client.get_iopub_msg(timeout=60)
        text = message["content"].get("text", "")
        size += len(text)
        digest.update(text.encode())
        if message["content"].get("execution_state") == "idle":
            break
    assert size == 200 << 20
    assert digest.digest() == hashlib.sha256(b"x" * size).digest()
    assert kernel.peak_memory() - before < 50_000


def test_a_line_of_fifty_megabytes_is_one(kernel: Served) -> None:
    kernel.run("%limit off")
    run = kernel.run("head -c 50M /dev/zero | tr '\\0' x")
    assert run.text == "x" * (50 << 20)


def test_a_program_that_reads_finds_the_end_of_its_input(kernel: Served) -> None:
    run = kernel.run("read -p 'name? ' a; echo \"status $?\"; cat; echo done")
    assert run.text.endswith("status 1\ndone\n")


@pytest.mark.parametrize(("flag", "secret"), [("", False), ("-s", True)])
def test_a_program_that_reads_the_terminal_asks_the_client(
    kernel: Served, flag: str, secret: bool
) -> None:
    kernel.run("%stdin on")
    code = f"echo hallo; read {flag} -p 'name? ' a; echo \"<$a>\""
    asked = kernel.client.execute(code, allow_stdin=True)
    request = kernel.client.get_stdin_msg(timeout=30)
    assert request["msg_type"] == "input_request"
    assert request["content"] == {"prompt": "name? ", "password": secret}
    assert request["parent_header"]["msg_id"] == asked
    kernel.client.input("me ä")
    # Whoever shows the box shows the question: it is no output as well.
    assert kernel.result(asked).text == "hallo\n<me ä>\n"


@pytest.mark.parametrize("end", ["\x04", "^D"])
def test_an_answer_can_be_the_end_of_the_input(kernel: Served, end: str) -> None:
    kernel.run("%stdin on")
    asked = kernel.client.execute("cat; echo end", allow_stdin=True)
    for line in ("one", end):
        kernel.client.get_stdin_msg(timeout=30)
        kernel.client.input(line)
    assert kernel.result(asked).text == "one\nend\n"


def test_without_an_input_box_a_program_finds_the_end_of_its_input(kernel: Served) -> None:
    kernel.run("%stdin on")
    run = kernel.run('cat; read a; echo "status $?"', allow_stdin=False)
    assert run.text.endswith("status 1\n")


def test_what_is_typed_too_late_is_no_answer_to_the_next_question(kernel: Served) -> None:
    kernel.run("%stdin on")
    first = kernel.client.execute("read a", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.interrupt("message")
    assert kernel.result(first).reply["ename"] == "KeyboardInterrupt"
    kernel.client.input("late")
    kernel.answered("kernel_info_request", "stdin")
    second = kernel.client.execute('read a; echo "<$a>"', allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.client.input("right")
    assert "<right>" in kernel.result(second).text
