"""The words of a cell, as a reader of shell text finds them."""

from __future__ import annotations

import re
from typing import NamedTuple

from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]]*\])?\+?=")


class Piece(NamedTuple):
    """A part of a word. A tuple and not a `Value`, since a long cell has very many.

    `kind`: "text" (`text` is what it stands for), "variable" (`text` is the name), "tilde", or
    "unknown" (a command substitution and the like). `start` and `end` are where it is written,
    without its quotes; `quote` is the quoting state that it stands in.
    """

    kind: str
    text: str
    start: int
    end: int
    quote: str

    @property
    def is_plain(self) -> bool:
        """Whether each character stands for itself, so that positions in it can be told."""
        return self.kind == "text" and self.end - self.start == len(self.text)


class Variable(NamedTuple):
    """A name where the text speaks of a variable: `style` is "$", "${" or "" (in arithmetic)."""

    name: str
    start: int
    end: int
    style: str


class Word(Value):
    """A word of the text, from `start` to `end`.

    `role`: "command", "argument", "assignment", "redirection", "name" (of a loop's variable),
    "function" (one that is being defined), "keyword", "pattern", "delimiter". `before` are the
    words of the same command before it, as far as they are plain text ("" otherwise), of very
    many the first and the last.
    """

    start: int
    end: int
    role: str
    pieces: tuple[Piece, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What the word stands for, "" for what only running it would tell."""
        return "".join([piece.text for piece in self.pieces if piece.kind == "text"])

    @property
    def is_literal(self) -> bool:
        """Whether `text` is all of it."""
        return all(piece.kind in {"text", "tilde"} for piece in self.pieces)


class Place(Value):
    """Where a cursor stands.

    `kind`: the role of the word, "variable", or "none" where nothing can be completed (a comment,
    a here-document). `start` is where the word begins, `quote` the quoting state at the cursor,
    `style` that of a `Variable`.
    """

    kind: str
    start: int
    text: str = ""
    quote: str = ""
    style: str = ""
    pieces: tuple[Piece, ...] = ()
    before: tuple[str, ...] = ()


def after(pieces: tuple[Piece, ...], count: int) -> tuple[Piece, ...]:
    """The pieces without the first `count` characters of their text; no other piece comes before.

    >>> after((Piece("text", "A=b", 0, 3, ""),), 2)
    (Piece(kind='text', text='b', start=2, end=3, quote=''),)
    """
    kept: list[Piece] = []
    for piece in pieces:
        if kept or piece.kind != "text":
            kept.append(piece)
        elif count < len(piece.text):
            start = piece.start + count if piece.is_plain else piece.start
            kept.append(piece._replace(text=piece.text[count:], start=start))
            count = 0
        else:
            count -= len(piece.text)
    return tuple(kept)


def expanded(word: Word, value: Callable[[str], str | None]) -> str | None:
    """What a word stands for, given the values of variables; None if only running it would tell.

    Neither split at blanks nor taken as a pattern of file names.
    """
    parts: list[str | None] = []
    for piece in word.pieces:
        if piece.kind == "text":
            parts.append(piece.text)
        elif piece.kind == "variable":
            parts.append(value(piece.text))
        else:
            parts.append(value("HOME") if piece.text == "~" else None)
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None
