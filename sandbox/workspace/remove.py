"""Removing a directory tree that others have filled.

The tree is hostile: its names, links and modes were chosen by a build. Everything is done relative
to descriptors of directories that were opened without following a link, so that nothing outside
the tree is ever removed, whatever is renamed meanwhile. No path longer than one name is handed to
the kernel, so a tree may be deeper than PATH_MAX allows; a bounded number of descriptors is open.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LEVELS = 32
_NAMED = 100


class Removal(Value):
    """What could not be removed; nothing, if all went well.

    `examples` names the first hundred, relative to the directory that holds the tree, each with
    the kernel's reason. A directory that stays only for what is in it is not counted.
    """

    left: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: Self) -> Removal:
        return Removal(
            left=self.left + other.left, examples=(self.examples + other.examples)[:_NAMED]
        )


def remove_tree(path: str) -> Removal:
    """Remove `path` and all below it, as `rm -rf` does; a link is removed, not what it points to.

    Directories without permissions are opened up first where we own them. What is on another file
    system is left alone. A path that does not exist is no error.
    """
    parent, name = os.path.split(path.rstrip("/"))
    try:
        directory = os.open(parent or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Removal()
    try:
        return remove_entry(name, directory)
    finally:
        os.close(directory)


def remove_entry(name: str, directory: int) -> Removal:
    """`remove_tree` for the entry `name` of the open directory `directory`."""
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is not the name of an entry")
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return _Removing(directory).remove(name)
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        return Removal(left=1, examples=(f"{name}: {error.strerror}",))
    return Removal()


class _Level:
    """One directory on the way from the top of the tree to where the removal is.

    `descriptor` is -1 while it is closed; `identity` tells whether `..` leads back to it.
    """

    __slots__ = ("descriptor", "directories", "identity", "name", "stays")

    def __init__(self, name: str, descriptor: int, identity: tuple[int, int]) -> None:
        self.name = name
        self.descriptor = descriptor
        self.identity = identity
        self.directories: list[str] = []
        self.stays = False


class _Removing:
    def __init__(self, directory: int) -> None:
        self.outside = directory
        self.levels: list[_Level] = []
        self.left = 0
        self.examples: list[str] = []

    def remove(self, name: str) -> Removal:
        try:
            self.descend(name, self.outside)
            while self.levels:
                level = self.levels[-1]
                if level.directories:
                    self.descend(level.directories.pop(), level.descriptor)
                else:
                    self.ascend()
        finally:
            for level in self.levels:
                if level.descriptor >= 0:
                    os.close(level.descriptor)
        return Removal(left=self.left, examples=tuple(self.examples))

    def descend(self, name: str, directory: int) -> None:
        try:
            descriptor = open_directory(name, directory)
        except OSError as error:
            self.keep(name, error)
            return
        status = os.fstat(descriptor)
        if self.levels and status.st_dev != self.levels[0].identity[0]:
            os.close(descriptor)
            self.keep(name, OSError(errno.EXDEV, "on another file system"))
            return
        level = _Level(name, descriptor, (status.st_dev, status.st_ino))
        self.levels.append(level)
        if len(self.levels) > _OPEN_LEVELS:
            self.shut(self.levels[-_OPEN_LEVELS - 1])
        self.empty(level, status.st_mode)

    def empty(self, level: _Level, mode: int) -> None:
        """Remove all that is no directory, and note the directories.

        The names are read before the first is removed: readdir(3) leaves open what a reader sees
        of a directory that changes under it.
        """
        descriptor = level.descriptor
        files = []
        try:
            if stat.S_IRWXU & ~mode and os.geteuid() != 0:
                os.fchmod(descriptor, 0o700)
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        level.directories.append(entry.name)
                    else:
                        files.append(entry.name)
        except OSError as error:
            self.keep("", error)
        unlink = os.unlink
        for name in files:
            try:
                unlink(name, dir_fd=descriptor)
            except FileNotFoundError:
                pass
            except OSError as error:
                self.keep(name, error)

    def ascend(self) -> None:
        level = self.levels.pop()
        try:
            if self.levels and self.levels[-1].descriptor < 0:
                _reopen(self.levels[-1], level.descriptor)
        except OSError as error:
            self.keep(level.name, error)
            self.levels.clear()
            return
        finally:
            os.close(level.descriptor)
        if level.stays:
            return
        try:
            os.rmdir(level.name, dir_fd=self.levels[-1].descriptor if self.levels else self.outside)
        except FileNotFoundError:
            pass
        except OSError as error:
            self.keep(level.name, error)

    def shut(self, level: _Level) -> None:
        if level.descriptor >= 0:
            os.close(level.descriptor)
            level.descriptor = -1

    def keep(self, name: str, error: OSError) -> None:
        """Note what stays; all directories above it then stay too."""
        for level in reversed(self.levels):
            if level.stays:
                break
            level.stays = True
        self.left += 1
        if self.left <= _NAMED:
            path = "/".join([*(level.name for level in self.levels), *([name] if name else [])])
            self.examples.append(f"{path}: {error.strerror}")


def open_directory(name: str, directory: int) -> int:
    """Open a directory to list it, with the permissions opened up where they are in the way.

    The kernel makes `work/work` of an overlay with mode 0000. There is no fchmodat(2) that follows
    no link in the kernels we support, hence the way through /proc.
    """
    try:
        return os.open(name, OPEN_DIRECTORY, dir_fd=directory)
    except PermissionError:
        handle = os.open(name, _PATH_ONLY, dir_fd=directory)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
        return os.open(name, OPEN_DIRECTORY, dir_fd=directory)


def _reopen(level: _Level, child: int) -> None:
    """Open again, as the parent of `child`, a directory that was closed to save descriptors."""
    descriptor = os.open("..", OPEN_DIRECTORY, dir_fd=child)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) != level.identity:
        os.close(descriptor)
        raise OSError(errno.ESTALE, "moved while it was being removed")
    level.descriptor = descriptor
