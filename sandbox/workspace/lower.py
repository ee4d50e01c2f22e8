"""What a workspace lies over, or was copied from: the directory that was kept, and no other.

Its path was written down long ago, and others may own directories on the way to it. It is come to
by no link, and is the same as it was, or the workspace has lost it.
"""

from __future__ import annotations

import os

from sandbox.errors import EvidenceError
from sandbox.linux import syscalls
from sandbox.linux.looked import ONE_STEP, open_by_no_link
from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.kept import Kept


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
    handle = _open_same(kept)
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
