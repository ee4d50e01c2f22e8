"""Kept workspaces of the caller, and sessions in them: what the front door has of `workspace/`."""

from __future__ import annotations

import os

from sandbox.errors import MachineError
from sandbox.host.case import Case, Recalled, read, store_of
from sandbox.model import aterm
from sandbox.model.environment import DIRECTORIES
from sandbox.model.facts import Request
from sandbox.model.spec import BuildDirectory, Sandbox
from sandbox.session.roots import ProtectedSession, is_protected
from sandbox.workspace import kept as listing
from sandbox.workspace import sizes, tried
from sandbox.workspace.fork import fork
from sandbox.workspace.holding import Held, sweep_kept
from sandbox.workspace.kept import Kept
from sandbox.workspace.lower import identity
from sandbox.workspace.lower import require_build as _require_build
from sandbox.workspace.total import total
from sandbox.workspace.workspace import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.model.aterm import Derivation
    from sandbox.model.recipe import Attribute
    from sandbox.workspace.remove import Removal
    from sandbox.workspace.session import Session
    from sandbox.workspace.sizes import Usage


def workspaces() -> tuple[Kept, ...]:
    """All that are kept, the last used first. What killed sessions left is put in order first."""
    state = state_directory(os.environ)
    sweep_kept(state)
    return listing.workspaces(state)


def find_workspace(name: str) -> Kept:
    """The kept workspace of that name.

    Raises UsageError `workspace-unknown` and MachineError `workspace-damaged`.
    """
    return listing.find_workspace(state_directory(os.environ), name)


def workspaces_of(build: str) -> tuple[Kept, ...]:
    """Those of the kept directory `build`, or of the build's own in it; the last used first."""
    path = os.path.realpath(build)
    state = state_directory(os.environ)
    return tuple(one for one in listing.workspaces(state) if path in (one.kept, one.build))


def hold_workspace(name: str) -> Held:
    """A context manager: the workspace of that name, with nobody inside, for us alone.

    Entering it raises UsageError `workspace-unknown`, and MachineError `workspace-in-use`,
    `workspace-damaged`, `workspace-unwritable`.
    """
    return Held(state_directory(os.environ), name)


def damaged_workspaces() -> tuple[str, ...]:
    """The names of those whose record cannot be read."""
    state = state_directory(os.environ)
    damaged = []
    for name in listing.names(state):
        try:
            listing.read(state, name)
        except MachineError:
            damaged.append(name)
        except OSError:
            continue
    return tuple(damaged)


def remove_workspace(name: str) -> Removal:
    """Remove it with all that is in it; what could not be removed.

    Raises UsageError `workspace-unknown` and MachineError `workspace-in-use`.
    """
    with Held(state_directory(os.environ), name, damaged=True) as held:
        return held.remove()


def workspace_path(name: str) -> tuple[str, bool]:
    """Where the host sees the files of the build's directory, and whether that is all of them.

    With somebody inside it is what they see. Else a copy is all, and of an overlay there is only
    what was changed. Of a workspace whose record cannot be read it is its own directory.
    """
    state = state_directory(os.environ)
    try:
        kept = listing.find_workspace(state, name)
    except MachineError:
        return f"{listing.directory_of(state)}/{name}", False
    for pid in _processes_of(kept.session):
        path = f"/proc/{pid}/root{kept.build_place}"
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        except OSError:
            continue
        return path, True
    return kept.upper, kept.method == "copy"


def _processes_of(pid: int) -> Iterator[int]:
    """The first process of a session and its children, the next of which may let us look.

    The resident of a kernel does not: nobody may look into its memory.
    """
    if not pid:
        return
    yield pid
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            yield from map(int, file.read().split())
    except OSError:
        return


def require_build(kept: Kept, *, changed: bool = False) -> None:
    """Raises EvidenceError `workspace-build-gone` if what it was made of is not there any more, and
    `workspace-build-changed` if that was changed since, unless it may have been.
    """
    _require_build(kept, changed=changed)


def is_kept_by_nix(kept: Kept) -> bool:
    """Are its inputs safe from Nix's garbage collection?"""
    return is_protected(kept)


def workspace_usage(kept: Kept) -> Usage:
    """How much it takes on disk, and how many files were changed in it."""
    return sizes.usage(kept)


def total_bytes() -> int:
    """How much all kept workspaces take together. Those that did not change are not looked into."""
    return total(state_directory(os.environ), workspaces())


def new_session(
    case: Case, sandbox: Sandbox, *, store: str = "", options: tuple[tuple[str, str], ...] = ()
) -> Session:
    """A session in a new workspace of a build, called after it. `options` are those of entering."""
    build = next(e for e in sandbox.entries if isinstance(e, BuildDirectory))
    name = sandbox.name or os.path.basename(case.kept.outer)
    kept = Kept(
        name=listing.name_for(name),
        path="",
        kept=os.path.realpath(build.source),
        build=os.path.realpath(case.kept.outer),
        identity=identity(os.path.realpath(build.source)),
        derivation=case.nix.derivation_path,
        store=store or store_of(case.kept.outer),
        build_name=name,
        options=options,
    )
    derivation = case.nix.derivation
    text = aterm.unparse(derivation) if derivation is not None else b""
    return ProtectedSession(
        state_directory(os.environ), kept=kept, derivation=text.decode(errors="surrogateescape")
    )


def recalled(kept: Kept) -> Recalled | None:
    """What a workspace has written down of its build; None if that is not known."""
    text = listing.derivation_of(kept)
    if not text:
        return None
    names = sorted(listing.inputs_of(kept))
    return Recalled(
        path=kept.derivation,
        text=text.encode(errors="surrogateescape"),
        inputs=tuple(f"{kept.store_dir}/{name}" for name in names),
    )


def derivation_in(kept: Kept) -> Derivation | None:
    """The derivation as a workspace has written it down; None where it has not."""
    text = listing.derivation_of(kept)
    return aterm.parse(text.encode(errors="surrogateescape")) if text else None


def tried_in(kept: Kept) -> tuple[Attribute, ...]:
    """The attributes with which phases have ended well in a workspace, the newest last.

    Not those that no recipe can set, for Nix itself does: its outputs, and the build's directory.
    """
    derivation = derivation_in(kept)
    outputs = derivation.outputs if derivation is not None else ()
    of_nix = {*DIRECTORIES, *(output.name for output in outputs)}
    return tuple(one for one in tried.noted(kept.path) if one.name not in of_nix)


def read_again(kept: Kept) -> Case:
    """What was found about the build of a workspace, as it was asked for when that was begun.

    Raises as `host.case.read`.
    """
    options = dict(kept.options)
    return read(
        kept.build,
        store=options.get("--store", "") or kept.store,
        derivation=options.get("--derivation", ""),
        profile=options.get("--profile", ""),
        whole="--whole-store" in options,
        start=True,
        recalled=recalled(kept),
    )


def request_again(kept: Kept) -> Request:
    """What was to differ when a workspace was begun, and has to go on to."""
    options = dict(kept.options)
    unsandboxed = None
    if "--unsandboxed" in options or "--sandboxed" in options:
        unsandboxed = "--unsandboxed" in options
    return Request(
        inputs_writable=options.get("--inputs") == "rw",
        whole_store="--whole-store" in options,
        unsandboxed=unsandboxed,
        copy="--copy" in options,
    )


def fork_workspace(name: str, progress: Callable[[int, int], None] | None = None) -> Kept:
    """A copy of a kept workspace, also of one with somebody inside, under the next free name.

    Raises as `workspace.fork.fork`.
    """
    return fork(state_directory(os.environ), name, progress)


def resumed_session(name: str, *, changed: bool = False) -> Session:
    """A session in the kept workspace of that name, also if its build was `changed` since."""
    return ProtectedSession(state_directory(os.environ), name=name, changed=changed)
