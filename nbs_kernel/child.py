"""A kernel as its supervisor has it: the process, our end of its socket, what is done for it."""

from __future__ import annotations

import os
import select
import sys
import time

from nbs_kernel.exchange import Reader, send
from nbs_kernel.requests import Said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.errand import Errand
    from nbs_kernel.known import Found
    from nbs_kernel.requests import Passed
    from nbs_kernel.verb import Verb
    from sandbox import Residence, Session

PATIENCE_S = 4.0
"""How long a kernel may take to end when it is told to."""


class Kernel:
    """One kernel process, our end of its socket, and what is being done for it."""

    def __init__(
        self,
        residence: Residence,
        descriptor: int,
        found: Found | None,
        session: Session | None = None,
    ) -> None:
        self.residence = residence
        self.descriptor = descriptor
        self.found = found
        self.session = session
        self.reader = Reader()
        self.errand: Errand | Verb | None = None
        self.is_full = False
        self.deadline = 0.0
        self._status: int | None = None

    def tell(self, message: Passed) -> None:
        """Send; a kernel that is gone will be noticed by its end."""
        try:
            send(self.descriptor, message)
        except OSError:
            self.end_soon()

    def answer(self) -> None:
        """Tell what has come of the errand. What a kernel does not take yet is not waited for."""
        self.is_full = not _takes_more(self.descriptor)
        answer = self.errand.answer() if self.errand is not None and not self.is_full else None
        if answer is not None and not isinstance(answer, Said):
            self._close_errand()
        if answer is not None:
            self.tell(answer)

    def _close_errand(self) -> None:
        if self.errand is not None:
            self.errand.close()
            self.errand = None

    def heard(self) -> list[int]:
        """What of it is to be polled, and of what is done for it."""
        own = [] if self.deadline else [self.descriptor]
        if self.errand is not None and not self.is_full:
            own.append(self.errand.descriptor)
        return own

    def end_soon(self) -> None:
        """From now on it has `PATIENCE_S` to end by itself."""
        self.deadline = self.deadline or time.monotonic() + PATIENCE_S

    def close(self) -> int:
        """End it, if it still lives, and keep or remove what it leaves; its status."""
        if self._status is None:
            # A restore that cannot be given up any more needs the sandbox until its end.
            self._close_errand()
            os.close(self.descriptor)
            self._status = self.residence.close()
            if self.session is not None:
                _tell_what_is_kept(self.session)
        return self._status


def _takes_more(descriptor: int) -> bool:
    """Whether there is room for a piece of output; then a message of that size does not wait."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def _tell_what_is_kept(session: Session) -> None:
    kept = session.kept
    if kept is not None:
        sys.stderr.write(
            f"what was changed is kept as {kept.name}: `nbs shell --ws {kept.name}` resumes it,"
            f" NBS_WS={kept.name} a kernel; `nbs diff {kept.name}`; `nbs ws rm {kept.name}`\n"
        )
        sys.stderr.flush()
