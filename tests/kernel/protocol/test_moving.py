"""One kernel takes the place of another, and the clients hardly notice."""

from __future__ import annotations

import contextlib
import queue
from typing import TYPE_CHECKING

import pytest

from tests.kernel.protocol.conftest import until_there

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kernel.protocol.conftest import Served


@pytest.mark.parametrize("queued", [0, 5])
def test_cells_go_on_in_the_other_place_in_order(
    kernel: Served, queued: int, tmp_path: Path
) -> None:
    kernel.run("a=1; %limit 1M")
    kernel.run("%limit 1M")
    before = kernel.client.execute(until_there(tmp_path / "go"), store_history=False)
    moving = kernel.client.execute("# there\n%enter next-door")
    waiting = [kernel.client.execute(f"echo {n} ${{a-gone}} $PWD") for n in range(queued)]
    kernel.answered("kernel_info_request")
    (tmp_path / "go").touch()
    assert kernel.result(before).reply["status"] == "ok"
    run = kernel.result(moving)
    assert run.kinds == ["status", "execute_input", "stream", "status"]
    assert run.text == "hello-1.0 failed\n"
    assert (run.reply["status"], run.reply["execution_count"]) == ("ok", 3)
    for number, msg_id in enumerate(waiting):
        after = kernel.result(msg_id)
        assert after.text == f"{number} gone /usr\n"
        assert after.reply["execution_count"] == 4 + number
    assert "1.0 MB" in kernel.run("%limit").text
    assert kernel.ask("kernel_info_request", {}, "control")["status"] == "ok"
    assert kernel.run("sleep 0.1; false").reply["ename"] == "ExitStatus"


def test_a_move_back_and_forth_works_each_time(kernel: Served) -> None:
    for _ in range(3):
        assert kernel.run("%enter next-door").reply["status"] == "ok"
    assert kernel.run("pwd").text == "/usr\n"


def test_another_client_moves_along(serve: Callable[..., Served]) -> None:
    kernel = serve("--patient")
    other = kernel.connect()
    moving = kernel.client.execute("%enter next-door")
    ended_for: set[int] = set()
    # A client that does not look for messages does not subscribe again: both look.
    while len(ended_for) < 2:
        for number, client in enumerate((kernel.client, other)):
            with contextlib.suppress(queue.Empty):
                message = client.get_iopub_msg(timeout=0.05)
                is_idle = message["content"].get("execution_state") == "idle"
                if is_idle and message["parent_header"].get("msg_id") == moving:
                    ended_for.add(number)
    assert kernel.reply(moving)["content"]["status"] == "ok"
    msg_id = other.execute("echo other")
    texts = []
    while "other\n" not in texts:
        texts.append(other.get_iopub_msg(timeout=30)["content"].get("text", ""))
    assert other.get_shell_msg(timeout=30)["parent_header"]["msg_id"] == msg_id


@pytest.mark.parametrize("moves", [1, 2])
@pytest.mark.parametrize("pace", ["--hasty", "--patient"])
def test_a_client_that_reads_its_replies_first_gets_all_that_was_published(
    serve: Callable[..., Served], moves: int, pace: str
) -> None:
    kernel = serve(pace)
    asked = []
    for number in range(moves):
        asked.append(kernel.client.execute(f"%enter next-door\necho moved {number}"))
        assert kernel.reply(asked[-1])["content"]["status"] == "ok"
    asked.append(kernel.client.execute("echo last"))
    assert kernel.reply(asked[-1])["content"]["status"] == "ok"
    ended, text = [], ""
    while len(ended) < len(asked):
        message = kernel.client.get_iopub_msg(timeout=30)
        text += message["content"].get("text", "")
        if message["content"].get("execution_state") == "idle":
            ended.append(message["parent_header"]["msg_id"])
    assert ended == asked
    assert [line for line in text.splitlines() if "moved" in line or line == "last"] == [
        *(f"moved {number}" for number in range(moves)),
        "last",
    ]


def test_a_move_that_is_refused_leaves_all_as_it_was(kernel: Served) -> None:
    kernel.run("a=1")
    run = kernel.run("%enter nowhere")
    assert (run.reply["ename"], run.reply["evalue"]) == ("SandboxError", "no-build")
    assert kernel.run("echo $a").text == "1\n"


def test_a_move_takes_no_longer_than_the_clients_need_to_come_back(
    serve: Callable[..., Served],
) -> None:
    kernel = serve("--patient")
    assert kernel.run("%enter next-door").reply["status"] == "ok"
    assert kernel.run("pwd").text == "/usr\n"
