"""Work that a kernel asked for, done by a process of its own: its supervisor serves on meanwhile.

What is large takes long. Neither an interrupt nor the end of the kernel waits for that.
"""

from __future__ import annotations

import os
import select
import signal

import sandbox
from nbs_kernel.exchange import READ_AT_ONCE, Malformed, Reader, send
from nbs_kernel.requests import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.requests import Passed

    Progress = Callable[[int, int], None]


class Errand:
    """`work` is called in a forked process, and its answer read from `descriptor`.

    The function that it is given is to be called now and then: it raises `sandbox.Error` once the
    work was given up, or the supervisor is gone. With `harmless` it changes nothing, and is simply
    killed then. The caller may have one thread only.
    """

    def __init__(self, work: Callable[[Progress], Passed], *, harmless: bool = False) -> None:
        self.descriptor, answer = os.pipe2(os.O_CLOEXEC)
        given_up, self._giving_up = os.pipe2(os.O_CLOEXEC)
        self._harmless = harmless
        self._is_given_up = False
        self._reader = Reader()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._giving_up)
                send(answer, work(lambda _, __: _unless_readable(given_up)))
            finally:
                os._exit(0)
        os.close(answer)
        os.close(given_up)

    def answer(self) -> Passed | None:
        """What can be read of the answer is read: all of it, a refusal for none, or None as yet."""
        data = os.read(self.descriptor, READ_AT_ONCE)
        try:
            for message in self._reader.feed(data):
                return message
        except Malformed as error:
            return _refused(str(error))
        if data:
            return None
        return _refused("it was interrupted" if self._is_given_up else "it ended without a word")

    def give_up(self) -> None:
        """As far as nothing has changed by it. The answer tells."""
        self._is_given_up = True
        if self._harmless:
            os.kill(self._pid, signal.SIGKILL)
        elif self._giving_up >= 0:
            os.close(self._giving_up)
            self._giving_up = -1

    def close(self) -> None:
        """Wait for its end; what cannot be given up any more is done then."""
        self.give_up()
        os.waitpid(self._pid, 0)
        os.close(self.descriptor)
        if self._giving_up >= 0:
            os.close(self._giving_up)


def _unless_readable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if poll.poll(0):
        raise sandbox.given_up()


def _refused(why: str) -> Refused:
    return Refused(
        message="what was asked for was not brought to its end",
        reason="request-stopped",
        evidence=(why,),
    )
