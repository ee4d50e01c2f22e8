"""Every request that a front end may send has an answer, whatever is in it."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import pytest
import zmq
from jupyter_client.session import Session

from tests.kernel.protocol.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kernel.protocol.conftest import Served


def test_a_kernel_tells_what_it_is(kernel: Served) -> None:
    info = kernel.ask("kernel_info_request")
    assert info["status"] == "ok"
    assert info["protocol_version"].startswith("5.")
    assert info["language_info"]["name"] == "bash"
    assert info["language_info"]["file_extension"] == ".sh"
    assert info["banner"] == "hello-1.0 failed"


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize(
    "kind",
    ["kernel_info", "is_complete", "complete", "inspect", "history", "comm_info", "connect"],
)
def test_what_a_front_end_may_ask_is_answered_also_with_nothing_in_it(
    kernel: Served, kind: str, channel: str
) -> None:
    answer = kernel.ask(f"{kind}_request", {}, channel)
    assert answer["status"] in {"ok", "complete", "incomplete", "unknown"}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("is_complete_request", {"code": 5}),
        ("complete_request", {"code": None, "cursor_pos": "x"}),
        ("inspect_request", {"code": [], "cursor_pos": {}}),
        ("execute_request", {"code": ["ls"]}),
        ("execute_request", {"code": "ls", "user_expressions": "no"}),
        ("execute_request", {"code": "echo \x00"}),
        ("debug_request", {}),
        ("create_subshell_request", {}),
        ("no_such_request", {}),
    ],
)
def test_what_cannot_be_understood_is_answered_with_an_error(
    kernel: Served, kind: str, content: dict
) -> None:
    answer = kernel.ask(kind, content)
    assert answer["status"] == "error"
    assert answer["ename"]
    assert answer["traceback"]
    assert kernel.run("echo on").text == "on\n"


def test_widgets_find_nobody_who_would_serve_them(kernel: Served) -> None:
    message = kernel.client.session.msg("comm_open", {"comm_id": "7", "target_name": "x"})
    kernel.client.shell_channel.send(message)
    published = kernel.published(message["header"]["msg_id"])
    assert [m["msg_type"] for m in published] == ["status", "comm_close", "status"]
    assert published[1]["content"]["comm_id"] == "7"
    for kind in ("comm_msg", "comm_close"):
        message = kernel.client.session.msg(kind, {"comm_id": "7"})
        kernel.client.shell_channel.send(message)
        assert len(kernel.published(message["header"]["msg_id"])) == 2


def test_content_that_is_no_json_is_answered(kernel: Served) -> None:
    session = kernel.client.session
    message = session.msg("inspect_request", {})
    frames = session.serialize(message)
    frames[-1] = b"{"
    frames[1] = session.sign(frames[2:])
    kernel.client.shell_channel.socket.send_multipart(frames)
    reply = kernel.reply(message["header"]["msg_id"])
    assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "BadRequest")


def test_who_has_not_the_key_gets_no_answer_and_does_no_harm(kernel: Served) -> None:
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.linger = 0
    stranger.connect(f"tcp://127.0.0.1:{kernel.info['shell_port']}")
    other = Session(key=b"another", packer="json", unpacker="json")
    other.send(stranger, "execute_request", {"code": "echo harm"})
    for frames in ([b""], [b"\x00" * 100], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b"", b"", b"", b""]):
        stranger.send_multipart(frames)
    assert kernel.run("echo on").reply["execution_count"] == 1
    assert not stranger.poll(200)
    context.destroy(linger=0)


def test_the_heart_beats(kernel: Served) -> None:
    context = zmq.Context()
    heart = context.socket(zmq.REQ)
    heart.linger = 0
    heart.connect(f"tcp://127.0.0.1:{kernel.info['hb_port']}")
    for beat in (b"ping", b"x" * 1000):
        heart.send(beat)
        assert heart.poll(30_000)
        assert heart.recv() == beat
    context.destroy(linger=0)


def test_each_client_is_welcomed(kernel: Served) -> None:
    for _ in range(2):
        context = zmq.Context()
        listener = context.socket(zmq.SUB)
        listener.linger = 0
        listener.connect(f"tcp://127.0.0.1:{kernel.info['iopub_port']}")
        listener.subscribe(b"")
        assert listener.poll(30_000)
        session = Session(key=kernel.info["key"].encode(), packer="json", unpacker="json")
        _, frames = session.feed_identities(listener.recv_multipart())
        message = session.deserialize(frames)
        assert message["msg_type"] == "iopub_welcome"
        assert message["content"] == {"subscription": ""}
        context.destroy(linger=0)


def test_a_client_that_comes_back_under_its_name_is_the_same(kernel: Served) -> None:
    kernel.run(":")
    kernel.client.stop_channels()
    again = kernel.connect()
    again.session.session = kernel.client.session.session
    kernel.client = again
    assert kernel.run("echo again").text == "again\n"


def test_a_client_that_leaves_before_its_answer_does_no_harm(kernel: Served) -> None:
    leaving = kernel.connect()
    leaving.execute("sleep 0.3; seq 1000")
    leaving.stop_channels()
    assert kernel.run("echo on").text == "on\n"


def test_without_a_key_in_the_connection_file_nothing_is_signed(
    serve: Callable[..., Served],
) -> None:
    assert serve(key=b"").run("echo on").text == "on\n"


@pytest.mark.parametrize("connection", [{"transport": "ipc"}, {"ip": "127.0.0.2"}])
def test_a_kernel_serves_where_its_connection_file_says(
    serve: Callable[..., Served], tmp_path: Path, connection: dict
) -> None:
    if "transport" in connection:
        connection = {**connection, "ip": str(tmp_path / "ipc")}
    assert serve(**connection).run("echo on").text == "on\n"


@pytest.mark.parametrize("restart", [True, False])
def test_shutdown_answers_everybody_and_ends(kernel: Served, restart: bool) -> None:
    running = kernel.client.execute("echo started; sleep 100")
    waiting = kernel.client.execute("echo waiting")
    kernel.until_output("started")
    answer = kernel.ask("shutdown_request", {"restart": restart}, "control")
    assert answer == {"status": "ok", "restart": restart}
    assert kernel.reply(running)["content"]["status"] == "error"
    assert kernel.reply(waiting)["content"]["status"] == "aborted"
    assert kernel.process.wait(30) == 0


def test_sigterm_ends_a_kernel(kernel: Served) -> None:
    kernel.process.terminate()
    assert kernel.process.wait(30) == 0


def test_a_kernel_without_work_uses_no_processor(kernel: Served) -> None:
    kernel.run("echo on")

    def rests() -> bool:
        before = kernel.cpu_seconds()
        return kernel.silent_for(2) and kernel.cpu_seconds() - before <= 0.011

    # It comes to rest when it has asked the shell what there is to be completed.
    wait_until(rests)


def test_a_reply_is_not_sent_twice(kernel: Served) -> None:
    kernel.run(":")
    with pytest.raises(queue.Empty):
        kernel.client.get_shell_msg(timeout=0.2)
