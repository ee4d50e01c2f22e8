"""Going through a tree that others have filled, and looking at each entry.

As in `workspace.remove`: relative to descriptors of directories that were opened without following
a link, a bounded number of them, and no path longer than a name. What is on another file system,
or cannot be opened, is looked at from outside. What goes away meanwhile was not there.
"""

from __future__ import annotations

import os

from sandbox.workspace.remove import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN_LEVELS = 32


class Seen:
    """An entry on the way: its `name` in `directory`, which is open until the next is asked for.

    `where` are the names of the directories that lead there. `is_open`: a directory that is gone
    into next.
    """

    __slots__ = ("directory", "is_directory", "is_open", "name", "status", "where")

    def __init__(self, name: str, directory: int, status: os.stat_result, where: list[str]) -> None:
        self.name = name
        self.directory = directory
        self.status = status
        self.where = where
        self.is_directory = self.is_open = False


class _Level:
    __slots__ = ("descriptor", "identity", "name", "rest")

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.identity = status.st_dev, status.st_ino
        with os.scandir(descriptor) as entries:
            self.rest = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def walk(directory: int) -> Iterator[Seen]:
    """Every entry below an open directory, which stays open. A directory comes before its own."""
    levels = [_Level("", os.dup(directory))]
    where: list[str] = []
    try:
        while levels:
            level = levels[-1]
            if not level.rest:
                if not _ascend(levels, where):
                    return
                continue
            name, is_directory = level.rest.pop()
            try:
                status = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
            except OSError:
                continue
            seen = Seen(name, level.descriptor, status, where)
            inner = _inner(seen, level.identity[0]) if is_directory else None
            yield seen
            if inner is not None:
                levels.append(inner)
                where.append(name)
                if len(levels) > _OPEN_LEVELS:
                    levels[-_OPEN_LEVELS - 1].close()
    finally:
        for level in levels:
            level.close()


def _inner(seen: Seen, device: int) -> _Level | None:
    seen.is_directory = True
    if seen.status.st_dev != device:
        return None
    try:
        descriptor = os.open(seen.name, OPEN_DIRECTORY, dir_fd=seen.directory)
    except OSError:
        return None
    try:
        inner = _Level(seen.name, descriptor)
    except OSError:
        os.close(descriptor)
        return None
    seen.is_open = True
    return inner


def _ascend(levels: list[_Level], where: list[str]) -> bool:
    """Back to the directory above; False if it is no longer where it was."""
    level = levels.pop()
    try:
        if where:
            where.pop()
        above = levels[-1] if levels else None
        if above is None or above.descriptor >= 0:
            return True
        above.descriptor = os.open("..", OPEN_DIRECTORY, dir_fd=level.descriptor)
        status = os.fstat(above.descriptor)
    except OSError:
        return False
    finally:
        level.close()
    return (status.st_dev, status.st_ino) == above.identity


def open_below(directory: int, path: str) -> int:
    """Open a directory below another, through directories alone; -1 if that cannot be done.

    Nothing is changed for it: a directory that is closed to us stays so.
    """
    current = os.dup(directory)
    for name in path.split("/"):
        try:
            inner = os.open(name, OPEN_DIRECTORY, dir_fd=current)
        except OSError:
            inner = -1
        finally:
            os.close(current)
        if inner < 0:
            return -1
        current = inner
    return current
