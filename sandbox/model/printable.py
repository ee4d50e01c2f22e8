"""Text that comes from a build, made harmless for a terminal: it may be hostile."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor or change its state."""
    if text.isprintable():
        return text
    # A line of a log may be many megabytes: its characters are not gone through one by one.
    unseen = {ord(c) for c in set(text) if not (c.isprintable() or c in "\n\t")}
    return text.translate(dict.fromkeys(unseen, "\N{REPLACEMENT CHARACTER}"))


def one_line(text: str) -> str:
    """`printable` text that cannot pretend to be two lines or two columns."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", " ")
