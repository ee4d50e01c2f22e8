"""Verbs that do one of several things: their first word says which."""

from __future__ import annotations

import sys

from sandbox.cli.shell import unknown_option
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def act(
    argv: list[str], command: str, usage: str, actions: Mapping[str, Callable[[list[str]], int]]
) -> int:
    """Do the action that the first word names; its exit status. `command` is as it was typed.

    Raises UsageError `verb-unknown`, `option-unknown`.
    """
    first, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if first in ("--help", "-h"):
        sys.stdout.write(usage)
        return 0 if argv else 2
    if first.startswith("-"):
        raise unknown_option(first, command)
    if first not in actions:
        raise UsageError(
            f"`{command}` does not know `{first}`",
            reason="verb-unknown",
            hint=f"`{command} --help` shows what it knows",
        )
    return actions[first](rest)
