"""What a kernel asks of the workspace that it is in, done by its supervisor."""

from __future__ import annotations

from nbs_kernel.requests import (
    Asked,
    ListSnapshots,
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


def answered(living: Living, message: Asked, progress: Progress) -> Snapshots | Restored | Refused:
    """Do it, whatever the names are that came from inside. What `progress` raises gives it up."""
    try:
        match message:
            case TakeSnapshot():
                return _listed((_taken(living, message, progress),))
            case Restore():
                kill = bool(message.kill)
                return Restored(name=living.restore(message.name, kill=kill, progress=progress))
            case RemoveSnapshot():
                living.remove(message.name)
            case ListSnapshots():
                pass
        return _listed(living.snapshots())
    except Error as error:
        return Refused.of(error)


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
