"""Small files of a workspace: replaced as a whole, and read up to a bound."""

from __future__ import annotations

import os
import stat

from sandbox.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_AT_ONCE = 1 << 20


class Replacement:
    """A context manager: what is written becomes the file `name`, or nothing has happened.

    Whoever reads meanwhile finds the old file or the new one.
    """

    def __init__(self, name: str, directory: int) -> None:
        self._name = name
        self._new = f".{name}-{os.urandom(8).hex()}"
        self._directory = directory
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._new, _NEW, 0o600, dir_fd=self._directory)
        return self

    def ctime_ns(self) -> int:
        """The file system's own time of what is made now: its clock is not the machine's."""
        return os.fstat(self._descriptor).st_ctime_ns

    def write(self, text: str) -> None:
        """Append. Raises OSError."""
        syscalls.write_all(self._descriptor, text.encode(errors="surrogateescape"))

    def sync(self) -> None:
        """Let what was written outlive a loss of power, once it has its name. Raises OSError."""
        os.fsync(self._descriptor)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        replaced = False
        try:
            if kind is None:
                where = {"src_dir_fd": self._directory, "dst_dir_fd": self._directory}
                os.rename(self._new, self._name, **where)
                replaced = True
        finally:
            os.close(self._descriptor)
            if not replaced:
                os.unlink(self._new, dir_fd=self._directory)


def read_bounded(name: str, directory: int, most: int) -> str:
    """So many bytes of a regular file at the most; empty for anything else. Raises OSError."""
    descriptor = os.open(name, _READ, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        parts = []
        while most > 0 and (part := os.read(descriptor, min(most, _AT_ONCE))):
            parts.append(part)
            most -= len(part)
        return b"".join(parts).decode(errors="surrogateescape")
    finally:
        os.close(descriptor)
