"""Takes out of a stream what terminals obey and front ends show as garbage.

Colours, and all else that begins with CSI, stay: front ends read them. So does the carriage return.
Links, titles and other strings for the terminal (OSC, DCS, SOS, PM, APC of ECMA-48), other escape
sequences (`tput sgr0` has one) and the bell go.
"""

from __future__ import annotations

import re

_BELL, _ESCAPE, _CSI = b"\x07", b"\x1b", b"\x1b["
_BODY = rb"[\]PX^_][^\x07\x1b\r\n\x18\x1a]*"
_UNSEEN = re.compile(
    rb"\x07|\x1b(?:"
    # A string that was never ended goes no further than its line.
    + _BODY
    + rb"(?:\x07|\x1b\\|[\x18\x1a]|(?=[\r\n\x1b]))"
    + rb"|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])"
)
_OPEN = re.compile(rb"\x1b(?:" + _BODY + rb"|[ -/]{0,8})\Z")
_INTRODUCER = 2


def _is_shown(data: bytes) -> bool:
    """Plain lines, and those that have colours alone: most of what is ever written."""
    return _ESCAPE not in data or data.count(_ESCAPE) == data.count(_CSI)


class Escapes:
    """Those of one stream, which may be cut anywhere."""

    def __init__(self) -> None:
        self._open = b""

    def without(self, data: bytes) -> bytes:
        """What is to be shown of the next bytes."""
        if not self._open and _BELL not in data and _is_shown(data):
            return data
        data = _UNSEEN.sub(b"", self._open + data)
        cut = _OPEN.search(data)
        if cut is None:
            self._open = b""
            return data
        self._open = cut.group()
        if self._open[1:2] in b"]PX^_":
            # The rest will not be shown, however long it is.
            self._open = self._open[:_INTRODUCER]
        return data[: cut.start()]
