"""Waits until a bash that has been started says that it is ready."""

from __future__ import annotations

import time

from nbs_kernel.bash.process import wait
from sandbox import Error, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.bash.process import Process

START_S = 30.0
SHOWN, LINES = 4_000, 5
READY = 2


class ShellFailed(Error):  # noqa: N818  says what happened
    """Bash does not start, or is gone."""


class Started(Value):
    """What a bash tells at its start; `said` is what it, or what it has read, has written."""

    version: str
    directory: str
    said: bytes


def await_start(process: Process) -> Started:
    """Wait for the first record. Raises `ShellFailed` (`shell-not-started`)."""
    said = b""
    until = time.monotonic() + START_S
    watched = (process.records.fileno(), process.terminal.master, process.exit)
    while ready := wait(watched, until - time.monotonic()):
        if process.terminal.master in ready:
            said = (said + (process.terminal.read() or b""))[-SHOWN:]
        for record in process.read():
            if record.kind == "ready" and len(record.texts) == READY:
                version, directory = record.texts
                process.started()
                return Started(version=version, directory=directory, said=said)
        if process.exit in ready:
            raise _not_started("it ended at once", said)
        if process.told_all:
            raise _not_started("it is another program", said)
    raise _not_started(f"it is not ready after {START_S:g} s", said)


def _not_started(what: str, said: bytes) -> ShellFailed:
    words = said.decode("utf-8", "replace").strip().split("\n")[-LINES:]
    return ShellFailed(
        f"the build's bash does not start: {what}",
        reason="shell-not-started",
        evidence=tuple(line for line in words if line),
    )
