"""Takes a cell apart: lines for the kernel first, then bash."""

from __future__ import annotations

import re

from nbs_kernel.magics.context import Call, Magic
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.magics.registry import MAGICS
from nbs_kernel.typed.reader import Reader
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.typed.words import Word

_LINE = re.compile(r"(%%?)([a-z][a-zA-Z0-9_-]*)(\?{0,2})(?:[ \t]+(.*))?", re.DOTALL)
_FOR_CELLS = ("code", "cell")


class Line(Value):
    """A line that begins with `%name`. `line` counts from 1; `body` is what follows a `%%name`."""

    mark: str
    name: str
    asks: bool
    text: str
    line: int
    body: str | None = None


class Parts(Value):
    """A cell: its magic lines, and the bash behind them at the lines where it was."""

    lines: tuple[Line, ...]
    bash: str


class Prepared(Value):
    """What is to be done for a cell, in this order. `bash` may be blank."""

    calls: tuple[Call, ...]
    bash: str


def take_apart(code: str) -> Parts:
    r"""The magic lines at the start of a cell (blank lines and comments may be between), and bash.

    >>> parts = take_apart("%limit 1M\nmake")
    >>> parts.lines[0].name, parts.lines[0].text, parts.bash
    ('limit', '1M', '\nmake')
    """
    found: list[Line] = []
    lines = code.split("\n")
    for index, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        magic = _LINE.fullmatch(line.rstrip())
        if magic is None:
            break
        mark, name, asks, text = magic.groups()
        lines[index] = ""
        one = Line(mark=mark, name=name, asks=bool(asks), text=text or "", line=index + 1)
        if mark == "%%" and not asks:
            body = "\n".join([*[""] * (index + 1), *lines[index + 1 :]])
            return Parts(lines=(*found, one.replace(body=body)), bash="")
        found.append(one)
    return Parts(lines=tuple(found), bash="\n".join(lines))


def bash_part(code: str) -> str | None:
    """The text that bash's parser is to judge, with the lines where they are; None if all is ours.

    A magic line that asks for what is not there is complete as well: running it says what is wrong.
    """
    parts = take_apart(code)
    last = parts.lines[-1] if parts.lines else None
    if last is not None and last.body is not None:
        magic = MAGICS.get(last.name)
        return last.body if magic is not None and magic.takes in _FOR_CELLS else None
    if not parts.bash.strip() and parts.lines:
        return None
    return parts.bash


def prepare(code: str, after: int = 0) -> Prepared:
    """What a cell asks for. Raises `MagicError` if a magic line is wrong; nothing has run then.

    With `after`, what is left to do when the first so many lines have been done, as after
    `%enter`, where another kernel goes on.
    """
    parts = take_apart(code)
    calls = [_call(line) for line in parts.lines]
    left = tuple(call for call in calls if call.line > after)
    return Prepared(calls=left, bash=parts.bash)


def misplaced(command: str) -> str:
    """The hint for a magic line that was left to bash, "" for any other command.

    >>> misplaced("%1"), misplaced("%display map.svg")
    ('', '`%display` has to be above the commands of its cell, or in a cell of its own')
    """
    magic = _LINE.fullmatch(command.strip())
    if magic is None or magic[2] not in MAGICS:
        return ""
    return (
        f"`{magic[1]}{magic[2]}` has to be above the commands of its cell, or in a cell of its own"
    )


def _call(line: Line) -> Call:
    magic = MAGICS.get(line.name)
    if magic is None:
        raise _unknown(line)
    if line.asks:
        return Call(magic=magic, text=line.text, line=line.line, asks=True)
    if line.body is not None and magic.takes not in _FOR_CELLS:
        raise MagicError(
            f"`%%{line.name}` is not for whole cells",
            reason="magic-not-for-cells",
            evidence=(f"line {line.line} of the cell",),
            hint=f"`%{magic.usage.lstrip('%')}`",
        )
    if magic.takes == "code":
        return _code_call(magic, line)
    words = _arguments(magic, line)
    return Call(magic=magic, text=line.text, words=words, body=line.body, line=line.line)


def _code_call(magic: Magic, line: Line) -> Call:
    has_body = line.body is not None and bool(line.body.strip())
    if not line.text.strip() and not has_body:
        raise _wrong_usage(magic, line, "there is nothing to run")
    return Call(magic=magic, text=line.text, body=line.body, line=line.line)


def _arguments(magic: Magic, line: Line) -> tuple[Word, ...]:
    words = _simple_words("x " + line.text)
    if words is None:
        raise _wrong_usage(magic, line, "its arguments are not plain words")
    words = words[1:]
    if magic.takes != "paths" and not all(word.is_literal for word in words):
        raise _wrong_usage(magic, line, "nothing is put in for `$` here")
    if len(words) < magic.least:
        raise _wrong_usage(magic, line, "an argument is missing")
    if 0 <= magic.most < len(words):
        raise _wrong_usage(magic, line, "there are too many arguments")
    return words


def _simple_words(line: str) -> tuple[Word, ...] | None:
    """The words of a line that is one command without operators, None if it is anything else."""
    reader = Reader(line)
    is_open = len(reader.frames) > 1 or bool(reader.quote) or line.endswith("\\")
    reader.finish()
    if is_open or any(p.kind == "unknown" for word in reader.words for p in word.pieces):
        return None
    end = reader.comments[0][0] if reader.comments else len(line)
    at, between = 0, ""
    for word in reader.words:
        between += line[at : word.start]
        at = word.end
    between += line[at:end]
    roles = [word.role for word in reader.words]
    is_one = roles[:1] == ["command"] and set(roles[1:]) <= {"argument"}
    return tuple(reader.words) if is_one and not between.strip(" \t") else None


def _unknown(line: Line) -> MagicError:
    near = [name for name in MAGICS if name.startswith(line.name) or line.name.startswith(name)]
    similar = near or [name for name in MAGICS if _distance(name, line.name) <= 1 + len(name) // 4]
    hint = f"`%{similar[0]}` is one" if similar else "`%lsmagic` lists those there are"
    return MagicError(
        f"there is no magic command `{line.mark}{line.name[:80]}`",
        reason="magic-unknown",
        evidence=(f"line {line.line} of the cell",),
        hint=hint,
    )


def _distance(first: str, second: str) -> int:
    """How many letters must be put in, left out or changed to make one of the other."""
    if abs(len(first) - len(second)) > len(first):
        return len(first) + len(second)
    before = list(range(len(second) + 1))
    for row, a in enumerate(first, 1):
        now = [row]
        for column, b in enumerate(second, 1):
            change = before[column - 1] + (a != b)
            now.append(min(change, before[column] + 1, now[-1] + 1))
        before = now
    return before[-1]


def _wrong_usage(magic: Magic, line: Line, why: str) -> MagicError:
    return MagicError(
        f"`{line.mark}{magic.name}`: {why}",
        reason="magic-usage",
        evidence=(f"line {line.line} of the cell",),
        hint=f"`{magic.usage}`",
    )
