"""Snapshots of a kept workspace: the build tree, /tmp and the partial outputs, to come back to.

    WORKSPACE/snapshots/NAME/snapshot.json    what it is
                             upper/           the changes of an overlay, or the whole copy
                             tmp/ outputs/    where there are such
    WORKSPACE/snapshots/.new-RANDOM/          being made, or being removed

A snapshot is made beside the others and renamed when it is whole, and renamed away before it is
removed: what has a name can be restored. A lock on the directory `snapshots` keeps those who make,
restore and remove apart, whether or not a session lives in the workspace; what is found unnamed
under it was left by somebody who was killed, and is swept.

`failed` is always there, with nothing on disk: the state as it was kept. `undone` is what a restore
has replaced, `before` what a replay of the phases before the failing one has left.
"""

from __future__ import annotations

import fcntl
import json
import os
import time

from sandbox.errors import EvidenceError, MachineError, UsageError
from sandbox.model.storepath import NAME_CHARACTERS
from sandbox.model.value import Value
from sandbox.workspace.copy import Links, copy_entry, copy_tree
from sandbox.workspace.kept import OUTPUTS, SNAPSHOTS, TMP, UPPER
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.refusals import refusal
from sandbox.workspace.remove import remove_entry
from sandbox.workspace.rights import with_rights
from sandbox.workspace.tally import Tally
from sandbox.workspace.ways import Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sandbox.model.spec import Looked

    Progress = Callable[[int, int], None]

BEFORE, FAILED, UNDONE = "before", "failed", "undone"
OF_THEIR_OWN = (BEFORE, FAILED, UNDONE)
MOST = 200
PLAIN = NAME_CHARACTERS - frozenset("?=")
"""A shell would take the others for a pattern or an assignment."""
LONGEST_NAME = 64
ATTEMPTS = 3
PAUSE_S = 0.02
UNKNOWN = -1

_RECORD, _NEW = "snapshot.json", ".new-"
_LARGEST_RECORD = 4096


class First(Value):
    """How a tree was at first, for `failed`: a copy of `source`, given to `uid` and `gid`.

    `path` is relative to the workspace, -1 leaves the owner to whoever copies. `whose` closed files
    are copied: see `model.steps.CopyTree`.
    """

    path: str
    source: Looked
    uid: int = -1
    gid: int = -1
    whose: int = -1


class Trees(Value):
    """Where the parts of a workspace are now: in a session, or between sessions.

    `tmp` and `outputs` are relative to `path`, the workspace. `overlaid`: the directory that
    `outputs` lie in is the upper layer of an overlay that is mounted. `inputs` are the names in
    `outputs` that are no outputs, but places for inputs, `places` those in `tmp` that are mounted
    on. `firsts` are the copies that the session began with.
    """

    path: str
    tmp: str = TMP
    outputs: str = OUTPUTS
    overlaid: bool = False
    inputs: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    firsts: tuple[First, ...] = ()

    def output_names(self, ways: Ways) -> tuple[str, ...]:
        """The outputs that are there now. Raises as `Ways.at`."""
        return tuple(sorted(set(ways.names(self.outputs)) - self.inputs))


class Snapshot(Value):
    """One snapshot. `created` in seconds since 1970; `files` and `bytes` are -1 if not counted."""

    name: str
    created: float
    files: int = UNKNOWN
    bytes: int = UNKNOWN


class Shelf:
    """The directory `snapshots` of a workspace, locked; leftovers are swept when it is entered.

    While that waits for others, it calls `progress`; what that raises ends the waiting.
    """

    def __init__(self, path: str, progress: Progress | None = None) -> None:
        self.path = f"{path}/{SNAPSHOTS}"
        self._progress = progress
        self._directory = -1

    def __enter__(self) -> Self:
        try:
            if not os.path.isdir(self.path):
                os.mkdir(self.path, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise refusal(error, self.path) from None
        self._directory = os.open(self.path, OPEN_DIRECTORY)
        try:
            self._lock()
            self.sweep()
        except BaseException:
            os.close(self._directory)
            raise
        return self

    def _lock(self) -> None:
        if self._progress is None:
            fcntl.flock(self._directory, fcntl.LOCK_EX)
            return
        while True:
            self._progress(0, 0)
            try:
                fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(PAUSE_S)
            else:
                return

    def __exit__(self, *_: object) -> None:
        os.close(self._directory)

    def sweep(self) -> None:
        """Remove what has no name, or has it no more."""
        for name in os.listdir(self._directory):
            if name.startswith(_NEW):
                remove_entry(name, self._directory)

    def fresh(self) -> str:
        """The path of a new directory that nobody takes for a snapshot."""
        path = f"{self.path}/{_NEW}{os.urandom(8).hex()}"
        os.mkdir(path, 0o700)
        return path

    def at(self, name: str) -> str:
        """The path of a snapshot."""
        return f"{self.path}/{name}"

    def has(self, name: str) -> bool:
        """Is there a snapshot of that name on disk?"""
        return os.path.lexists(f"{self.path}/{name}/{_RECORD}")

    def take_away(self, name: str) -> None:
        """Remove a snapshot, all at once for whoever looks."""
        if os.path.lexists(self.at(name)):
            os.rename(self.at(name), f"{self.path}/{_NEW}{os.urandom(8).hex()}")
            self.sweep()


def make(
    trees: Trees, name: str = "", *, most: int = MOST, progress: Progress | None = None
) -> Snapshot:
    """Copy the trees as they are now; without a name, under the next number.

    `progress` as for `restore.restore`.

    Raises UsageError `snapshot-name`, `snapshot-exists`, `snapshots-too-many`; EvidenceError
    `source-changed` if something writes to them all the while; MachineError `disk-full`,
    `snapshot-incomplete`, `workspace-rearranged` and others of a copy. Then nothing of it is left.
    """
    if name:
        check_name(name)
    with Shelf(trees.path, progress) as shelf:
        present = {one.name for one in listed(trees.path)}
        name = name or _next_number(present)
        if name in present:
            raise UsageError(
                f"there is a snapshot `{name}` already",
                reason="snapshot-exists",
                hint=f"`nbs snapshot --remove {name}` removes it",
            )
        if len(present) > most:
            raise UsageError(
                f"there are {most} snapshots of this workspace already",
                reason="snapshots-too-many",
                hint="`nbs snapshot --remove NAME` removes one",
            )
        return _make(shelf, trees, name, progress)


def _make(shelf: Shelf, trees: Trees, name: str, progress: Progress | None) -> Snapshot:
    for left in reversed(range(ATTEMPTS)):
        try:
            new = shelf.fresh()
            tally = Tally(progress)
            with_rights(lambda counting: _copy(trees, new, counting), tally)  # noqa: B023  done here
            made = Snapshot(name=name, created=time.time(), files=tally.files, bytes=tally.bytes)
            record(made, new)
            os.rename(new, shelf.at(name))
        except EvidenceError as error:
            shelf.sweep()
            if error.reason != "source-changed" or not left:
                raise _still_written(error) from None
        except OSError as error:
            shelf.sweep()
            raise refusal(error, shelf.path) from None
        except BaseException:
            shelf.sweep()
            raise
        else:
            return made
    raise AssertionError  # pragma: no cover


def _still_written(error: EvidenceError) -> EvidenceError:
    if error.reason != "source-changed":
        return error
    return EvidenceError(
        "the workspace changes while it is being copied",
        reason=error.reason,
        evidence=(error.message,),
        hint="stop what writes in it, then `nbs snapshot` again",
    )


def _copy(trees: Trees, new: str, tally: Tally) -> None:
    with Links(new) as links, Ways(trees.path) as ways:
        copy_part(ways.at(UPPER), f"{new}/{UPPER}", tally, links)
        if os.path.lexists(ways.at(trees.tmp)):
            copy_part(ways.at(trees.tmp), f"{new}/{TMP}", tally, links)
        os.mkdir(f"{new}/{OUTPUTS}", 0o700)
        for name in trees.output_names(ways):
            output = ways.at(f"{trees.outputs}/{name}")
            copy_part(output, f"{new}/{OUTPUTS}/{name}", tally, links)


def copy_part(source: str, destination: str, tally: Tally, links: Links) -> None:
    """A raw copy of a tree, file or link, with hard links to the other parts.

    Raises MachineError `snapshot-incomplete`.
    """
    progress = tally.counter()
    if os.path.isdir(source) and not os.path.islink(source):
        report = copy_tree(
            source, destination, owner=None, progress=progress, raw=True, links=links
        )
    else:
        report = copy_entry(source, destination, owner=None, links=links)
    missing = (*report.unreadable, *report.skipped)
    if missing:
        raise MachineError(
            "not everything in the workspace can be copied",
            reason="snapshot-incomplete",
            evidence=missing[:3],
        )
    progress(report.files, report.bytes)


def record(snapshot: Snapshot, path: str) -> None:
    """Write down, in the directory that is to become it, what a snapshot is."""
    with open(f"{path}/{_RECORD}", "x", encoding="utf-8") as file:
        json.dump(snapshot.fields(), file)


def listed(path: str) -> tuple[Snapshot, ...]:
    """The snapshots of the workspace at `path`, the oldest first; without `failed`."""
    try:
        names = os.listdir(f"{path}/{SNAPSHOTS}")
    except FileNotFoundError:
        return ()
    found = (_read(f"{path}/{SNAPSHOTS}/{name}", name) for name in names if name[0] != ".")
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.created))


def _read(path: str, name: str) -> Snapshot | None:
    try:
        with open(f"{path}/{_RECORD}", encoding="utf-8") as file:
            fields = json.loads(file.read(_LARGEST_RECORD))
        return Snapshot(
            name=name,
            created=float(fields["created"]),
            files=int(fields["files"]),
            bytes=int(fields["bytes"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def layers(path: str, name: str, kept: str, *, overlay: bool) -> tuple[str, ...]:
    """The directories whose union is the build tree of a snapshot, top first.

    Raises UsageError `snapshot-unknown`.
    """
    if name == FAILED:
        return (kept,)
    expect(path, name)
    upper = f"{path}/{SNAPSHOTS}/{name}/upper"
    return (upper, kept) if overlay else (upper,)


def remove(path: str, name: str) -> None:
    """Remove a snapshot. Raises UsageError `snapshot-name`, `snapshot-unknown`."""
    if name == FAILED:
        raise UsageError("`failed` is what was kept, and takes no room", reason="snapshot-name")
    with Shelf(path) as shelf:
        expect(path, name)
        shelf.take_away(name)


def expect(path: str, name: str) -> None:
    """Raises UsageError `snapshot-unknown` if there is no such snapshot."""
    present = [one.name for one in listed(path)]
    if name != FAILED and name not in present:
        raise UsageError(
            f"there is no snapshot `{name[:LONGEST_NAME]}`",
            reason="snapshot-unknown",
            evidence=(f"there are: {', '.join([FAILED, *present])}",),
            hint="`nbs snapshots` lists them",
        )


def check_name(name: str) -> None:
    """Raises UsageError `snapshot-name` for what cannot be the name of a new snapshot."""
    if name in OF_THEIR_OWN:
        raise UsageError(
            f"`{name}` is a snapshot that is made without being asked for",
            reason="snapshot-name",
            hint="take another name",
        )
    if not name or name[0] in ".-" or len(name) > LONGEST_NAME or not PLAIN.issuperset(name):
        raise UsageError(
            "that cannot be the name of a snapshot",
            reason="snapshot-name",
            evidence=(f"up to {LONGEST_NAME} letters, digits and `._+-`, a letter or digit first",),
            hint="`nbs snapshot before-sed`",
        )


def _next_number(present: set[str]) -> str:
    return str(max((int(n) for n in present if n.isdecimal() and n.isascii()), default=0) + 1)
