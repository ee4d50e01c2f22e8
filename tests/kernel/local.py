"""A plain start of commands on this machine: what the sandbox's own is to the driver.

Where this machine allows it a command is the first process of a pid namespace with a proc of its
own, as inside of the sandbox.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import signal
import termios
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox import Command

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
MS_REC_PRIVATE, MS_NOSUID_NODEV_NOEXEC = 0x44000, 14
SYS_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
HIGH = 500

_libc = ctypes.CDLL(None, use_errno=True)


def start(command: Command) -> int:
    """Start a command in a session of its own, as the first process of a pid namespace if it can be."""
    return _start(command, CLONE_NEWPID | CLONE_NEWNS if namespaces_work() else 0)


def start_plainly(command: Command) -> int:
    """Start a command in this pid namespace."""
    return _start(command, 0)


@functools.cache
def namespaces_work() -> bool:
    """Whether this user can make the namespaces of `start` here."""
    pid = _clone(_with_user(CLONE_NEWPID | CLONE_NEWNS))
    if pid == 0:
        os._exit(0 if _mount_proc() else 1)
    return pid > 0 and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _with_user(flags: int) -> int:
    return flags | CLONE_NEWUSER if os.getuid() != 0 and flags else flags


def _clone(flags: int) -> int:
    """fork(2) with namespaces: clone(2) without a stack of its own is that."""
    _libc.syscall.restype = ctypes.c_long
    return int(_libc.syscall(SYS_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0))


def _mount_proc() -> bool:
    private = _libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None)
    return (
        private == 0 and _libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID_NODEV_NOEXEC, None) == 0
    )


def _start(command: Command, flags: int) -> int:
    maps = (os.getuid(), os.getgid())
    pid = _clone(_with_user(flags)) if flags else os.fork()
    if pid == 0:
        _become(command, flags, maps)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return pid


def _become(command: Command, flags: int, maps: Sequence[int]) -> Never:
    try:
        if flags:
            _enter(flags, maps)
        _put_in_place(command)
        for number in (
            signal.SIGINT,
            signal.SIGQUIT,
            signal.SIGPIPE,
            signal.SIGTERM,
            signal.SIGXFSZ,
        ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        if command.terminal >= 0:
            fcntl.ioctl(command.terminal, termios.TIOCSCTTY, 0)
        os.chdir(command.directories[0])
        os.execve(command.program or command.argv[0], command.argv, dict(command.environment))
    finally:
        os._exit(127)


def _enter(flags: int, maps: Sequence[int]) -> None:
    if _with_user(flags) & CLONE_NEWUSER:
        for path, text in (
            ("/proc/self/setgroups", "deny"),
            ("/proc/self/uid_map", f"{maps[0]} {maps[0]} 1"),
            ("/proc/self/gid_map", f"{maps[1]} {maps[1]} 1"),
        ):
            with open(path, "w") as file:
                file.write(text)
    _mount_proc()


def _put_in_place(command: Command) -> None:
    high = [
        (number, fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, HIGH))
        for number, here in command.descriptors
    ]
    for number, here in high:
        os.dup2(here, number, inheritable=True)
    kept = {number for number, _ in command.descriptors}
    for number in range(HIGH + len(high)):
        if number not in kept:
            try:
                os.close(number)
            except OSError:
                continue
