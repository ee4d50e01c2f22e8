"""The closure of store paths where Nix's database cannot be read, and what kind each path is.

Two ways: ask the Nix that is installed, or look for references in the files, as Nix did when it
registered them. Nix itself opens a store in order to write: it makes locks, and may change owners.
So it is asked about the machine's own store alone, and of that only where nobody else put it there.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import EvidenceError
from sandbox.host.owners import is_ours
from sandbox.model.facts import StoreObjects
from sandbox.model.storepath import HASH_LENGTH, NIX32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sandbox.host.nixconf import NixLocations

NIX_TIMEOUT_S = 60.0
CHUNK_BYTES = 4 << 20

_ALPHABET = NIX32.encode()
# Every letter of a hash becomes `a`, all else a line's end: a hash is then a run that `find` finds
# at the speed of memory.
_MASK = bytes([97 if byte in _ALPHABET else 10 for byte in range(256)])
_RUN = b"a" * HASH_LENGTH
# Far below the kernel's limit for what a program is given.
_MOST_ARGUMENTS = 1000
_NOT_OBJECTS = (".lock", ".chroot", ".check", ".tmp")
_KEPT_VARIABLES = (
    *("HOME", "LANG", "NIX_CONFIG", "NIX_USER_CONF_FILES", "PATH", "USER", "XDG_CACHE_HOME"),
    *("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
)


def kinds(paths: Iterable[str], locations: NixLocations) -> tuple[StoreObjects, tuple[str, ...]]:
    """What each path is, in the order given; and those that are no longer there.

    Links are described, not followed. What is neither directory, file nor link, which Nix never
    puts into a store, counts as not there.
    """
    try:
        # Relative to the store, of which a large closure would walk the path thousands of times.
        store = os.open(locations.real_store_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return StoreObjects(), tuple(paths)
    directories, files, links, missing = [], [], [], []
    start = len(locations.store_dir) + 1
    look = os.stat
    try:
        for path in paths:
            name = path[start:]
            try:
                kind = stat.S_IFMT(look(name, dir_fd=store, follow_symlinks=False).st_mode)
                if kind == stat.S_IFDIR:
                    directories.append(path)
                elif kind == stat.S_IFREG:
                    files.append(path)
                elif kind == stat.S_IFLNK:
                    links.append((path, os.readlink(name, dir_fd=store)))
                else:
                    missing.append(path)
            except (OSError, ValueError):
                missing.append(path)
    finally:
        os.close(store)
    found = StoreObjects(directories=tuple(directories), files=tuple(files), links=tuple(links))
    return found, tuple(missing)


def closure_by_nix(
    roots: Iterable[str],
    locations: NixLocations,
    environ: Mapping[str, str],
    *,
    nix_store: str = "nix-store",
    timeout_s: float = NIX_TIMEOUT_S,
) -> set[str] | None:
    """What `nix-store -qR` says, or None: not to be asked, too slow, or a root is not valid.

    Roots that are not valid make Nix refuse the whole question: leave out what `kinds` misses.
    """
    import subprocess  # only where there is no database

    if locations.root or not nix_may_be_asked(locations):
        return None
    given = sorted({root for root in roots if root.startswith(locations.store_dir + "/")})
    found: set[str] = set()
    for start in range(0, len(given), _MOST_ARGUMENTS):
        try:
            done = subprocess.run(
                [nix_store, "-qR", *given[start : start + _MOST_ARGUMENTS]],
                env=_environment(locations, environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                check=True,
                cwd="/",
            )
        except (OSError, subprocess.SubprocessError):
            return None
        found.update(os.fsdecode(done.stdout).split())
    return found


def nix_may_be_asked(locations: NixLocations) -> bool:
    """Is there a store of Nix's already, which nobody but root and the caller could have prepared?

    Nix follows links below its state directory, and as root gives the store to its build users.
    """
    places = (locations.real_store_dir, locations.state_dir)
    return is_of_nix(locations) and all(map(is_ours, places))


def is_of_nix(locations: NixLocations) -> bool:
    """Does a Nix know of this store? Asked about another one, it would first make that its own."""
    there = (f"{locations.state_dir}/{name}" for name in ("db", "daemon-socket/socket"))
    return any(os.path.exists(path) for path in there)


def _environment(locations: NixLocations, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's settings for Nix and nothing else; Nix reads many more variables."""
    kept = {name: environ[name] for name in _KEPT_VARIABLES if name in environ}
    kept["NIX_CONF_DIR"] = locations.conf_dir
    kept["NIX_STORE_DIR"] = locations.store_dir
    kept["NIX_STATE_DIR"] = locations.state_dir
    if environ.get("NIX_REMOTE", "").startswith(("daemon", "unix:")):
        kept["NIX_REMOTE"] = environ["NIX_REMOTE"]
    return kept


def closure_by_references(roots: Iterable[str], locations: NixLocations) -> set[str]:
    """The roots that exist and all that their files mention, and so on, by the hash in the name.

    What Nix does when it registers a path (`scanForReferences`), so the answer is the same, except
    that a path which is in the store but was not an input of the build can be found too. Reads
    every byte of the closure, a few MiB at a time. Raises EvidenceError (`store-unreadable`).
    """
    names = _names_by_hash(locations.real_store_dir)
    there = set(names.values())
    prefix = locations.store_dir + "/"
    waiting = [root[len(prefix) :] for root in roots if root.startswith(prefix)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in there:
            continue
        found.add(name)
        path = f"{locations.real_store_dir}/{name}"
        waiting += [names[digest] for digest in references(path, names.keys())]
    return {prefix + name for name in found}


def _names_by_hash(real_store_dir: str) -> dict[bytes, str]:
    try:
        names = os.listdir(real_store_dir)
    except OSError as error:
        raise EvidenceError(
            f"the store `{real_store_dir}` cannot be listed",
            reason="store-unreadable",
            evidence=(error.strerror or str(error),),
        ) from error
    return {
        os.fsencode(name[:HASH_LENGTH]): name
        for name in names
        if name[HASH_LENGTH : HASH_LENGTH + 1] == "-" and not name.endswith(_NOT_OBJECTS)
    }


def references(path: str, hashes: Iterable[bytes]) -> set[bytes]:
    """Those of `hashes` that stand in a store path: in its files, its names, what its links say.

    Links are not followed. What cannot be read is passed over, as in a store nothing should be.
    """
    wanted = frozenset(hashes)
    found: set[bytes] = set()
    for piece in _pieces(path):
        found |= hashes_in(piece, wanted)
    return found


def hashes_in(data: bytes, wanted: frozenset[bytes]) -> set[bytes]:
    """Those of `wanted`, each of 32 letters, that stand anywhere in `data`."""
    found: set[bytes] = set()
    masked = data.translate(_MASK)
    start = masked.find(_RUN)
    while start >= 0:
        end = masked.find(b"\n", start)
        end = len(data) if end < 0 else end
        for at in range(start, end - HASH_LENGTH + 1):
            if data[at : at + HASH_LENGTH] in wanted:
                found.add(data[at : at + HASH_LENGTH])
        start = masked.find(_RUN, end)
    return found


def _pieces(path: str) -> Iterator[bytes]:
    """All that is said in a tree, in pieces, each beginning with the last 31 bytes before it."""
    waiting = [path]
    while waiting:
        current = waiting.pop()
        try:
            mode = os.lstat(current).st_mode
            if stat.S_ISLNK(mode):
                yield os.fsencode(os.readlink(current))
            elif stat.S_ISREG(mode):
                yield from _file_pieces(current)
            elif stat.S_ISDIR(mode):
                names = os.listdir(current)
                yield os.fsencode("\n".join(names))
                waiting += [f"{current}/{name}" for name in names]
        except OSError:
            continue


def _file_pieces(path: str) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        overlap = b""
        while piece := os.read(descriptor, CHUNK_BYTES):
            data = overlap + piece
            yield data
            overlap = data[1 - HASH_LENGTH :]
    finally:
        os.close(descriptor)
