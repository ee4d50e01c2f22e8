"""Build logs as Nix keeps them: found by the derivation's path, read up to a bound.

Nix: `LocalFSStore::getBuildLogExact`. Each attempt to build overwrites the log of the one before.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import EvidenceError
from sandbox.host.owners import open_file
from sandbox.model import storepath
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.model.facts import KeptDirectory
    from sandbox.model.logs import BuildLog

MOST_BYTES = 64 << 20
MOST_UNPACKED_BYTES = 512 << 20
CLOCK_TICK_NS = 10_000_000

_PIECE = 1 << 20
_COMPRESSED = ".bz2"


class LogFile(Value):
    """A log and where it lies. `mtime_ns`: when the attempt ended. `cut`: not all of it is here.

    Bytes that are not UTF-8 are U+FFFD in `text`. Of a log that is too long the end is kept.
    """

    path: str
    mtime_ns: int
    text: str
    cut: bool = False


def parsed(file: LogFile, kept: KeptDirectory | None) -> BuildLog:
    """What the log says, looked for with `kept`, if there is such a directory."""
    from sandbox.model.logs import parse_log  # costs more than finding the log

    later = kept is not None and is_of_later_attempt(file, kept)
    return parse_log(file.text).replace(of_later_attempt=later)


def is_of_later_attempt(file: LogFile, kept: KeptDirectory) -> bool:
    """Was the log written after `kept` was left, and so for another attempt?

    Nix: `DerivationGoal::buildDone` closes the log before `deleteTmpDir` changes the mode of what
    it keeps (2.8 to 2.34), so none ends later than its own directory. Who changes a directory
    later hides that: False proves nothing.
    """
    return bool(kept.ctime_ns) and file.mtime_ns > kept.ctime_ns + CLOCK_TICK_NS


def read_log_of(derivation: str, log_dir: str) -> LogFile | None:
    """The log of the last attempt to build a derivation, or None if Nix keeps none.

    Logs are called after derivations in the store: a file of another name has none.
    Raises EvidenceError: `log-unreadable`, `store-redirected`.
    """
    if not storepath.is_store_path(derivation, derivation.rpartition("/")[0]):
        return None
    for path in _candidates(derivation, log_dir):
        try:
            return read_log_file(path)
        except FileNotFoundError:
            continue
    return None


def _candidates(derivation: str, log_dir: str) -> Iterator[str]:
    base = derivation.rpartition("/")[2]
    for path in (f"{log_dir}/drvs/{base[:2]}/{base[2:]}", f"{log_dir}/drvs/{base}"):
        yield path
        yield path + _COMPRESSED


def read_log_file(path: str) -> LogFile:
    """A log by its path, unpacked if its name ends in .bz2, as far as it goes.

    Raises FileNotFoundError, and EvidenceError (`log-unreadable`, `store-redirected`).
    """
    try:
        descriptor = open_file(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(path, "it is not a file")
        packed = path.endswith(_COMPRESSED)
        too_long = not packed and status.st_size > MOST_BYTES
        if too_long:
            os.lseek(descriptor, -MOST_BYTES, os.SEEK_END)
        pieces = iter(lambda: os.read(descriptor, _PIECE), b"")
        data, cut = _end_of(_unpacked(pieces) if packed else pieces)
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    finally:
        os.close(descriptor)
    return LogFile(
        path=path,
        mtime_ns=status.st_mtime_ns,
        text=data.decode("utf-8", "replace"),
        cut=cut or too_long,
    )


def _end_of(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """The last MOST_BYTES of what comes, and whether anything is missing."""
    kept = bytearray()
    total = 0
    for piece in pieces:
        total += len(piece)
        kept += piece
        if len(kept) > 2 * MOST_BYTES:
            del kept[:-MOST_BYTES]
        if total > MOST_UNPACKED_BYTES:
            return bytes(kept[-MOST_BYTES:]), True
    return bytes(kept[-MOST_BYTES:]), total > MOST_BYTES


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What bzip2 streams, one after another, hold; a torn end is left out.

    A log is torn while its build goes on, or when Nix was killed. Raises OSError if the very
    beginning is not bzip2.
    """
    import bz2  # costs more than finding the log

    unpacker = bz2.BZ2Decompressor()
    begun = False
    for piece in pieces:
        rest = piece
        while rest or not (unpacker.needs_input or unpacker.eof):
            if unpacker.eof:
                unpacker = bz2.BZ2Decompressor()
            try:
                data = unpacker.decompress(rest, max_length=_PIECE)
            except OSError:
                if begun:
                    return
                raise
            begun = begun or bool(data) or unpacker.eof
            rest = unpacker.unused_data
            yield data


def _unreadable(path: str, detail: str) -> EvidenceError:
    return EvidenceError(
        f"the log `{path}` cannot be read",
        reason="log-unreadable",
        evidence=(detail,),
        hint=f"`ls -l {path}` shows who may",
    )
