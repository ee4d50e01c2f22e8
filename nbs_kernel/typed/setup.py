"""What the set-up of the build's standard environment defines, found by reading it.

A shell has none of it before `source $stdenv/setup`, and nothing is run to find it: setup, and the
hooks of the inputs that setup would source, are read as text. A definition is what stands at the
start of a line, up to its brace under that start, as nixpkgs writes them.
"""

from __future__ import annotations

import re
from collections import deque

from nbs_kernel.typed import files
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Valued = Callable[[str], str | None]

READ = 1 << 22
FILES = 1_000
INPUTS = (
    "nativeBuildInputs",
    "buildInputs",
    "propagatedNativeBuildInputs",
    "propagatedBuildInputs",
    "depsBuildBuild",
    "depsBuildTarget",
)
_PROPAGATED = ("propagated-native-build-inputs", "propagated-build-inputs")
# With bounds on blanks: the files are a build's, and the time for one is not to grow with a square.
_START = (
    r"^([ \t]{{0,40}})(?:function[ \t]{{1,40}}{0}(?:[ \t]{{0,40}}\([ \t]{{0,40}}\))?"
    r"|{0}[ \t]{{0,40}}\([ \t]{{0,40}}\))\s{{0,80}}\{{"
)
_ASSIGNED = (
    r"^[ \t]{{0,40}}(?:export[ \t]{{1,40}})?{0}="
    r"(['\"]?)([A-Za-z_][A-Za-z0-9_ ]{{0,200}})\1[ \t]{{0,40}};?$"
)


class Definition(Value):
    """What a file gives a name: `kind` is "function" (its source) or "variable" (its value)."""

    kind: str
    text: str
    path: str


def definitions(name: str, value: Valued) -> tuple[Definition, ...]:
    """All that setup and then the hooks give a name; what comes last is in force.

    `value` tells the shell's variables, of which `stdenv` and the inputs name the files.
    """
    found: list[Definition] = []
    for path, text in _files(value):
        found += [
            Definition(kind=kind, text=one, path=path)
            for kind, find in (("function", _functions), ("variable", _assignments))
            for one in find(name, text)
        ]
    return tuple(found)


def _files(value: Valued) -> Iterator[tuple[str, str]]:
    """Paths and texts, setup first, as far as they are not too much for somebody who waits."""
    stdenv = value("stdenv")
    if not stdenv:
        return
    left = READ
    waiting = deque([f"{stdenv}/setup"])
    waiting += [
        path for name in INPUTS for p in (value(name) or "").split() for path in _of_input(p)
    ]
    seen: set[str] = set()
    while waiting and left > 0 and len(seen) < FILES:
        path = waiting.popleft()
        if path in seen:
            continue
        seen.add(path)
        text = _text(path, left)
        left -= len(text)
        if path.endswith(_PROPAGATED):
            waiting += [path for p in text.split() for path in _of_input(p)]
        elif text:
            yield path, text


def _of_input(path: str) -> tuple[str, ...]:
    return tuple(f"{path}/nix-support/{name}" for name in ("setup-hook", *_PROPAGATED))


def _text(path: str, limit: int) -> str:
    try:
        return files.read(path, limit)[0].decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _functions(name: str, text: str) -> Iterator[str]:
    """The last definition in a text alone: of very many that are open each would be the rest."""
    starts = list(re.finditer(_START.format(re.escape(name)), text, re.MULTILINE))
    for found in starts[-1:]:
        line_end = text.find("\n", found.end())
        first = text[found.end() : line_end if line_end >= 0 else len(text)].rstrip()
        if first.endswith("}"):
            yield found[0].strip() + first
        else:
            end = re.compile(rf"^{found[1]}\}}", re.MULTILINE).search(text, found.end())
            yield text[found.start() : end.end() if end else len(text)].strip()


def _assignments(name: str, text: str) -> Iterator[str]:
    """Plain words alone: what only running the file would tell is passed over."""
    for found in re.finditer(_ASSIGNED.format(re.escape(name)), text, re.MULTILINE):
        yield found[2]
