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

FIELDS = 15
SEPARATOR = "\x1e"
OURS = "__nbs_"
WHYS = frozenset(["errexit", "exit", "expansion", "fatal", "syntax", "interrupt"])
CELLS = 10_000
CALLS = 60
NOT_IN_A_FILE = frozenset(["", "main", "environment"])
INTERRUPTED = 130
DIGITS = 10


class Done(Value):
    """The end of a cell as the shell told it.

    `traps` is what the next cell has to tell it of the user's traps for ERR and EXIT; `traced`:
    there was a DEBUG trap when the cell began; `functions` are all there are, as `declare -f` has
    them, after an error of expansion.
    """

    outcome: Outcome
    options: str
    traps: tuple[str, str]
    traced: bool
    functions: str


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
    status, why, command, parts, *calls, definitions, base = fields[:9]
    directory, options, traced, error_trap, exit_trap, functions = fields[9:]
    texts.add(Text(cell=cell, base=_number(base), lines=lines))
    frames = _frames(calls, _definitions(definitions), cell, texts)
    if frames and frames[0].function.startswith(OURS):
        # An interrupt that came when no command of the cell was run.
        command, frames = "", ()
    statuses = tuple(map(_number, _list(parts)))
    outcome = Outcome(
        status=INTERRUPTED if why == "interrupt" else _number(status) & 255,
        why=why if why in WHYS else "",
        command=command,
        statuses=statuses if len(statuses) > 1 else (),
        frames=frames,
        directory=directory,
    )
    kept = "".join(letter for letter in "euxvTk" if letter in options)
    traps = (_trap(error_trap), _trap(exit_trap))
    return Done(
        outcome=outcome, options=kept, traps=traps, traced=bool(traced), functions=functions
    )


def _list(told: str) -> list[str]:
    """Texts that each end in a separator; none of them is empty."""
    return told.split(SEPARATOR)[:-1] if told != SEPARATOR else []


def _trap(told: str) -> str:
    if told == "unknown" or OURS in told:
        return ""
    return told.rstrip("\n") or "-"


def _frames(
    told: list[str], definitions: Mapping[str, tuple[int, str]], cell: int, texts: Texts
) -> tuple[Frame, ...]:
    """The calls, from names, files, and the line in each; behind these is the line of the cell."""
    names, files, lines = map(_list, told)
    calls = list(zip(names, files, lines, strict=False))
    if len(calls) < min(len(lines), CALLS):
        calls.append(("", "", lines[len(calls)]))
    sourcing = False
    frames = []
    for function, file, line in reversed(calls):
        sourcing = sourcing or function == "source"
        frames.append(_frame((function, file, _number(line)), definitions, sourcing, cell, texts))
    return tuple(reversed(frames))


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
