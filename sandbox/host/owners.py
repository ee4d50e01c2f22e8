"""Who else could exchange what lies at a path, and what was there when it was looked at."""

from __future__ import annotations

import os
import stat

from sandbox.errors import EvidenceError
from sandbox.model.spec import Looked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINKS = 40


def is_ours(path: str) -> bool:
    """Do root and the caller alone decide what is at the absolute `path`?

    Every directory and link on the way belongs to one of them. Of a directory that all may write
    to, as /tmp, the sticky bit keeps others from exchanging what is not theirs.
    """
    ours = (0, os.geteuid())
    try:
        for status in _way(path):
            all_write = not stat.S_ISLNK(status.st_mode) and status.st_mode & stat.S_IWOTH
            if status.st_uid not in ours or (all_write and not status.st_mode & stat.S_ISVTX):
                return False
    except (OSError, ValueError):
        return False
    return True


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
    links = [status.st_uid for status in _way(path) if stat.S_ISLNK(status.st_mode)]
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


def _way(path: str) -> Iterator[os.stat_result]:
    """All that the kernel goes through on the way to `path`, the links too. Raises OSError."""
    waiting = path.split("/")[::-1]
    here, links = "/", 0
    while waiting:
        place = os.path.normpath(os.path.join(here, waiting.pop()))
        status = os.lstat(place)
        yield status
        if not stat.S_ISLNK(status.st_mode):
            here = place
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(40, os.strerror(40), path)
        target = os.readlink(place)
        waiting += target.split("/")[::-1]
        here = "/" if target.startswith("/") else here
