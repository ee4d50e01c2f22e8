"""A real kernel in a process of its own, without a sandbox, and a real client."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVE = os.path.join(os.path.dirname(__file__), "serve.py")
LIMIT_S = 30

Message = dict[str, Any]


class Served:
    """The kernel's process, and a client of it."""

    def __init__(self, directory: Path, *options: str, **connection: Any) -> None:
        self.errors = directory / "stderr"
        self._clients: list[BlockingKernelClient] = []
        # Ports are free when they are chosen; another program may be faster.
        while not self._start(directory, options, connection):
            assert "cannot listen" in self.errors.read_text()
        self.client = self.connect()
        self.ask("kernel_info_request")

    def _start(self, directory: Path, options: tuple[str, ...], connection: Message) -> bool:
        """Start it; whether it lives when it has had the time to listen."""
        given = {"key": os.urandom(16).hex().encode(), **connection}
        self.file, self.info = write_connection_file(str(directory / "kernel.json"), **given)
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, SERVE, self.file, *options],
                stderr=errors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=directory,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        listens = self.process.stdout.readline() == b"listens\n"
        self.process.stdout.close()
        if not listens:
            self.process.wait()
        return listens

    def connect(self) -> BlockingKernelClient:
        """Another client, that from now on gets all that is published."""
        client = BlockingKernelClient(connection_file=self.file)
        self._clients.append(client)
        client.load_connection_file()
        client.start_channels(hb=False)
        # Each socket connects for itself: what is sent on one may be answered before another is there.
        while client.get_iopub_msg(timeout=LIMIT_S)["msg_type"] != "iopub_welcome":
            pass
        return client

    def run(self, code: str, **options: Any) -> Run:
        """Execute, and wait for the end."""
        return self.result(self.client.execute(code, **options))

    def result(self, msg_id: str) -> Run:
        return Run(self.reply(msg_id), self.published(msg_id))

    def reply(self, msg_id: str, *, channel: str = "shell") -> Message:
        get = getattr(self.client, f"get_{channel}_msg")
        while True:
            message: Message = get(timeout=LIMIT_S)
            if message["parent_header"].get("msg_id") == msg_id:
                return message

    def published(self, msg_id: str) -> list[Message]:
        """All of that parent up to its last idle."""
        messages: list[Message] = []
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT_S)
            if message["parent_header"].get("msg_id") == msg_id:
                messages.append(message)
                if message["content"].get("execution_state") == "idle":
                    return messages

    def until(self, wanted: Callable[[Message], bool]) -> Message:
        """The first published message like that."""
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT_S)
            if wanted(message):
                return message

    def until_output(self, text: str) -> None:
        self.until(lambda m: text in m["content"].get("text", ""))

    def ask(self, kind: str, content: Message | None = None, channel: str = "shell") -> Message:
        """Send any request; the content of its reply, after checking what was published."""
        sender = getattr(self.client, f"{channel}_channel")
        message = self.client.session.msg(kind, content or {})
        sender.send(message)
        msg_id = message["header"]["msg_id"]
        reply = self.reply(msg_id, channel=channel)
        states = [m["content"].get("execution_state") for m in self.published(msg_id)]
        assert (states[0], states[-1]) == ("busy", "idle")
        assert reply["msg_type"] == kind.replace("_request", "_reply")
        answer: Message = reply["content"]
        return answer

    def silent_for(self, seconds: float) -> bool:
        """Nothing is published in this time."""
        try:
            self.client.get_iopub_msg(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def interrupt(self, how: str) -> None:
        """Interrupt, and wait until the kernel has done so."""
        if how == "signal":
            os.kill(self.process.pid, signal.SIGINT)
            # A signal is noted at the latest when the first is answered, heeded before the second.
            self.answered("kernel_info_request", "control")
            self.answered("kernel_info_request", "control")
        else:
            self.answered("interrupt_request", "control")

    def answered(self, kind: str, channel: str = "shell") -> None:
        """Wait for the answer to a request: what was sent before on the channel has come then."""
        message = self.client.session.msg(kind, {})
        getattr(self.client, f"{channel}_channel").send(message)
        self.reply(message["header"]["msg_id"], channel=channel)

    def children(self) -> list[str]:
        """The processes that it has started and not waited for."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().split()

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self) -> int:
        """KiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

    def close(self) -> None:
        """End it, which must not have looked for a module, nor failed itself."""
        self._end()
        errors = self.errors.read_text()
        assert "late import" not in errors
        assert "a bug" not in errors
        assert "Traceback" not in errors

    def _end(self) -> None:
        for client in self._clients:
            client.stop_channels()
            client.context.destroy(linger=0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Run:
    """What came of an execute request."""

    def __init__(self, reply: Message, published: list[Message]) -> None:
        self.reply = reply["content"]
        self.published = published

    @property
    def kinds(self) -> list[str]:
        return [m["msg_type"] for m in self.published]

    @property
    def text(self) -> str:
        streams = (m["content"]["text"] for m in self.published if m["msg_type"] == "stream")
        return "".join(streams)

    @property
    def error(self) -> Message | None:
        errors = [m["content"] for m in self.published if m["msg_type"] == "error"]
        return errors[0] if errors else None


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start a kernel; it ends with the test."""
    started: list[Served] = []

    def start(*options: str, **connection: Any) -> Served:
        directory = tmp_path / f"kernel-{len(started)}"
        directory.mkdir()
        started.append(Served(directory, *options, **connection))
        return started[-1]

    yield start
    for served in started:
        served.close()


@pytest.fixture
def kernel(serve: Callable[..., Served]) -> Served:
    return serve()


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def until_there(path: Path) -> str:
    """Commands of a cell that wait until the test has made that file."""
    return f"until [[ -e {path} ]]; do sleep 0.02; done"
