"""Snapshots of kept workspaces, from outside of any session; and all of them in words."""

from __future__ import annotations

import os
import time

from sandbox.errors import MachineError
from sandbox.model.words import size
from sandbox.session.living import LAST, restore_kept, trees_of
from sandbox.workspace import snapshots
from sandbox.workspace.holding import Held
from sandbox.workspace.snapshots import MOST, Snapshot
from sandbox.workspace.workspace import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.session.living import Restored
    from sandbox.workspace.kept import Kept

__all__ = [
    "Snapshot",
    "holds",
    "listing",
    "remove_snapshot",
    "restore_workspace",
    "snapshot_workspace",
    "snapshots_of",
    "told",
]


def snapshot_workspace(
    kept: Kept, name: str = "", progress: Callable[[int, int], None] | None = None
) -> Snapshot:
    """Make a snapshot, also while somebody is inside; without a name, under the next number.

    Raises as `workspace.snapshots.make`, and as `hold_workspace` where nobody is inside.
    """
    if kept.session:
        trees = trees_of(kept, in_session=True)
        return snapshots.make(trees, name, most=MOST, progress=progress)
    with Held(state_directory(os.environ), kept.name) as held:
        trees = trees_of(held.kept, in_session=False)
        return snapshots.make(trees, name, most=MOST, progress=progress)


def restore_workspace(
    kept: Kept, name: str = LAST, progress: Callable[[int, int], None] | None = None
) -> Restored:
    """Put a snapshot back, the last one if none is named.

    Raises as `living.restore_kept`, and MachineError `workspace-in-use` while somebody is
    inside: only there it can be known that nobody is in the build directory.
    """
    if kept.session:
        word = f" {name}" if name else ""
        raise MachineError(
            f"somebody is inside the workspace `{kept.name}`",
            reason="workspace-in-use",
            evidence=(f"process {kept.session} is inside",),
            hint=f"type `restore{word}` in its shell, or `%restore{word}` in its notebook",
        )
    with Held(state_directory(os.environ), kept.name) as held:
        trees = trees_of(held.kept, in_session=False)
        return restore_kept(held.kept, name, trees, progress=progress)


def snapshots_of(kept: Kept) -> tuple[Snapshot, ...]:
    """Those on disk, the oldest first; `failed` is always there besides."""
    return snapshots.listed(kept.path)


def remove_snapshot(kept: Kept, name: str) -> None:
    """Raises as `workspace.snapshots.remove`."""
    snapshots.remove(kept.path, name)


def told(made: Snapshot) -> str:
    """What to say of a new snapshot."""
    return f"snapshot {made.name}: {holds(made.name, made.files, made.bytes)}"


def listing(found: tuple[Snapshot, ...]) -> tuple[str, ...]:
    """A line for each snapshot, `failed` first."""
    width = max((len(one.name) for one in found), default=0)
    width = max(width, len(snapshots.FAILED))
    lines = [f"{snapshots.FAILED:{width}}  the state as it was kept"]
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created))
        lines.append(f"{one.name:{width}}  {when}  {holds(one.name, one.files, one.bytes)}")
    return tuple(lines)


def holds(name: str, files: int, count: int) -> str:
    """What is in a snapshot, for people: so many files and bytes, or what it is of.

    >>> holds("one", 1, 6), holds("before", -1, -1)
    ('1 file, 6 B', 'the state before the failing phase')
    """
    if files >= 0:
        return f"{files} file{'s' * (files != 1)}, {size(count)}"
    is_before = name == snapshots.BEFORE
    return "the state before the failing phase" if is_before else "what the last restore replaced"
