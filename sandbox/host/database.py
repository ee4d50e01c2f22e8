"""Nix's database, read and never written.

A read takes one short transaction, so that Nix is not held up. Which way it is opened depends on
what lies beside it: with a write-ahead log, SQLite's own locks are needed (`mode=ro`); with none,
everything is in the file itself, and `immutable=1` reads it without any. `readonly_shm=1` keeps
`mode=ro` from making a `-shm` file, which it would where it may. What others can exchange is read
as a file alone: SQLite trusts what it shares with other processes.
"""

from __future__ import annotations

import os

from sandbox.errors import EvidenceError
from sandbox.host.owners import is_ours, open_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Self

    Fingerprint = tuple[tuple[int, ...], int, int]
else:
    import _sqlite3 as sqlite3  # the package around it imports datetime, which costs a millisecond

BUSY_TIMEOUT_S = 2.0
WITH_LOCKS = "mode=ro&readonly_shm=1"
WITHOUT = "immutable=1"

# Older libraries take 999 parameters in a statement.
_BATCH = 900

_CLOSURE = """
    WITH RECURSIVE reached(id) AS (
        SELECT id FROM ValidPaths WHERE id IN ({roots})
        UNION SELECT reference FROM Refs JOIN reached ON referrer = reached.id
    )
    SELECT path FROM ValidPaths WHERE id IN reached
"""
_OUTPUTS = "SELECT o.id, o.path FROM DerivationOutputs o JOIN ValidPaths v ON o.drv = v.id"
_DERIVERS = (
    "SELECT v.path FROM DerivationOutputs o JOIN ValidPaths v ON o.drv = v.id"
    " WHERE o.path = ? ORDER BY v.path"
)


class Database:
    """An open database. All methods raise EvidenceError (`database-unreadable`).

    Paths go in and come out as Nix writes them, with the logical store (`/nix/store/…`), also where
    the store is diverted. A path that is not valid is never in an answer: the outputs of a failed
    build are not, and neither is what was deleted.
    """

    def __init__(
        self, path: str, connection: sqlite3.Connection, *, locked: bool, seen: Fingerprint
    ) -> None:
        self.path = path
        self._connection = connection
        self._locked = locked
        self._seen = seen

    @property
    def exact(self) -> bool:
        """Whether the answers so far are all that Nix knows.

        False: a write-ahead log could not be read, or Nix wrote during an unlocked reading. Then
        rows may be missing, and that a path is not found proves nothing.
        """
        return self._locked or (self._seen[1:] == (0, 0) and self._seen == _fingerprint(self.path))

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def closure(self, paths: Iterable[str]) -> set[str]:
        """The valid ones of `paths` and all that they refer to, directly or not."""
        ids = [
            row[0] for row in self._each("SELECT id FROM ValidPaths WHERE path IN ({marks})", paths)
        ]
        if not ids:
            return set()
        # Numbers out of the database itself: safe to write into the statement, and without limit.
        roots = ",".join([f"{number:d}" for number in ids])
        return {row[0] for row in self._rows(_CLOSURE.format(roots=roots))}

    def valid(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths` that Nix has."""
        query = "SELECT path FROM ValidPaths WHERE path IN ({marks})"
        return {row[0] for row in self._each(query, paths)}

    def derivers_of_output(self, path: str) -> tuple[str, ...]:
        """Every derivation in the store with this output, sorted. `path` need not be valid.

        Derivations with a fixed output often share it. One with a floating output has no row.
        """
        return tuple(row[0] for row in self._rows(_DERIVERS, (path,)))

    def output_paths(self, derivation: str, names: Iterable[str] | None = None) -> dict[str, str]:
        """The output paths of a derivation by their names, of all outputs or those in `names`."""
        rows = self._rows(_OUTPUTS + " WHERE v.path = ?", (derivation,))
        wanted = None if names is None else set(names)
        return {name: path for name, path in rows if wanted is None or name in wanted}

    def _each(self, query: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows for all `values`, some hundred at a time; `{marks}` stands for the batch."""
        left = list(dict.fromkeys(values))
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            yield from self._rows(query.format(marks=",".join("?" * len(batch))), batch)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self.path, str(error)) from error


def open_database(state_dir: str) -> Database | None:
    """The database below a state directory, or None where there is none.

    Raises EvidenceError: `database-unreadable` (no permission, locked for too long),
    `database-damaged` (not a database, or not Nix's), `store-redirected`, `evidence-changed`.
    """
    path = f"{state_dir}/db/db.sqlite"
    try:
        looked = open_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    ours = is_ours(path)
    try:
        if ours:
            # SQLite's locks on a file are gone once another descriptor of it is closed.
            os.close(looked)
        database = _open(path, ours=ours)
        if not ours and not _is_open_twice(looked):
            database.close()
            raise _exchanged(path)
        return database
    finally:
        if not ours:
            os.close(looked)


def _is_open_twice(descriptor: int) -> bool:
    """Is the file open by another descriptor too? SQLite opens by path what others can exchange."""
    status = os.fstat(descriptor)
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) != descriptor and os.path.samestat(os.fstat(int(name)), status):
                return True
        except OSError:
            continue  # The one that listed them.
    return False


def _open(path: str, *, ours: bool) -> Database:
    seen = _fingerprint(path)
    if not seen[0]:
        raise _damaged(path, "it is empty")
    problem = ""
    for way in _ways(path) if ours else (WITHOUT,):
        try:
            return Database(path, _connect(path, way), locked=way == WITH_LOCKS, seen=seen)
        except sqlite3.OperationalError as error:
            problem = str(error)
        except sqlite3.DatabaseError as error:
            raise _damaged(path, str(error)) from error
    raise _damaged(path, problem) if "no such" in problem else _unreadable(path, problem)


def _ways(path: str) -> tuple[str, ...]:
    """How to open it, the best way first. Without a log to read, none is made."""
    log, shared, journal = (_size(path + end) for end in ("-wal", "-shm", "-journal"))
    lockable = journal > 0 or (log >= 0 and shared >= 0)
    return (WITH_LOCKS, WITHOUT) if lockable else (WITHOUT,)


def _connect(path: str, way: str) -> sqlite3.Connection:
    """Opened and tried, because SQLite opens nothing before the first question."""
    connection = sqlite3.connect(
        f"file:{_quote(path)}?{way}", timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True
    )
    try:
        connection.execute("SELECT id, path FROM ValidPaths LIMIT 1").fetchone()
        connection.execute("SELECT 1 FROM Refs LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _quote(path: str) -> str:
    """A path as SQLite's URI wants it: `?`, `#` and `%` would end it or mean something else."""
    plain = b"/-_.~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    absolute = os.fsencode(os.path.abspath(path))
    return "".join([chr(byte) if byte in plain else f"%{byte:02x}" for byte in absolute])


def _fingerprint(path: str) -> Fingerprint:
    """The file's identity, size and time, and the sizes of what may hold rows that it lacks."""
    try:
        status = os.stat(path)
    except OSError:
        return (), 0, 0
    main = (status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else ()
    return main, max(_size(path + "-wal"), 0), max(_size(path + "-journal"), 0)


def _size(path: str) -> int:
    """In bytes; -1 where there is no such file, and 1 where it cannot be known."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1
    except OSError:
        return 1


def _unreadable(path: str, detail: str) -> EvidenceError:
    return EvidenceError(
        f"Nix's database `{path}` cannot be read",
        reason="database-unreadable",
        evidence=(detail,),
        hint=f"`ls -l {path}` shows who may",
    )


def _exchanged(path: str) -> EvidenceError:
    return EvidenceError(
        f"`{path}` was exchanged for another while it was opened",
        reason="evidence-changed",
        evidence=("SQLite has opened something else than what was looked at",),
        hint=f"see who may write there, `namei -l {path}`, and start again",
    )


def _damaged(path: str, detail: str) -> EvidenceError:
    return EvidenceError(
        f"`{path}` is not a database of Nix",
        reason="database-damaged",
        evidence=(detail,),
    )
