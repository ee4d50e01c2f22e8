"""`nbs verify [BUILD]`: does a patch repair it? From the first phase on, or by Nix itself."""

from __future__ import annotations

import os
import stat
import sys

import sandbox
from sandbox.cli import arguments, speak
from sandbox.cli.replay import case_of, check_exclusive, of_workspace
from sandbox.cli.unpacking import take_sources
from sandbox.errors import EvidenceError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli.arguments import Arguments

USAGE = """\
usage: nbs verify [OPTIONS] [BUILD|WS]

Run the phases of a failed build again in a fresh sandbox that begins with an empty directory, with
a patch more among its `patches`: from the first phase to the one that failed.

  nbs verify                                   what was repaired in the workspace used last
  nbs verify hello                             in that of hello
  nbs verify hello --patch fix.patch           to the phase that failed
  nbs verify hello --patch fix.patch --to-end  all phases
  nbs verify hello --patch fix.patch --real    by Nix itself, as a derivation with the patch

  --patch FILE             what `patch -p1` applies in the source's directory; without it the
                           patch that `nbs patch` makes of the workspace
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
MOST_NAMED = 5
REFUSED = (2, 125)
"""How the word `phase` ends where it runs nothing, and says why."""


def command(argv: list[str]) -> int:
    """Parse, find the build, run it with the patch, tell the verdict."""
    given = arguments.parse_all(argv, "nbs verify", FLAGS, WITH_VALUE)
    if given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    _check(given)
    given, repair, workspace = _repair(given)
    case, request = case_of(given, "nbs verify", workspace)
    if given.has("--real"):
        from sandbox.cli import realbuild

        return realbuild.verify(case, given, repair)
    until = "" if request.phase else sandbox.replay.LAST
    until = given.get("--until") or (sandbox.replay.LAST if given.has("--to-end") else until)
    described = sandbox.replay.describe_replay(case, request, until, repair, noted=True)
    with sandbox.scratch_workspace() as scratch:
        left = f"{scratch.path}/left"
        status = sandbox.enter(described, say=speak.say, progress=speak.progress(), keep=left)
        failed = sandbox.replay.failed_phase(left) if status else ""
    last = "its last phase" if until == sandbox.replay.LAST else until or request.phase
    if failed or status not in REFUSED:
        speak.say(verdict(described.name, repair, status, last, failed))
    return status


def _repair(given: Arguments) -> tuple[Arguments, sandbox.Repair, sandbox.Kept | None]:
    """The repair, the arguments with the build that it is for, and a workspace of that, if named.

    Raises `UsageError`, and `EvidenceError` (`patch-empty`, `patch-unreadable`).
    """
    build = given.rest[0] if given.rest else ""
    if given.has("--patch"):
        repair = sandbox.Repair(patch=read_patch(given.get("--patch")))
        if not any(one.name == build for one in sandbox.workspaces()):
            return given, repair, None
        workspace = sandbox.find_workspace(build)
        return of_workspace(given.replace(rest=()), workspace), repair, workspace
    workspace = sandbox.workspace_of(build, store=given.get("--store"))
    if not build:
        speak.say(f"the workspace that was used last: {workspace.name}")
    others = given.replace(rest=given.rest[1:])
    return of_workspace(others, workspace), _made_in(workspace), workspace


def _made_in(workspace: sandbox.Kept) -> sandbox.Repair:
    """What `nbs patch --nix` gives. Raises `EvidenceError` (`patch-empty`, `patch-not-applied`)."""
    attributes = tuple(one for one in sandbox.tried_in(workspace) if one.name != "patches")
    for one in attributes:
        speak.say(sandbox.one_line(f"with {one.name}, which `phase {one.tried}` has passed with"))
    return sandbox.Repair(patch=_patch_in(workspace, attributes), attributes=attributes)


def _patch_in(
    workspace: sandbox.Kept, attributes: tuple[sandbox.Attribute, ...]
) -> sandbox.PatchFile | None:
    """The patch, if there is something that it could carry; without one, `attributes` have to do.

    Raises as `_made_in`.
    """
    derivation = sandbox.derivation_in(workspace)
    if derivation is not None:
        try:
            # Before the source is made, which costs and may not even be there.
            name = workspace.build_name or workspace.name
            sandbox.replay.require_patches(derivation, name, workspace.build, workspace.store)
        except EvidenceError as error:
            if not attributes:
                raise
            speak.say(f"without a patch: {error.evidence[0]}")
            return None
    take_sources(workspace)
    made = sandbox.patch_of(workspace)
    if not made.text and not attributes:
        raise EvidenceError(
            f"no source file that a patch could carry was changed in `{workspace.name}`",
            reason="patch-empty",
            evidence=tuple(f"{path}: {why}" for path, why in made.left_out[:MOST_NAMED]),
            hint=f"`nbs diff {workspace.name}` shows what was; `--patch FILE` names a patch",
        )
    for path, why in made.left_out:
        speak.say(f"not in the patch: {path} ({why})")
    name = sandbox.store_name(f"{workspace.name}.patch")
    return sandbox.PatchFile(name=name, content=made.text) if made.text else None


def verdict(name: str, repair: sandbox.Repair, status: int, last: str, failed: str = "") -> str:
    """What came of it, in a line; `failed` is the phase that did, if it is known."""
    if status == 0:
        return f"{name} passes with {repair}, from the first phase to {last}"
    where = f" in {failed}" if failed else ""
    return f"{name} fails with {repair}{where}: exit status {status}"


def _check(given: Arguments) -> None:
    check_exclusive(given, EXCLUSIVE, "nbs verify")
    if given.has("--output") and not given.has("--patch"):
        raise _usage("the expression names a file: `--output` wants `--patch FILE`, too")
    for option in ("--output", "--yes"):
        if given.has(option) and not given.has("--real"):
            raise _usage(f"`{option}` goes with `--real` alone")


def _usage(message: str) -> UsageError:
    return UsageError(message, reason="option-value", hint="`nbs verify --help` lists the options")


def read_patch(path: str) -> sandbox.PatchFile:
    """The patch that a file of the caller's holds, or a pipe, whose name tells nothing.

    Raises `EvidenceError` (`patch-unreadable`).
    """
    try:
        with open(path, "rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
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
    name = sandbox.store_name(os.path.basename(path) if is_file else "")
    return sandbox.PatchFile(name=name, content=content)
