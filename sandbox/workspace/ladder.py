"""Going down into directories and back up, however deep, with few descriptors open.

No directory is entered but by its own name from the one above, and by no link. The way back up to
one that was closed is `..`, and counts only if it leads to where one came from: whoever moves a
directory meanwhile gains nothing.
"""

from __future__ import annotations

import errno
import os

from sandbox.workspace.remove import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_OPEN_LEVELS = 32


class Level:
    """A directory on the way; `descriptor` is -1 while it is closed."""

    __slots__ = ("descriptor", "identity", "mode", "name", "names")

    def __init__(self, name: str, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.name = name
        self.descriptor = descriptor
        self.identity = (status.st_dev, status.st_ino)
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
        level = Level(name, os.open(name, OPEN_DIRECTORY, dir_fd=self.lowest.descriptor))
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
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != above.identity:
                os.close(descriptor)
                raise OSError(errno.ESTALE, "moved while it was copied", self.path())
            above.descriptor = descriptor
        return self.levels.pop()
