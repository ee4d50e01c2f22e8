"""What a log tells of the state that phases leave to those after them, and that env-vars has not.

A builder runs all phases in one bash, whose variables env-vars has only if they are exported. Some
of the others the phases of nixpkgs print.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.model.logs import BuildLog

DIRECTORY = "PWD"
"""Told in the place of a variable: the directory into which a phase has led."""

_ROOT = re.compile(r"source root is (?P<sourceRoot>\S.*)")
_PARALLEL = re.compile(
    r"[\w.+-]+: enabled parallel "
    r"(?:(?P<enableParallelBuilding>building)|(?P<enableParallelChecking>checking)"
    r"|(?P<enableParallelInstalling>installing))"
)
# The hooks of CMake and Meson go into their build directories; a recipe's own use of them need not.
_BY_HOOK = re.compile(r"(?:cmake|meson|mesonConfigurePhase) flags:.*")
_BUILD_DIRECTORY = re.compile(r"(?:-- Build files have been written to|Build dir): (?P<PWD>/.*)")


def told(log: BuildLog) -> tuple[tuple[str, str, str], ...]:
    """Phase, variable and value, of all phases before the failing one, in order.

    A value is what the build printed, and nothing more: it may be anything.
    """
    found: dict[tuple[str, str], str] = {}
    for phase in log.phases[:-1]:
        for name, value in _of_phase(log.lines[phase.first - 1 : phase.last], phase.name):
            found[phase.name, name] = value
    return tuple((phase, name, value) for (phase, name), value in found.items())


def _of_phase(lines: tuple[str, ...], phase: str) -> Iterator[tuple[str, str]]:
    by_hook = False
    for line in lines:
        if phase == "unpackPhase" and (match := _ROOT.fullmatch(line)):
            yield "sourceRoot", match["sourceRoot"]
        elif match := _PARALLEL.fullmatch(line):
            yield next(name for name, word in match.groupdict().items() if word), "1"
        elif _BY_HOOK.fullmatch(line):
            by_hook = True
        elif by_hook and (match := _BUILD_DIRECTORY.fullmatch(line)):
            yield DIRECTORY, match[DIRECTORY]
