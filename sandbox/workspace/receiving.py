"""Making the files of a parcel: below one directory, with nothing followed and nothing half made.

The names come from the other side. Each is the name of one entry, so none leads elsewhere; a
directory that is there is gone into if it is one; a file or a link that is there is replaced as
a whole, when the new one is complete, and never written through.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.workspace import parcel
from sandbox.workspace.ladder import OPEN_DIRECTORY, Ladder
from sandbox.workspace.parcel import BrokenParcelError, Record
from sandbox.workspace.sending import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRIES = (parcel.DIRECTORY, parcel.FILE, parcel.LINK)
HERE = "."


class Refused(OSError):  # noqa: N818  says what happened
    """The other side could not read what was named."""


def receive(directory: int, name: str, source: int, left_out: Callable[[str, str], None]) -> int:
    """Make what comes from `source` in the open directory, and call the first of it `name`.

    With "." a directory's own entries come into it. `left_out` is told of what the other side could
    not send, with the reason. How many files and links were made. Raises `Refused`,
    `BrokenParcelError` if the other side died, and OSError with the path of what could not be made.
    """
    with Ladder(os.dup(directory)) as ladder:
        receiving = _Receiving(ladder, name, source, left_out)
        while receiving.step():
            pass
        return receiving.made


class CutError(OSError):
    """The other side could not read a file to its end; it tells why next."""


class _Receiving:
    def __init__(
        self, ladder: Ladder, name: str, source: int, left_out: Callable[[str, str], None]
    ) -> None:
        self.ladder = ladder
        self.first = name
        self.source = source
        self.left_out = left_out
        self.made = 0
        # With the contents of a directory alone, its own record enters nothing.
        self.unentered = 0

    def step(self) -> bool:
        """One record; False after the last."""
        record = parcel.read(self.source)
        if record.kind == parcel.DONE:
            return False
        if record.kind == parcel.REFUSED:
            raise Refused(record.number, record.texts[1])
        if record.kind == parcel.LEFT_OUT:
            self.left_out(*record.texts)
        elif record.kind == parcel.UP:
            self._leave()
        else:
            self._make(record)
        return True

    def _make(self, record: Record) -> None:
        name, says = record.texts
        if not self.ladder.depth and not self.unentered:
            name = self.first
        if record.kind == parcel.DIRECTORY and name == HERE and not self.ladder.depth:
            self.unentered = 1
            return
        if not name:
            raise OSError(errno.EISDIR, "a directory is there: name the file")
        if name in (".", "..") or "/" in name or record.kind not in _ENTRIES:
            raise BrokenParcelError
        try:
            if record.kind == parcel.DIRECTORY:
                self._enter(name, record.mode)
            elif record.kind == parcel.FILE:
                self._replace(name, lambda temporary: self._write(temporary, record.mode))
            else:
                above = self.ladder.lowest.descriptor
                self._replace(name, lambda temporary: os.symlink(says, temporary, dir_fd=above))
        except CutError:
            return
        except BrokenParcelError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.ladder.path(name)) from None

    def _enter(self, name: str, mode: int) -> None:
        above = self.ladder.lowest.descriptor
        try:
            os.mkdir(name, 0o700, dir_fd=above)
            is_new = True
        except FileExistsError:
            is_new = False
        if not is_new and not stat.S_ISDIR(_mode(name, above)):
            raise OSError(errno.ENOTDIR, "something else is there, where a directory comes")
        self.ladder.down(name).mode = mode if is_new else -1

    def _leave(self) -> None:
        if not self.ladder.depth:
            if not self.unentered:
                raise BrokenParcelError
            self.unentered = 0
            return
        path = self.ladder.path()
        level = self.ladder.up()
        try:
            if level.mode >= 0:
                os.fchmod(level.descriptor, level.mode)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(level.descriptor)

    def _replace(self, name: str, make: Callable[[str], None]) -> None:
        above = self.ladder.lowest.descriptor
        mode = _mode(name, above)
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "a directory is there")
        if kind_of(mode):
            raise OSError(errno.EEXIST, f"{kind_of(mode)} is there")
        temporary = f".nbs-cp-{os.urandom(8).hex()}"
        try:
            make(temporary)
            os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
        except BaseException:
            _remove(temporary, above)
            raise
        self.made += 1

    def _write(self, name: str, mode: int) -> None:
        file = os.open(name, _CREATE, 0o600, dir_fd=self.ladder.lowest.descriptor)
        try:
            write_contents(self.source, file)
            os.fchmod(file, mode)
        finally:
            os.close(file)


def write_contents(source: int, file: int) -> None:
    """Write the bytes that come to where they belong, until their END."""
    while (record := parcel.read(source)).kind == parcel.DATA:
        view, at = memoryview(record.payload), record.number
        while view:
            count = os.pwrite(file, view, at)
            view, at = view[count:], at + count
    require_end(record)
    os.ftruncate(file, record.number)


def require_end(record: Record) -> None:
    """Raises `CutError` and `BrokenParcelError` for what ends contents otherwise."""
    if record.kind == parcel.CUT:
        raise CutError
    if record.kind != parcel.END:
        raise BrokenParcelError


def pour_contents(source: int, out: int) -> None:
    """The same for what can only be written in order; holes become zeros."""
    at = 0
    while (record := parcel.read(source)).kind in (parcel.DATA, parcel.END):
        while at < record.number:
            at += os.write(out, bytes(min(parcel.CHUNK, record.number - at)))
        if record.kind == parcel.END:
            return
        view = memoryview(record.payload)
        while view:
            count = os.write(out, view)
            view, at = view[count:], at + count
    require_end(record)


def _mode(name: str, directory: int) -> int:
    """The mode of an entry; that of no kind if there is none."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _remove(name: str, directory: int) -> None:
    try:  # noqa: SIM105  contextlib is not worth its import here
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


def open_place(open_path: Callable[[str, int], int], path: str, base: str) -> tuple[int, str]:
    """Where something called `base` goes that is copied to `path`: into it, if it is a directory.

    `open_path` opens a path with flags. The open directory, and the name in it. Raises OSError.
    """
    try:
        return open_path(path or ".", OPEN_DIRECTORY & ~os.O_NOFOLLOW), base
    except (FileNotFoundError, NotADirectoryError):
        if path.endswith("/"):
            raise
    above, _, name = path.rpartition("/")
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return open_path(
        above or ("/" if path.startswith("/") else "."), OPEN_DIRECTORY & ~os.O_NOFOLLOW
    ), name
