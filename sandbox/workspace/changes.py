"""What differs between two trees: kinds, content, modes and links; never times or owners.

Where both trees are the same layers and nothing is above them, a directory is not entered: of an
overlay only what was written is looked at. Files are compared by what is in them.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.model.value import Value
from sandbox.workspace import layers
from sandbox.workspace.layers import Node, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.workspace.layers import Layer, Parts

    Stack = tuple[Layer, ...]

CHUNK = 1 << 18
MOST_UNREAD = 1000
_BLOCK = 512
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(Value):
    """One side of a change. `kind`: "file", "directory", "link", "fifo", "socket" or "device".

    `size` is in bytes, of a file; `target` is what a link says.
    """

    kind: str
    mode: int
    size: int = 0
    target: str = ""


class Change(Value):
    """What is different at `path`, relative to the tree's top, in os.fsdecode's form.

    None stands for nothing at all. `content` tells whether what is in two files differs.
    """

    path: str
    old: Entry | None
    new: Entry | None
    content: bool = True

    @property
    def what(self) -> str:
        """One of "added", "removed" and "changed"."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"


class Differences(Value):
    """All changes, by path. `unread` is what could not be compared, with the reason: of
    `unread_count` the first thousand, and not counted as changed. `absent` are those of the paths
    that were asked for which neither side has.
    """

    changes: tuple[Change, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    unread_count: int = 0
    absent: tuple[str, ...] = ()


def compare(old: View, new: View, paths: tuple[str, ...] = ()) -> Differences:
    """How `new` differs from `old`; with `paths`, only there and below."""
    comparison = _Comparison(is_copy=not set(old.layers) & set(new.layers))
    if paths:
        for path in paths:
            comparison.at(old, new, parts_of(path))
    else:
        tops = (old.top(), new.top())
        comparison.below((), *(top.layers if top is not None else () for top in tops))
    found = {change.path: change for change in comparison.changes}
    return Differences(
        changes=tuple(found[path] for path in sorted(found, key=os.fsencode)),
        unread=tuple(comparison.unread),
        unread_count=comparison.unread_count,
        absent=tuple(comparison.absent),
    )


def parts_of(path: str) -> Parts:
    """The names of a path; those that lead nowhere or up are left out.

    >>> parts_of("./a//b/")
    ('a', 'b')
    """
    return tuple(name for name in path.split("/") if name not in ("", ".", ".."))


class _Comparison:
    """`is_copy`: the new tree may lack what could not be read when it was copied."""

    def __init__(self, *, is_copy: bool) -> None:
        self.is_copy = is_copy
        self.changes: list[Change] = []
        self.unread: list[tuple[str, str]] = []
        self.unread_count = 0
        self.absent: list[str] = []
        self._pending: list[tuple[Parts, Stack, Stack]] = []

    def at(self, old: View, new: View, parts: Parts) -> None:
        if not parts:
            self.below((), old.layers, new.layers)
            return
        try:
            before, after = old.lookup(parts), new.lookup(parts)
            if before is None and after is None:
                self.absent.append("/".join(parts))
            self.pair(parts, before, after)
        except OSError as error:
            self.cannot_read(parts, error)
        self.drain()

    def below(self, parts: Parts, old: Stack, new: Stack) -> None:
        self._pending.append((parts, old, new))
        self.drain()

    def drain(self) -> None:
        while self._pending:
            parts, old, new = self._pending.pop()
            try:
                names = _names_that_may_differ(parts, old, new)
            except OSError as error:
                self.cannot_read(parts, error)
                continue
            # The last in the list is the next to be entered: what is open stays near.
            for name in sorted(names, reverse=True):
                self.entry((*parts, name), old, new)

    def entry(self, parts: Parts, old: Stack, new: Stack) -> None:
        above, name = parts[:-1], parts[-1]
        try:
            self.pair(parts, layers.find(old, above, name), layers.find(new, above, name))
        except OSError as error:
            self.cannot_read(parts, error)

    def pair(self, parts: Parts, old: Node | None, new: Node | None) -> None:
        """Compare what both have at one path; directories are left for later."""
        if old is None and new is None:
            return
        if old is not None and new is not None and _kind(old) == _kind(new):
            self.same_kind(parts, old, new)
        elif not (new is None and self.was_left_out(parts, old)):
            self.changes.append(_change(parts, old, new))
        stacks = [node.layers if node and node.is_directory else () for node in (old, new)]
        if stacks[0] != stacks[1]:
            self._pending.append((parts, stacks[0], stacks[1]))

    def same_kind(self, parts: Parts, old: Node, new: Node) -> None:
        before, after = old.status, new.status
        if os.path.samestat(before, after):
            return
        content = False
        if stat.S_ISREG(before.st_mode):
            content = self.content_differs(parts, old, new)
        elif stat.S_ISLNK(before.st_mode):
            content = layers.link_target(old, parts) != layers.link_target(new, parts)
            before = after  # the mode of a link means nothing
        elif not stat.S_ISDIR(before.st_mode):
            content = before.st_rdev != after.st_rdev
        if content or stat.S_IMODE(before.st_mode) != stat.S_IMODE(after.st_mode):
            self.changes.append(_change(parts, old, new, content=content))

    def content_differs(self, parts: Parts, old: Node, new: Node) -> bool:
        """False for what cannot be read, which is noted."""
        if old.status.st_size != new.status.st_size:
            return True
        opened = []
        try:
            for node in (old, new):
                opened.append(layers.open_file(node, parts))  # noqa: PERF401  the first is to be closed, too
            return _differ(opened[0], opened[1], old.status, new.status)
        except OSError as error:
            self.cannot_read(parts, error)
            return False
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def was_left_out(self, parts: Parts, old: Node | None) -> bool:
        """Whether a copy lacks it since it could not be read."""
        if old is None or not self.is_copy or _kind(old) not in ("file", "device"):
            return False
        if _kind(old) == "device":
            return True
        try:
            os.close(layers.open_file(old, parts))
        except OSError as error:
            self.cannot_read(parts, error)
            return True
        return False

    def cannot_read(self, parts: Parts, error: OSError) -> None:
        self.unread_count += 1
        if len(self.unread) < MOST_UNREAD:
            self.unread.append(("/".join(parts), error.strerror or str(error)))


def _names_that_may_differ(parts: Parts, old: Stack, new: Stack) -> set[str]:
    """Not those that only layers have which are the lowest of both: they mean the same in both."""
    common = 0
    while common < min(len(old), len(new)) and old[-1 - common] is new[-1 - common]:
        common += 1
    own = (*old[: len(old) - common], *new[: len(new) - common])
    return layers.names(own, parts)


def _change(parts: Parts, old: Node | None, new: Node | None, *, content: bool = True) -> Change:
    return Change(
        path="/".join(parts),
        old=entry_of(old, parts),
        new=entry_of(new, parts),
        content=content,
    )


def entry_of(node: Node | None, parts: Parts) -> Entry | None:
    """What a view has at a path, as a value. Raises OSError for a link that has gone."""
    if node is None:
        return None
    kind = _kind(node)
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(node.status.st_mode),
        size=node.status.st_size if kind == "file" else 0,
        target=layers.link_target(node, parts) if kind == "link" else "",
    )


def _kind(node: Node) -> str:
    return _KINDS.get(stat.S_IFMT(node.status.st_mode), "device")


def _differ(old: int, new: int, before: os.stat_result, after: os.stat_result) -> bool:
    """Whether two files of the same size differ. Where both have holes, nothing is read."""
    size = before.st_size
    sparse = all(status.st_blocks * _BLOCK < size for status in (before, after))
    at = 0
    while at < size:
        if sparse:
            at = min(_next_data(old, at, size), _next_data(new, at, size))
        first, second = (os.pread(descriptor, CHUNK, at) for descriptor in (old, new))
        if first != second:
            return True
        if not first:
            return False
        at += len(first)
    return False


def _next_data(descriptor: int, at: int, size: int) -> int:
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at


def read_side(view: View, path: str, most: int) -> bytes | None:
    """What is in a file of a view, or what a link says; None if that is more than `most` bytes.

    Raises OSError.
    """
    parts = parts_of(path)
    node = view.lookup(parts)
    if node is None:
        return b""
    if _kind(node) == "link":
        return os.fsencode(layers.link_target(node, parts))
    with open(layers.open_file(node, parts), "rb") as file:
        content = file.read(most + 1)
    return content if len(content) <= most else None


def walk(view: View) -> Iterator[str]:
    """The paths of all that is no directory in a view; what cannot be read is passed over."""
    for change in compare(View(), view).changes:
        if change.new is not None and change.new.kind != "directory":
            yield change.path
