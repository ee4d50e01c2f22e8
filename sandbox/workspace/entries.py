"""Copying single entries of a hostile directory: files, links, fifos, sockets.

The source is opened without following links and without waiting, looked at only after it was
opened, and never changed: where the kernel allows it, not even its time of access. Both
directories are open descriptors. Errors of the target are raised as OSError; what cannot be read
is tallied; a source that changes meanwhile is an EvidenceError `source-changed`.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from fcntl import ioctl

from sandbox.errors import EvidenceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.tally import Tally

_FICLONE = 0x40049409
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALL = 1 << 18
_CHUNK = 1 << 26
_BUFFER = 1 << 20
_LONGEST = 4096

_UNREADABLE = (errno.EACCES, errno.EPERM, errno.EAGAIN)
_CHANGED = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.ENODEV)
_NO_RANGE = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Entries:
    """Copies entries from one open directory to another.

    `owner` gets everything; without it, root keeps the owners of the source, and all that another
    user copies is that user's. `links` is an open directory beside the copy, where each file that
    has several names is linked under a name that tells which it is, for the next name to find:
    so hard links hold across processes, and no path is remembered. Of what is closed to others,
    root gives only what is `whose` to `owner`; -1 for anybody's. `where` are the names of
    the directories that lead to what is being copied. A `raw` copy of an overlay's upper layer
    keeps what overlayfs(5) hides with: its attributes and whiteouts.
    """

    def __init__(
        self,
        tally: Tally,
        owner: tuple[int, int] | None,
        links: int,
        *,
        whose: int = -1,
        raw: bool = False,
    ) -> None:
        self.tally = tally
        self.owner = owner
        self.links = links
        self.whose = whose
        self.raw = raw
        self.where: list[str] = []
        self.is_root = os.geteuid() == 0
        self.reflinks = True
        self.ranges = True

    def counted_by(self, tally: Tally) -> Entries:
        """The same for another process, which counts for itself."""
        return Entries(tally, self.owner, self.links, whose=self.whose, raw=self.raw)

    def is_closed(self, status: os.stat_result) -> bool:
        """Is it closed to whose tree this is, though root can read it?

        A tree's owner can put a hard link to another's file into it, where the kernel lets users
        do that, and move there what root has left beside it.
        """
        if not self.is_root or self.whose in (-1, status.st_uid):
            return False
        is_directory = stat.S_ISDIR(status.st_mode)
        is_open = stat.S_IROTH | stat.S_IXOTH if is_directory else stat.S_IROTH
        others = status.st_uid == 0 or (status.st_nlink > 1 and not is_directory)
        return others and status.st_mode & is_open != is_open

    def path(self, name: str) -> str:
        """The path of an entry from the top of the source; of a very long one, the end."""
        path = "/".join([*self.where, name] if name else self.where)
        return path if len(path) <= _LONGEST else f"…{path[-_LONGEST:]}"

    def changed(self, name: str) -> EvidenceError:
        return EvidenceError(
            f"`{self.path(name)}` changed while it was being copied",
            reason="source-changed",
            hint="start again when nothing writes to the kept directory any more",
        )

    def copy(self, name: str, is_file: bool, source: int, target: int) -> None:
        """Copy an entry that is no directory."""
        if is_file:
            self.file(name, source, target)
        else:
            self.other(name, source, target)
        self.tally.tick()

    def file(self, name: str, source: int, target: int) -> None:
        try:
            handle = open_source(name, source, _READ)
        except PermissionError:
            self.tally.unread(self.path(name))
            return
        except FileNotFoundError:
            raise self.changed(name) from None
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise self.changed(name)
            if self.is_closed(status):
                self.tally.unread(self.path(name))
                return
            is_there = self.shared_file(handle, status, name, target)
        finally:
            os.close(handle)
        if not is_there:
            self.file(name, source, target)

    def shared_file(self, handle: int, status: os.stat_result, name: str, target: int) -> bool:
        """Copy an open file, or name the copy that there is of it, if it has several names.

        False if another process came first: then there is nothing as yet.
        """
        is_shared = status.st_nlink > 1 and self.links >= 0
        if is_shared and self.link(name, target, status):
            return True
        self.fresh_file(handle, status, name, target)
        return not is_shared or self.publish(name, target, status)

    def fresh_file(self, handle: int, status: os.stat_result, name: str, target: int) -> None:
        copy = os.open(name, _CREATE, 0o600, dir_fd=target)
        try:
            if status.st_size:
                self.content(handle, copy, status)
            self.finish(copy, status, handle)
        finally:
            os.close(copy)
        after = os.fstat(handle)
        if after.st_mtime_ns != status.st_mtime_ns or after.st_size != status.st_size:
            raise self.changed(name)
        self.tally.files += 1

    def content(self, handle: int, copy: int, status: os.stat_result) -> None:
        size = status.st_size
        if self.reflinks:
            try:
                ioctl(copy, _FICLONE, handle)
            except OSError as error:
                if error.errno in _FULL:
                    raise
                self.reflinks = False
            else:
                self.tally.bytes += size
                return
        if status.st_blocks * 512 >= size:
            self.span(handle, copy, 0, size)
        else:
            self.sparse(handle, copy, size)

    def sparse(self, handle: int, copy: int, size: int) -> None:
        """Copy what is between the holes."""
        end = 0
        while end < size:
            try:
                start = os.lseek(handle, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            end = min(os.lseek(handle, start, os.SEEK_HOLE), size)
            self.span(handle, copy, start, end)
        os.ftruncate(copy, size)

    def span(self, handle: int, copy: int, start: int, end: int) -> None:
        """Copy the bytes from `start` to `end`, in the kernel where there are many of them.

        A source that ends early is noticed when its status is compared afterwards.
        """
        while start < end:
            length = min(end - start, _CHUNK)
            moved = 0
            if length > _SMALL and self.ranges:
                moved = self.range(handle, copy, start, length)
            if not moved:
                block = os.pread(handle, min(length, _BUFFER), start)
                if not block:
                    return
                moved = os.pwrite(copy, block, start)
            start += moved
            self.tally.bytes += moved
            if start < end:
                self.tally.tick()

    def range(self, handle: int, copy: int, start: int, length: int) -> int:
        try:
            return os.copy_file_range(handle, copy, length, start, start)
        except OSError as error:
            if error.errno not in _NO_RANGE:
                raise
            self.ranges = False
            return 0

    def other(self, name: str, source: int, target: int) -> None:
        """Copy a link, fifo or socket; a device would be another's hardware, and is skipped."""
        try:
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            kind = stat.S_IFMT(status.st_mode)
            text = os.readlink(name, dir_fd=source) if kind == stat.S_IFLNK else ""
        except PermissionError:
            self.tally.unread(self.path(name))
            return
        except OSError as error:
            if error.errno in (*_CHANGED, errno.EINVAL):
                raise self.changed(name) from None
            raise
        if kind not in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK):
            if kind in (stat.S_IFREG, stat.S_IFDIR):
                raise self.changed(name)
            if not (self.raw and is_whiteout(status)):
                self.tally.skip(self.path(name))
                return
        if status.st_nlink > 1 and self.link(name, target, status):
            return
        self.fresh_node(name, target, status, text)
        if status.st_nlink > 1 and not self.publish(name, target, status):
            self.other(name, source, target)

    def fresh_node(self, name: str, target: int, status: os.stat_result, text: str) -> None:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(text, name, dir_fd=target)
        else:
            # The device 0:0 of a whiteout is the only one that may come here.
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, 0, dir_fd=target)
        self.finish_name(name, target, status)
        self.tally.files += 1

    def finish_name(self, name: str, target: int, status: os.stat_result) -> None:
        """`finish` for what is not open: a link, fifo, socket, or directory without its content."""
        if self.is_root:
            uid, gid = self.owner or (status.st_uid, status.st_gid)
            os.chown(name, uid, gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)

    def finish(self, copy: int, status: os.stat_result, source: int) -> None:
        """Give an open file or directory its attributes: the owner first, for chown(2) clears the
        setuid bit, and the times last."""
        if self.is_root:
            uid, gid = self.owner or (status.st_uid, status.st_gid)
            os.fchown(copy, uid, gid)
        if self.raw:
            copy_all_attributes(source, copy)
        else:
            copy_attributes(source, copy)
        os.fchmod(copy, stat.S_IMODE(status.st_mode))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))

    def link(self, name: str, target: int, status: os.stat_result) -> bool:
        """Make `name` another name of the copy that was published for the same file, if any is."""
        key = _key(status)
        try:
            os.link(key, name, src_dir_fd=self.links, dst_dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            _unlink(key, self.links)
            return False
        self.tally.files += 1
        return True

    def publish(self, name: str, target: int, status: os.stat_result) -> bool:
        """Let other names of the file find its copy. False if another process came first: then
        this copy is gone again."""
        key = _key(status)
        try:
            os.link(name, key, src_dir_fd=target, dst_dir_fd=self.links, follow_symlinks=False)
        except FileExistsError:
            os.unlink(name, dir_fd=target)
            self.tally.files -= 1
            return False
        return True


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this hides what the layers below have at its name: see overlayfs(5)."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _key(status: os.stat_result) -> str:
    """A name for the file itself: its number alone may be another's when files come and go."""
    return f"{status.st_dev}-{status.st_ino}-{status.st_mode}-{status.st_size}-{status.st_mtime_ns}"


def _unlink(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def open_source(name: str, directory: int | None, flags: int) -> int:
    """Open an entry of the source, leaving its time of access alone where it is ours to leave.

    PermissionError for what may not be read, FileNotFoundError for what is no longer what it was.
    """
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise _sorted(error) from None
    try:
        return os.open(name, flags, dir_fd=directory)
    except OSError as error:
        raise _sorted(error) from None


def _sorted(error: OSError) -> OSError:
    if error.errno in _UNREADABLE:
        return PermissionError(error.errno, error.strerror)
    if error.errno in _CHANGED:
        return FileNotFoundError(error.errno, error.strerror)
    return error


def copy_attributes(source: int, copy: int) -> None:
    """Copy the `user.` attributes, as far as the file systems go.

    Not those by which overlayfs redirects and hides: in a copy they would come from the build.
    """
    try:
        for name in os.listxattr(source):
            if name.startswith("user.") and not name.startswith("user.overlay."):
                os.setxattr(copy, name, os.getxattr(source, name))
    except OSError:
        pass


def copy_all_attributes(source: int, copy: int) -> None:
    """Copy all `user.` attributes, those of overlayfs too. Raises OSError for what gets lost."""
    for name in os.listxattr(source):
        if name.startswith("user."):
            os.setxattr(copy, name, os.getxattr(source, name))
