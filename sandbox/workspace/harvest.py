"""Between a session and the kept workspace: /tmp and the outputs change their place, by renaming.

What lies there was made by a build. Nothing is reached through a link: every directory on the way
is opened as one, and what a build put in the place of one is left to be removed.
"""

from __future__ import annotations

import os
import stat

from sandbox.workspace.kept import OUTPUTS, SESSION, TMP
from sandbox.workspace.ladder import open_below
from sandbox.workspace.remove import open_directory, remove_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

OF_A_SESSION = ("root", "store", "store-work", "places", "work")
"""The directories of a workspace that are made anew for each session."""


def take_home(directory: int, store_place: str, inputs: Collection[str]) -> None:
    """Move /tmp and the outputs out of what a session left, and remove the rest of it.

    Can be interrupted anywhere and done again. Raises OSError; what could not be moved is then
    still where it was.
    """
    _take_tmp(directory)
    _take_outputs(directory, store_place, inputs)
    for name in OF_A_SESSION:
        remove_entry(name, directory)
    remove_entry(SESSION, directory)


def is_left(directory: int) -> bool:
    """Did a session leave something to be taken home?"""
    return _exists("root", directory)


def _take_tmp(directory: int) -> None:
    if _exists(TMP, directory):
        # It was not given to the session: what is in root/tmp is what preparing made there.
        return
    root = open_up(directory, "root")
    if root < 0:
        return
    try:
        if is_directory(TMP, root):
            move(TMP, root, directory)
    finally:
        os.close(root)


def _take_outputs(directory: int, store_place: str, inputs: Collection[str]) -> None:
    store = open_up(directory, store_place) if store_place else -1
    if store < 0:
        return
    try:
        found = [name for name in os.listdir(store) if name not in inputs]
        if not found:
            return
        outputs = open_made(OUTPUTS, directory)
        try:
            for name in found:
                if not _exists(name, outputs):
                    move(name, store, outputs)
        finally:
            os.close(outputs)
    finally:
        os.close(store)


def give_tmp(directory: int, places: Collection[str]) -> None:
    """Put the kept /tmp in the place of the one that was just prepared.

    `places` are the directories that preparing made below it to be mounted on, outermost first.
    """
    if not is_directory(TMP, directory):
        return
    root = open_up(directory, "root")
    if root < 0:
        return
    try:
        if not is_directory(TMP, root):
            return
        remove_entry(TMP, root)
        move(TMP, directory, root)
        for path in places:
            _renew(f"{TMP}/{path}", root)
    finally:
        os.close(root)


def _renew(path: str, root: int) -> None:
    """A build may have left something else there, and a mount would follow a link."""
    above, _, name = path.rpartition("/")
    directory = open_up(root, above)
    try:
        if not is_directory(name, directory):
            remove_entry(name, directory)
            os.mkdir(name, 0o755, dir_fd=directory)
    finally:
        os.close(directory)


def give_outputs(directory: int, store_place: str) -> None:
    """Put the kept outputs into the store directory that was just prepared."""
    outputs = open_up(directory, OUTPUTS)
    if outputs < 0:
        return
    store = open_up(directory, store_place)
    try:
        for name in os.listdir(outputs) if store >= 0 else ():
            move(name, outputs, store)
    finally:
        os.close(outputs)
        if store >= 0:
            os.close(store)


def move(name: str, source: int, target: int) -> None:
    """rename(2) from one open directory to another, opening up what the modes would forbid.

    Whoever moves a directory writes in it: its `..` changes. The outputs of a build are read-only.
    """
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    except PermissionError:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IWUSR:
            raise
        _move_closed(name, source, target, stat.S_IMODE(status.st_mode))


def _move_closed(name: str, source: int, target: int, mode: int) -> None:
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IWUSR)
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    finally:
        os.chmod(f"/proc/self/fd/{handle}", mode)
        os.close(handle)


def open_up(directory: int, path: str) -> int:
    """Open a directory of a session through directories alone; -1 if it is not there as one.

    What a build took from us of the modes of those on the way is given back.
    """
    return open_below(directory, path, _open_one_up)


def _open_one_up(name: str, directory: int) -> int:
    if not is_directory(name, directory):
        return -1
    descriptor = open_directory(name, directory)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if os.geteuid() != 0 and stat.S_IRWXU & ~mode:
        os.fchmod(descriptor, mode | stat.S_IRWXU)
    return descriptor


def open_made(name: str, directory: int) -> int:
    """Open a directory of the workspace, made if it is not there."""
    if not _exists(name, directory):
        os.mkdir(name, 0o700, dir_fd=directory)
    return open_directory(name, directory)


def is_directory(name: str, directory: int) -> bool:
    """A directory, and no link to one."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
