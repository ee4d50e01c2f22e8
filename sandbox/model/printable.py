"""Text that comes from a build, made harmless for a terminal: it may be hostile."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor or change its state."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def one_line(text: str) -> str:
    """`printable` text that cannot pretend to be two lines or two columns."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", " ")
