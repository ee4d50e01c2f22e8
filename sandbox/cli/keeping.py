"""Entering a workspace that is kept: what is said before and afterwards, and nothing lost."""

from __future__ import annotations

import os
import shlex

import sandbox
from sandbox.cli import speak
from sandbox.cli.arguments import Arguments
from sandbox.cli.entering import describe, introduction
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.cli.entering import Introduction

MUCH = 10_000_000_000
"""Bytes on disk beyond which kept workspaces are spoken of together."""
OF_PATHS = ("--derivation", "--store")
OF_RESUMING = ("--changed", "--fork", "--ws")


def begin(given: Arguments, build: str, introduce: Introduction = introduction) -> int:
    """A shell in a new workspace of the kept directory `build`; its exit status."""
    case, described = describe(given, build, (), introduce)
    for line in kept_before(case.kept.outer):
        speak.say(line)
    options = {name: from_anywhere(name, value) for name, value in given.options.items()}
    store = options.get("--store", "")
    session = sandbox.new_session(case, described, store=store, options=tuple(options.items()))
    return _live(session, lambda: described)


def from_anywhere(option: str, value: str) -> str:
    """The value of an option for who resumes it in another directory."""
    is_path = option in OF_PATHS and value and "://" not in value and "?" not in value
    return os.path.abspath(value) if is_path and ("/" in value or value == ".") else value


def resume(given: Arguments, inside: tuple[str, ...]) -> int:
    """A shell, or one command, in the workspace that `--ws` names; the exit status."""
    name = given.get("--ws")
    others = [option for option in given.options if option not in OF_RESUMING]
    if others:
        raise UsageError(
            f"`{others[0]}` was decided when the workspace `{name}` was made",
            reason="option-value",
            hint=f"`nbs shell --ws {shlex.quote(name)}` enters it as it is",
        )
    kept = sandbox.find_workspace(name)
    sandbox.require_build(kept, changed=given.has("--changed"))
    if given.has("--fork") or _wants_copy(kept):
        kept = sandbox.fork_workspace(name, speak.progress())
        speak.say(f"a copy of the workspace `{name}`: {kept.name}")
    elif not inside and not kept.session:
        speak.say(f"the workspace `{name}`, last used {when(kept)}")
    as_begun = Arguments(options=dict(kept.options), rest=(), tools=given.tools)
    return _live(
        sandbox.resumed_session(kept.name, changed=given.has("--changed")),
        lambda: describe(as_begun, kept.build, inside, kept=kept)[1],
    )


def _wants_copy(kept: sandbox.Kept) -> bool:
    """Somebody is inside already. Where nobody can be asked, entering is refused for that."""
    if not kept.session or not speak.can_ask():
        return False
    speak.say(f"the workspace `{kept.name}` is in use: process {kept.session} is inside")
    return speak.agreed("Enter a copy of it?")


def when(kept: sandbox.Kept) -> str:
    """How long ago it was used, in words."""
    import time

    return f"{sandbox.words.age(time.time() - kept.used)} ago"


def _live(session: sandbox.Session, described: Callable[[], sandbox.Sandbox]) -> int:
    """What is there is described when it is ours: nobody is greeted at a door that is locked."""
    try:
        with session:
            return sandbox.enter(
                described(), say=speak.say, progress=speak.progress(), session=session
            )
    finally:
        for line in ending(session):
            speak.say(line)


def kept_before(build: str) -> tuple[str, ...]:
    """What a person who enters a build anew has to know of its kept workspaces, in one line."""
    kept = [one for one in sandbox.workspaces_of(build) if not one.session]
    if not kept:
        return ()
    more = f", and {len(kept) - 1} more: `nbs ws ls`" if len(kept) > 1 else ""
    how = f"`nbs shell --ws {kept[0].name}` resumes it"
    return (f"what was changed {when(kept[0])} is kept: {how}{more}",)


def ending(session: sandbox.Session) -> tuple[str, ...]:
    """What is to be said when a session is over; nothing, if nothing was changed."""
    lines = []
    if session.removal.left:
        lines.append(f"{session.removal.left} files of the workspace could not be removed")
    kept = session.kept
    if kept is None:
        return tuple(lines)
    name = kept.name
    if session.trouble:
        lines.append(
            f"the workspace could not be put in order, and nothing is lost: {session.trouble}"
        )
    lines.append(
        f"kept as {name}: `nbs shell --ws {name}` resumes · `nbs diff {name}` · `nbs ws rm {name}`"
    )
    return (*lines, *_much())


def _much() -> tuple[str, ...]:
    """Told, and nothing more: what was kept is removed by nobody but its owner."""
    limit = limit_bytes()
    total = sandbox.total_bytes()
    if total <= limit:
        return ()
    size = sandbox.words.size(total)
    return (
        f"kept workspaces take {size}: `nbs ws ls`; `nbs ws prune --older-than 14` removes some",
    )


def limit_bytes() -> int:
    """`NBS_WS_LIMIT`, a size as `nbs ws prune` reads it; without one of sense, `MUCH`."""
    try:
        return sandbox.words.bytes_of(os.environ.get("NBS_WS_LIMIT", "")) or MUCH
    except ValueError:
        return MUCH
