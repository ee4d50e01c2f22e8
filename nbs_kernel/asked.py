"""What a kernel asks of its workspace, and of this machine, done for its supervisor."""

from __future__ import annotations

import os
import time

import sandbox
from nbs_kernel.requests import (
    Asked,
    ListNames,
    ListSnapshots,
    Names,
    Refused,
    RemoveSnapshot,
    Restore,
    Restored,
    Snapshots,
    TakeSnapshot,
)
from sandbox import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.errand import Progress
    from sandbox import Living, Snapshot

OF_CELLS = "cell-"
MOST_NAMES = 500
NAMES_S = 2.0
"""So long names are looked for: somebody types, and waits."""


def answered(living: Living, message: Asked, progress: Progress) -> Snapshots | Restored | Refused:
    """Do it, whatever the names are that came from inside. What `progress` raises gives it up."""
    try:
        match message:
            case TakeSnapshot():
                return _listed((_taken(living, message, progress),))
            case Restore():
                kill = bool(message.kill)
                done = living.restore(message.name, kill=kill, progress=progress)
                return Restored(words=done.words)
            case RemoveSnapshot():
                living.remove(message.name)
            case ListSnapshots():
                pass
        return _listed(living.snapshots())
    except Error as error:
        return Refused.of(error)


def names(asked: ListNames) -> Names:
    """The names that `%enter` takes, the newest first: of failed builds, or of workspaces with
    nobody inside. Those that can be had in a moment.
    """
    until = time.monotonic() + NAMES_S
    found: dict[str, None] = {}
    if asked.of == "workspaces":
        found = dict.fromkeys(one.name for one in sandbox.workspaces() if not one.session)
    for place in sandbox.kept_builds(os.environ) if asked.of == "builds" else ():
        if time.monotonic() > until:
            break
        found[sandbox.name_of(place)] = None
    return Names(found=tuple(filter(None, found))[:MOST_NAMES])


def _taken(living: Living, asked: TakeSnapshot, progress: Progress) -> Snapshot:
    if asked.kept <= 0 or not asked.name.startswith(OF_CELLS):
        return living.snapshot(asked.name, progress=progress)
    if any(one.name == asked.name for one in living.snapshots()):
        living.remove(asked.name)
    living.keep_last(OF_CELLS, asked.kept - 1)
    return living.snapshot(asked.name, progress=progress)


def _listed(found: tuple[Snapshot, ...]) -> Snapshots:
    return Snapshots(
        found=tuple((one.name, int(one.created), one.files, one.bytes) for one in found)
    )
