"""Files on their way through a pipe: what one side reads of them, and the other makes again.

Between the sides lies the border of a sandbox, so a record says as little as can be: a name of one
entry, never a path; a mode without set-id bits; no owner, for everything belongs to who makes it.
"""

from __future__ import annotations

import os
import struct

from sandbox.linux import syscalls
from sandbox.model.value import Value

DIRECTORY, FILE, LINK, DATA, END, CUT, UP = b"D", b"F", b"L", b"d", b"e", b"c", b"u"
LEFT_OUT, REFUSED, DONE = b"x", b"r", b"z"
CHUNK = 1 << 20
MODES = 0o777
_HEADER = struct.Struct("!cHQI")


class Record(Value):
    """One step of the way. `number` is an offset for DATA, a size for END, an errno for REFUSED.

    `payload`: the name for DIRECTORY and FILE; the name, a NUL and what it says for LINK; the bytes
    for DATA; a path and why, with a NUL between, for LEFT_OUT and REFUSED. CUT comes in the place
    of END where a file cannot be read on.
    """

    kind: bytes
    mode: int = 0
    number: int = 0
    payload: bytes = b""

    @property
    def texts(self) -> tuple[str, str]:
        """The two halves of the payload."""
        first, _, second = self.payload.partition(b"\0")
        return os.fsdecode(first), os.fsdecode(second)


class BrokenParcelError(OSError):
    """The other side is gone before it was done."""


def write(descriptor: int, record: Record) -> None:
    """Raises BrokenPipeError when the other side reads no more."""
    payload = record.payload
    header = _HEADER.pack(record.kind, record.mode, record.number, len(payload))
    if len(payload) < CHUNK // 2:
        syscalls.write_all(descriptor, header + payload)
    else:
        syscalls.write_all(descriptor, header)
        syscalls.write_all(descriptor, payload)


def read(descriptor: int) -> Record:
    """The next record. Raises `BrokenParcelError` where it ends, or is none."""
    kind, mode, number, length = _HEADER.unpack(_read_all(descriptor, _HEADER.size))
    if length > CHUNK:
        raise BrokenParcelError
    payload = _read_all(descriptor, length) if length else b""
    return Record(kind=kind, mode=mode & MODES, number=number, payload=payload)


def _read_all(descriptor: int, count: int) -> bytes:
    pieces = []
    while count:
        piece = os.read(descriptor, count)
        if not piece:
            raise BrokenParcelError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def left_out(path: str, why: str) -> Record:
    """An entry that does not come along."""
    return _told(LEFT_OUT, path, why)


def refused(path: str, error: OSError) -> Record:
    """Nothing comes, or no more of it."""
    return _told(REFUSED, path, error.strerror or "", error.errno or 0)


def _told(kind: bytes, path: str, why: str, number: int = 0) -> Record:
    """A record that is read by a person in the end."""
    payload = os.fsencode(path) + b"\0" + os.fsencode(why)
    return Record(kind=kind, number=number, payload=payload[:CHUNK])
