"""Going down into directories and back up, however deep, with few descriptors open.

No directory is entered but by its own name from the one above, and by no link. The way back up to
one that was closed is `..`, and counts only if it leads to where one came from: whoever moves a
directory meanwhile gains nothing. No path longer than one name is handed to the kernel, so a tree
may be deeper than PATH_MAX allows.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_LEVELS = 32


class Level:
    """A directory on the way; `descriptor` is -1 while it is closed. `status` is what it was when
    it was entered. `names` and `mode` are for whoever goes down: what is left to do in it.
    """

    __slots__ = ("descriptor", "mode", "name", "names", "status")

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        self.mode = -1
        self.names: list[str] = []


class Ladder:
    """A context manager: `top` and all that was entered below is closed at its end."""

    def __init__(self, top: int) -> None:
        self.levels = [Level("", top)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for level in self.levels:
            if level.descriptor >= 0:
                os.close(level.descriptor)
        self.levels.clear()

    @property
    def lowest(self) -> Level:
        return self.levels[-1]

    @property
    def depth(self) -> int:
        return len(self.levels) - 1

    def path(self, name: str = "") -> str:
        """The names from below the top to `name`."""
        return "/".join([*(level.name for level in self.levels[1:]), *([name] if name else [])])

    def down(self, name: str) -> Level:
        """Enter the directory `name` of the lowest. Raises OSError, for a link too."""
        return self.enter(name, os.open(name, OPEN_DIRECTORY, dir_fd=self.lowest.descriptor))

    def enter(self, name: str, descriptor: int) -> Level:
        """The same for one that is open already."""
        level = Level(name, descriptor)
        self.levels.append(level)
        # The top stays open: nobody came to it by a name.
        if self.depth > _OPEN_LEVELS:
            above = self.levels[-_OPEN_LEVELS - 1]
            if above is not self.levels[0] and above.descriptor >= 0:
                os.close(above.descriptor)
                above.descriptor = -1
        return level

    def up(self) -> Level:
        """Leave the lowest, which is still open: whoever calls this closes it.

        Raises OSError (ESTALE) if that has been moved.
        """
        left, above = self.levels[-1], self.levels[-2]
        if above.descriptor < 0:
            descriptor = os.open("..", OPEN_DIRECTORY, dir_fd=left.descriptor)
            if not os.path.samestat(os.fstat(descriptor), above.status):
                os.close(descriptor)
                raise OSError(errno.ESTALE, "moved meanwhile", self.path())
            above.descriptor = descriptor
        return self.levels.pop()


def open_below(directory: int, path: str, open_one: Callable[[str, int], int] | None = None) -> int:
    """Open a directory below another, through directories alone; -1 if that cannot be done.

    `open_one` opens the directory of a name in another, or returns -1. Without it nothing is
    changed: a directory that is closed to us stays so.
    """
    open_one = open_one or _open_as_it_is
    current = os.dup(directory)
    for name in path.split("/"):
        try:
            inner = open_one(name, current)
        finally:
            os.close(current)
        if inner < 0:
            return -1
        current = inner
    return current


def _open_as_it_is(name: str, directory: int) -> int:
    try:
        return os.open(name, OPEN_DIRECTORY, dir_fd=directory)
    except OSError:
        return -1
