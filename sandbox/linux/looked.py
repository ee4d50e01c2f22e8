"""Opening what was looked at before, and nothing that has come to its place since.

A path of the host is walked again whenever something is opened by it. Where it leads through
directories of another user, that user may meanwhile have put a link there to what only the caller
may see. So the way is walked by no link, and what is at its end has to be the same. From then on
the descriptor counts, which nobody can exchange. Something else can be taken for the same only if
the same user removed the one and made the other, with its number: then it is that user's, too.
"""

from __future__ import annotations

import errno
import os

from sandbox.errors import EvidenceError
from sandbox.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.spec import IdMap, Looked

STALE = errno.ESTALE
ONE_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_looked(looked: Looked, ids: IdMap | None = None) -> int:
    """Open it with O_PATH. Raises OSError, with `STALE` for something else in its place.

    `ids` are those of the user namespace that this process is in, if it is in a new one: there an
    owner is only known if it has a number.
    """
    try:
        handle = open_by_no_link(looked.real)
    except (FileNotFoundError, NotADirectoryError):
        raise _stale(looked) from None
    status = os.fstat(handle)
    owner = looked.uid if ids is None else ids.seen_inside(looked.uid)
    same = status.st_ino == looked.inode and looked.device in (status.st_dev, None)
    if not same or owner not in (status.st_uid, None) or not _born_then(handle, looked):
        os.close(handle)
        raise _stale(looked)
    return handle


def _born_then(handle: int, looked: Looked) -> bool:
    return not looked.born_ns or syscalls.birth_time_ns(handle) == looked.born_ns


def require_looked(looked: Looked) -> int:
    """The same for who tells people. Raises EvidenceError `evidence-changed`, and OSError."""
    try:
        return open_looked(looked)
    except OSError as error:
        if error.errno == STALE:
            raise changed(looked.path) from None
        raise


def changed(path: str) -> EvidenceError:
    """What is to be said of a path where something else is than what was looked at."""
    return EvidenceError(
        f"`{path}` is no longer what was looked at a moment before",
        reason="evidence-changed",
        evidence=("something else was put there, or a link on the way to it",),
        hint=f"see who may write there, `namei -l {path}`, and start again",
    )


def _stale(looked: Looked) -> OSError:
    return OSError(STALE, os.strerror(STALE), looked.path)


def open_by_no_link(path: str) -> int:
    """Open an absolute path with O_PATH, by no link, not even at its end. Raises OSError."""
    here = os.open("/", ONE_STEP | os.O_DIRECTORY)
    names = path.strip("/").split("/") if path.strip("/") else []
    for depth, name in enumerate(names, 1):
        try:
            flags = ONE_STEP | (os.O_DIRECTORY if depth < len(names) else 0)
            inner = os.open(name, flags, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    return here
