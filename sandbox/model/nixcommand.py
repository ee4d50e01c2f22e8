"""The command line of a build, with what makes Nix keep what a failure leaves."""

from __future__ import annotations

import shlex

from sandbox.errors import UsageError
from sandbox.model.value import Value

PROGRAMS = ("nix", "nix-build", "nix-store")
IN_FRONT = ("doas", "env", "nice", "sudo", "systemd-run", "time")
"""Programs that run the command behind them."""

FRONT_ENDS = {"nom": "nix", "nom-build": "nix-build"}
"""Programs that run a Nix of their own, whose words they take; which Nix that is."""

ELSEWHERE = ("darwin-rebuild", "home-manager", "nh", "nix-shell", "nixos-rebuild", "nom-shell")
"""Programs that build among other things."""
KEEPS = ("--keep-failed", "-K")
QUIET = ("--no-build-output", "-Q")
KEEPS_GOING = ("--keep-going", "-k")
BUILDS = ("build", "flake check")
"""Subcommands of `nix` that build, and run nothing of what they have built."""

_LOGS = ("-L", "--print-build-logs")
_OTHERS = ("bundle", "copy", "develop", "eval", "flake", "fmt", "profile", "repl", "run", "shell")


class NixCommand(Value):
    """What to run. `store`: the one that the command names, as for `--store`; empty if none.

    `quiet`: the log of the build is not wanted. `keeps_going`: one failure stops no other build.
    `own_format`: the command says itself how Nix is to
    write, so nothing about that may be added.
    """

    argv: tuple[str, ...]
    store: str = ""
    quiet: bool = False
    keeps_going: bool = False
    own_format: bool = False

    def as_events(self) -> NixCommand:
        """The same, writing events. Every Nix from 2.4 on understands it.

        For an older Nix, as 2.8, `-L` names a format as well, and the last one counts.
        """
        wanted = ("--log-format", "internal-json")
        argv = _added(self.argv, *wanted)
        at = argv.index("--") if "--" in argv else len(argv)
        words = [w for word in argv[:at] for w in ((word, *wanted) if word in _LOGS else (word,))]
        return self.replace(argv=(*words, *argv[at:]))

    def here_alone(self) -> tuple[str, ...]:
        """The command line that leaves remote builders out."""
        return _added(self.argv, "--builders", "")


def nix_command(words: tuple[str, ...], store: str = "") -> NixCommand:
    """The words behind `nbs build`; without a program at the beginning they are nix-build's.

    `store` is added if the words name none. Raises `UsageError` (`build-command`).
    """
    program = words[0].rpartition("/")[2] if words else ""
    _require_nix(program, words)
    argv = words if program in PROGRAMS else ("nix-build", *words)
    arguments = argv[1:]
    if program == "nix" and _subcommand(arguments) not in BUILDS:
        raise UsageError(
            f"`{' '.join(argv)}` is not a build",
            reason="build-command",
            hint="`nbs build -- nix build …`, `nix-build …` or `nix-store -r …`",
        )
    named = _store(arguments)
    if store and not named:
        argv = _added(argv, "--store", store)
    if not any(word in KEEPS for word in arguments):
        argv = _added(argv, KEEPS[0])
    return NixCommand(
        argv=argv,
        store=named or store,
        quiet=any(word in QUIET for word in arguments),
        keeps_going=any(word in KEEPS_GOING for word in arguments),
        own_format="--log-format" in arguments,
    )


def _require_nix(program: str, words: tuple[str, ...]) -> None:
    """Nix itself has to be named: its messages are heard, and an option is added to it."""
    hint = ""
    if program in IN_FRONT:
        at = next((n for n, word in enumerate(words) if word.rpartition("/")[2] in PROGRAMS), 0)
        before = "sudo " if program == "sudo" else ""
        build = shlex.join(words[at:]) if at else "nix-build …"
        hint = f"`{before}nbs build -- {build}`"
    elif program in FRONT_ENDS:
        hint = f"`nbs build -- {shlex.join((FRONT_ENDS[program], *words[1:]))}`"
    elif program in ELSEWHERE:
        hint = "`nbs build -- nix build …` with the installable that it builds"
    if hint:
        raise UsageError(
            f"`{program}` is not Nix, whose own command is wanted",
            reason="build-command",
            hint=hint,
        )


def _subcommand(arguments: tuple[str, ...]) -> str:
    """What `nix` is to do. Which options stand before it, and with what values, is not known."""
    for at, word in enumerate(arguments):
        if word in BUILDS or word in _OTHERS:
            return " ".join(arguments[at : at + 2]) if word == "flake" else word
    return ""


def _added(argv: tuple[str, ...], *words: str) -> tuple[str, ...]:
    """Directly behind the program: each of them takes the settings of Nix there, and what follows
    may be values of other options, or operands behind `--`.
    """
    return (argv[0], *words, *argv[1:])


def _store(arguments: tuple[str, ...]) -> str:
    """The value of the last `--store`, or of `--option store`."""
    found = ""
    for at, word in enumerate(arguments):
        if word == "--store":
            found = "".join(arguments[at + 1 : at + 2])
        elif arguments[at : at + 2] == ("--option", "store"):
            found = "".join(arguments[at + 2 : at + 3])
    return found
