"""Files as the shell sees them: listed and opened with bounds, by a kernel in the same root.

Names and contents come from a build that may be hostile. Nothing here blocks on a fifo, follows a
link at the moment of opening, or reads a file of a proc file system, where a link could name the
kernel's own memory.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox import Value

LOOKED_AT = 20_000
GIVEN = 2_000
DIRECTORIES_OF_PATH = 100
LONGEST_PATH = 4_096


class Entry(Value):
    """A name in a directory, as `os.fsdecode` gives it."""

    name: str
    is_directory: bool
    is_program: bool


def entries(directory: str, prefix: str) -> tuple[Entry, ...]:
    """What in a directory begins with `prefix`, in order; empty if it cannot be listed.

    Hidden names are given only to a prefix that begins with a dot, as bash does. Of a directory
    with more than `LOOKED_AT` names only so many are looked at.
    """
    found: list[Entry] = []
    try:
        with os.scandir(directory) as listing:
            for count, entry in enumerate(listing):
                if count >= LOOKED_AT or len(found) >= GIVEN:
                    break
                if _is_asked_for(entry.name, prefix):
                    found.append(_entry(entry))
    except (OSError, ValueError):
        pass
    return tuple(sorted(found, key=lambda entry: entry.name))


def _is_asked_for(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and (not name.startswith(".") or prefix.startswith("."))


def _entry(entry: os.DirEntry[str]) -> Entry:
    try:
        mode = entry.stat().st_mode
    except OSError:
        mode = 0
    # Not access(2): the kernel may do more than the shell may.
    program = stat.S_ISREG(mode) and bool(mode & 0o111)
    return Entry(name=entry.name, is_directory=stat.S_ISDIR(mode), is_program=program)


def programs(path: str, prefix: str, directory: str) -> tuple[str, ...]:
    """The names of programs that a shell in `directory` with this PATH finds, in order."""
    found: set[str] = set()
    for place in tuple(dict.fromkeys(path.split(":")))[:DIRECTORIES_OF_PATH]:
        listing = entries(os.path.join(directory, place or "."), prefix)
        found.update(entry.name for entry in listing if entry.is_program)
        if len(found) >= GIVEN:
            break
    return tuple(sorted(found))


def open_regular(path: str) -> int:
    """A descriptor of a regular file, open for reading.

    Links are resolved first and by text alone; then every part of the way is opened without
    following any. Raises OSError: EINVAL for what is no regular file or lies in /proc, ELOOP if
    the way has changed in between.
    """
    if "\0" in path or len(path) > LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    os.stat(path)  # the system's own limit on links, before they are resolved here
    parts = [part for part in os.path.realpath(path).split("/") if part]
    if not parts or parts[0] == "proc":
        raise OSError(errno.EINVAL, "not a regular file", path)
    descriptor = _open_last(parts)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def _open_last(parts: list[str]) -> int:
    directory = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(part, flags, dir_fd=directory)
            os.close(directory)
            directory = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        # What is no file is not opened at all: opening a device or a fifo can do something.
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=directory, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", "/" + "/".join(parts))
        return os.open(parts[-1], flags, dir_fd=directory)
    finally:
        os.close(directory)


def read(path: str, limit: int) -> tuple[bytes, int]:
    """At most `limit` bytes from the start of a regular file, and its whole size.

    Raises OSError as `open_regular` does.
    """
    descriptor = open_regular(path)
    try:
        size = os.fstat(descriptor).st_size
        chunks: list[bytes] = []
        while limit > 0 and (chunk := os.read(descriptor, min(limit, 1 << 20))):
            chunks.append(chunk)
            limit -= len(chunk)
    finally:
        os.close(descriptor)
    return b"".join(chunks), size
