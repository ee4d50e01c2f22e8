"""What a session in a kept workspace can be asked for: snapshots, and to be put back to one.

It is asked by its own supervisor, which has the workspace's lock.
"""

from __future__ import annotations

import os

from sandbox.errors import MachineError
from sandbox.linux.remount import Doors, Layers, replace
from sandbox.model.spec import BuildDirectory
from sandbox.workspace import snapshots
from sandbox.workspace.kept import OUTPUTS, SNAPSHOTS, TMP, inputs_of
from sandbox.workspace.restore import restore as restore_trees
from sandbox.workspace.snapshots import First, Snapshot, Trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.spec import Sandbox
    from sandbox.workspace.kept import Kept
    from sandbox.workspace.session import Session
    from sandbox.workspace.snapshots import Progress

MOST_FROM_INSIDE = 50
OVERLAID_STORE = "store"
LAST = ""
INTERRUPTED = 130


class Living:
    """A session that lives. `adopt` is told its first process before that goes on."""

    def __init__(self, session: Session, sandbox: Sandbox, *, resident: bool) -> None:
        self._session = session
        self._sandbox = sandbox
        self._resident = resident
        self._doors: Doors | None = None

    def adopt(self, pid: int) -> None:
        """Keep the namespaces of the first process open. Raises OSError."""
        self.close()
        self._doors = Doors(pid)

    def close(self) -> None:
        """The session ends: its mounts may go."""
        if self._doors is not None:
            self._doors.close()
            self._doors = None

    @property
    def trees(self) -> Trees:
        """Where the parts of the workspace are."""
        kept = self._session.kept
        if kept is None:
            raise RuntimeError("the session has not begun")
        return trees_of(kept, in_session=True)

    def snapshot(
        self, name: str = "", most: int = MOST_FROM_INSIDE, progress: Progress | None = None
    ) -> Snapshot:
        """Raises as `snapshots.make`, and what `progress` raises."""
        return snapshots.make(self.trees, name, most=most, progress=progress)

    def keep_last(self, prefix: str, count: int) -> None:
        """Remove all but so many of the snapshots whose name begins like that, the oldest."""
        found = [one.name for one in self.snapshots() if one.name.startswith(prefix)]
        for name in found[: max(0, len(found) - count)]:
            self.remove(name)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Those on disk, the oldest first."""
        return snapshots.listed(self.trees.path)

    def remove(self, name: str) -> None:
        """Raises as `snapshots.remove`."""
        snapshots.remove(self.trees.path, name)

    def restore(
        self, name: str = LAST, *, kill: bool = False, progress: Progress | None = None
    ) -> str:
        """Put the snapshot, the last one if none is named, before the session's eyes; its name.

        Whoever is in the build directory has to have left it. Raises as `restore.restore` and
        `remount.replace`, MachineError `restore-outputs`, and what `progress` raises: nothing has
        changed then, and it is not asked any more once something will.
        """
        trees = self.trees
        name = name or last_of(trees.path)
        if trees.outputs == OVERLAID_STORE:
            _require_no_outputs(trees, name)
        doors = self._doors
        if doors is None:
            raise RuntimeError("the session has no first process")

        def exchange(upper: str, work: str, exchanged: Callable[[], None]) -> None:
            layers = self._layers(upper, work)
            replace(doors, layers, exchanged, resident=self._resident, kill=kill)

        restore_trees(trees, name, replace=exchange, progress=progress)
        return name

    def _layers(self, upper: str, work: str) -> Layers:
        build = next(e for e in self._sandbox.entries if isinstance(e, BuildDirectory))
        process = self._sandbox.process
        return Layers(
            path=build.path,
            upper=upper,
            work=work,
            lower=build.source if build.method == "overlay" else "",
            uid=process.uid,
            gid=process.gid,
        )


def trees_of(kept: Kept, *, in_session: bool) -> Trees:
    """Where the parts of a kept workspace are, in a session or between two."""
    firsts = tuple(First(path=p, source=s, uid=u, gid=g) for p, s, u, g in kept.copies)
    if not in_session:
        return Trees(path=kept.path, firsts=firsts)
    return Trees(
        path=kept.path,
        tmp=f"root/{TMP}",
        outputs=kept.store_place,
        inputs=inputs_of(kept),
        places=frozenset(place.partition("/")[0] for place in kept.places),
        firsts=firsts,
    )


def last_of(path: str) -> str:
    """The snapshot that was made last, without being `undone`; `failed` if there is none."""
    found = [one.name for one in snapshots.listed(path) if one.name != snapshots.UNDONE]
    return found[-1] if found else snapshots.FAILED


def given_up() -> MachineError:
    """The error of what was interrupted before it has changed anything."""
    return MachineError(
        "it was interrupted: nothing has changed", reason="request-stopped", exit_code=INTERRUPTED
    )


def _require_no_outputs(trees: Trees, name: str) -> None:
    """Nothing may be renamed below a mounted overlay: what it shows then is not defined."""
    stored = f"{trees.path}/{SNAPSHOTS}/{name}/{OUTPUTS}"
    there = (*trees.output_names(), *(os.listdir(stored) if os.path.isdir(stored) else ()))
    if there:
        raise MachineError(
            "outputs in a store as large as this one cannot be exchanged while somebody is inside",
            reason="restore-outputs",
            evidence=there[:3],
            hint=f"leave the shell, then `nbs restore {name}`",
        )
