"""`nbs shell [BUILD] [-- COMMAND…]`: enter the sandbox of a failed build, found by any of its
names.
"""

from __future__ import annotations

import shlex
import sys

import sandbox
from sandbox.cli import arguments, speak
from sandbox.cli.entering import enter
from sandbox.errors import UsageError

USAGE = """\
usage: nbs shell [OPTIONS] [BUILD] [-- COMMAND [ARG…]]

Enter the sandbox of a failed build: a shell in the directory where it failed, or COMMAND.
BUILD is a kept directory, a .drv, a name, or left out: the newest failure of this machine.

  nbs shell                        the newest failure
  nbs shell hello                  the newest of that name
  nbs shell hello -- make check    one command; its exit status

The options are those of `nix-build-shell --help`.
"""


def command(argv: list[str]) -> int:
    """Parse, find the build, enter it."""
    given = arguments_of(argv)
    if given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    build, inside = split(given.rest)
    found = sandbox.find_build(build, store=given.get("--store"))
    if not build:
        speak.say(f"the newest failed build: {found}")
    return enter(given, found, inside)


def arguments_of(argv: list[str]) -> arguments.Arguments:
    """The options of entering, read as `nix-build-shell` reads them."""
    return arguments.parse(argv, "nbs shell")


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
