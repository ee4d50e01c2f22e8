"""`nbs verify [BUILD]`: does a patch repair it? From the first phase on, or by Nix itself."""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import arguments, speak
from sandbox.cli.replay import case_of
from sandbox.errors import EvidenceError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli.arguments import Arguments

USAGE = """\
usage: nbs verify [OPTIONS] [BUILD]

Run the phases of a failed build again in a fresh sandbox that begins with an empty directory, with
a patch more among its `patches`: from the first phase to the one that failed.

  nbs verify hello --patch fix.patch           to the phase that failed
  nbs verify hello --patch fix.patch --to-end  all phases
  nbs verify hello --patch fix.patch --real    by Nix itself, as a derivation with the patch

  --patch FILE             a patch that `patch -p1` applies in the source's directory
  --until PHASE, --to-end  the last phase to run; all of them
  --real                   build the derivation with the patch, with nix-build, which is shown first
  --yes                    do not ask before that
  -o, --output FILE        write the Nix expression of --real there, and build nothing

The other options are those of `nix-build-shell`.
exit status: that of the phases, or of nix-build.
"""
OWN_FLAGS = ("--real", "--to-end", "--yes")
FLAGS = (*(flag for flag in arguments.FLAGS if flag != "--version"), *OWN_FLAGS)
WITH_VALUE = (*arguments.WITH_VALUE, "--output", "--patch", "--until")
EXCLUSIVE = (("--until", "--to-end"), ("--real", "--until"), ("--real", "--to-end"))
LARGEST_PATCH = 64 << 20


def command(argv: list[str]) -> int:
    """Parse, find the build, run it with the patch, tell the verdict."""
    given = arguments.parse_all(argv, "nbs verify", FLAGS, WITH_VALUE)
    if given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    _check(given)
    patch = read_patch(given.get("--patch"))
    case, request = case_of(given, "nbs verify")
    if given.has("--real"):
        from sandbox.cli import realbuild

        return realbuild.verify(case, given, patch)
    until = "" if request.phase else sandbox.replay.LAST
    until = given.get("--until") or (sandbox.replay.LAST if given.has("--to-end") else until)
    described = sandbox.replay.describe_replay(case, request, until, patch)
    status = sandbox.enter(described, say=speak.say, progress=speak.progress())
    last = "its last phase" if until == sandbox.replay.LAST else until or request.phase
    speak.say(verdict(described.name, patch, status, last))
    return status


def verdict(name: str, patch: sandbox.Patch, status: int, last: str) -> str:
    """What came of it, in a line."""
    if status == 0:
        return f"{name} passes with {patch.name}, from the first phase to {last}"
    return f"{name} fails with {patch.name}: exit status {status}"


def _check(given: Arguments) -> None:
    for pair in EXCLUSIVE:
        if all(given.has(option) for option in pair):
            raise _usage(f"`{pair[0]}` and `{pair[1]}` exclude each other")
    for option in ("--output", "--yes"):
        if given.has(option) and not given.has("--real"):
            raise _usage(f"`{option}` goes with `--real` alone")


def _usage(message: str) -> UsageError:
    return UsageError(message, reason="option-value", hint="`nbs verify --help` lists the options")


def read_patch(path: str) -> sandbox.Patch:
    """The patch that a file of the caller's holds. Raises `UsageError` and `EvidenceError`."""
    if not path:
        raise _usage("nothing tells which patch: `--patch FILE` is missing")
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_PATCH + 1)
    except OSError as error:
        raise EvidenceError(
            f"`{path}` cannot be read",
            reason="patch-unreadable",
            evidence=(error.strerror or str(error),),
        ) from None
    if len(content) > LARGEST_PATCH or not content.strip():
        raise EvidenceError(
            f"`{path}` is no patch: it is {'empty' if not content.strip() else 'too large'}",
            reason="patch-unreadable",
        )
    return sandbox.Patch(name=sandbox.store_name(os.path.basename(path)), content=content)
