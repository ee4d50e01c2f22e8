r"""Text of the build made fit to be shown: no byte of it steers a terminal or a page."""

from __future__ import annotations

import re

SHORT_LINES = 40
SHORT_VALUE = 2_000
LONG = 200_000

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    # What turns the direction of writing, and halves of pairs: bytes that are no text.
    "\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_SPECIAL = re.compile("[&<>\"']")


def plain(text: str, limit: int = 0) -> str:
    r"""Text with control characters written out (line ends and tabs stay), at most `limit` long.

    >>> plain("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if limit and len(text) > limit:
        text = text[:limit] + f"… ({len(text):,} characters)"
    return _CONTROL.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004  a byte that is no UTF-8, as os.fsdecode has it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004


def one_line(text: str, limit: int = 0) -> str:
    """The same on one line."""
    return plain(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def bounded(text: str, detail: int) -> str:
    """The first lines of a long text, unless more detail is wanted."""
    if detail:
        return plain(text, LONG)
    lines = text[:LONG].split("\n")
    more = f"\n… ({len(lines) - SHORT_LINES} more lines)" if len(lines) > SHORT_LINES else ""
    return plain("\n".join(lines[:SHORT_LINES]), SHORT_VALUE * 2) + more


def escaped(text: str) -> str:
    """Text as the content of an element of HTML, or an attribute to be read."""
    return attribute(plain(text))


def attribute(text: str) -> str:
    """Text as a quoted attribute of HTML that is to be had back just as it is."""
    return _SPECIAL.sub(lambda found: _ENTITIES[found[0]], text)


def code(text: str) -> str:
    """An element that shows text as it is. No formula in it is typeset: pages skip `<code>`."""
    return f"<code>{escaped(text)}</code>"


def columns(rows: tuple[tuple[str, ...], ...]) -> str:
    """Rows of text, one below the other, each column as wide as what is in it."""
    count = max((len(row) for row in rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(count)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    )


def table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    """An HTML table of text."""
    names = "".join([f"<th style='text-align:left'>{escaped(name)}</th>" for name in head])
    lines = [f"<thead><tr>{names}</tr></thead>"] if head else []
    for row in rows:
        cells = [f"<td style='text-align:left;white-space:pre-wrap'>{code(c)}</td>" for c in row]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    ignored = "tex2jax_ignore mathjax_ignore"
    return f"<div class='{ignored}'><table>\n" + "\n".join(lines) + "\n</table></div>"
