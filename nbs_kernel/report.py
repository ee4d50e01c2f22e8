"""How a cell failed, as the `ename`, `evalue` and `traceback` that front ends show.

Names are for programs (`allow_error_names` of nbclient), lines for people. The console shows only
the traceback, so it is never empty and says all.
"""

from __future__ import annotations

import os
import re

from sandbox import Error, Value, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.bash.events import Ended, Frame, Outcome

RED, BOLD, DIM, PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
COMMAND_SHOWN = 400
FRAMES_SHOWN = 30
BUG_FRAMES_SHOWN = 10
STDERR = 2
SIGNALLED = 128
NAMES = {
    "": "ExitStatus",
    "errexit": "Errexit",
    "exit": "Exited",
    "unset": "UnsetVariable",
    "expansion": "BadExpansion",
    "syntax": "SyntaxError",
    "interrupt": "KeyboardInterrupt",
}
SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL"} | {
    11: "SEGV",
    13: "PIPE",
    14: "ALRM",
    15: "TERM",
    24: "XCPU",
    25: "XFSZ",
    31: "SYS",
}

_KILLS_THE_SHELL = re.compile(
    r"""\bkill\s+(?:-s\s*|-n\s*|-)(?:9|(?:SIG)?KILL)\s+"?(?:\$\$|\$\{\$\}|\$BASHPID|1(?!\S))"""
)


class Failure(Value):
    """An error as the protocol has it."""

    ename: str
    evalue: str
    traceback: tuple[str, ...]

    def content(self) -> dict[str, object]:
        """For an error message, and with a status for a reply."""
        return {"ename": self.ename, "evalue": self.evalue, "traceback": list(self.traceback)}


def of_outcome(
    outcome: Outcome, hint: str = "", title: Callable[[int], str] = lambda _: "cell"
) -> Failure | None:
    """Why the cell failed, and a hint if there is one; None if it did not.

    `title` is how to call a cell of the shell, by its number there.
    """
    if not outcome.status and outcome.why not in {"syntax", "interrupt"}:
        return None
    name = NAMES.get(outcome.why, "ExitStatus")
    where = _where(outcome, title)
    if outcome.why == "interrupt":
        return failure(name, "", "interrupted", where)
    message = printable(outcome.message)
    if outcome.why in {"unset", "expansion", "syntax"} and message:
        return failure(name, message, message, where)
    words = status_words(outcome.status)
    command = _shortened(outcome.command).partition("\n")[0]
    said = tuple(map(printable, outcome.message.split("\n"))) if message else ()
    hints = (f"hint: {hint}",) if hint else ()
    value = f"{command}: {words}" if command else words
    return failure(name, value, words, (*said, *where, *hints))


def of_ended(ended: Ended) -> Failure:
    """The shell is gone."""
    how = {
        "exec": "`exec` put another program into the shell's place, which has ended",
        "exit": "the shell ended itself",
        "killed": "the shell was killed",
        "silent": "the shell was ended: it did not tell any more how cells end",
    }.get(ended.why, "the shell ended")
    words = f"{how}: {status_words(ended.status)}" if ended.why != "silent" else how
    why = {
        "exec": "what `exec` starts finds the end of its input at once, a shell too",
        "silent": "a built-in command or a variable that the kernel needs was disabled or changed",
    }.get(ended.why, "")
    hint = "the next cell has a fresh shell in the same workspace; variables and functions are lost"
    return failure("ShellEnded", ended.why, words, (why, hint) if why else (hint,))


def unheeded(code: str) -> str:
    """What to tell of a cell that goes on after it has killed its shell, empty for any other.

    >>> unheeded("kill -9 $$")[:46], unheeded("kill -9 $pid")
    ('[`kill` does nothing to $$, the first process ', '')
    """
    if not _KILLS_THE_SHELL.search(code):
        return ""
    return (
        "[`kill` does nothing to $$, the first process of the sandbox, as in a build:"
        " `%restart` gives a fresh shell]\n"
    )


def of_error(error: Error, name: str = "SandboxError") -> Failure:
    """An error of the sandbox, or of a magic command, with its evidence and hint."""
    return failure(name, error.reason, printable(error.message), details(error))


def details(error: Error) -> tuple[str, ...]:
    """What was seen, and the hint, as lines."""
    hint = (f"hint: {printable(error.hint)}",) if error.hint else ()
    return (*(f"  {printable(line)}" for line in error.evidence), *hint)


def of_bug(error: Exception) -> Failure:
    """Something that the kernel itself did wrong; it is told on its stderr too.

    Python's own `traceback` imports more as it works, which nothing can inside.
    """
    words = f"{type(error).__name__}: {printable(str(error))[:COMMAND_SHOWN]}"
    lines = []
    at = error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{at.tb_lineno} in {code.co_qualname}")
        at = at.tb_next
    warn("\n".join([f"a bug: {words}", *lines]))
    return failure("KernelBug", type(error).__name__, words, tuple(lines[-BUG_FRAMES_SHOWN:]))


def warn(text: str) -> None:
    """Tell whoever reads the kernel's stderr."""
    try:  # noqa: SIM105  contextlib would be an import more
        os.write(STDERR, f"[nbs kernel] {text}\n".encode(errors="replace"))
    except OSError:
        pass


def failure(name: str, value: str, headline: str, lines: tuple[str, ...] = ()) -> Failure:
    """A failure whose first line is `name: headline`."""
    first = f"{RED}{BOLD}{name}{PLAIN}: {headline}"
    return Failure(ename=name, evalue=value, traceback=(first, *lines))


def status_words(status: int) -> str:
    """`exit status 2`, or the signal behind one above 128."""
    signal = SIGNALS.get(status - SIGNALLED)
    return f"exit status {status}" + (f" (SIG{signal})" if signal else "")


def _shortened(command: str) -> str:
    shown = printable(command).strip()
    return shown[:COMMAND_SHOWN] + " …" if len(shown) > COMMAND_SHOWN else shown


def _where(outcome: Outcome, title: Callable[[int], str]) -> tuple[str, ...]:
    command = _shortened(outcome.command)
    lines = ["  " + command.replace("\n", "\n  ")] if command else []
    if outcome.statuses:
        lines.append(f"  in a pipeline with the statuses {' | '.join(map(str, outcome.statuses))}")
    lines += [_frame(frame, title) for frame in outcome.frames[:FRAMES_SHOWN]]
    more = len(outcome.frames) - FRAMES_SHOWN
    return (*lines, *([f"  … and {more} more calls"] if more > 0 else ()), *_mentioned(outcome))


def _frame(frame: Frame, title: Callable[[int], str]) -> str:
    place = printable(frame.file) if frame.file else title(frame.cell)
    line = (f":{frame.line}" if frame.file else f" line {frame.line}") if frame.line else ""
    function = f" in {printable(frame.function)}" if frame.function else ""
    return f"  {DIM}at{PLAIN} {place}{line}{function}"


def _mentioned(outcome: Outcome) -> tuple[str, ...]:
    """Where the name in a message stands, if bash does not tell where it was used."""
    about, lines, functions = outcome.mentioned
    places = [f"line {line} of the cell" for line in lines]
    places += [f"the function {printable(name)}" for name in functions]
    return (f"  `{printable(about)}` is in {', '.join(places)}",) if places else ()
