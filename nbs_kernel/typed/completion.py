"""What could be typed at a cursor: found by reading, never by running."""

from __future__ import annotations

import os

from nbs_kernel.typed.paths import complete_path
from nbs_kernel.typed.phases import WORD, hooks, phases, words
from nbs_kernel.typed.quoting import quote
from nbs_kernel.typed.reader import Reader
from nbs_kernel.typed.words import ASSIGNMENT, Place
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.typed.surroundings import Surroundings

MATCHES = 500
READ = 200_000

_OF_COMMANDS = frozenset(
    ["builtin", "command", "env", "exec", "hash", "help", "nice", "nohup", "time", "type", "which"]
)
_OF_VARIABLES = frozenset(
    ["declare", "export", "getopts", "let", "local", "mapfile", "read", "readarray", "readonly"]
) | {"typeset", "unset"}
_OF_DIRECTORIES = frozenset(["cd", "pushd", "rmdir"])
_OF_PHASES = frozenset(["runPhase"])
_OF_HOOKS = frozenset(["runHook", "runOneHook", "_eval"])
_FUNCTION_FLAGS = frozenset(["-f", "-F", "-nf"])
_TESTED = {"[[": ("-v", "-R"), "[": ("-v", "-R"), "test": ("-v", "-R"), "printf": ("-v",)}


class Match(Value):
    """One possible text. `kind` is for the front end: "function", "path", "variable", …"""

    text: str
    kind: str


class Completion(Value):
    """What may replace the code points from `start` to `end`."""

    matches: tuple[Match, ...]
    start: int
    end: int

    def content(self) -> dict[str, object]:
        """The content of a complete_reply."""
        kinds = [
            {"start": self.start, "end": self.end, "text": match.text, "type": match.kind}
            for match in self.matches
        ]
        return {
            "status": "ok",
            "matches": [match.text for match in self.matches],
            "cursor_start": self.start,
            "cursor_end": self.end,
            "metadata": {"_jupyter_types_experimental": kinds},
        }


def complete(code: str, cursor: int, around: Surroundings) -> Completion:
    """What may stand at `cursor`, which counts code points, in shell text."""
    place = at_cursor(code, cursor)
    matches, start = _found(place, code[cursor : cursor + 1], around)
    return Completion(matches=tuple(matches[:MATCHES]), start=start, end=cursor)


def at_cursor(code: str, cursor: int) -> Place:
    """Where the cursor stands. Of a text of more than `READ` characters only the last are read."""
    skipped = code.find("\n", cursor - READ) + 1 if cursor > READ else 0
    skipped = min(skipped, cursor)
    place = Reader(code[skipped:cursor]).place()
    if not skipped:
        return place
    pieces = tuple(p._replace(start=p.start + skipped, end=p.end + skipped) for p in place.pieces)
    return place.replace(start=place.start + skipped, pieces=pieces)


def _found(place: Place, following: str, around: Surroundings) -> tuple[list[Match], int]:
    if place.kind == "variable":
        closing = "}" if place.style == "${" and following != "}" else ""
        found = _beginning(around.names.variables, place.text)
        return [Match(text=name + closing, kind="variable") for name in found], place.start
    if place.kind == "command":
        return _command(place, following, around)
    if place.kind in {"argument", "redirection", "assignment"}:
        return _argument(place, following, around)
    names = {
        "name": (around.names.variables, "variable"),
        "function": (around.names.functions, "function"),
        "keyword": (("in",), "keyword"),
    }
    return matching(place, *names.get(place.kind, ((), ""))), place.start


def _beginning(names: tuple[str, ...], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]


def matching(place: Place, names: tuple[str, ...], kind: str) -> list[Match]:
    """Those of the names that a word of nothing but text begins, in the quotes that it has."""
    if any(piece.kind != "text" for piece in place.pieces):
        return []
    found = _beginning(names, place.text)
    texts = [quote(name, "", place.quote, is_open=False) for name in found]
    return [Match(text=text, kind=kind) for text in texts]


def _command(place: Place, following: str, around: Surroundings) -> tuple[list[Match], int]:
    is_path = "/" in place.text or any(piece.kind != "text" for piece in place.pieces)
    if is_path:
        return _path(place, following, around, "programs")
    known = around.names
    found: list[Match] = []
    if not place.quote:
        # In bash's own order: what comes first is what would run.
        found += [Match(text=n, kind="alias") for n in _beginning(known.aliases, place.text)]
        found += [Match(text=n, kind="keyword") for n in _beginning(known.keywords, place.text)]
    found += matching(place, known.functions, "function")
    found += matching(place, tuple(around.own), "function")
    found += matching(place, known.builtins, "builtin")
    if place.text:
        found += matching(place, around.programs(place.text), "command")
    return _once(found), place.start


def _once(matches: list[Match]) -> list[Match]:
    first: dict[str, Match] = {}
    for match in matches:
        first.setdefault(match.text, match)
    return sorted(first.values(), key=lambda match: match.text)


def _argument(place: Place, following: str, around: Surroundings) -> tuple[list[Match], int]:
    command = _command_name(place)
    if command == WORD and place.kind == "argument":
        return _of_phase(place, around), place.start
    special = _special(place, around) if place.kind == "argument" else []
    if special:
        return special, place.start
    only = "directories" if command in _OF_DIRECTORIES and place.kind == "argument" else "files"
    if place.kind == "argument" and command in _OF_COMMANDS and not ASSIGNMENT.match(place.text):
        found, start = _command(place, following, around)
        return (found, start) if found else _path(place, following, around, only)
    return _path(place, following, around, only)


def _of_phase(place: Place, around: Surroundings) -> list[Match]:
    """Words that need no quotes, where none are open."""
    found = () if place.quote else words(place.before, place.text, around)
    return [Match(text=text, kind=kind) for text, kind in found if text.startswith(place.text)]


def _command_name(place: Place) -> str:
    """The command that takes the argument: what `sudo -E make` runs is for `make` to say."""
    return os.path.basename(place.before[0]) if place.before else ""


def _special(place: Place, around: Surroundings) -> list[Match]:
    """Arguments that are names and not files, by the command that takes them."""
    command, known = _command_name(place), around.names
    if command in _OF_VARIABLES and _FUNCTION_FLAGS & {*place.before}:
        return matching(place, known.functions, "function")
    tested = command in _TESTED and place.before[-1] in _TESTED[command]
    if command in _OF_VARIABLES or tested:
        return matching(place, known.variables, "variable")
    if command in _OF_PHASES:
        return matching(place, phases(around), "phase")
    if command in _OF_HOOKS:
        return matching(place, hooks(around), "phase")
    return []


def _path(place: Place, following: str, around: Surroundings, only: str) -> tuple[list[Match], int]:
    found, start = complete_path(place, following, around, only)
    return [Match(text=text, kind="path") for text in found], start
