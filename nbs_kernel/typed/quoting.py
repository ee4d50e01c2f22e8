r"""Names written so that bash reads them as they are, in whatever quotes the cursor stands.

A quoting state is what is open: "" (nothing), `"`, `'` or `$'`.
"""

from __future__ import annotations

import re

OPENING = {"": "", '"': '"', "'": "'", "$'": "$'"}
CLOSING = {"": "", '"': '"', "'": "'", "$'": "'"}

_BARE = re.compile(r"""[ !"#$&'()*,;<=>?\[\\\]^`{|}~]""")
_DOUBLE = re.compile(r'["$`\\]')
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|c(.)|(.))",
    re.DOTALL,
)


def needs_escapes(name: str) -> bool:
    """Whether a name has what only `$'…'` can write in a cell of printable text."""
    return not name.isprintable()


def quote(name: str, opened: str, wanted: str, *, is_open: bool) -> str:
    r"""What to write for `name` where `opened` is open, to end inside `wanted` if `is_open`.

    `opened` is the state where the text begins, `wanted` the one that the user stands in. A name
    that needs escapes leaves the user's quotes, and comes back to them if they stay open.

    >>> quote("a b", "", "", is_open=False), quote("a b", '"', '"', is_open=False)
    ('a\\ b', 'a b"')
    >>> print(quote("a\nb", '"', '"', is_open=True))
    "$'a\nb'"
    """
    style = "$'" if needs_escapes(name) else wanted or opened
    text = _change(opened, style) + _ESCAPED[style](name)
    return text + _change(style, wanted if is_open else "")


def _change(before: str, after: str) -> str:
    return "" if before == after else CLOSING[before] + OPENING[after]


def _bare(name: str) -> str:
    return _BARE.sub(r"\\\g<0>", name)


def _double(name: str) -> str:
    return _DOUBLE.sub(r"\\\g<0>", name)


def _single(name: str) -> str:
    return name.replace("'", "'\\''")


def _ansi(name: str) -> str:
    return "".join([_ansi_character(character) for character in name])


def _ansi_character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable():
        return character
    # Bytes, not code points: what \u gives depends on the shell's locale.
    return "".join([f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape")])


_ESCAPED = {"": _bare, '"': _double, "'": _single, "$'": _ansi}


def from_ansi(text: str) -> str:
    r"""What `$'text'` stands for, in a locale of UTF-8. Bytes that are no text become surrogates.

    >>> from_ansi(r"a\n\x41\303\251\u20ac")
    'a\nAé€'
    """
    if "\\" not in text:
        return text
    data = bytearray()
    at = 0
    for found in _ESCAPE.finditer(text):
        data += _encoded(text[at : found.start()])
        data += _escaped_bytes(found)
        at = found.end()
    data += _encoded(text[at:])
    # A NUL ends what bash makes of the string.
    return bytes(data).partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if _only_bytes(text) else "replace")


def _only_bytes(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in text)


def _escaped_bytes(found: re.Match[str]) -> bytes:
    octal, hexadecimal, short, long, control, other = found.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        is_character = code <= _LAST and not _SURROGATES[0] <= code <= _SURROGATES[1]
        return chr(code).encode() if is_character else b"?"
    if control:
        return bytes([ord(control[0].upper()) & 0x1F])
    return _encoded(_SIMPLE.get(other, "\\" + other))
