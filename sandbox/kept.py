"""Kept workspaces of the caller, and sessions in them: what the front door has of `workspace/`."""

from __future__ import annotations

import os

from sandbox.model.spec import BuildDirectory, Sandbox
from sandbox.workspace import kept as listing
from sandbox.workspace import sizes
from sandbox.workspace.holding import Held, sweep_kept
from sandbox.workspace.kept import Kept
from sandbox.workspace.session import Session, identity
from sandbox.workspace.workspace import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.host.case import Case
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


def workspace_usage(kept: Kept) -> Usage:
    """How much it takes on disk, and how many files were changed in it."""
    return sizes.usage(kept)


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
        identity=identity(os.stat(build.source)),
        derivation=case.nix.derivation_path,
        store=store,
        build_name=name,
        options=options,
    )
    return Session(state_directory(os.environ), kept=kept)


def resumed_session(name: str) -> Session:
    """A session in the kept workspace of that name."""
    return Session(state_directory(os.environ), name=name)
