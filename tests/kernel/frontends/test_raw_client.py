"""A client that brings nothing of Jupyter's, as editors do: it writes the connection file itself,
starts the command of the kernelspec, looks whether the ports are open, speaks over plain ZeroMQ,
and to end the kernel it ends every process below the one that it started.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from tests.kernel.frontends import processes
from tests.kernel.frontends.conftest import LIMIT_S, kept, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kernel.conftest import Home

CHANNELS = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.SUB}
DELIMITER = b"<IDS|MSG>"


@pytest.fixture(autouse=True)
def clean(leaves_nothing: None, in_home: Home) -> Home:
    """Every test of this file leaves no process and no running workspace."""
    del leaves_nothing
    return in_home


class Editor:
    """One kernel that an editor has started, and the sockets to it."""

    def __init__(self, home: Home) -> None:
        self.key = str(uuid.uuid4())
        self.session = str(uuid.uuid4())
        self.ports = dict(zip((*CHANNELS, "hb"), free_ports(5), strict=True))
        connection = home.path / f"kernel-v2-{uuid.uuid4()}.json"
        connection.write_text(json.dumps(self._connection()))
        self.process = subprocess.Popen(
            command(home, connection), cwd=home.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for channel in CHANNELS:
            until(lambda c=channel: is_open(self.ports[c]), f"the port of {channel} is open")
        self.context = zmq.Context()
        self.sockets = {name: self._socket(name) for name in CHANNELS}

    def _connection(self) -> dict[str, Any]:
        ports = {f"{name}_port": port for name, port in self.ports.items()}
        signed = {"signature_scheme": "hmac-sha256", "key": self.key}
        return {**ports, **signed, "ip": "127.0.0.1", "transport": "tcp", "kernel_name": ""}

    def _socket(self, channel: str) -> Any:
        made = self.context.socket(CHANNELS[channel])
        made.linger = 0
        if channel == "iopub":
            made.subscribe(b"")
        else:
            made.routing_id = self.session.encode()
        made.connect(f"tcp://127.0.0.1:{self.ports[channel]}")
        return made

    def _sign(self, parts: list[bytes]) -> bytes:
        return hmac.new(self.key.encode(), b"".join(parts), hashlib.sha256).hexdigest().encode()

    def send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        """The identity of the message."""
        header = {"msg_type": kind, "msg_id": str(uuid.uuid4()), "session": self.session}
        header |= {"username": "", "version": "5.2", "date": "2026-01-01T00:00:00.000Z"}
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        self.sockets[channel].send_multipart([DELIMITER, self._sign(parts), *parts])
        return header["msg_id"]

    def receive(self, channel: str, kind: str, asked: str) -> dict[str, Any]:
        """The content of the next such answer to what was asked."""
        end = time.monotonic() + LIMIT_S
        while self.sockets[channel].poll(max(0, int((end - time.monotonic()) * 1000))):
            frames = self.sockets[channel].recv_multipart()
            at = frames.index(DELIMITER)
            assert frames[at + 1] == self._sign(frames[at + 2 : at + 6])
            header, parent, _, content = map(json.loads, frames[at + 2 : at + 6])
            if header["msg_type"] == kind and parent.get("msg_id") == asked:
                answered: dict[str, Any] = content
                return answered
        pytest.fail(f"no {kind} within {LIMIT_S} s")

    def ask(self, kind: str, content: dict[str, Any], channel: str = "shell") -> dict[str, Any]:
        """The reply to a request."""
        asked = self.send(kind, content, channel)
        return self.receive(channel, kind.replace("request", "reply"), asked)

    def execute(self, code: str) -> str:
        """Begin a cell."""
        asked = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        return self.send("execute_request", {**asked, "allow_stdin": True, "stop_on_error": False})

    def kill_all(self) -> None:
        """SIGTERM to each process of the tree, those farthest down with the rest."""
        for one in (*processes.below(self.process.pid), None):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid if one else self.process.pid, signal.SIGTERM)
        self.process.communicate(timeout=LIMIT_S)

    def close(self) -> None:
        """Nothing of it is left."""
        for one in self.sockets.values():
            one.close()
        self.context.term()
        self.kill_all()


def command(home: Home, connection: Path) -> list[str]:
    """What the kernelspec says, with the connection file in its place."""
    specification = json.loads((home.path / "jupyter/kernels/nbs/kernel.json").read_text())
    words: list[str] = specification["argv"]
    return [word.replace("{connection_file}", str(connection)) for word in words]


def free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago."""
    with contextlib.ExitStack() as all_at_once:
        listening = [all_at_once.enter_context(socket.socket()) for _ in range(count)]
        for one in listening:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in listening]


def is_open(port: int) -> bool:
    """Whether a plain connection is taken; it is closed at once, without a word of ZeroMQ."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def editor(clean: Home) -> Iterator[Editor]:
    made = Editor(clean)
    try:
        yield made
    finally:
        made.close()


def test_it_is_answered_though_its_probes_of_the_ports_said_nothing(editor: Editor) -> None:
    answer = editor.ask("kernel_info_request", {})
    assert answer["language_info"]["name"] == "bash"
    asked = editor.execute("echo $name; false")
    assert editor.receive("iopub", "stream", asked)["text"] == "hello-1.0\n"
    assert editor.receive("shell", "execute_reply", asked)["status"] == "error"


def test_its_request_on_the_control_channel_interrupts_a_cell(editor: Editor) -> None:
    asked = editor.execute("echo begun; sleep 1000")
    editor.receive("iopub", "stream", asked)
    assert editor.ask("interrupt_request", {}, "control") == {"status": "ok"}
    assert editor.receive("shell", "execute_reply", asked)["ename"] == "KeyboardInterrupt"


def test_what_was_changed_is_kept_though_every_process_is_told_to_end(clean: Home) -> None:
    shutil.rmtree(clean.state / "ws", ignore_errors=True)
    editor = Editor(clean)
    asked = editor.execute("echo changed > by-an-editor; echo begun; sleep 1000")
    editor.receive("iopub", "stream", asked)
    editor.close()
    (name,) = kept(clean)
    assert list((clean.state / "ws" / name).rglob("by-an-editor"))
    shutil.rmtree(clean.state / "ws")
