"""The line that a program has begun and not ended: what it asks, if it then reads an answer."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD_S = 0.25
"""So long such a line is held back: by then it is known whether the program reads."""
LONGEST = 1_000

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


class Question:
    """Holds back the last bytes of an output while they are no whole line."""

    def __init__(self) -> None:
        self._stream = ""
        self._data = b""
        self._since = 0.0

    @property
    def due(self) -> float | None:
        """When what is held has to be let go; None: nothing is."""
        return self._since + HOLD_S if self._data else None

    def split(self, stream: str, data: bytes, now: float) -> Iterator[tuple[str, bytes]]:
        """What need not be held when `data` comes, in order."""
        if self._data and self._stream != stream:
            yield self.let_go()
        whole = self._data + data
        end = whole.rfind(b"\n") + 1
        if end or not self._data:
            self._since = now
        self._stream, self._data = stream, whole[end:]
        if end:
            yield stream, whole[:end]
        if len(self._data) > LONGEST:
            yield self.let_go()

    def let_go(self) -> tuple[str, bytes]:
        """The stream and the bytes that were held; none any more."""
        data, self._data = self._data, b""
        return self._stream, data

    def take(self) -> str:
        """The same as a text for people to read, without colours."""
        text = self.let_go()[1].decode("utf-8", "replace")
        return "".join(c for c in _COLOUR.sub("", text) if c.isprintable())
