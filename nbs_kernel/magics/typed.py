"""Completion and inspection in the magic lines of a cell."""

from __future__ import annotations

import re

from nbs_kernel.magics.cell import take_apart
from nbs_kernel.magics.context import Magic, manual
from nbs_kernel.magics.registry import MAGICS
from nbs_kernel.typed.completion import Completion, Match, at_cursor, complete, matching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.typed.surroundings import Surroundings
    from nbs_kernel.typed.words import Place

_HEAD = re.compile(r"(%%?)([a-zA-Z0-9_-]*)")


def complete_magic(code: str, cursor: int, around: Surroundings) -> Completion | None:
    """What may stand at the cursor; None if it is not in a magic line."""
    start = code.rfind("\n", 0, cursor) + 1
    head = _HEAD.match(code, start, cursor)
    if head is None or not _begins_with_magic(code[:start]):
        return None
    if head.end() == cursor:
        return _names(head, start)
    magic = MAGICS.get(head[2])
    if magic is None or code[head.end()] not in " \t":
        return Completion(matches=(), start=cursor, end=cursor)
    return _arguments(magic, code, head.end(), cursor, around)


def _begins_with_magic(before: str) -> bool:
    """Whether a line behind this text is still one for the kernel."""
    parts = take_apart(before)
    is_body = bool(parts.lines) and parts.lines[-1].body is not None
    bash = [line for line in parts.bash.split("\n") if line.strip()]
    return not is_body and all(line.lstrip().startswith("#") for line in bash)


def _names(head: re.Match[str], start: int) -> Completion:
    mark, begun = head.groups()
    found = [
        Match(text=mark + magic.name, kind="magic")
        for magic in sorted(MAGICS.values(), key=lambda magic: magic.name)
        if magic.name.startswith(begun) and (mark == "%" or magic.takes in ("code", "cell"))
    ]
    return Completion(matches=tuple(found), start=start, end=head.end())


def _arguments(magic: Magic, code: str, end: int, cursor: int, around: Surroundings) -> Completion:
    stands_for = {"paths": ":", "code": " "}.get(magic.takes, "x")
    # As long as what it stands for, so that positions stay: blanks, and a command for words.
    begun = stands_for + " " * (end - 1) + code[end:cursor]
    shift = cursor - len(begun)
    if magic.takes != "code":
        place = at_cursor(begun, len(begun))
        kind = _kind(magic, place)
        if kind != "paths":
            found = tuple(_offered(magic, place, kind, around))
            return Completion(matches=found, start=place.start + shift, end=cursor)
    completion = complete(begun + code[cursor : cursor + 1], len(begun), around)
    return completion.replace(start=completion.start + shift, end=cursor)


def _kind(magic: Magic, place: Place) -> str:
    """What may stand at the place, as `Magic.offers` names it."""
    if magic.takes == "paths":
        return "paths"
    offers = dict(magic.offers)
    default = "" if place.text.startswith("-") else offers.get("", "")
    return offers.get(place.before[-1], default) if place.before[1:] else default


def _offered(magic: Magic, place: Place, kind: str, around: Surroundings) -> list[Match]:
    names = {
        "": (),
        "variables": around.names.variables,
        **dict.fromkeys(("builds", "workspaces", "snapshots"), None),
    }.get(kind, tuple(kind.split()))
    found = matching(place, around.kept(kind) if names is None else names, "name")
    is_value = place.before[1:] and place.before[-1] in dict(magic.offers)
    return found if is_value else found + matching(place, magic.choices, "keyword")


def inspect_magic(code: str, cursor: int) -> str:
    """The help of the magic command whose line the cursor is in; empty if it is in none."""
    start = code.rfind("\n", 0, cursor) + 1
    line_end = code.find("\n", cursor)
    head = _HEAD.match(code, start, line_end if line_end >= 0 else len(code))
    if head is None or not _begins_with_magic(code[:start]):
        return ""
    magic = MAGICS.get(head[2])
    is_code = magic is not None and magic.takes == "code" and cursor > head.end()
    return manual(magic) if magic is not None and not is_code else ""
