"""What a session in a kept workspace can be asked for: snapshots, and to be put back to one.

It is asked by its own supervisor, which has the workspace's lock.
"""

from __future__ import annotations

import os

from sandbox.errors import MachineError
from sandbox.linux.remount import Doors, Mounted, replace
from sandbox.model.plan import paths_in, store_mounts
from sandbox.model.spec import BuildDirectory, Inputs, Output
from sandbox.model.steps import MountOverlay
from sandbox.model.value import Value
from sandbox.workspace import snapshots, tried
from sandbox.workspace.kept import (
    OUTPUTS,
    PLACES,
    STORE,
    STORE_WORK,
    TMP,
    UPPER,
    WORK,
    inputs_of,
)
from sandbox.workspace.lower import require_build, source_of
from sandbox.workspace.restore import restore as restore_trees
from sandbox.workspace.snapshots import First, Snapshot, Trees
from sandbox.workspace.ways import Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.spec import Sandbox
    from sandbox.model.steps import EnterStep
    from sandbox.workspace.kept import Copied, Kept
    from sandbox.workspace.session import Session
    from sandbox.workspace.snapshots import Progress

MOST_FROM_INSIDE = 50
SHOWN = 3
LAST = ""
INTERRUPTED = 130


class Restored(Value):
    """What was put back: the snapshot `name`, but for the outputs `left`, which stay as they are:
    the store has no longer what the build had left there. They are paths as a build calls them.
    """

    name: str
    left: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What to say of it, line by line."""
        lines = [f"restored: {self.name}; what it replaced is `{snapshots.UNDONE}`"]
        lines += [
            f"left as it is, for what the build had made there is gone: {path}"
            for path in self.left
        ]
        return tuple(lines)


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
        return trees_of(self._kept, in_session=True)

    @property
    def _kept(self) -> Kept:
        if self._session.kept is None:
            raise RuntimeError("the session has not begun")
        return self._session.kept

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

    def note_passed(self, words: tuple[str, ...]) -> None:
        """The word `phase` has ended well, called with these words. Raises OSError."""
        tried.note(self.trees.path, words)

    def remove(self, name: str) -> None:
        """Raises as `snapshots.remove`."""
        snapshots.remove(self.trees.path, name)

    def restore(
        self, name: str = LAST, *, kill: bool = False, progress: Progress | None = None
    ) -> Restored:
        """Put the snapshot, the last one if none is named, before the session's eyes.

        The session's shell is to have nothing open in what is replaced. Raises as
        `restore_kept` and `remount.replace`, MachineError `restore-outputs`, and what `progress`
        raises: nothing has changed then, and it is not asked any more once something will.
        """
        trees = self.trees
        doors = self._doors
        if doors is None:
            raise RuntimeError("the session has no first process")

        def exchange(new: str, exchanged: Callable[[], None]) -> None:
            replace(
                doors,
                self._new_mounts(new),
                exchanged,
                looked=self._sandbox.looked,
                ids=self._sandbox.uid_map,
                places=self._places(new, trees),
                resident=self._resident,
                kill=kill,
            )

        return restore_kept(self._kept, name, trees, replace=exchange, progress=progress)

    def _new_mounts(self, new: str) -> tuple[Mounted, ...]:
        build, upper = self._build(), f"{new}/{UPPER}"
        mounts: tuple[EnterStep, ...] = ()
        if build.method == "overlay":
            process = self._sandbox.process
            mounts = (
                MountOverlay(
                    lower=build.source,
                    upper=upper,
                    work=f"{new}/{WORK}",
                    target=upper,
                    uid=process.uid,
                    gid=process.gid,
                ),
            )
        tree = Mounted(path=build.path, top=upper, steps=mounts)
        return (tree, self._new_store(new)) if os.path.isdir(f"{new}/{STORE}") else (tree,)

    def _new_store(self, new: str) -> Mounted:
        """All of it, for below a mounted overlay nothing may be renamed: what it shows then is not
        defined."""
        store = self._store()
        above = f"{store.path}/"
        outputs = tuple(e.path for e in self._sandbox.entries if isinstance(e, Output))
        others = [
            e.path
            for e in self._sandbox.entries
            if e.path.startswith(above) and e.path not in outputs
        ]
        if others:
            raise MachineError(
                "outputs in this store cannot be exchanged while somebody is inside",
                reason="restore-outputs",
                evidence=tuple(f"{path} is mounted in it" for path in others[:SHOWN]),
                hint="leave the shell, then `nbs restore`",
            )
        # Not in the session's own root, where a link could be on the way by now.
        paths = paths_in(new)
        top = f"{paths.root}{store.path}"
        os.makedirs(top)
        os.mkdir(paths.beside(PLACES))
        steps = store_mounts(
            store, paths, self._sandbox.process, upper=f"{new}/{STORE}", work=f"{new}/{STORE_WORK}"
        )
        return Mounted(path=store.path, top=top, steps=tuple(steps), whole=True)

    def _places(self, new: str, trees: Trees) -> tuple[str, ...]:
        """What is replaced, as it is called inside."""
        with Ways(trees.path) as ways:
            names = {*trees.output_names(ways), *os.listdir(f"{new}/{OUTPUTS}")}
        if os.path.isdir(f"{new}/{STORE}"):
            names.update(os.listdir(f"{new}/{STORE}"))
        store = self._store().path
        return (self._build().path, f"/{TMP}", *(f"{store}/{name}" for name in sorted(names)))

    def _build(self) -> BuildDirectory:
        return next(e for e in self._sandbox.entries if isinstance(e, BuildDirectory))

    def _store(self) -> Inputs:
        return next(e for e in self._sandbox.entries if isinstance(e, Inputs))


def restore_kept(
    kept: Kept,
    name: str,
    trees: Trees,
    *,
    replace: Callable[[str, Callable[[], None]], None] | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Put a snapshot of a workspace back, the last one if none is named.

    Raises as `restore.restore`, and EvidenceError `workspace-build-gone` for `failed` of a copy.
    """
    name = name or last_of(trees.path)
    if name == snapshots.FAILED and kept.method == "copy":
        require_build(kept)
    left = restore_trees(trees, name, replace=replace, progress=progress)
    return Restored(name=name, left=tuple(f"{kept.store_dir}/{output}" for output in left))


def trees_of(kept: Kept, *, in_session: bool) -> Trees:
    """Where the parts of a kept workspace are, in a session or between two."""
    firsts = tuple(map(_first, kept.copies))
    if not in_session:
        return Trees(path=kept.path, firsts=firsts)
    return Trees(
        path=kept.path,
        tmp=f"root/{TMP}",
        outputs=kept.store_place,
        overlaid=kept.store_place == STORE,
        inputs=inputs_of(kept),
        places=frozenset(place.partition("/")[0] for place in kept.places),
        firsts=firsts,
    )


def _first(copied: Copied) -> First:
    path, _, uid, gid, _, _, whose, _ = copied
    return First(path=path, source=source_of(copied), uid=uid, gid=gid, whose=whose)


def last_of(path: str) -> str:
    """The snapshot that was made last, without being `undone`; `failed` if there is none."""
    found = [one.name for one in snapshots.listed(path) if one.name != snapshots.UNDONE]
    return found[-1] if found else snapshots.FAILED


def given_up() -> MachineError:
    """The error of what was interrupted before it has changed anything."""
    return MachineError(
        "it was interrupted: nothing has changed", reason="request-stopped", exit_code=INTERRUPTED
    )
