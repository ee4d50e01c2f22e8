"""Bash's own parser, in a process of its own."""

from __future__ import annotations

import os
import signal
import time

from nbs_kernel.bash import syntax
from nbs_kernel.bash.events import Syntax
from nbs_kernel.bash.process import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Command

LIMIT_S = 10.0
MESSAGES = 16_384


def parse(start: Callable[[Command], int], shell: Command, code: str) -> Syntax:
    """What the parser of `shell` says of the code. Nothing of it is run.

    What cannot be told, in time or at all, is "complete": bash itself will say more. Raises what
    `start` raises.
    """
    text = os.memfd_create("text")
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        _write(text, code.encode("utf-8", "surrogateescape"))
        os.lseek(text, 0, os.SEEK_SET)
        command = shell.replace(
            argv=(shell.argv[0], *syntax.OPTIONS),
            environment=(("LC_ALL", "C"),),
            descriptors=((0, text), (1, writer), (2, writer)),
            terminal=-1,
        )
        pid = start(command)
    finally:
        os.close(text)
        os.close(writer)
    try:
        status, messages = _result(pid, reader)
    finally:
        os.close(reader)
    if status is None:
        return Syntax(state="complete")
    return syntax.verdict(code, status, messages.decode("utf-8", "replace"))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _result(pid: int, reader: int) -> tuple[int | None, bytes]:
    """The status, None if it had to be killed, and the messages."""
    until = time.monotonic() + LIMIT_S
    messages = b""
    while wait((reader,), until - time.monotonic()):
        more = os.read(reader, MESSAGES)
        messages = (messages + more)[:MESSAGES]
        if not more:
            break
    if time.monotonic() >= until:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return (code if code >= 0 else None), messages
