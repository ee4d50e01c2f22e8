"""What the record of a cell's end means: its status, and where it failed, in lines of the cells.

Bash counts the lines of what is evaluated on from the command line that evaluates it. In a function
that is called from the command lines an interactive bash counts from the function's first line; in
a file that is being sourced, and in all that it calls, it counts the lines of the files.
"""

from __future__ import annotations

from nbs_kernel.bash.events import Frame, Outcome
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = 10
SEPARATOR = "\x1e"
FRAMES = 60
CELLS = 10_000
NOT_IN_A_FILE = frozenset(["", "main", "environment"])
INTERRUPTED = 130
DIGITS = 10


class Done(Value):
    """The end of a cell as the shell told it.

    `error_trap` is what the next cell has to tell it of the user's ERR trap; `traced`: there was a
    DEBUG trap when the cell began.
    """

    outcome: Outcome
    options: str
    error_trap: str
    traced: bool


class Text(Value):
    """Where the lines of a cell were: the first is `base` + 1."""

    cell: int
    base: int
    lines: int


class Texts:
    """The cells that functions may come from."""

    def __init__(self) -> None:
        self._texts: list[Text] = []

    def add(self, text: Text) -> None:
        """Take note of a cell that has run."""
        self._texts.append(text)
        del self._texts[:-CELLS]

    def find(self, line: int) -> Text | None:
        """The cell that had this line, the last one if there are several."""
        for text in reversed(self._texts):
            if text.base < line <= text.base + text.lines:
                return text
        return None


def read(fields: tuple[str, ...], cell: int, lines: int, texts: Texts) -> Done | None:
    """What a `done` record says of a cell of so many lines; None if it is not one."""
    if len(fields) != FIELDS:
        return None
    status, why, command, frames, definitions, base, directory, options, traced, trap = fields
    texts.add(Text(cell=cell, base=_number(base), lines=lines))
    outcome = Outcome(
        status=INTERRUPTED if why == "interrupt" else _number(status) & 255,
        why=why if why in {"errexit", "exit", "expansion", "syntax", "interrupt"} else "",
        command=command,
        frames=_frames(frames, _definitions(definitions), cell, texts),
        directory=directory,
    )
    kept = "".join(letter for letter in "euxvTk" if letter in options)
    return Done(outcome=outcome, options=kept, error_trap=_error_trap(trap), traced=bool(traced))


def _error_trap(told: str) -> str:
    if told == "unknown" or "__nbs_" in told:
        return ""
    return told.rstrip("\n") or "-"


def _frames(
    told: str, definitions: Mapping[str, tuple[int, str]], cell: int, texts: Texts
) -> tuple[Frame, ...]:
    if not told:
        return ()
    parts = told.split(SEPARATOR)
    calls = list(zip(parts[::3], parts[1::3], parts[2::3], strict=False))
    sourcing = False
    frames = []
    for function, file, line in reversed(calls):
        sourcing = sourcing or function == "source"
        frames.append(_frame((function, file, _number(line)), definitions, sourcing, cell, texts))
    return tuple(reversed(frames))[:FRAMES]


def _frame(
    call: tuple[str, str, int],
    definitions: Mapping[str, tuple[int, str]],
    sourcing: bool,
    cell: int,
    texts: Texts,
) -> Frame:
    function, file, line = call
    if function in definitions and not sourcing:
        start, file = definitions[function]
        line = start + line - 1 if line > 0 else 0
    if file not in NOT_IN_A_FILE:
        return Frame(function=function, file=file, line=line)
    text = texts.find(line)
    if text is None:
        return Frame(function=function, file="", line=0, cell=cell)
    return Frame(function=function, file="", line=line - text.base, cell=text.cell)


def _definitions(told: str) -> dict[str, tuple[int, str]]:
    found = {}
    for entry in told.split("\n"):
        name, line, file = [*entry.split(" ", 2), "", ""][:3]
        if line.isdigit():
            found[name] = (_number(line), file)
    return found


def _number(text: str) -> int:
    """A small number, 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < DIGITS else 0
