"""What a shell tells while it runs cells, and what came of a cell, as values."""

from __future__ import annotations

from sandbox import Value


class Frame(Value):
    """One call of bash's stack: `function` was called, or was running, at `line` of `file`.

    `file` is empty for what was typed, then `cell` is the number of the cell that it was typed in,
    which may be an earlier one. `line` counts from 1 in the cell or the file, 0 if bash does not
    know it.
    """

    function: str
    file: str
    line: int
    cell: int = 0


class Outcome(Value):
    """How a cell ended.

    `why` is empty where the last command simply had this status, else what ended the cell early:
    "errexit", "exit", "unset", "expansion", "syntax" or "interrupt". `command` is the failing
    command as bash prints it, of a pipeline the last one, and then `statuses` are those of all its
    parts; `message` bash's own words on it; `frames` the call stack, innermost first. Where bash
    tells neither, `mentioned` has what the message is about, and then the lines of the cell and the
    functions in which that stands. `directory` is the shell's directory afterwards.
    """

    status: int
    why: str = ""
    command: str = ""
    message: str = ""
    statuses: tuple[int, ...] = ()
    frames: tuple[Frame, ...] = ()
    mentioned: tuple[str, tuple[int, ...], tuple[str, ...]] = ("", (), ())
    directory: str = ""


class Output(Value):
    """Bytes that the cell with the number `cell`, or a job it left running, wrote."""

    cell: int
    stream: str
    data: bytes


class Finished(Value):
    """The cell has ended, and all that it wrote in the foreground has been told before."""

    cell: int
    outcome: Outcome


class InputWanted(Value):
    """A process in the foreground waits for a line; `secret` if it is not to be seen."""

    cell: int
    secret: bool


class Asked(Value):
    """The cell waits until `path` has been shown, seen from `directory`: see `Shell.answer_asked`.

    All that it had written before has been told before.
    """

    cell: int
    number: int
    directory: str
    path: str


class Ended(Value):
    """The shell is gone, and all it had written has been told before.

    `why`: "exec" (another program took its place), "exit", "killed", or "silent" (it told no end of
    a cell, and was ended). `status` is its exit status, or 128 + the signal's number.
    """

    cell: int
    status: int
    why: str


class PhasePassed(Value):
    """The word `phase` has ended well, called with these words."""

    words: tuple[str, ...]


Event = Output | Finished | InputWanted | Asked | PhasePassed | Ended


class Syntax(Value):
    """What bash's parser says of a text.

    `state`: "complete", "incomplete" (more lines are needed, the next indented by `indent`), or
    "invalid", then `message` is bash's and `line` counts from 1.
    """

    state: str
    indent: str = ""
    line: int = 0
    message: str = ""
