"""Who else could exchange what lies at a path, what was there when it was looked at, and opening
only what nobody else has led to.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.errors import EvidenceError
from sandbox.model.spec import Looked

TYPE_CHECKING = False
MOST_LINKS = 40

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def is_ours(path: str) -> bool:
    """Do root and the caller alone decide what is at the absolute `path`?

    Every directory and link on the way belongs to one of them. Of a directory that all may write
    to, as /tmp, the sticky bit keeps others from exchanging what is not theirs.
    """
    ours = (0, os.geteuid())
    try:
        handle, way = _walk(path)
    except (OSError, ValueError):
        return False
    os.close(handle)
    for status in way:
        all_write = not stat.S_ISLNK(status.st_mode) and status.st_mode & stat.S_IWOTH
        if status.st_uid not in ours or (all_write and not status.st_mode & stat.S_ISVTX):
            return False
    return True


def open_file(path: str, *, linked: bool = True) -> int:
    """Open a file for reading, if nobody but its owner, root and the caller has led to it.

    A link of another user's may lead to a file of that user's alone; a directory of another
    user's, in which a hard link can stand, also to one that all may read. `linked`: the end of the
    path may be a link. What is opened need not be a regular file. Raises OSError, ValueError, and
    EvidenceError `store-redirected`.
    """
    handle, way = _walk(path if path.startswith("/") else f"{os.getcwd()}/{path}", linked=linked)
    # What was looked at, wherever its path leads by now.
    itself = f"/proc/self/fd/{handle}"
    try:
        if _is_redirected(way):
            raise _redirected(path, os.readlink(itself), way[-1].st_uid)
        return os.open(itself, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _is_redirected(way: list[os.stat_result]) -> bool:
    """Have others, on the way to a file, led to what could be closed to them?"""
    ours = (0, os.geteuid())
    *before, end = way
    theirs = [status for status in before if status.st_uid not in ours]
    links = {status.st_uid for status in theirs if stat.S_ISLNK(status.st_mode)}
    directories = {status.st_uid for status in theirs if not stat.S_ISLNK(status.st_mode)}
    closed = end.st_uid not in directories and not end.st_mode & stat.S_IROTH
    return bool(links - {end.st_uid}) or bool(directories and closed)


def _redirected(path: str, real: str, owner: int) -> EvidenceError:
    return EvidenceError(
        f"`{path}` is not read: another user has led there to what is not that user's",
        reason="store-redirected",
        evidence=(f"it is `{real}`, which belongs to user {owner}",),
        hint=f"`namei -lx {path}` shows whose links and directories lie on the way",
    )


def look_at(path: str) -> Looked:
    """What is at an absolute path, a link as well. Raises OSError."""
    above, _, name = path.rpartition("/")
    real = f"{os.path.realpath(above)}/{name}".replace("//", "/")
    return as_looked_at(path, real, os.lstat(real))


def look_at_store(path: str) -> Looked:
    """The directory that a store's path leads to, which somebody else may have made.

    Raises OSError, and EvidenceError `store-redirected` where a link of another user's leads to
    what is not that user's: it could be any directory that the caller alone may see.
    """
    ours = (0, os.geteuid())
    handle, way = _walk(path)
    os.close(handle)
    links = [status.st_uid for status in way if stat.S_ISLNK(status.st_mode)]
    theirs = [uid for uid in links if uid not in ours]
    real = os.path.realpath(path)
    looked = as_looked_at(path, real, os.lstat(real))
    if any(uid != looked.uid for uid in theirs):
        raise EvidenceError(
            f"`{path}` is no store, but a link of another user's",
            reason="store-redirected",
            evidence=(f"it leads to `{real}`, which belongs to user {looked.uid}",),
            hint=f"`namei -lx {path}` shows whose links lie on the way",
        )
    return looked


def as_looked_at(path: str, real: str, status: os.stat_result) -> Looked:
    """The same where its status is known."""
    return Looked(
        path=path, real=real, device=status.st_dev, inode=status.st_ino, uid=status.st_uid
    )


def _walk(path: str, *, linked: bool = True) -> tuple[int, list[os.stat_result]]:
    """The end of an absolute path, open with O_PATH, and all that the kernel goes through on the
    way to it: links too, and the end itself last. Raises OSError, ValueError.
    """
    here = os.open("/", _STEP | os.O_DIRECTORY)
    way = [os.fstat(here)]
    waiting, links = _names(path), 0
    try:
        while waiting:
            found = _step(here, waiting.pop(), more=bool(waiting))
            way.append(os.fstat(found))
            if not stat.S_ISLNK(way[-1].st_mode):
                os.close(here)
                here = found
                continue
            links += 1
            target = _target(found, may=links <= MOST_LINKS and (linked or bool(waiting)))
            waiting += _names(target)
            if target.startswith("/"):
                top = os.open("/", _STEP | os.O_DIRECTORY)
                os.close(here)
                here = top
    except BaseException:
        os.close(here)
        raise
    return here, way


def _target(link: int, *, may: bool) -> str:
    """What a link says, which is closed then. Raises OSError, as where it may not be followed."""
    try:
        target = os.readlink("", dir_fd=link)
    finally:
        os.close(link)
    if not may:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), target)
    return target


def _names(path: str) -> list[str]:
    """The parts of a path, the last first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _step(here: int, name: str, *, more: bool) -> int:
    if more:
        try:
            # Asked for as a directory, what an automounter has there is mounted.
            return os.open(name, _STEP | os.O_DIRECTORY, dir_fd=here)
        except NotADirectoryError:
            pass  # A link, or the way ends here.
    return os.open(name, _STEP, dir_fd=here)
