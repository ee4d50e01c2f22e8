"""What was changed in the workspace of a kernel: looked at from outside, by a process of its own.

A large workspace takes long. What ends the supervisor, or interrupts, does not wait for that.
"""

from __future__ import annotations

import os
import select
import signal

import sandbox
from nbs_kernel.requests import READ_AT_ONCE, Malformed, Reader, Refused, Shown, send
from sandbox import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.requests import Diff, Passed
    from sandbox import Session

LONGEST_DIFFERENCE = 8 << 20
"""Characters of a difference that are handed to a notebook."""


def difference(session: Session, asked: Diff) -> Shown | Refused:
    """What was changed in a workspace that a kernel lives in."""
    lines = []
    left = LONGEST_DIFFERENCE
    try:
        kept = sandbox.find_workspace(session.name)
        with sandbox.compare_workspace(kept, since=asked.since, paths=asked.paths) as compared:
            for style, line in sandbox.showing.shown(compared, stat=asked.stat):
                lines.append(sandbox.showing.for_eyes(style, line, colour=True))
                left -= len(lines[-1])
                if left < 0:
                    lines.append(f"and more: `nbs diff {kept.name}` shows all of it")
                    break
    except Error as error:
        return Refused(
            message=error.message, reason=error.reason, evidence=error.evidence, hint=error.hint
        )
    return Shown(text="\n".join([*lines, ""]))


def aside(work: Callable[[], Passed], stop: tuple[int, ...]) -> Passed:
    """What `work` gives, in a process of its own; a refusal when one of `stop` can be read first.

    For work that changes nothing: it is killed then. The caller may have one thread only.
    """
    readable, writable = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            send(writable, work())
        finally:
            os._exit(0)
    os.close(writable)
    try:
        answer = _awaited(readable, stop)
    finally:
        os.close(readable)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return answer


def _awaited(readable: int, stop: tuple[int, ...]) -> Passed:
    poll, reader = select.poll(), Reader()
    for descriptor in (readable, *stop):
        poll.register(descriptor, select.POLLIN)
    while not any(descriptor in stop for descriptor, _ in poll.poll()):
        data = os.read(readable, READ_AT_ONCE)
        if not data:
            return _refused("the comparison ended without a word")
        try:
            for message in reader.feed(data):
                return message
        except Malformed as error:
            return _refused(str(error))
    return _refused("it was interrupted")


def _refused(why: str) -> Refused:
    return Refused(
        message="what was changed is not shown", reason="request-stopped", evidence=(why,)
    )
