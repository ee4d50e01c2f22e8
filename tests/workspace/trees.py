"""Odd trees, a strict description of them, and children that are other users."""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import stat
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNPRIVILEGED = 12345
MOMENT_NS = 1_234_567_890_123_456_789
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x20000


def in_child(function: Callable[[], None], uid: int | None = None) -> None:
    """Run `function` in a forked child, as the user `uid` where that is another one.

    Its exception is raised here, as an AssertionError with its traceback.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(ours)
            if uid is not None and uid != os.getuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                _own_proc_again()
            function()
            status = 0
        except BaseException:
            os.write(theirs, traceback.format_exc().encode()[-60000:])
        finally:
            os._exit(status)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if status:
        raise AssertionError(text or f"the child ended with status {status}")


def _own_proc_again() -> None:
    """prctl(PR_SET_DUMPABLE): who changes their user loses /proc/self, unlike who starts as one."""
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


def enter_mount_namespace() -> None:
    """Become root of a new user and mount namespace."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def mount_tmpfs(path: str, size: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "mount")


def make_odd_tree(root: Path, *, secret: bool) -> None:
    """All that a build may leave. `secret` adds what only root can copy."""
    root.mkdir()
    top = os.fsencode(root)
    (root / "empty").mkdir()
    (root / "directory" / "below").mkdir(parents=True)
    (root / "directory" / "file").write_bytes(b"content\n" * 1000)
    (root / "no bytes").touch()
    (root / "large").write_bytes(os.urandom(1 << 20))
    for name in (b"new\nline", b"\xff\xfe not UTF-8", "größe".encode(), b"-rf", b"a" * 255):
        with open(os.path.join(top, name), "wb") as file:
            file.write(name)
    with (root / "sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(16 << 20)
        file.write(b"island")
    with (root / "only a hole").open("wb") as file:
        file.truncate(1 << 20)
    os.link(root / "large", root / "directory" / "below" / "large again")
    os.symlink("/etc/passwd", root / "link out")
    os.symlink(b"\xff/../..", os.path.join(top, b"link to nowhere"))
    os.symlink("..", root / "directory" / "link up")
    os.link(root / "link out", root / "directory" / "link out again", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o620)
    _make_socket(root / "socket")
    for mode in (0o400, 0o755, 0o4755, 0o2711, 0o1777, 0o444):
        path = root / f"mode {mode:o}"
        path.write_text(f"{mode:o}")
        path.chmod(mode)
    for mode in (0o1777, 0o2755, 0o555, 0o500):
        path = root / f"directory {mode:o}"
        path.mkdir()
        (path / "in it").write_text("x")
        path.chmod(mode)
    if secret:
        _add_secrets(root)
    _set_times(root)


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(path.parent)
        listener.bind(path.name)
        os.chdir("/")


def _add_secrets(root: Path) -> None:
    (root / "closed").mkdir()
    (root / "closed" / "file").write_text("secret")
    (root / "closed" / "file").chmod(0)
    (root / "closed").chmod(0)


def _set_times(root: Path) -> None:
    count = 0
    for directory, names, files in os.walk(os.fsencode(root), topdown=False):
        for path in [*(os.path.join(directory, name) for name in names + files), directory]:
            count += 1
            times = (MOMENT_NS + count, MOMENT_NS - count)
            os.utime(path, ns=times, follow_symlinks=False)


def describe(root: Path | str, *, owners: bool = False) -> dict[bytes, tuple[object, ...]]:
    """All about a tree that a copy has to keep, by relative path."""
    top = os.fsencode(root)
    groups: dict[int, list[bytes]] = {}
    described = {}
    paths = [top]
    for directory, names, files in os.walk(top):
        paths += [os.path.join(directory, name) for name in names + files]
    for path in paths:
        status = os.lstat(path)
        groups.setdefault(status.st_ino, []).append(os.path.relpath(path, top))
    for path in paths:
        status = os.lstat(path)
        is_directory = stat.S_ISDIR(status.st_mode)
        described[os.path.relpath(path, top)] = (
            oct(status.st_mode),
            0 if is_directory else status.st_size,
            status.st_mtime_ns,
            () if is_directory else tuple(sorted(groups[status.st_ino])),
            _content(path, status),
            (status.st_uid, status.st_gid) if owners else (),
        )
    return described


def _content(path: bytes, status: os.stat_result) -> bytes:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return b""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def traces(root: Path) -> dict[bytes, tuple[int, ...]]:
    """What would show that somebody read or changed a tree; of links not the time of access,
    which readlink(2) always moves."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for path in (directory, *(os.path.join(directory, name) for name in names + files)):
            status = os.lstat(path)
            read = 0 if stat.S_ISLNK(status.st_mode) else status.st_atime_ns
            found[path] = (status.st_ino, status.st_ctime_ns, status.st_nlink, read)
    return found


def make_deep_tree(root: Path, depth: int) -> None:
    """A chain of directories whose path is longer than PATH_MAX, with a file in each tenth."""
    root.mkdir()
    current = os.open(root, os.O_RDONLY)
    for level in range(depth):
        os.mkdir("deeper", dir_fd=current)
        if level % 10 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=current))
        below = os.open("deeper", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)


def depth_of(root: Path) -> int:
    """How many directories follow each other below `root`."""
    current = os.open(root, os.O_RDONLY)
    depth = 0
    while True:
        try:
            below = os.open("deeper", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=current)
        except FileNotFoundError:
            os.close(current)
            return depth
        os.close(current)
        current = below
        depth += 1


def python(*lines: str) -> list[str]:
    """The command that runs `lines` in a Python which finds the project."""
    root = str(Path(__file__).resolve().parents[2])
    return [sys.executable, "-c", "\n".join((f"import sys; sys.path.insert(0, {root!r})", *lines))]
