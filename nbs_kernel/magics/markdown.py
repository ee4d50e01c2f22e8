"""Markdown as HTML that can do nothing: no links, no images, no HTML of its own, no formulas.

Enough of the language for the notes and reports that builds write. What is not understood is shown
as it is written.
"""

from __future__ import annotations

import re

from nbs_kernel.typed.shown import code, escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,}).*")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+(.*)")
_RULE = re.compile(r" {0,3}(?:-{3,}|\*{3,}|_{3,})[ \t]*")
_QUOTE = re.compile(r" {0,3}> ?(.*)")
_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*")
_ROW_RULE = re.compile(r"[ \t]*\|[ \t:|-]+\|[ \t]*")
_CODE = re.compile(r"`([^`\n]{1,1000})`")
_STRONG = re.compile(r"\*\*([^*\n]{1,1000})\*\*")
_STRESSED = re.compile(r"\*([^*\s][^*\n]{0,1000})\*")


def to_html(text: str) -> str:
    """The text as one element of HTML."""
    body = "\n".join(_blocks(text.splitlines()))
    return f"<div class='tex2jax_ignore mathjax_ignore'>\n{body}\n</div>"


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence:
            end = _end_of_fence(lines, at + 1, fence[1])
            yield f"<pre>{code(chr(10).join(lines[at + 1 : end]))}</pre>"
            at = end + 1
            continue
        kind = _kind(lines[at])
        end = at + 1
        while kind in _MANY and end < len(lines) and _kind(lines[end]) == kind:
            end += 1
        if kind != "blank":
            yield _WRITE[kind](lines[at:end])
        at = end


def _end_of_fence(lines: list[str], at: int, fence: str) -> int:
    while at < len(lines) and not lines[at].strip().startswith(fence):
        at += 1
    return at


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    patterns = {
        "fence": _FENCE,
        "heading": _HEADING,
        "rule": _RULE,
        "item": _ITEM,
        "quote": _QUOTE,
        "row": _ROW,
    }
    return next((kind for kind, pattern in patterns.items() if pattern.fullmatch(line)), "text")


def _inline(text: str) -> str:
    """Code, strong and stressed text; all else is escaped."""
    parts = _CODE.split(text)
    return "".join(code(part) if i % 2 else _stressed(part) for i, part in enumerate(parts))


def _stressed(text: str) -> str:
    strong = _STRONG.sub(r"<strong>\1</strong>", escaped(text))
    return _STRESSED.sub(r"<em>\1</em>", strong)


def _heading(lines: list[str]) -> str:
    found = _HEADING.fullmatch(lines[0])
    level, text = (len(found[1]), found[2].rstrip(" \t#")) if found else (1, lines[0])
    return f"<h{level}>{_inline(text)}</h{level}>"


def _items(lines: list[str]) -> str:
    texts = [found[1] for line in lines if (found := _ITEM.fullmatch(line))]
    kind = "ol" if lines[0].lstrip()[:1].isdigit() else "ul"
    inner = "\n".join(f"<li>{_inline(text)}</li>" for text in texts)
    return f"<{kind}>\n{inner}\n</{kind}>"


def _quoted(lines: list[str]) -> str:
    texts = [found[1] for line in lines if (found := _QUOTE.fullmatch(line))]
    return f"<blockquote>{_inline(chr(10).join(texts))}</blockquote>"


def _rows(lines: list[str]) -> str:
    rows = [line.strip()[1:-1].split("|") for line in lines if not _ROW_RULE.fullmatch(line)]
    cells = ["".join(f"<td>{_inline(cell.strip())}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in cells) + "\n</table>"


def _paragraph(lines: list[str]) -> str:
    return f"<p>{_inline(chr(10).join(lines))}</p>"


_MANY = frozenset(["item", "quote", "row", "text"])
_WRITE = {
    "heading": _heading,
    "rule": lambda _: "<hr>",
    "item": _items,
    "quote": _quoted,
    "row": _rows,
    "text": _paragraph,
}
