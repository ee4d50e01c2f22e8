"""What was run in earlier kernels of a build: one file for each, in the state directory."""

from __future__ import annotations

import errno
import json
import os

import sandbox

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._")
LONGEST_NAME = 100
LARGEST = 4 * 1024 * 1024
KEPT = 1024 * 1024
"""Of a file that has grown beyond `LARGEST` bytes, this much of its end stays."""

Line = tuple[int, int, str]


class Remembered:
    """The history of the build `name`. What cannot be read or kept is left out without a word."""

    def __init__(self, name: str) -> None:
        self._file = "".join(c if c in PLAIN else "_" for c in name)[:LONGEST_NAME] or "_"

    def lines(self) -> tuple[Line, ...]:
        """Session, line and source, the oldest first; of a long file the end."""
        try:
            text = self._tail()
        except OSError:
            return ()
        found = (_line(raw) for raw in text.splitlines())
        return tuple(line for line in found if line is not None)

    def append(self, session: int, line: int, source: str) -> None:
        """Keep one more."""
        record = json.dumps([session, line, source]) + "\n"
        try:
            descriptor = os.open(self._path(), _FLAGS | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, record.encode())
            finally:
                os.close(descriptor)
        except OSError:
            return

    def _path(self) -> str:
        directory = sandbox.state_directory(os.environ) + "/history"
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if os.lstat(directory).st_uid != os.geteuid():
            # In a place that is for all, as /tmp, another may have made it first.
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), directory)
        return f"{directory}/{self._file}.jsonl"

    def _tail(self) -> str:
        path = self._path()
        descriptor = os.open(path, _FLAGS | os.O_RDWR, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            data = os.pread(descriptor, KEPT, max(0, size - KEPT))
            if size > LARGEST:
                os.pwrite(descriptor, data, 0)
                os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
        return data.decode(errors="replace")


_FLAGS = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _line(raw: str) -> Line | None:
    try:
        session, line, source = json.loads(raw)
        return int(session), int(line), str(source)
    except (ValueError, TypeError):
        return None
