"""Signals as something that a poll can wait for."""

from __future__ import annotations

import os
import select
import signal

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Poll `descriptor`: when it can be read, `taken` has come."""

    def __init__(self) -> None:
        self.descriptor, self._end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def install(self) -> None:
        """From now on; in the main thread."""
        for number in HANDLED:
            signal.signal(number, _noted)
        signal.set_wakeup_fd(self._end, warn_on_full_buffer=False)

    def taken(self) -> frozenset[int]:
        """Those that came since the last call."""
        return frozenset(os.read(self.descriptor, select.PIPE_BUF))


def _noted(*_: object) -> None:
    """A handler has to be there for a signal to reach the wake-up descriptor."""
