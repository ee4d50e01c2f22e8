"""What was changed, in words: directory by directory, and which part of the tree is the source."""

from __future__ import annotations

from sandbox.model.value import Value


class Count(Value):
    """What was changed in one directory. `grown` is in bytes, below 0 if it has become less."""

    directory: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    grown: int = 0

    def words(self) -> str:
        """`1 added, 2 changed`."""
        told = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return ", ".join(f"{count} {word}" for word, count in told if count)

    @property
    def total(self) -> int:
        """How many changes that are."""
        return self.added + self.changed + self.removed


def counted(changes: tuple[tuple[str, str, int], ...]) -> tuple[Count, ...]:
    """The changes of each directory: of a path, what was done ("added", …), and by how many bytes.

    >>> counted((("d/a", "added", 5), ("d/b", "changed", -1), ("c", "removed", -2)))[0].words()
    '1 removed'
    """
    found: dict[str, dict[str, int]] = {}
    for path, what, grown in changes:
        directory = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
        numbers = found.setdefault(directory, {"added": 0, "changed": 0, "removed": 0, "grown": 0})
        numbers[what] += 1
        numbers["grown"] += grown
    return tuple(Count(directory=name, **numbers) for name, numbers in sorted(found.items()))


def source_root(
    said: str, working: str, top: str, directories: tuple[str, ...], *, patched: str = ""
) -> str:
    """The source root, relative to the top of the build tree: "." for the top, "" if not known.

    `patched` is where `patches` were applied, if that was seen; `said` is the variable sourceRoot,
    `working` the directory of the failed phase, `directories` those at the top. What leads out of
    the tree, or to no directory at its top, counts for nothing.

    >>> source_root("", "/build/hello/po", "/build", ("hello", "other"))
    'hello'
    >>> source_root("../../etc", "/", "/build", ("hello",))
    'hello'
    >>> source_root("", "/build/hello", "/build", ("hello",), patched="/build/hello/po")
    'hello/po'
    """
    for path in (
        patched,
        said,
        *(directories if len(directories) == 1 else ()),
        _first(working, top),
    ):
        parts = _inside(path, top)
        if parts == ():
            return "."
        if parts and parts[0] in directories:
            return "/".join(parts)
    return ""


def _first(working: str, top: str) -> str:
    """The directory at the top in which a phase ran, or the top itself where there is none."""
    below = working.removeprefix(f"{top}/")
    return below.split("/", maxsplit=1)[0] if below != working else ""


def _inside(path: str, top: str) -> tuple[str, ...] | None:
    """The names of a path below the top; None if it is no such path."""
    if path == top:
        return ()
    path = path.removeprefix(f"{top}/")
    if not path or path.startswith("/"):
        return None
    parts = tuple(name for name in path.split("/") if name not in ("", "."))
    return None if ".." in parts or "\0" in path else parts
