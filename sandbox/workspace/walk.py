"""Going through a tree that others have filled, and looking at each entry.

What is on another file system, or cannot be opened, is looked at from outside. What goes away
meanwhile was not there.
"""

from __future__ import annotations

import os
import stat

from sandbox.workspace.ladder import Ladder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


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
        self.is_directory = stat.S_ISDIR(status.st_mode)
        self.is_open = False


def walk(directory: int) -> Iterator[Seen]:
    """Every entry below an open directory, which stays open. A directory comes before its own."""
    where: list[str] = []
    with Ladder(os.dup(directory)) as ladder:
        ladder.lowest.names = os.listdir(ladder.lowest.descriptor)
        while True:
            level = ladder.lowest
            if not level.names:
                if not _ascend(ladder):
                    return
                where.pop()
                continue
            name = level.names.pop()
            try:
                status = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
            except OSError:
                continue
            seen = Seen(name, level.descriptor, status, where)
            if seen.is_directory and status.st_dev == level.status.st_dev:
                seen.is_open = _descend(ladder, name)
            yield seen
            if seen.is_open:
                where.append(name)


def _descend(ladder: Ladder, name: str) -> bool:
    """Into a directory, if it can be opened."""
    try:
        inner = ladder.down(name)
    except OSError:
        return False
    try:
        inner.names = os.listdir(inner.descriptor)
    except OSError:
        os.close(ladder.up().descriptor)
        return False
    return True


def _ascend(ladder: Ladder) -> bool:
    """Back to the directory above; False at the top, or if it is no longer where it was."""
    if not ladder.depth:
        return False
    try:
        os.close(ladder.up().descriptor)
    except OSError:
        return False
    return True
