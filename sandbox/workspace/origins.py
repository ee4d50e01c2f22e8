"""Whether a changed file is a source, or something that the build made.

With the tree that unpackPhase and patchPhase leave this is known of all that was there at the time
of the failure. Of the rest, and without that tree, a file is a source unless one of a few signs
tells that it was made:

    its first bytes          ELF, an archive of ar, or compiled Python
    its name                 .o .lo .la .a .pyc; what configure, CMake and Ninja note for themselves
    a directory above it     .libs .deps __pycache__ CMakeFiles and the like; or one below the
                             source root that has a config.status, CMakeCache.txt or build.ninja
    a file beside it         the same name with .in at its end: configure makes it of that
    env-vars                 the one that stdenv itself writes at the top of the build's directory
"""

from __future__ import annotations

import os

from sandbox.workspace import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.changes import Change
    from sandbox.workspace.layers import Parts, View

_MAGIC = (b"\x7fELF", b"!<arch>\n", b"!<thin>\n")
_ENDS = (".o", ".lo", ".la", ".a", ".pyc", ".pyo")
_NAMES = frozenset(
    ["config.log", "config.status", "config.cache", "CMakeCache.txt", ".ninja_log", ".ninja_deps"]
)
_DIRECTORIES = frozenset(
    [".libs", ".deps", "__pycache__", "CMakeFiles", "meson-private", "meson-info", "meson-logs"]
)
_MARKS = ("config.status", "CMakeCache.txt", "build.ninja")
_ROOT_DEPTH = 1


class Origins:
    """For the changes of one tree. `sources` is the tree after patchPhase, and `failed` the one
    that the failure left, which need not be `old`; None for what is not known.

    `root` is the source root, relative to the tree's top.
    """

    def __init__(
        self,
        old: View,
        new: View,
        root: str = "",
        sources: View | None = None,
        failed: View | None = None,
    ) -> None:
        self.old = old
        self.new = new
        self.sources = sources
        self.failed = failed
        self.depth = len(root.split("/")) if root else _ROOT_DEPTH
        self._build_directories: dict[Parts, bool] = {}

    def is_product(self, change: Change) -> bool:
        """Whether the build made it, or would make it."""
        parts = tuple(change.path.split("/"))
        if parts == ("env-vars",):
            return True
        if self.sources is not None:
            if _exists(self.sources, parts):
                return False
            if self.failed is not None and _exists(self.failed, parts):
                return True
        return self._is_surely_product(change, parts)

    def _is_surely_product(self, change: Change, parts: Parts) -> bool:
        name = parts[-1]
        if name in _NAMES or name.endswith(_ENDS) or not _DIRECTORIES.isdisjoint(parts):
            return True
        view, entry = (self.old, change.old) if change.new is None else (self.new, change.new)
        if entry is None or entry.kind != "file":
            return self._is_in_build_directory(view, parts[:-1])
        return (
            _begins_so(view, parts)
            or _exists(view, (*parts[:-1], f"{name}.in"))
            or self._is_in_build_directory(view, parts[:-1])
        )

    def _is_in_build_directory(self, view: View, parts: Parts) -> bool:
        if len(parts) <= self.depth:
            return False
        if parts not in self._build_directories:
            self._build_directories[parts] = any(
                _exists(view, (*parts, mark)) for mark in _MARKS
            ) or self._is_in_build_directory(view, parts[:-1])
        return self._build_directories[parts]


def _exists(view: View, parts: Parts) -> bool:
    try:
        return view.lookup(parts) is not None
    except OSError:
        return False


def _begins_so(view: View, parts: Parts) -> bool:
    try:
        node = view.lookup(parts)
        if node is None:
            return False
        descriptor = layers.open_file(node, parts)
    except OSError:
        return False
    try:
        return os.read(descriptor, max(map(len, _MAGIC))).startswith(_MAGIC)
    except OSError:
        return False
    finally:
        os.close(descriptor)
