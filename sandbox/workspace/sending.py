"""Reading files for a parcel: regular files, directories, links as links, and nothing else.

What lies there may be a build's, and may be changed while it is read. No link is followed below
what was named, nothing is opened that could block or have an effect, and what cannot be sent is
told by name.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.workspace import parcel
from sandbox.workspace.ladder import OPEN_DIRECTORY, Ladder
from sandbox.workspace.parcel import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str:
    """What is neither file, directory nor link, in words; empty for those."""
    return _KINDS.get(stat.S_IFMT(mode), "")


def send(handle: int, name: str, out: int) -> None:
    """Send what the O_PATH descriptor `handle` is, under `name`; with "." what is in a directory.

    Ends with DONE, or REFUSED if not even the first could be read. Raises BrokenPipeError.
    """
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            top = os.open(".", OPEN_DIRECTORY, dir_fd=handle)
            _Sending(out).directory(top, name)
        elif stat.S_ISREG(mode):
            # The same file that was looked at, whatever has its name by now.
            file = os.open(f"/proc/self/fd/{handle}", _READ)
            parcel.write(out, _entry(parcel.FILE, name, mode))
            try:
                send_contents(file, out)
            finally:
                os.close(file)
        else:
            what = OSError(errno.EINVAL, f"it is {kind_of(mode) or 'a link'}")
            parcel.write(out, parcel.refused(name, what))
            return
    except BrokenPipeError:
        raise
    except OSError as error:
        parcel.write(out, parcel.refused(name, error))
        return
    parcel.write(out, Record(kind=parcel.DONE))


def _entry(kind: bytes, name: str, mode: int = 0, says: str | None = None) -> Record:
    payload = os.fsencode(name) + (b"" if says is None else b"\0" + os.fsencode(says))
    return Record(kind=kind, mode=mode & parcel.MODES, payload=payload)


def send_contents(file: int, out: int) -> None:
    """The bytes of an open file, from where it stands, and its size; holes stay holes."""
    end = 0
    try:
        for start, length in _extents(file):
            end = _send_extent(file, start, length, out)
        status = os.fstat(file)
    except BrokenPipeError:
        raise
    except OSError:
        parcel.write(out, Record(kind=parcel.CUT))
        raise
    size = max(end, status.st_size) if stat.S_ISREG(status.st_mode) else end
    parcel.write(out, Record(kind=parcel.END, number=size))


def _send_extent(file: int, start: int, length: int, out: int) -> int:
    """Where it ends: before its length, if the file is shorter by now."""
    at, end = start, start + length
    while at < end:
        piece = os.read(file, min(parcel.CHUNK, end - at))
        if not piece:
            break
        parcel.write(out, Record(kind=parcel.DATA, number=at, payload=piece))
        at += len(piece)
    return at


def _extents(file: int) -> Iterator[tuple[int, int]]:
    """Where data lies in a file, one stretch after another (lseek(2), SEEK_DATA)."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        # A pipe, or a file of proc(5), which has no size and can be read all the same.
        yield 0, 1 << 62
        return
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        os.lseek(file, start, os.SEEK_SET)
        yield start, end - start


class _Sending:
    def __init__(self, out: int) -> None:
        self.out = out
        self.tell: Callable[[Record], None] = lambda record: parcel.write(out, record)

    def directory(self, top: int, name: str) -> None:
        """A directory with all below it that is on the same file system."""
        with Ladder(top) as ladder:
            device = ladder.lowest.status.st_dev
            self._begin(ladder, name)
            while True:
                level = ladder.lowest
                if level.names:
                    self._entry(ladder, level.names.pop(), device)
                    continue
                self.tell(Record(kind=parcel.UP))
                if not ladder.depth:
                    return
                os.close(ladder.up().descriptor)

    def _begin(self, ladder: Ladder, name: str) -> None:
        level = ladder.lowest
        try:
            level.names = sorted(os.listdir(level.descriptor), reverse=True)
        except OSError as error:
            self.tell(parcel.left_out(ladder.path(), error.strerror or ""))
        self.tell(_entry(parcel.DIRECTORY, name, level.status.st_mode))

    def _entry(self, ladder: Ladder, name: str, device: int) -> None:
        try:
            self._send(ladder, name, device)
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno == errno.ESTALE:
                raise
            self.tell(parcel.left_out(ladder.path(name), error.strerror or ""))

    def _send(self, ladder: Ladder, name: str, device: int) -> None:
        above = ladder.lowest.descriptor
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self._descend(ladder, name, device)
        elif stat.S_ISLNK(status.st_mode):
            self.tell(_entry(parcel.LINK, name, says=os.readlink(name, dir_fd=above)))
        elif stat.S_ISREG(status.st_mode):
            file = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=above)
            try:
                self._file(ladder, name, file)
            finally:
                os.close(file)
        else:
            self.tell(parcel.left_out(ladder.path(name), f"it is {kind_of(status.st_mode)}"))

    def _descend(self, ladder: Ladder, name: str, device: int) -> None:
        level = ladder.down(name)
        if level.status.st_dev == device:
            self._begin(ladder, name)
            return
        os.close(ladder.up().descriptor)
        self.tell(parcel.left_out(ladder.path(name), "it is on another file system"))

    def _file(self, ladder: Ladder, name: str, file: int) -> None:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            self.tell(parcel.left_out(ladder.path(name), "it was exchanged meanwhile"))
            return
        self.tell(_entry(parcel.FILE, name, mode))
        send_contents(file, self.out)
