"""The calls of Linux that make, change and move mounts.

As in `linux.syscalls`: one function for each call, its errors with the call as strace prints it.
"""

from __future__ import annotations

import _thread
import ctypes
import os
from fcntl import F_DUPFD_CLOEXEC, fcntl

from sandbox.linux.syscalls import (
    AT_FDCWD,
    EINVAL,
    check,
    libc,
    own_descriptor,
    quoted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 428, 429, 430, 431, 432
SYS_MOUNT_SETATTR = 442
SYS_PIVOT_ROOT = {"x86_64": 155, "i686": 217, "i386": 217, "ppc64le": 203, "s390x": 217}.get(
    os.uname().machine, 41
)
MS_RDONLY = 0x1
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SHARED = 0x100000
MNT_DETACH = 0x2
MOUNT_ATTR_RDONLY = 0x1
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, 0o2000000
FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, FSCONFIG_CMD_CREATE = 1, 1, 6
MOVE_MOUNT_F_EMPTY_PATH = 0x4

CLONE_FS = 0x200
LAYER_DESCRIPTORS = 64
MANY_MOUNTS = 257

MOUNT_FLAG_NAMES = {
    MS_RDONLY: "MS_RDONLY",
    MS_REMOUNT: "MS_REMOUNT",
    MS_BIND: "MS_BIND",
    MS_REC: "MS_REC",
    MS_PRIVATE: "MS_PRIVATE",
    MS_SHARED: "MS_SHARED",
}

libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def mount_flags(flags: int) -> str:
    """The names of mount(2)'s flags, joined as strace joins them."""
    names = [name for bit, name in MOUNT_FLAG_NAMES.items() if flags & bit]
    return "|".join(names) or "0"


def mount_call(source: str, target: str, fstype: str, flags: int, data: str) -> str:
    """mount(2) as strace prints it; what is empty is handed over as NULL."""
    kind, options = (quoted(text) if text else "NULL" for text in (fstype, data))
    return f"mount({quoted(source)}, {quoted(target)}, {kind}, {mount_flags(flags)}, {options})"


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2): attach `source` to the tree at `target`, or change what is mounted there."""
    kind, options = os.fsencode(fstype) or None, os.fsencode(data) or None
    if libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, options):
        check(-1, mount_call(source, target, fstype, flags, data))


def bind_each(source: str, target: str, names: tuple[str, ...]) -> None:
    """mount(2) with MS_BIND|MS_REC for each name below `source`, at the same name below `target`.

    One function, for the thousands of a large closure: most of the time is the kernel's, which
    looks for the places in an overlay by two threads at once. `target` is the working directory
    afterwards: in it the kernel walks no path to each of them.
    """
    os.chdir(target)
    if len(names) < MANY_MOUNTS:
        _bind_some(source, target, names)
    else:
        _by_two_threads(lambda some: _bind_some(source, target, some), names)


def _bind_some(source: str, target: str, names: tuple[str, ...]) -> None:
    call, flags = libc.mount, MS_BIND | MS_REC
    above = os.fsencode(source) + b"/"
    for name in names:
        raw = os.fsencode(name)
        if call(above + raw, raw, None, flags, None):
            check(-1, mount_call(f"{source}/{name}", f"{target}/{name}", "", flags, ""))


def _by_two_threads(act: Callable[[tuple[str, ...]], None], names: tuple[str, ...]) -> None:
    """`act` on each half of `names`. Raises what it raises, when both have ended."""
    half = len(names) // 2
    raised: list[BaseException] = []
    ended = _thread.allocate_lock()
    ended.acquire()

    def second() -> None:
        try:
            # It may still be about to end when its lock is free: setns(2) refuses who shares that.
            check(libc.unshare(CLONE_FS), "unshare(CLONE_FS)")
            act(names[half:])
        except BaseException as error:  # noqa: BLE001  for the thread that waits
            raised.append(error)
        finally:
            ended.release()

    try:
        _thread.start_new_thread(second, ())
    except RuntimeError:
        second()  # RLIMIT_NPROC
    try:
        act(names[:half])
    finally:
        ended.acquire()
        _give_number_back()
    if raised:
        raise raised[0]


def _give_number_back() -> None:
    """A thread takes a process's number: the first that a builder starts is 2 in Nix.

    proc_sys_kernel(5), `ns_last_pid`. A kernel built without it, or a /proc that lets nothing be
    written, leaves that process with 3.
    """
    if os.getpid() != 1:
        return
    try:
        with open("/proc/sys/kernel/ns_last_pid", "wb", buffering=0) as file:
            file.write(b"1")
    except OSError:
        pass


def bind_each_in(directory: int, target: str, names: tuple[str, ...]) -> None:
    """The same for names in an open directory that others may change: no link is followed."""
    for name in names:
        try:
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError as error:
            call = f"openat({directory}, {quoted(name)}, O_PATH|O_NOFOLLOW)"
            raise OSError(error.errno, error.strerror, call) from None
        try:
            mount(own_descriptor(handle), f"{target}/{name}", "", MS_BIND | MS_REC)
        finally:
            os.close(handle)


def mount_overlay(
    *, lower: str | int, upper: str, work: str, target: str, uid: int, gid: int
) -> None:
    """mount(2) of an overlay whose own files belong to `uid` and `gid`, as this namespace counts.

    `lower` may be open already, in the mount namespace of this process.

    The kernel makes a directory in `work` with the caller's file system ids and then has to change
    its attributes; that is refused for ids that the namespace does not map, as those of root
    outside. With the mapped ids in turn the paths could not be walked, so they are opened before.
    The mount table then shows no path of the host either.
    """
    opened: dict[str, int] = {}
    try:
        for name, path in (("l", lower), ("u", upper), ("w", work), ("t", target)):
            opened[name] = _open_layer(path)
        libc.setfsuid(uid)
        libc.setfsgid(gid)
        at = {name: own_descriptor(fd) for name, fd in opened.items()}
        options = f"lowerdir={at['l']},upperdir={at['u']},workdir={at['w']},userxattr"
        mount("overlay", at["t"], "overlay", 0, options)
    finally:
        _set_back_file_system_ids()
        for fd in opened.values():
            os.close(fd)


def _set_back_file_system_ids() -> None:
    """setreuid(2) sets them to the effective ones, which may have no number here."""
    os.setreuid(-1, -1)
    os.setregid(-1, -1)


def _open_layer(layer: str | int) -> int:
    """From 64 on: the mount table shows the numbers, and shall be the same whoever mounts."""
    if isinstance(layer, int):
        try:
            return fcntl(layer, F_DUPFD_CLOEXEC, LAYER_DESCRIPTORS)
        except OSError:
            # So few may be open: another number is better than no overlay, and a copy of all.
            return fcntl(layer, F_DUPFD_CLOEXEC, 3)
    low = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open_layer(low)
    finally:
        os.close(low)


def mount_setattr(target: str, *, read_only: bool, recursive: bool) -> None:
    """mount_setattr(2), Linux 5.12: make a mount, or all below it too, read-only or writable.

    Unlike a remount with MS_BIND, it leaves the other attributes of each mount as they are, so
    none of those that a user namespace may not clear has to be known.
    """
    bits = (MOUNT_ATTR_RDONLY, 0) if read_only else (0, MOUNT_ATTR_RDONLY)
    attributes = (ctypes.c_uint64 * 4)(*bits, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    check(
        libc.syscall(
            SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), flags, attributes, ctypes.c_size_t(32)
        ),
        f"mount_setattr(AT_FDCWD, {quoted(target)}, {'AT_RECURSIVE' if recursive else '0'}, "
        f"{{attr_{'set' if read_only else 'clr'}=MOUNT_ATTR_RDONLY}})",
    )


def make_places(
    path: str, directories: tuple[str, ...], files: tuple[str, ...], uid: int, gid: int
) -> None:
    """mkdir(2) and mknod(2) of empty directories and files below `path`, to be mounted on.

    In a file system of this namespace, for `uid` and `gid` as it counts: an id that it does not
    map, as that of root outside, can own nothing there.
    """
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc.setfsuid(uid)
        libc.setfsgid(gid)
        for name in directories:
            os.mkdir(name, 0o755, dir_fd=place)
        for name in files:
            os.mknod(name, 0o644, dir_fd=place)
    finally:
        _set_back_file_system_ids()
        os.close(place)


def pivot_root(new_root: str) -> None:
    """pivot_root(2) onto `new_root`, and let go of the old root.

    The old root is stacked over the new one and detached, so no directory is needed for it. A
    chroot(2) would not do: a process that is in one may not make user namespaces, which builds do.
    """
    os.chdir(new_root)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), 'pivot_root(".", ".")')
    check(libc.umount2(b".", MNT_DETACH), 'umount2(".", MNT_DETACH)')
    os.chdir("/")


def renew_proc(path: str) -> None:
    """fsopen(2), fsmount(2), umount2(2), move_mount(2): a new proc in place of the one at `path`.

    The kernel lets a user namespace have a new one only while it can see another in full, so the
    old one goes after the new one is made. Where it may not go, as it came from the host, the new
    one covers it.
    """
    context = check(libc.syscall(SYS_FSOPEN, b"proc", FSOPEN_CLOEXEC), 'fsopen("proc")')
    mounted = -1
    try:
        check(
            libc.syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0),
            "fsconfig(FSCONFIG_CMD_CREATE)",
        )
        mounted = check(libc.syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, 0), "fsmount(proc)")
        if libc.umount2(os.fsencode(path), MNT_DETACH) and ctypes.get_errno() != EINVAL:
            check(-1, f"umount2({quoted(path)}, MNT_DETACH)")
        check(
            libc.syscall(
                SYS_MOVE_MOUNT,
                mounted,
                b"",
                AT_FDCWD,
                os.fsencode(path),
                MOVE_MOUNT_F_EMPTY_PATH,
            ),
            f'move_mount(proc, "", AT_FDCWD, {quoted(path)}, MOVE_MOUNT_F_EMPTY_PATH)',
        )
    finally:
        for descriptor in (context, mounted):
            if descriptor >= 0:
                os.close(descriptor)


def clone_mount(path: str, *, recursive: bool = False) -> int:
    """open_tree(2) with OPEN_TREE_CLONE: what is mounted at `path`, once more and attached nowhere.

    With what is mounted below it, if `recursive`. It is gone when the descriptor is closed.
    """
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return check(
        libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags),
        f"open_tree(AT_FDCWD, {quoted(path)}, OPEN_TREE_CLONE{'|AT_RECURSIVE' * recursive})",
    )


def attach_mount(descriptor: int, path: str) -> None:
    """move_mount(2): put a mount that is attached nowhere to `path`."""
    check(
        libc.syscall(
            SYS_MOVE_MOUNT, descriptor, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH
        ),
        f'move_mount({descriptor}, "", AT_FDCWD, {quoted(path)}, MOVE_MOUNT_F_EMPTY_PATH)',
    )


def detach_mount(path: str) -> None:
    """umount2(2) with MNT_DETACH: it is there no longer for whoever comes by its path."""
    check(libc.umount2(os.fsencode(path), MNT_DETACH), f"umount2({quoted(path)}, MNT_DETACH)")
