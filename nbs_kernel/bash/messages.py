"""What bash, or the word `phase`, wrote last: the outcome of a cell is explained with it.

Bash tells of an error of expansion on stderr alone, and a phase runs in a shell of its own. So
these words are for people: nothing depends on them.
"""

from __future__ import annotations

import re

from nbs_kernel.bash.answers import OUR_EXIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbs_kernel.bash.events import Outcome

KEPT = 4_096
SHOWN = 5
UNBOUND = ": unbound variable"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READS = re.compile(r"(?:\\?builtin )?(?:source|\.|eval)\s")
_PHASE = re.compile(r"(?:^|\n)\S[^\n]* failed: exit status (\d{1,3})((?:\n  [^\n]*){1,9})\s*\Z")
_NO_LINE = ("case ", "select ", "((")
"""What bash names with the line of the command before; `((` may be the first part of a `for`."""

_EVALUATES = frozenset(["((", "[[", "let", "declare", "typeset", "local", "export", "readonly"])

_FUNCTION = re.compile(r"(\S+) \(\) ?")


class Tail:
    """The last bytes of a cell's output."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Take note of output."""
        self._bytes = data[-KEPT:] if len(data) >= KEPT else (self._bytes + data)[-KEPT:]

    def explain(self, outcome: Outcome) -> Outcome:
        """An outcome with the words that came last, if they are about it."""
        said = self._bytes.decode("utf-8", "replace")
        if outcome.why == "fatal":
            return _fatal(outcome, _message(said))
        if outcome.why == "expansion":
            message = _message(said)
            why = "unset" if message.endswith(UNBOUND) else outcome.why
            return outcome.replace(message=message, why=why)
        failed = _PHASE.search(said) if outcome.command.startswith("phase") else None
        if failed and int(failed[1]) == outcome.status:
            return outcome.replace(message=failed[2].lstrip("\n"))
        return outcome


def _message(said: str) -> str:
    """The last line without the name of the shell, if it begins with that of one."""
    shell, _, message = said.rstrip().rpartition("\n")[2].partition(": ")
    return message if " " not in shell else ""


def _fatal(outcome: Outcome, message: str) -> Outcome:
    """What ended a cell under `set -e` without that a command has failed."""
    if not message or _READS.match(outcome.command):
        return outcome.replace(why="errexit", message=message)
    why = "unset" if message.endswith(UNBOUND) else "expansion"
    outcome = outcome.replace(why=why, message=message)
    # The words of a loop, and files for a compound command, are expanded before bash says that it
    # is about to run it: then this is the command before.
    about = subject(message)
    named = _finder(about).search(outcome.command) or "${!" in outcome.command
    stale = _NAME.fullmatch(about) is not None and not named
    if not stale and not outcome.command.startswith(_NO_LINE):
        return outcome
    innermost = tuple(frame.replace(line=0) for frame in outcome.frames[:1])
    frames = innermost + outcome.frames[1:]
    return outcome.replace(command="" if stale else outcome.command, frames=frames)


def subject(message: str) -> str:
    """What a message is about: a variable, or what could not be expanded.

    >>> subject("CC: unbound variable"), subject('((: 1/0: division by 0 (error token is "0")')
    ('CC', '1/0')
    """
    about, _, rest = message.partition(": ")
    return subject(rest) if about in _EVALUATES and ": " in rest else about.strip()


def mentions(about: str, code: str, functions: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The lines of a cell that something stands in, and the functions, of `declare -f`."""
    if not about:
        return (), ()
    finder = _finder(about)
    lines = [n for n, line in enumerate(code.split("\n"), 1) if finder.search(line)]
    names = dict.fromkeys(_functions_with(finder, functions))
    return tuple(lines[:SHOWN]), tuple(names)[:SHOWN]


def _functions_with(finder: re.Pattern[str], functions: str) -> Iterator[str]:
    name = ""
    for line in functions.split("\n"):
        head = _FUNCTION.fullmatch(line)
        if head:
            name = head[1]
        elif name and finder.search(line) and not name.startswith("__nbs_") and name != OUR_EXIT:
            yield name


def _finder(about: str) -> re.Pattern[str]:
    if _NAME.fullmatch(about):
        return re.compile(rf"(?<![A-Za-z0-9_]){about}(?![A-Za-z0-9_])")
    return re.compile(re.escape(about))
