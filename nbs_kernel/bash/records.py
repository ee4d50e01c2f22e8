"""What the shell tells over its status channel: bytes to records, without I/O.

Whoever runs code in the shell can write to the channel. Nothing here believes more than that bytes
came: what is too long is cut, what is too much is dropped, and what has no head of ours is passed
over.
"""

from __future__ import annotations

import re

from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD_LIMIT = 1 << 20
FIELDS_LIMIT = 20_000
RECORD_LIMIT = 8 << 20


class Record(Value):
    """A message of the shell: `number` is that of the cell, or of the question."""

    kind: str
    number: int
    texts: tuple[str, ...]


class Records:
    """Takes bytes as they come, gives each record when it is whole."""

    def __init__(self, nonce: str) -> None:
        self._head = re.compile(
            rb"@" + re.escape(nonce.encode("ascii")) + rb" ([a-z]{1,20}) ([0-9]{1,12}) ([0-9]{1,5})"
        )
        self._pieces: list[bytes] = []
        self._held = 0
        self._kind = ""
        self._number = 0
        self._missing = 0
        self._fields: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that end in `data`."""
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._hold(piece)
            field = b"".join(self._pieces)
            self._pieces, self._held = [], 0
            yield from self._take(field)
        self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        if piece:
            kept = piece[: FIELD_LIMIT - self._held]
            if kept:
                self._pieces.append(kept)
            self._held += len(kept)

    def _take(self, field: bytes) -> Iterator[Record]:
        # A record that an interrupt cut short is followed at once by the head of the next one.
        at = field.rfind(b"@")
        head = self._head.fullmatch(field, at) if at >= 0 else None
        if head:
            self._kind, self._number = head[1].decode(), int(head[2])
            self._missing = min(int(head[3]), FIELDS_LIMIT)
            self._fields, self._size = [], 0
        elif self._missing:
            self._missing -= 1
            text = field[: max(0, RECORD_LIMIT - self._size)].decode("utf-8", "surrogateescape")
            self._size += len(field)
            self._fields.append(text)
        else:
            return
        if self._missing == 0:
            yield Record(kind=self._kind, number=self._number, texts=tuple(self._fields))
            self._fields = []
