"""Counting what is copied, and naming what is not."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TICK_S = 0.05
_NAMED = 1000


class Tally:
    """What was copied so far; of what was not, the first thousand names."""

    def __init__(self, tick: Callable[[int, int], None] | None = None) -> None:
        self.files = self.bytes = 0
        self.unreadable: list[str] = []
        self.skipped: list[str] = []
        self.unreadable_count = self.skipped_count = 0
        self._tick = tick
        self._next = time.monotonic() + _TICK_S

    def tick(self) -> None:
        """Tell how far it is, at most twenty times a second."""
        if self._tick and (now := time.monotonic()) >= self._next:
            self._next = now + _TICK_S
            self._tick(self.files, self.bytes)

    def counter(self) -> Callable[[int, int], None]:
        """A function that is told how far one part is, of several that are counted here."""
        files, size = self.files, self.bytes

        def count(more: int, larger: int) -> None:
            self.files, self.bytes = files + more, size + larger
            self.tick()

        return count

    def unread(self, path: str) -> None:
        self.unreadable_count += 1
        if len(self.unreadable) < _NAMED:
            self.unreadable.append(path)

    def skip(self, path: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < _NAMED:
            self.skipped.append(path)

    def counts(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def add_names(self, counts: dict[str, Any]) -> None:
        """Add what another process could not copy."""
        self.unreadable = (self.unreadable + counts["unreadable"])[:_NAMED]
        self.skipped = (self.skipped + counts["skipped"])[:_NAMED]
        self.unreadable_count += counts["unreadable_count"]
        self.skipped_count += counts["skipped_count"]
