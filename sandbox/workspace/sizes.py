"""What was changed in a kept workspace, and how much of the disk it takes."""

from __future__ import annotations

import os
import stat

from sandbox.errors import EvidenceError
from sandbox.model.value import Value
from sandbox.workspace.kept import ATTRIBUTES, OUTPUTS, TMP, read_inputs
from sandbox.workspace.ladder import OPEN_DIRECTORY, open_below
from sandbox.workspace.lower import open_lower
from sandbox.workspace.walk import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.kept import Kept
    from sandbox.workspace.walk import Seen

OF_THE_SHELL = (".bash_history",)
"""What an interactive shell writes into /tmp by itself when it ends."""
LOG_OF_A_CELL = ("nbs-cell-", ".log")
"""How the kernel calls the file in /tmp with the whole of a cell's long output."""
_BLOCK = 512
_PRIVATE = 0o700
"""The mode of the build's directory in a new workspace."""
_OF_THE_KERNEL = (["work"], ["store-work"])
"""What an overlay has for itself is closed to everybody."""


def is_of_ours(path: str) -> bool:
    """Is it a file that we have made in /tmp, and no person? `path` is relative to that."""
    start, end = LOG_OF_A_CELL
    number = path.removeprefix(start).removesuffix(end)
    is_log = path == f"{start}{number}{end}" and number.replace("-", "", 1).isdigit()
    return is_log or path in OF_THE_SHELL


class Usage(Value):
    """How much a kept workspace holds.

    `bytes` are those that it takes on disk, each file counted once; what is shared with others by
    reflinks is counted all the same. `changed` are the files of the build tree that were added,
    changed or, where it is an overlay, removed. `snapshots` is their number. `exact` is False
    where a directory could not be looked into.
    """

    bytes: int = 0
    changed: int = 0
    snapshots: int = 0
    exact: bool = True


def usage(kept: Kept) -> Usage:
    """Look through the whole workspace. One that is gone meanwhile holds nothing."""
    try:
        directory = os.open(kept.path, OPEN_DIRECTORY)
    except OSError:
        return Usage()
    try:
        size, exact = _size(directory)
        return Usage(
            bytes=size, changed=_changed(kept, directory), snapshots=_snapshots(kept), exact=exact
        )
    finally:
        os.close(directory)


def _size(directory: int) -> tuple[int, bool]:
    total, exact = 0, True
    counted: set[int] = set()
    for seen in walk(directory):
        if seen.is_directory:
            exact = exact and (seen.is_open or seen.where[:1] in _OF_THE_KERNEL)
        elif seen.status.st_nlink > 1:
            if seen.status.st_ino in counted:
                continue
            counted.add(seen.status.st_ino)
        total += seen.status.st_blocks * _BLOCK
    return total, exact


def _changed(kept: Kept, directory: int) -> int:
    upper = open_below(directory, "upper")
    if upper < 0:
        return 0
    below = -1 if kept.method == "overlay" else _open_kept(kept)
    try:
        files = (seen for seen in walk(upper) if not seen.is_directory)
        if kept.method == "overlay":
            return sum(1 for _ in files)
        return sum(is_later(seen.status, kept) and _differs(seen, below) for seen in files)
    finally:
        os.close(upper)
        if below >= 0:
            os.close(below)


def _open_kept(kept: Kept) -> int:
    try:
        return open_lower(kept)
    except (OSError, EvidenceError):
        return -1


def _differs(seen: Seen, below: int) -> bool:
    """From what was kept, as a look at it tells: a fork has copied what nobody changed too."""
    try:
        path = "/".join((*seen.where, seen.name))
        status = os.stat(path, dir_fd=below, follow_symlinks=False) if below >= 0 else None
    except (OSError, ValueError):
        return True
    return status is None or _looks(status) != _looks(seen.status)


def _looks(status: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns


def _snapshots(kept: Kept) -> int:
    try:
        return sum(not name.startswith(".") for name in os.listdir(kept.snapshots))
    except OSError:
        return 0


def is_later(status: os.stat_result, kept: Kept) -> bool:
    """Was it made or changed by something else than preparing?

    A clock that was put back counts as a change: better one too many kept than one too few.
    """
    return not kept.begun_ns <= status.st_ctime_ns <= kept.prepared_ns


def is_changed(kept: Kept, directory: int) -> bool:
    """Is there anything in an open workspace that its sessions made: files, outputs, snapshots, or
    attributes that were tried?"""
    if not kept.prepared_ns:
        return False
    return (
        _snapshots(kept) > 0
        or _has(ATTRIBUTES, directory)
        or _build_is_changed(kept, directory)
        or _tmp_is_changed(kept, directory)
        or _outputs_are_changed(kept, directory)
    )


def _has(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _build_is_changed(kept: Kept, directory: int) -> bool:
    upper = open_below(directory, "upper")
    if upper < 0:
        return True
    try:
        if kept.method == "overlay":
            return stat.S_IMODE(os.fstat(upper).st_mode) != _PRIVATE or bool(os.listdir(upper))
        return is_later(os.fstat(upper), kept) or any(
            is_later(seen.status, kept) or (seen.is_directory and not seen.is_open)
            for seen in walk(upper)
        )
    finally:
        os.close(upper)


def _tmp_is_changed(kept: Kept, directory: int) -> bool:
    """Besides the places that were prepared for mounts, which are directories with nothing else."""
    for place in (TMP, f"root/{TMP}"):
        tmp = open_below(directory, place)
        if tmp < 0:
            continue
        try:
            for seen in walk(tmp):
                path = "/".join((*seen.where, seen.name))
                if path not in kept.places and not is_of_ours(path):
                    return True
        finally:
            os.close(tmp)
    return False


def _outputs_are_changed(kept: Kept, directory: int) -> bool:
    inputs = read_inputs(directory)
    there: set[str] = set()
    for place in (OUTPUTS, kept.store_place):
        store = open_below(directory, place) if place else -1
        if store < 0:
            continue
        try:
            found = [name for name in os.listdir(store) if name not in inputs]
            if any(_is_later_below(name, store, kept) for name in found):
                return True
            there.update(found)
        finally:
            os.close(store)
    return there != set(kept.partial)


def _is_later_below(name: str, store: int, kept: Kept) -> bool:
    if is_later(os.stat(name, dir_fd=store, follow_symlinks=False), kept):
        return True
    inner = open_below(store, name)
    if inner < 0:
        return False
    try:
        return any(is_later(seen.status, kept) for seen in walk(inner))
    finally:
        os.close(inner)
