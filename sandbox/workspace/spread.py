"""Dividing the copy of a tree into portions that any process can carry out, in any order.

The directories at the top are made first, breadth first, and what is in them is listed. Each
portion is then some of these entries, or a directory further down with all below it. Last, the
directories at the top get the modes and times that the work inside them would have spoilt.
"""

from __future__ import annotations

import os

from sandbox.model.value import Value
from sandbox.workspace.descent import Descent, Pair, enter, leave
from sandbox.workspace.entries import open_source
from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.entries import Entries
    from sandbox.workspace.tally import Tally

    Path = tuple[str, ...]

_PORTION = 256
_ENOUGH_PORTIONS = 64
_MOST_DIRECTORIES = 256
_DEEPEST = 32
_MUCH = 2000


class Portion(Value):
    """A part of the work in the directory `path`: the entries `names`, each with whether it is a
    regular file, or the directory `directory` with all below it."""

    path: Path
    names: tuple[tuple[str, bool], ...] = ()
    directory: str = ""


class Spread:
    """The top of a tree, made and listed, and the portions that are left to carry out."""

    def __init__(self, top: Pair, entries: Entries) -> None:
        self.top = top
        self.entries = entries
        self.portions: list[Portion] = []
        self.directories: list[tuple[Path, os.stat_result]] = []
        self.listed = 0
        self.deferred = 0
        waiting: list[Path] = [()]
        while waiting:
            path = waiting.pop(0)
            if self.is_spread(path, len(waiting)):
                waiting += [(*path, name) for name in self.open_up(path)]
            else:
                self.deferred += 1
                self.portions.append(Portion(path=path[:-1], directory=path[-1]))

    def is_spread(self, path: Path, waiting: int) -> bool:
        """Whether to list `path` now, rather than to leave it to a portion."""
        return not path or (
            not self.deferred
            and waiting < _ENOUGH_PORTIONS
            and len(self.directories) < _MOST_DIRECTORIES
            and len(path) <= _DEEPEST
        )

    def is_much(self) -> bool:
        """Whether there is so much to do that starting processes pays."""
        return self.listed >= _MUCH or self.deferred >= _ENOUGH_PORTIONS

    def open_up(self, path: Path) -> list[str]:
        """Make one directory and put what is in it into portions; the directories in it."""
        level = self.make(path)
        if level is None:
            return []
        directories: list[str] = []
        others: list[tuple[str, bool]] = []
        try:
            self.directories.append((path, level.status))
            with os.scandir(level.source) as listing:
                for entry in listing:
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.name)
                    else:
                        others.append((entry.name, entry.is_file(follow_symlinks=False)))
        finally:
            level.close()
        self.listed += len(others)
        for start in range(0, len(others), _PORTION):
            names = tuple(others[start : start + _PORTION])
            self.portions.append(Portion(path=path, names=names))
        return directories

    def make(self, path: Path) -> Pair | None:
        if not path:
            return self.open(path, self.entries)
        above = self.open(path[:-1], self.entries)
        try:
            return enter(self.entries, path[-1], above, self.top.status.st_dev)
        finally:
            above.close()

    def open(self, path: Path, entries: Entries) -> Pair:
        """Open a directory of the top and its copy, name by name, so that no link is followed."""
        source, target = os.dup(self.top.source), os.dup(self.top.target)
        entries.where[:] = []
        try:
            for name in path:
                below = open_source(name, source, OPEN_DIRECTORY)
                os.close(source)
                source = below
                below = os.open(name, OPEN_DIRECTORY, dir_fd=target)
                os.close(target)
                target = below
                entries.where.append(name)
            return Pair("", source, target)
        except BaseException as error:
            os.close(source)
            os.close(target)
            if isinstance(error, (PermissionError, FileNotFoundError)):
                raise entries.changed(path[-1]) from None
            raise

    def carry_out(self, index: int, tally: Tally) -> None:
        portion = self.portions[index]
        entries = self.entries.counted_by(tally)
        level = self.open(portion.path, entries)
        try:
            if portion.directory:
                Descent(entries, level, self.top.status.st_dev).copy(portion.directory)
            for name, is_file in portion.names:
                entries.copy(name, is_file, level.source, level.target)
        finally:
            level.close()

    def finish(self) -> None:
        """Give the directories of the top their attributes, the lowest first."""
        for path, status in reversed(self.directories):
            level = self.open(path, self.entries)
            try:
                level.status = status
                leave(self.entries, level)
            finally:
                level.close()
