"""One tree out of a stack of directories, upper ones covering lower: overlayfs(5), read only.

A directory that is in several layers shows the names of all, but of those below one that is opaque;
a whiteout hides what is below it. Redirections and files without data are not followed: the
overlays here are mounted with `userxattr`, for which the kernel makes neither.

What is in the layers was chosen by a build. Every name is opened relative to the descriptor of its
directory and without following a link, and nothing but regular files is opened to be read.
"""

from __future__ import annotations

import os
import stat

from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    Parts = tuple[str, ...]

OPAQUE = "user.overlay.opaque"
DEEPEST = 2048
"""Directories above each other that PATH_MAX leaves room for; what is deeper is not looked at."""

_OPEN_LEVELS = 24
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class TooDeepError(OSError):
    """A directory lies deeper than any path can tell."""


class Layer:
    """A directory tree on disk, by the open directory at its top, which it closes at the end.

    The way to the directory that was asked for last stays open, as far as `_OPEN_LEVELS`.
    """

    def __init__(self, top: int) -> None:
        self._names: list[str] = []
        self._open = [top]
        self._deep: tuple[Parts, int] = ((), -1)

    @classmethod
    def at(cls, path: str) -> Self:
        """The tree at a path that is trusted, but for its last name. Raises OSError."""
        return cls(os.open(path, OPEN_DIRECTORY))

    def close(self) -> None:
        """Close all that is open."""
        self._leave_deep()
        while self._open:
            os.close(self._open.pop())

    def directory(self, parts: Parts) -> int:
        """The open directory at `parts`, valid until the next call. Raises OSError."""
        if self._deep[1] >= 0:
            known, descriptor = self._deep
            if parts == known:
                return descriptor
            if len(parts) == len(known) + 1 and parts[:-1] == known:
                return self._deeper(parts, os.open(parts[-1], OPEN_DIRECTORY, dir_fd=descriptor))
        common = 0
        for ours, theirs in zip(self._names, parts, strict=False):
            if ours != theirs:
                break
            common += 1
        while len(self._names) > common:
            self._names.pop()
            os.close(self._open.pop())
        for name in parts[common:_OPEN_LEVELS]:
            self._open.append(os.open(name, OPEN_DIRECTORY, dir_fd=self._open[-1]))
            self._names.append(name)
        return self._open[-1] if len(parts) <= _OPEN_LEVELS else self._walk(parts)

    def _walk(self, parts: Parts) -> int:
        if len(parts) > DEEPEST:
            raise TooDeepError(36, "deeper than a path can be")
        descriptor = os.dup(self._open[-1])
        for name in parts[_OPEN_LEVELS:]:
            try:
                child = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = child
        return self._deeper(parts, descriptor)

    def _deeper(self, parts: Parts, descriptor: int) -> int:
        self._leave_deep()
        if len(parts) > DEEPEST:
            os.close(descriptor)
            raise TooDeepError(36, "deeper than a path can be")
        self._deep = (parts, descriptor)
        return descriptor

    def _leave_deep(self) -> None:
        if self._deep[1] >= 0:
            os.close(self._deep[1])
            self._deep = ((), -1)


class Node:
    """What a view has at a path: its status, and the layers that it is of, the upper first.

    Only a directory is of more than one.
    """

    __slots__ = ("layers", "status")

    def __init__(self, layers: tuple[Layer, ...], status: os.stat_result) -> None:
        self.layers = layers
        self.status = status

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class View:
    """The tree that a stack of layers shows, the upper first; of no layers, an empty one.

    Layers may be shared by views; whoever made them closes them.
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def top(self) -> Node | None:
        """The tree's own directory; None for an empty view."""
        if not self.layers:
            return None
        return Node(self.layers, os.fstat(self.layers[0].directory(())))

    def lookup(self, parts: Parts) -> Node | None:
        """What is at `parts`; None for nothing. Raises OSError, as for a closed directory."""
        node = self.top()
        for depth, name in enumerate(parts):
            if node is None or not node.is_directory:
                return None
            node = find(node.layers, parts[:depth], name)
        return node


def find(layers: tuple[Layer, ...], parts: Parts, name: str) -> Node | None:
    """What the directory `parts` of these layers has by that name. Raises OSError."""
    directories: list[Layer] = []
    seen: os.stat_result | None = None
    for layer in layers:
        try:
            status = os.stat(name, dir_fd=layer.directory(parts), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status):
            break
        if not stat.S_ISDIR(status.st_mode):
            return Node((layer,), status) if seen is None else Node(tuple(directories), seen)
        seen = seen or status
        directories.append(layer)
        if layer is not layers[-1] and _is_opaque(layer, (*parts, name)):
            break
    return None if seen is None else Node(tuple(directories), seen)


def names(layers: tuple[Layer, ...], parts: Parts) -> set[str]:
    """The names in the directory `parts` of all these layers, whiteouts too. Raises OSError."""
    found: set[str] = set()
    for layer in layers:
        try:
            found.update(os.listdir(layer.directory(parts)))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def is_whiteout(status: os.stat_result) -> bool:
    """Whether it hides what is below it: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def open_file(node: Node, parts: Parts) -> int:
    """Open a regular file of a view to read it, the caller's to close. Raises OSError."""
    directory = node.layers[0].directory(parts[:-1])
    descriptor = os.open(parts[-1], _OPEN_FILE, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(22, "no regular file any more", parts[-1])
    return descriptor


def link_target(node: Node, parts: Parts) -> str:
    """What a link of a view says. Raises OSError."""
    return os.readlink(parts[-1], dir_fd=node.layers[0].directory(parts[:-1]))


def _is_opaque(layer: Layer, parts: Parts) -> bool:
    try:
        return os.getxattr(layer.directory(parts), OPAQUE) == b"y"
    except OSError:
        return False
