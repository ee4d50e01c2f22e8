"""Parts of a build's log: one phase, the first error in it, and the files that it points to."""

from __future__ import annotations

import re

from sandbox.model.logerrors import LogError, first_error, unquoted
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.logs import BuildLog, Phase

MOST_FILES = 200
WELL_KNOWN = frozenset(
    [
        "CMakeConfigureLog.yaml",
        "CMakeError.log",
        "CMakeOutput.log",
        "LastTest.log",
        "LastTestsFailed.log",
        "config.log",
        "meson-log.txt",
        "test-suite.log",
        "testlog.txt",
    ]
)
"""What configure scripts, CMake, Meson, CTest and Automake write for those who look for a cause."""

_WORDS = re.compile(r"[\s\"'`\u2018\u2019\u201c\u201d()\[\]{}<>,;:=|]+")
_ENDINGS = (".log", "log.txt", "Log.yaml")


class Piece(Value):
    """Lines of a log, none of them cut, from line `first` on, counted from 1.

    `phase` is empty for a whole log.
    """

    phase: str
    first: int
    lines: tuple[str, ...]


def pieces(log: BuildLog, name: str = "") -> tuple[Piece, ...]:
    """Each part of the log that is of the phase `name`; the whole log without a name."""
    if not name:
        return (Piece(phase="", first=1, lines=log.whole),)
    found = []
    for phase in phases_called(log, name):
        start = phase.first - 1 - _is_header(log.lines[: phase.first - 1], phase.name)
        lines = log.whole[start : phase.last]
        # The next phase's header was written before Nix was told of that phase.
        end = len(lines) - (phase.last < len(log.lines) and _is_header(lines, ""))
        found.append(Piece(phase=phase.name, first=start + 1, lines=lines[:end]))
    return tuple(found)


def _is_header(lines: tuple[str, ...], phase: str) -> bool:
    """Is the last of these lines the one that announces a phase?"""
    return bool(lines) and unquoted(lines[-1]).startswith(f"Running phase: {phase}")


def phases_called(log: BuildLog, name: str) -> tuple[Phase, ...]:
    """The phases of that name; `build` is as good as `buildPhase`."""
    names = {name, f"{name}Phase"}
    return tuple(phase for phase in log.phases if phase.name in names)


def error_in(log: BuildLog, name: str = "") -> LogError | None:
    """The first error of the log; with a name, of the last phase that is called so."""
    if not name:
        return log.error
    found = phases_called(log, name)
    return (
        first_error(list(log.lines), range(found[-1].first - 1, found[-1].last)) if found else None
    )


def named_files(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Files that lines of a log point to, as they are written there, each once, in order.

    >>> named_files(("See `config.log' for more details.", "log: /build/x/meson-log.txt"))
    ('config.log', '/build/x/meson-log.txt')
    """
    found: dict[str, None] = {}
    for line in lines:
        if any(ending in line for ending in _ENDINGS):
            for word in _WORDS.split(line):
                path = word.rstrip(".!?")
                if path.endswith(_ENDINGS) and len(found) < MOST_FILES:
                    found[path] = None
    return tuple(found)


def is_named(relative: str, named: str, top: str) -> bool:
    """Does a log mean the file `relative` (to the build's directory `top`) when it says `named`?

    >>> is_named("hello/config.log", "./config.log", "/build")
    True
    >>> is_named("hello/config.log", "/build/config.log", "/build")
    False
    """
    if named.startswith("/"):
        return named == f"{top}/{relative}"
    parts = [part for part in named.split("/") if part not in ("", ".", "..")]
    return bool(parts) and relative.split("/")[-len(parts) :] == parts
