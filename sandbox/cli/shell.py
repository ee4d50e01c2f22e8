"""`nbs shell [BUILD] [-- COMMAND…]`: enter the sandbox of a failed build, found by any of its
names.
"""

from __future__ import annotations

import shlex
import sys

from sandbox.cli import arguments
from sandbox.cli.entering import enter
from sandbox.cli.finding import find
from sandbox.errors import UsageError

FLAGS = (*arguments.FLAGS, "--changed", "--fork")
WITH_VALUE = (*arguments.WITH_VALUE, "--ws")
USAGE = """\
usage: nbs shell [OPTIONS] [BUILD] [-- COMMAND [ARG…]]
       nbs shell --ws NAME [--fork] [--changed] [-- COMMAND [ARG…]]

Enter the sandbox of a failed build: a shell in the directory where it failed, or COMMAND.
BUILD is a kept directory, a .drv, a name, or left out: the newest failure of this machine.
What was changed in a shell is kept as a workspace, whose name is told at the end; COMMAND alone
works on a private view that goes when it ends.

  nbs shell                        the newest failure
  nbs shell hello                  the newest of that name
  nbs shell hello -- make check    one command; its exit status
  nbs shell --ws hello-1.0         go on in a workspace that was kept

options:
  --ws NAME   go on in the workspace NAME: `nbs ws ls` lists them
  --fork      copy it first, under a name of its own, also while somebody is inside
  --changed   enter it although its build was changed where it was kept

The others are those of `nix-build-shell --help`.
"""


def command(argv: list[str]) -> int:
    """Parse, find the build or the workspace, enter it."""
    given = arguments_of(argv)
    if given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    build, inside = split(given.rest)
    if given.has("--ws"):
        return _resume(given, build, inside)
    for option in ("--fork", "--changed"):
        if not given.has(option):
            continue
        raise UsageError(
            f"`{option}` is for a workspace, and `--ws` does not name one",
            reason="option-value",
            hint="`nbs ws ls` lists them",
        )
    found = find(build, given.get("--store"))
    if inside:
        return enter(given, found, inside)
    from sandbox.cli import keeping

    return keeping.begin(given, found)


def _resume(given: arguments.Arguments, build: str, inside: tuple[str, ...]) -> int:
    if build:
        raise UsageError(
            f"`--ws` names a workspace, and `{build}` a build: one of them is too many",
            reason="option-value",
            hint=f"`nbs shell --ws {shlex.quote(given.get('--ws'))}`",
        )
    from sandbox.cli import keeping

    return keeping.resume(given, inside)


def arguments_of(argv: list[str]) -> arguments.Arguments:
    """The options of entering, read as `nix-build-shell` reads them, and those of workspaces."""
    return arguments.parse(argv, "nbs shell", FLAGS, WITH_VALUE)


def unknown_option(option: str, command: str) -> UsageError:
    """The error for an option that a verb does not have."""
    return UsageError(
        f"there is no option `{option}`",
        reason="option-unknown",
        hint=f"`{command} --help` lists the options",
    )


def split(rest: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """BUILD, empty if it was left out, and the command behind `--`."""
    words = list(rest)
    if words[:1] == [""]:
        raise UsageError(
            "the build is an empty word",
            reason="build-missing",
            hint="`nbs shell` alone enters the newest; `nbs ls` lists all",
        )
    build = words.pop(0) if words and words[0] != "--" else ""
    if words and words[0] == "--":
        words.pop(0)
    elif words:
        raise UsageError(
            f"`{words[0]}` stands where only `--` and a command can stand",
            reason="command-unclear",
            hint=f"`nbs shell {shlex.join([build, '--', *words])}`",
        )
    return build, tuple(words)
