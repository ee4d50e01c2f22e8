"""What the verbs on snapshots share: whose they are, and how that is said."""

from __future__ import annotations

import sys

import sandbox
from sandbox.cli import speak
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.errors import Error


def read(
    argv: list[str], verb: str, flags: tuple[str, ...], most: int
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The options, and at most so many names. Raises UsageError."""
    options: dict[str, str] = {}
    names: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        option = {"-h": "--help"}.get(option, option)
        if option == "--ws":
            if not equals and not words:
                raise _wrong("`--ws` wants a value", "option-value", verb)
            options[option] = value if equals else words.pop(0)
        elif option in (*flags, "--help") and not equals:
            options[option] = ""
        elif word.startswith("-"):
            raise _wrong(f"there is no option `{option}`", "option-unknown", verb)
        else:
            names.append(word)
    if len(names) > most:
        raise _wrong("that is one name too many", "option-value", verb)
    return options, tuple(names)


def _wrong(message: str, reason: str, verb: str) -> Error:
    return UsageError(message, reason=reason, hint=f"`nbs {verb} --help` lists the options")


def workspace(named: str) -> sandbox.Kept:
    """The workspace of that name, or the one of a build that was used last; without a name the one
    that was used last at all, which is then said.

    Raises UsageError `workspace-unknown`.
    """
    found = sandbox.workspaces()
    if not named:
        if not found:
            raise UsageError(
                "no workspace is kept",
                reason="workspace-unknown",
                hint="`nbs shell` keeps one if anything is changed in it",
            )
        speak.say(f"workspace {found[0].name}")
        return found[0]
    if any(one.name == named for one in found):
        return sandbox.find_workspace(named)
    try:
        of_build = sandbox.workspaces_of(sandbox.find_build(named))
    except sandbox.Error:
        of_build = ()
    return of_build[0] if of_build else sandbox.workspace_of(named)


def write(lines: tuple[str, ...]) -> None:
    """Lines to standard output."""
    sys.stdout.write("".join(f"{sandbox.one_line(line)}\n" for line in lines))
