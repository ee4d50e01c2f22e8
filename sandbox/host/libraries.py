"""Which libraries of the host a program is loaded with, as its own loader would find them.

Nothing is executed: ld.so(8) is followed through the files it reads. What its programs open later
by name, as plugins, cannot be known from them.
"""

from __future__ import annotations

import os
import struct

from sandbox.host.elf import Elf, read_elf
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CACHE = "/etc/ld.so.cache"
CACHE_MAGIC = b"glibc-ld.so.cache1.1"
MOST_CACHE_BYTES = 64 << 20
SYSTEM = ("/lib/", "/lib32/", "/lib64/", "/libx32/", "/usr/")
USUAL = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")


class Libraries(Value):
    """`found`: pairs of the name by which the loader asks and the file, its links resolved.

    `missing` are names that are nowhere.
    """

    found: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def libraries(
    program: str, elf: Elf, *, optional: tuple[str, ...] = (), also: Iterable[str] = ()
) -> Libraries:
    """Those of `program`, whose links are resolved, and of the files `also`, with all they need.

    `optional` are names that are taken if they are there.
    """
    search = _Search(elf)
    search.add(program, elf, ())
    found = dict(search.found)
    missing = [name for name in search.missing if name != os.path.basename(elf.interpreter)]
    for path in also:
        other = read_elf(path)
        if other is not None and other.kind == elf.kind:
            search.add(path, other, ())
    for name in optional:
        search.take(name, program, elf, ())
    return Libraries(found=tuple({**search.found, **found}.items()), missing=tuple(missing))


class _Search:
    """One loader's view: a name that was found once is what all others get, as in a process."""

    def __init__(self, elf: Elf) -> None:
        self._kind = elf.kind
        loader = os.path.realpath(elf.interpreter)
        system = elf.interpreter.startswith(SYSTEM)
        self._cache = _cached() if system else {}
        beside = os.path.dirname(loader)
        self._last = (beside, *USUAL) if system else (beside,)
        self.found: dict[str, str] = {}
        self.missing: list[str] = []

    def add(self, path: str, elf: Elf, inherited: tuple[str, ...]) -> None:
        """All that `elf` at `path` needs; `inherited` are directories of those that load it."""
        waiting = [(path, elf, inherited)]
        while waiting:
            path, elf, inherited = waiting.pop(0)
            # A DT_RUNPATH is for the file itself, a DT_RPATH for all that it loads (ld.so(8)).
            below = inherited if elf.runpath else (*_directories(elf.rpath, path), *inherited)
            for name in elf.needed:
                taken = self.take(name, path, elf, below)
                if taken is not None:
                    waiting.append((*taken, below))

    def take(
        self, name: str, path: str, elf: Elf, below: tuple[str, ...]
    ) -> tuple[str, Elf] | None:
        """The file for `name`, if it has not been found before."""
        key = os.path.basename(name)
        if key in self.found or key in self.missing:
            return None
        for candidate in self._candidates(name, path, elf, below):
            try:
                found = read_elf(candidate)
            except OSError:
                continue
            if found is not None and found.kind == self._kind:
                real = os.path.realpath(candidate)
                self.found[key] = real
                return real, found
        self.missing.append(key)
        return None

    def _candidates(self, name: str, path: str, elf: Elf, below: tuple[str, ...]) -> Iterator[str]:
        if "/" in name:
            yield name
            return
        directories = (*below, *_directories(elf.runpath, path))
        yield from (f"{directory}/{name}" for directory in directories)
        yield from self._cache.get(name, ())
        yield from (f"{directory}/{name}" for directory in self._last)


def _directories(path: str, owner: str) -> tuple[str, ...]:
    origin = os.path.dirname(os.path.realpath(owner))
    parts = [part for part in path.split(":") if part]
    return tuple(p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for p in parts)


def _cached() -> dict[str, list[str]]:
    """What ldconfig(8) found, by name; empty where there is no such file, as with musl."""
    try:
        with open(CACHE, "rb") as file:
            data = file.read(MOST_CACHE_BYTES)
    except OSError:
        return {}
    return parse_cache(data)


def parse_cache(data: bytes) -> dict[str, list[str]]:
    """The text of ld.so.cache, in glibc's format since 2.2; empty for any other.

    Entries for certain processors only are passed over: there is always one for all.
    """
    start = data.find(CACHE_MAGIC)
    if start < 0 or len(data) < start + 48:
        return {}
    data = data[start:]
    (count,) = struct.unpack_from("=I", data, 20)
    found: dict[str, list[str]] = {}
    for n in range(min(count, (len(data) - 48) // 24)):
        _, key, value, _, processor = struct.unpack_from("=iIIIQ", data, 48 + 24 * n)
        if not processor:
            found.setdefault(_text(data, key), []).append(_text(data, value))
    return found


def _text(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : max(at, data.find(b"\0", at))])
