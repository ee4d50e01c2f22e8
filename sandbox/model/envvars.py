r"""The text of `env-vars`, in which nixpkgs' stdenv keeps the exported variables of a build.

stdenv's `dumpVars` writes it with a bare `export`, so the quoting is that of the builder's shell:
bash writes `declare -x N="…"` or `declare -x N=$'…'`, bash in posix mode `export N="…"`, dash and
busybox `export N='…'`. The file belongs to the failed build: nothing in it is evaluated, and no
bytes make these functions raise.
"""

from __future__ import annotations

from sandbox.model.aterm import end_of_quoted
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Piece = tuple[bytes, int, int]
    Statement = tuple[bytes, bytes, list[Piece] | None, int, int]

_COMMANDS = frozenset({b"declare", b"typeset", b"export"})
_ENDS_WORD = frozenset(b" \t\n;&|<>()")
_NOT_PLAIN = _ENDS_WORD | frozenset(b"\"'\\")
_BLANK, _DOLLAR = 0x20, 0x24
_LONG = 3  # words in `declare -x NAME`; `export NAME` has one less

_SIMPLE = {
    b"a": b"\a",
    b"b": b"\b",
    b"e": b"\x1b",
    b"E": b"\x1b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
    b"'": b"'",
    b'"': b'"',
    b"?": b"?",
}
_OCTAL = b"01234567"
_HEX = b"0123456789abcdefABCDEF"
_HEX_DIGITS = {b"x": 2, b"u": 4, b"U": 8}
_LAST_CHARACTER = 0x10FFFF


class Variable(Value):
    """One exported variable.

    `value` is None if it was exported without one, and for an array: bash exports no arrays, so the
    builder's children never saw it. `array` then holds the text between and with the parentheses.
    `attributes` are the letters of `declare`, `x` among them.
    """

    name: str
    value: str | None = None
    attributes: str = "x"
    array: str = ""


def parse(data: bytes) -> tuple[Variable, ...]:
    """All variables in the order of the file. Lines that are no such statement are passed over.

    A quote that never ends ends the reading, as it does in a shell that sources the file.
    """
    data = data.replace(b"\0", b"")
    return tuple(_variable(data, statement) for statement in _statements(data))


def words(data: bytes) -> tuple[str, ...]:
    r"""The words of a line in which bash has quoted each, as with `${words[*]@Q}`.

    >>> words(b"'a b' $'c\\nd' ''")
    ('a b', 'c\nd', '')
    """
    found = []
    at = 0
    while at < len(data):
        if data[at] == _BLANK:
            at += 1
            continue
        pieces, end = _word(data, at)
        if end <= at:
            break
        found.append(_text(b"".join([_PIECES[kind](data[a:b]) for kind, a, b in pieces])))
        at = end
    return tuple(found)


def lookup(data: bytes, name: str) -> str | None:
    """The value of one variable, or None if it has none or is not there."""
    return select(data, name).get(name)


def select(data: bytes, *names: str) -> dict[str, str]:
    """The values of those of `names` that have one, without the cost of decoding all others.

    Of two statements the last counts, as when a shell reads the file.
    """
    wanted = {name.encode("utf-8", "surrogateescape"): name for name in names}
    data = data.replace(b"\0", b"")
    if not any(name in data for name in wanted):
        return {}
    found = {s[0]: s for s in _statements(data) if s[0] in wanted and _is_scalar(s)}
    values = (
        (name, _variable(data, found[raw]).value) for raw, name in wanted.items() if raw in found
    )
    return {name: value for name, value in values if value is not None}


def _is_scalar(statement: Statement) -> bool:
    _, attributes, pieces, _, _ = statement
    return pieces is not None and b"a" not in attributes and b"A" not in attributes


def _variable(data: bytes, statement: Statement) -> Variable:
    name, attributes, pieces, start, end = statement
    letters = attributes.decode()
    variable = Variable(name=name.decode(), attributes=letters)
    if pieces is None:
        array = _text(data[start:end]) if end > start else ""
        return variable.replace(array=array) if array else variable
    value = _text(b"".join([_PIECES[kind](data[a:b]) for kind, a, b in pieces]))
    if _is_scalar(statement):
        return variable.replace(value=value)
    return variable.replace(array=value)  # bash before 4.4 put an array in quotes


def _statements(data: bytes) -> Iterator[Statement]:
    """Name, attributes, the pieces of the value (None: no scalar), and where the value is."""
    at, size = 0, len(data)
    while at < size:
        line_end = data.find(b"\n", at)
        line_end = size if line_end < 0 else line_end
        equals = data.find(b"=", at, line_end)
        head = _head(data[at : line_end if equals < 0 else equals])
        if head is None or equals < 0:
            if head is not None:
                yield (*head, None, at, at)
            at = line_end + 1
            continue
        pieces, end = _value(data, equals + 1)
        if end < 0:
            return
        yield (*head, pieces, equals + 1, end)
        line_end = data.find(b"\n", end)
        at = size if line_end < 0 else line_end + 1


def _value(data: bytes, start: int) -> tuple[list[Piece] | None, int]:
    """The pieces of a value (None: an array), and where it ends: -1 if it does not."""
    if data.startswith(b'"', start):  # nearly all are `"…"` and a newline: not the long way then
        quote = data.find(b'"', start + 1)
        if data.startswith(b'"\n', quote) and not data.startswith(b"\\", quote - 1):
            return [(b'"', start + 1, quote)], quote + 1
    if data.startswith(b"(", start):
        return None, _end_of_array(data, start + 1)
    return _word(data, start)


def _head(text: bytes) -> tuple[bytes, bytes] | None:
    """Name and attributes of what stands before the `=`, if that is an export."""
    if not text.startswith((b"declare -", b"export ", b"typeset -")):
        return None
    words = text.split(b" ")
    flags = words[1] if len(words) == _LONG else b"-"
    name = words[-1]
    if len(words) > _LONG or words[0] not in _COMMANDS or not flags.startswith(b"-"):
        return None
    letters = flags[1:]
    if words[0] == b"export" and b"x" not in letters:
        letters += b"x"
    if b"x" not in letters or not (letters.isalpha() and name.isascii()):
        return None
    return (name, letters) if name.decode().isidentifier() else None


def _word(data: bytes, at: int) -> tuple[list[Piece], int]:
    """The quoted and unquoted pieces of a shell word, and where it ends: -1 if a quote does not."""
    pieces: list[Piece] = []
    size = len(data)
    while at < size and data[at] not in _ENDS_WORD:
        kind, start = _kind(data, at)
        if kind == b"":
            end = start = at
            while (
                end < size and data[end] not in _NOT_PLAIN and (end == at or data[end] != _DOLLAR)
            ):
                end += 1
            after = end
        elif kind == b"\\":
            end = after = min(start + 1, size)
        else:
            end = data.find(b"'", start) if kind == b"'" else end_of_quoted(data, start, kind[-1:])
            if end < 0:
                return pieces, -1
            after = end + 1
        pieces.append((kind, start, end))
        at = after
    return pieces, at


def _kind(data: bytes, at: int) -> tuple[bytes, int]:
    """How the piece at `at` is quoted, and where its text starts. `$"…"` is a `"…"`."""
    for kind in (b'"', b"$'", b"'", b"\\"):
        if data.startswith(kind, at):
            return kind, at + len(kind)
    if data.startswith(b'$"', at):
        return b'"', at + 2
    return b"", at


def _end_of_array(data: bytes, at: int) -> int:
    """Behind the closing parenthesis of an array, or -1."""
    while 0 <= at < len(data):
        if data.startswith(b")", at):
            return at + 1
        end = _word(data, at)[1]
        at = end + 1 if end == at else end
    return -1


def _double_quoted(raw: bytes) -> bytes:
    """A backslash counts only before these five; a backslash and a newline are nothing at all."""
    if b"\\" not in raw:
        return raw
    return b"\\".join(
        piece.replace(b'\\"', b'"')
        .replace(b"\\$", b"$")
        .replace(b"\\`", b"`")
        .replace(b"\\\n", b"")
        for piece in raw.split(b"\\\\")
    )


def _ansi_c_quoted(raw: bytes) -> bytes:
    """The inside of `$'…'`. Bash: `ansicstr` in lib/sh/strtrans.c. A NUL ends it, as in C."""
    pieces = []
    at = 0
    while (mark := raw.find(b"\\", at)) >= 0:
        pieces.append(raw[at:mark])
        piece, at = _escape(raw, mark + 1)
        pieces.append(piece)
    pieces.append(raw[at:])
    return b"".join(pieces).partition(b"\0")[0]


def _escape(raw: bytes, at: int) -> tuple[bytes, int]:
    """What the escape behind a backslash stands for, and where it ends."""
    letter = raw[at : at + 1]
    if letter in _SIMPLE:
        return _SIMPLE[letter], at + 1
    if letter and letter in _OCTAL:
        end = _digits(raw, at, 3, _OCTAL)
        return bytes((int(raw[at:end], 8) & 0xFF,)), end
    if letter in _HEX_DIGITS:
        end = _digits(raw, at + 1, _HEX_DIGITS[letter], _HEX)
        if end > at + 1:
            number = int(raw[at + 1 : end], 16)
            return (bytes((number,)) if letter == b"x" else _utf8(number)), end
    if letter == b"c" and at + 1 < len(raw):
        doubled = raw.startswith(b"\\\\", at + 1)
        return bytes((_control(raw[at + 1]),)), at + (3 if doubled else 2)
    return b"\\" + letter, at + 1


def _digits(raw: bytes, at: int, most: int, alphabet: bytes) -> int:
    """Where the digits at `at` end."""
    chunk = raw[at : at + most]
    return at + len(chunk) - len(chunk.lstrip(alphabet))


def _utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass") if number <= _LAST_CHARACTER else b""


def _control(byte: int) -> int:
    """Bash: TOCTRL, which makes of a letter its control character, and of `?` a delete."""
    if byte == 0x3F:  # noqa: PLR2004
        return 0x7F
    upper = byte - 0x20 if 0x61 <= byte <= 0x7A else byte  # noqa: PLR2004
    return upper & 0x1F


def _as_it_is(raw: bytes) -> bytes:
    return raw


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


_PIECES = {
    b'"': _double_quoted,
    b"$'": _ansi_c_quoted,
    b"'": _as_it_is,
    b"\\": _as_it_is,
    b"": _as_it_is,
}
