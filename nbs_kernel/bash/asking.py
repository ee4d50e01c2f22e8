"""A terminal by which a running cell asks the driver for something, and waits for the answer.

Cells hold none of the driver's channels. This one they open by its path, and only a shell that was
told a nonce is understood, which programs that the cell starts are not. Nothing that is asked this
way can do harm: the shell's memory is open to what runs beside it.
"""

from __future__ import annotations

import os

from nbs_kernel.bash.events import Asked
from nbs_kernel.bash.records import Records
from nbs_kernel.bash.terminals import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = 3
DIGITS = 9


class Asking:
    """`path` and `nonce` are for the shell, `descriptor` is to be polled."""

    def __init__(self) -> None:
        """Raises `sandbox.Error` (`terminals-exhausted`)."""
        self._terminal = Terminal()
        self._terminal.make_private()
        self.nonce = os.urandom(8).hex()
        self._records = Records(self.nonce)
        self.path = self._terminal.path
        self.descriptor = self._terminal.master

    def read(self) -> Iterator[Asked]:
        """What has been asked, of one read."""
        for record in self._records.feed(self._terminal.read() or b""):
            if record.kind == "show" and len(record.texts) == FIELDS:
                cell, directory, path = record.texts
                number = int(cell) if cell.isdecimal() and len(cell) <= DIGITS else 0
                yield Asked(cell=number, number=record.number, directory=directory, path=path)

    def answer(self, number: int, *, done: bool) -> None:
        """Tell the one that asked with that number whether it was done."""
        try:
            os.write(self._terminal.master, f"{number} {int(not done)}\n".encode())
        except OSError:
            # Nobody reads the answers to so many questions.
            return

    def close(self) -> None:
        """Let go of the terminal."""
        self._terminal.close()
