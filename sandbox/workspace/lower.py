"""What a workspace lies over, or was copied from: the directory that was kept, and the partial
outputs; and no other.

Their paths were written down long ago, and others may own directories on the way to them. They are
come to by no link, and are the same as they were, or the workspace has lost them.
"""

from __future__ import annotations

import os

from sandbox.errors import EvidenceError
from sandbox.linux import syscalls
from sandbox.linux.looked import ONE_STEP, STALE, open_by_no_link, open_looked
from sandbox.model.spec import Looked
from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.kept import Copied, Kept


def identity(path: str) -> tuple[int, int, int]:
    """What tells a kept directory from another that has its name later, and from itself before:
    its inode, when it was made (0: not known), and when it was changed last, in nanoseconds.

    The number of its device would not: many have another one after the next start of the machine.
    Raises OSError.
    """
    handle = os.open(path, ONE_STEP)
    try:
        return _identity(handle)
    finally:
        os.close(handle)


def open_lower(kept: Kept) -> int:
    """The open directory. Raises EvidenceError `workspace-build-gone`, and OSError where the caller
    may not read it.
    """
    return _opened(_open_same(kept))


def open_store(path: str) -> int:
    """The directory that partial outputs lie in, open. Raises OSError."""
    return _opened(open_by_no_link(path))


def _opened(handle: int) -> int:
    try:
        return os.open(".", OPEN_DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)


def require_build(kept: Kept, *, changed: bool = False) -> None:
    """Is what was kept still what the workspace was made of? `changed`: it may have been changed.

    Raises EvidenceError `workspace-build-gone`, also if another directory has the name now, and
    `workspace-build-changed` for one over which an overlay lies.
    """
    handle = _open_same(kept)
    try:
        mtime_ns = _identity(handle)[2]
    finally:
        os.close(handle)
    if not changed and kept.method == "overlay" and mtime_ns != kept.identity[2]:
        name = kept.name
        raise EvidenceError(
            f"the build of the workspace `{name}` was changed where it was kept",
            reason="workspace-build-changed",
            evidence=(f"`{kept.kept}`: names came or went, or it was touched",),
            hint=f"`nbs shell --ws {name} --changed` takes it as it is now, once for always",
        )


def source_of(copied: Copied) -> Looked:
    """What was copied when a workspace was begun."""
    _, source, _, _, inode, owner, _, born_ns = copied
    return Looked(path=source, real=source, device=None, inode=inode, uid=owner, born_ns=born_ns)


def why_lost(source: Looked) -> str:
    """Why what was copied cannot be had again; empty if it is still there."""
    try:
        os.close(open_looked(source))
    except OSError as error:
        if error.errno != STALE:
            return error.strerror or str(error)
        return "another one is there now" if os.path.lexists(source.real) else "it is gone"
    return ""


def lost_outputs(kept: Kept) -> tuple[tuple[str, str], ...]:
    """The names of the partial outputs that are not in the store any more as they were copied, each
    with the reason: Nix collects them, and another build makes them anew.
    """
    start = f"{kept.store_place}/"
    found = [
        (one[0].removeprefix(start), why_lost(source_of(one)))
        for one in kept.copies
        if one[0].startswith(start)
    ]
    return tuple((name, why) for name, why in found if why)


def _build_gone(kept: Kept, seen: str) -> EvidenceError:
    return EvidenceError(
        f"the build of the workspace `{kept.name}` is no longer where it was kept",
        reason="workspace-build-gone",
        evidence=(f"`{kept.kept}`: {seen}",),
        hint=f"`nbs ws path {kept.name}` tells where the changed files are",
    )


def _open_same(kept: Kept) -> int:
    try:
        handle = open_by_no_link(kept.kept)
    except OSError as error:
        raise _build_gone(kept, error.strerror or str(error)) from None
    if _identity(handle)[:2] != kept.identity[:2]:
        os.close(handle)
        raise _build_gone(kept, "another directory is there now")
    return handle


def _identity(handle: int) -> tuple[int, int, int]:
    status = os.fstat(handle)
    return status.st_ino, syscalls.birth_time_ns(handle), status.st_mtime_ns
