"""Ways into what a session has of its workspace: by no link, whatever it has moved meanwhile.

Where the root of a sandbox belongs to what runs inside, a program there can rename `/nix` or `/tmp`
and leave a link to any place of the host in its stead. For us outside these are names below
`root/`. Every directory on the way is opened as one, once, and from then on its descriptor counts:
what is moved afterwards stays what it was.
"""

from __future__ import annotations

import os

from sandbox.errors import MachineError
from sandbox.workspace.harvest import open_up
from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Ways:
    """The ways into the workspace at `path`, open until the end: a context manager.

    Paths are relative to the workspace. What lies directly in it has a way of one name: no sandbox
    shows that directory, so no program inside can exchange what is there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def at(self, relative: str) -> str:
        """A path for the kernel, which leads to that name and through no link on the way to it.

        Raises MachineError `workspace-rearranged` if there is no such way.
        """
        above, _, name = relative.rpartition("/")
        return f"{self.directory(above)}/{name}" if above else f"{self._path}/{name}"

    def directory(self, relative: str) -> str:
        """The same for a directory itself: not even its own name is a link."""
        if relative not in self._open:
            self._open[relative] = self._opened(relative)
        return f"/proc/self/fd/{self._open[relative]}"

    def names(self, relative: str) -> tuple[str, ...]:
        """What is in a directory; nothing, if it `is_missing`. Raises as `at`."""
        return () if self.is_missing(relative) else tuple(os.listdir(self.directory(relative)))

    def is_missing(self, relative: str) -> bool:
        """Is nothing there, not even a link? Raises as `at`."""
        return not os.path.lexists(self.at(relative))

    def _opened(self, relative: str) -> int:
        top = os.open(self._path, OPEN_DIRECTORY)
        try:
            found = open_up(top, relative)
        finally:
            os.close(top)
        if found < 0:
            raise MachineError(
                f"`{relative.removeprefix('root')}` was moved by what runs inside",
                reason="workspace-rearranged",
                evidence=(f"no directory is at `{self._path}/{relative}`, or a link leads to it",),
                hint="move it back, or leave the sandbox: what was changed elsewhere is kept",
            )
        return found
