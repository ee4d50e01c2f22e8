"""A file as what a notebook can show.

Files come from a build that may be hostile, and a notebook's page may do all that its user may. So
HTML is shown in a frame without scripts, without an origin and without a network, SVG as an image
(in which browsers run nothing), and all else as text that is escaped. A formula in it is not
typeset either.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import struct

from nbs_kernel.magics.errors import MagicError
from nbs_kernel.magics.markdown import to_html
from nbs_kernel.typed import files
from nbs_kernel.typed.shown import attribute, code, columns, escaped, one_line, plain, table
from sandbox import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Data = dict[str, object]

# A Jupyter server passes on 1 MB a second, counted over three seconds, by default.
LARGEST_IMAGE = 2 << 20
LARGEST_TEXT = 1 << 20
ROWS = 200
COLUMNS = 40
CELL = 200
DEPTH = 64
FRAME_HEIGHT = 480

_NO_NETWORK = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
_SIGNATURES = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
}


def load(path: str, name: str) -> Data:
    """The formats of a file, richest last to be chosen by a front end. `name` is for messages.

    Raises `MagicError`: `magic-format-unknown`, `magic-file-unreadable`, `magic-file-large`,
    `magic-file-damaged`.
    """
    name = one_line(name)
    ending = os.path.splitext(name)[1].lower()
    if ending not in _FORMATS:
        raise MagicError(
            f"`{name}` has no ending of a format that can be shown",
            reason="magic-format-unknown",
            evidence=(" ".join(sorted(_FORMATS)),),
            hint="`cat FILE` shows text, `od -c FILE` anything",
        )
    limit, show = _FORMATS[ending]
    try:
        data, size = files.read(path, limit + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MagicError(
            f"`{name}` cannot be read", reason="magic-file-unreadable", evidence=(why,)
        ) from error
    if len(data) > limit:
        raise MagicError(
            f"`{name}` is too large to be shown in a notebook",
            reason="magic-file-large",
            evidence=(f"{words.size(max(size, len(data)))}, {words.size(limit)} at most",),
        )
    return show(data, name)


def _damaged(name: str, kind: str, why: str) -> MagicError:
    return MagicError(
        f"`{name}` is not {kind}", reason="magic-file-damaged", evidence=(one_line(why, 200),)
    )


def _image(kind: str) -> Callable[[bytes, str], Data]:
    def show(data: bytes, name: str) -> Data:
        if not data.startswith(_SIGNATURES[kind]):
            raise _damaged(name, kind, f"it begins with {data[:8]!r}")
        size = ""
        if kind == "image/png" and len(data) >= _PNG_HEAD:
            width, height = struct.unpack(">II", data[16:24])
            size = f", {width} x {height}"
        text = f"{name}: {kind}{size}, {words.size(len(data))}"
        return {"text/plain": text, kind: base64.b64encode(data).decode("ascii")}

    return show


_PNG_HEAD = 24


def _svg(data: bytes, name: str) -> Data:
    if b"<svg" not in data:
        raise _damaged(name, "SVG", "it has no element <svg>")
    encoded = base64.b64encode(data).decode("ascii")
    source = f"data:image/svg+xml;base64,{encoded}"
    return {
        "text/plain": f"{name}: SVG image, {words.size(len(data))}",
        "text/html": f'<img style="max-width:100%" alt="{escaped(name)}" src="{source}">',
    }


def _html(data: bytes, name: str) -> Data:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_NO_NETWORK}">'
    page = attribute(policy + data.decode("utf-8", "replace"))
    style = f"width:100%;height:{FRAME_HEIGHT}px;border:1px solid #8888;background:white"
    frame = f'<iframe sandbox="" referrerpolicy="no-referrer" style="{style}" srcdoc="{page}">'
    return {
        "text/plain": f"{name}: HTML page, {words.size(len(data))}",
        "text/html": f"{frame}</iframe>",
    }


def _json(data: bytes, name: str) -> Data:
    try:
        value = json.loads(data, parse_float=_number, parse_constant=str)
        value = _bounded(value, DEPTH)
        text = json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "JSON", str(error)) from error
    return {"text/plain": plain(text), "application/json": value}


def _number(text: str) -> float | str:
    """What is too large for a number stays text: JSON has no infinity."""
    value = float(text)
    return text if value in {float("inf"), float("-inf")} else value


def _bounded(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"it is nested more than {DEPTH} deep")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_bounded(inner, depth - 1) for inner in value]
    if isinstance(value, dict):
        return {_text(key): _bounded(inner, depth - 1) for key, inner in value.items()}
    return value


def _text(value: str) -> str:
    """Half a pair of code units can be written in JSON, but is no text that can be sent."""
    return value.encode("utf-8", "replace").decode()


def _markdown(data: bytes, name: str) -> Data:
    del name
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    # Not text/markdown: front ends take HTML, links and formulas in it for the user's own.
    return {"text/plain": plain(text), "text/html": to_html(text)}


def _separated(delimiter: str) -> Callable[[bytes, str], Data]:
    def show(data: bytes, name: str) -> Data:
        # Not the codec utf-8-sig, which would be imported here: the kernel can import nothing more.
        text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\0", "\ufffd")
        lines = text.splitlines(keepends=True)
        rows: list[tuple[str, ...]] = []
        more = 0
        try:
            for row in csv.reader(lines, delimiter=delimiter):
                if len(rows) <= ROWS:
                    rows.append(tuple(one_line(cell, CELL) for cell in row[:COLUMNS]))
                else:
                    more += 1
        except csv.Error as error:
            raise _damaged(name, "CSV", str(error)) from error
        return _table_data(rows, more)

    return show


def _table_data(rows: list[tuple[str, ...]], more: int) -> Data:
    head, body = (rows[0], tuple(rows[1:])) if rows else ((), ())
    text = columns(tuple(rows))
    note = f"… {more:,} more rows" if more else ""
    html = table(head, body) + (f"<p>{code(note)}</p>" if note else "")
    return {"text/plain": "\n".join([text, note] if note else [text]), "text/html": html}


_FORMATS: dict[str, tuple[int, Callable[[bytes, str], Data]]] = {
    ".png": (LARGEST_IMAGE, _image("image/png")),
    ".jpg": (LARGEST_IMAGE, _image("image/jpeg")),
    ".jpeg": (LARGEST_IMAGE, _image("image/jpeg")),
    ".gif": (LARGEST_IMAGE, _image("image/gif")),
    ".svg": (LARGEST_IMAGE, _svg),
    ".html": (LARGEST_TEXT, _html),
    ".htm": (LARGEST_TEXT, _html),
    ".json": (LARGEST_TEXT, _json),
    ".md": (LARGEST_TEXT, _markdown),
    ".markdown": (LARGEST_TEXT, _markdown),
    ".csv": (LARGEST_TEXT, _separated(",")),
    ".tsv": (LARGEST_TEXT, _separated("\t")),
}
