"""How a cell failed, as the `ename`, `evalue` and `traceback` that front ends show.

Names are for programs (`allow_error_names` of nbclient), lines for people. The console shows only
the traceback, so it is never empty and says all.
"""

from __future__ import annotations

import os

from sandbox import Error, Value, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
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


class Failure(Value):
    """An error as the protocol has it."""

    ename: str
    evalue: str
    traceback: tuple[str, ...]

    def content(self) -> dict[str, object]:
        """For an error message, and with a status for a reply."""
        return {"ename": self.ename, "evalue": self.evalue, "traceback": list(self.traceback)}


def of_outcome(outcome: Outcome, hint: str = "") -> Failure | None:
    """Why the cell failed, and a hint if there is one; None if it did not."""
    if not outcome.status and outcome.why not in {"syntax", "interrupt"}:
        return None
    name = NAMES.get(outcome.why, "ExitStatus")
    message = printable(outcome.message)
    if outcome.why == "interrupt":
        return failure(name, "", "interrupted", _where(outcome))
    if outcome.why in {"unset", "expansion", "syntax"} and message:
        return failure(name, message, message, _where(outcome))
    words = status_words(outcome.status)
    hints = (f"hint: {hint}",) if hint else ()
    lines = ((message,) if message else ()) + _where(outcome) + hints
    return failure(name, str(outcome.status), words, lines)


def of_ended(ended: Ended) -> Failure:
    """The shell is gone."""
    how = {
        "exec": "another program took the shell's place and ended",
        "exit": "the shell ended itself",
        "killed": "the shell was killed",
    }.get(ended.why, "the shell ended")
    words = f"{how}: {status_words(ended.status)}"
    hint = "the next cell has a fresh shell in the same workspace; variables and functions are lost"
    return failure("ShellEnded", ended.why, words, (hint,))


def of_error(error: Error, name: str = "SandboxError") -> Failure:
    """An error of the sandbox, or of a magic command, with its evidence and hint."""
    evidence = tuple(f"  {printable(line)}" for line in error.evidence)
    hint = (f"hint: {printable(error.hint)}",) if error.hint else ()
    return failure(name, error.reason, printable(error.message), evidence + hint)


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


def _where(outcome: Outcome) -> tuple[str, ...]:
    command = printable(outcome.command).strip()
    if len(command) > COMMAND_SHOWN:
        command = command[:COMMAND_SHOWN] + " …"
    shown = ("  " + command.replace("\n", "\n  "),) if command else ()
    frames = tuple(_frame(f) for f in outcome.frames[:FRAMES_SHOWN])
    more = len(outcome.frames) - FRAMES_SHOWN
    return shown + frames + ((f"  … and {more} more calls",) if more > 0 else ())


def _frame(frame: Frame) -> str:
    place = printable(frame.file) if frame.file else "cell"
    line = (f":{frame.line}" if frame.file else f" line {frame.line}") if frame.line else ""
    function = f" in {printable(frame.function)}" if frame.function else ""
    return f"  {DIM}at{PLAIN} {place}{line}{function}"
