"""Copying a directory with all that is below it, however deep, with few descriptors open.

Only the lowest levels of the way down are open. The way back up to a level that was closed goes
through `..`, and counts only if it leads to the very directory that was left.
"""

from __future__ import annotations

import os
import stat

from sandbox.workspace.entries import Entries, open_source
from sandbox.workspace.ladder import OPEN_DIRECTORY

_OPEN_LEVELS = 32


class Pair:
    """A directory of the source and its copy, both open, or both -1 while they are closed."""

    __slots__ = ("copy_status", "directories", "name", "source", "status", "target")

    def __init__(self, name: str, source: int, target: int) -> None:
        self.name = name
        self.source = source
        self.target = target
        self.status = os.fstat(source)
        self.copy_status = os.fstat(target)
        self.directories: list[str] = []

    def close(self) -> None:
        if self.source >= 0:
            os.close(self.source)
            os.close(self.target)
            self.source = self.target = -1

    def reopen(self, child: Pair) -> bool:
        """Open both again as the parents of `child`'s; False if the source was moved meanwhile."""
        source = open_source("..", child.source, OPEN_DIRECTORY)
        try:
            target = os.open("..", OPEN_DIRECTORY, dir_fd=child.target)
        except BaseException:
            os.close(source)
            raise
        self.source, self.target = source, target
        return os.path.samestat(os.fstat(source), self.status) and os.path.samestat(
            os.fstat(target), self.copy_status
        )


class Descent:
    """Copies one directory of `top` and all below it. `entries.where` leads to `top`."""

    def __init__(self, entries: Entries, top: Pair, device: int) -> None:
        self.entries = entries
        self.top = top
        self.device = device
        self.levels: list[Pair] = []

    def copy(self, name: str) -> None:
        try:
            self.descend(name, self.top)
            while self.levels:
                level = self.levels[-1]
                if level.directories:
                    self.descend(level.directories.pop(), level)
                else:
                    self.ascend()
        finally:
            for level in self.levels:
                level.close()

    def descend(self, name: str, parent: Pair) -> None:
        level = enter(self.entries, name, parent, self.device)
        if level is None:
            return
        self.levels.append(level)
        self.entries.where.append(name)
        if len(self.levels) > _OPEN_LEVELS:
            self.levels[-_OPEN_LEVELS - 1].close()
        entries = self.entries
        with os.scandir(level.source) as listing:
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    level.directories.append(entry.name)
                else:
                    is_file = entry.is_file(follow_symlinks=False)
                    entries.copy(entry.name, is_file, level.source, level.target)

    def ascend(self) -> None:
        """Finish a directory. Its parents are opened first: its mode may soon forbid `..`."""
        level = self.levels[-1]
        above = self.levels[-2] if len(self.levels) > 1 else self.top
        try:
            there = above.source >= 0 or above.reopen(level)
        except (PermissionError, FileNotFoundError):
            there = False
        if not there:
            raise self.entries.changed("")
        leave(self.entries, level)
        level.close()
        self.levels.pop()
        self.entries.where.pop()


def enter(entries: Entries, name: str, parent: Pair, device: int) -> Pair | None:
    """Open a directory of the source and make its copy, for us alone until `leave`.

    None for one that cannot be read, whose copy is then empty, and for another file system.
    """
    try:
        source = open_source(name, parent.source, OPEN_DIRECTORY)
    except PermissionError:
        _make_empty(entries, name, parent)
        return None
    except FileNotFoundError:
        raise entries.changed(name) from None
    status = os.fstat(source)
    if status.st_dev != device or entries.is_closed(status):
        os.close(source)
        if status.st_dev != device:
            entries.tally.skip(entries.path(name))
        else:
            _make_empty(entries, name, parent)
        return None
    target = -1
    try:
        os.mkdir(name, 0o700, dir_fd=parent.target)
        target = os.open(name, OPEN_DIRECTORY, dir_fd=parent.target)
        return Pair(name, source, target)
    except BaseException:
        os.close(source)
        if target >= 0:
            os.close(target)
        raise


def leave(entries: Entries, level: Pair) -> None:
    """Give the copy of a directory its attributes, now that nothing in it changes any more."""
    if os.fstat(level.source).st_mtime_ns != level.status.st_mtime_ns:
        raise entries.changed("")
    entries.finish(level.target, level.status, level.source)


def _make_empty(entries: Entries, name: str, parent: Pair) -> None:
    """In the place of a directory that is closed."""
    entries.tally.unread(entries.path(name))
    try:
        status = os.stat(name, dir_fd=parent.source, follow_symlinks=False)
    except PermissionError:
        return
    except FileNotFoundError:
        raise entries.changed(name) from None
    if not stat.S_ISDIR(status.st_mode):
        raise entries.changed(name)
    os.mkdir(name, 0o700, dir_fd=parent.target)
    entries.finish_name(name, parent.target, status)
