"""Removing a directory tree that others have filled.

The tree is hostile: its names, links and modes were chosen by a build. Everything is done relative
to directories that were opened without following a link (`workspace.ladder`), so that nothing
outside the tree is ever removed, whatever is renamed meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.model.value import Value
from sandbox.workspace.ladder import OPEN_DIRECTORY, Ladder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from sandbox.workspace.ladder import Level

_PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
            with Ladder(os.dup(directory)) as ladder:
                return _Removing(ladder).remove(name)
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        return Removal(left=1, examples=(f"{name}: {error.strerror}",))
    return Removal()


class _Removing:
    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        self.staying = 0
        """So many levels of the ladder stay, for what is in the lowest of them."""
        self.left = 0
        self.examples: list[str] = []

    def remove(self, name: str) -> Removal:
        ladder = self.ladder
        self.descend(name)
        while ladder.depth:
            directories = ladder.lowest.names
            if directories:
                self.descend(directories.pop())
            elif not self.ascend():
                break
        return Removal(left=self.left, examples=tuple(self.examples))

    def descend(self, name: str) -> None:
        ladder = self.ladder
        if remove_empty(name, ladder.lowest.descriptor):
            return
        try:
            level = ladder.enter(name, open_directory(name, ladder.lowest.descriptor))
        except OSError as error:
            self.keep(name, error)
            return
        if level.status.st_dev != ladder.levels[1].status.st_dev:
            os.close(ladder.up().descriptor)
            self.keep(name, OSError(errno.EXDEV, "on another file system"))
            return
        self.empty(level)

    def empty(self, level: Level) -> None:
        """Remove all that is no directory, and note the directories.

        The names are read before the first is removed: readdir(3) leaves open what a reader sees
        of a directory that changes under it.
        """
        descriptor = level.descriptor
        files = []
        try:
            if stat.S_IRWXU & ~level.status.st_mode and os.geteuid() != 0:
                os.fchmod(descriptor, 0o700)
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        level.names.append(entry.name)
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

    def ascend(self) -> bool:
        """Leave an empty directory, and remove it; False if it is no longer where it was."""
        ladder = self.ladder
        stays = self.staying == ladder.depth
        try:
            level = ladder.up()
        except OSError as error:
            self.keep("", error)
            return False
        os.close(level.descriptor)
        if stays:
            self.staying -= 1
            return True
        try:
            os.rmdir(level.name, dir_fd=ladder.lowest.descriptor)
        except FileNotFoundError:
            pass
        except OSError as error:
            self.keep(level.name, error)
        return True

    def keep(self, name: str, error: OSError) -> None:
        """Note what stays; all directories above it then stay too."""
        self.staying = self.ladder.depth
        self.left += 1
        if self.left <= _NAMED:
            self.examples.append(f"{self.ladder.path(name)}: {error.strerror}")


def remove_empty(name: str, directory: int) -> bool:
    """Is the directory gone, as an empty one is at once? Most places of a root are."""
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:
        return False
    return True


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
