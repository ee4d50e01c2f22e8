"""The calls of Linux that Python lacks, and those that must be shown when they fail.

One function for each call, named as in the manual. Each raises `OSError(errno, text, call)` where
`call` is the call as strace would print it. Nothing here knows why a call is made.

Numbers of calls newer than the C library are those that every architecture shares (above 424).
"""

from __future__ import annotations

import ctypes
import os
from sys import byteorder

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
RENAME_EXCHANGE = 2
STATX_BTIME, STATX_BYTES, BTIME_OFFSET = 0x800, 256, 80

CLONE_FLAGS = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "pid": 0x20000000,
    "ipc": 0x08000000,
    "net": 0x40000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
}

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2

SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM = 1, 2, 3, 9, 15
SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGWINCH = 17, 18, 19, 20, 28
SIG_BLOCK, SIG_SETMASK = 0, 2

SYS_PIDFD_SEND_SIGNAL = 424
SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_RESTRICT_SELF = 446
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
CLOSE_RANGE_CLOEXEC = 4
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x2, 0x10
EAGAIN, MOST_ATTEMPTS = 11, 128
LINUX_CAPABILITY_VERSION_3 = 0x20080522
LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1

RLIMIT_CORE, RLIMIT_NOFILE = 4, 7
RLIM_INFINITY = 2**64 - 1

AF_INET, SOCK_DGRAM, SOCK_CLOEXEC = 2, 2, 0o2000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
TIOCSCTTY = 0x540E
EPERM, EINVAL, ENOSYS, EDQUOT = 1, 22, 38, 122
KEYCTL_JOIN_SESSION_KEYRING = 1


libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = (ctypes.c_int, *([ctypes.c_ulong] * 4))
libc.personality.argtypes = (ctypes.c_ulong,)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p)
libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.signal.restype = ctypes.c_void_p


LONGEST_QUOTED = 4096


def quoted(text: str) -> str:
    """A string argument as strace prints it, which no terminal takes for a command."""
    shown = text[:LONGEST_QUOTED].replace("\\", "\\\\").replace('"', '\\"')
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else _escaped(c) for c in shown)
    return f'"{shown}"' + ("..." if len(text) > LONGEST_QUOTED else "")


def _escaped(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def check(result: int, call: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), call)
    return result


def unshare(*namespaces: str) -> None:
    """unshare(2): new namespaces for this process; a new pid namespace waits for the next fork.

    EPERM mostly means that this machine forbids user namespaces; ENOSPC that
    /proc/sys/user/max_*_namespaces is reached.
    """
    flags = 0
    for name in namespaces:
        flags |= CLONE_FLAGS[name]
    names = "|".join("CLONE_NEW" + ("NS" if n == "mnt" else n.upper()) for n in namespaces)
    check(libc.unshare(flags), f"unshare({names})")


def join_session_keyring() -> None:
    """keyctl(2), KEYCTL_JOIN_SESSION_KEYRING: a new session keyring, with nothing in it.

    Without effect where this process may not make the call, as in a container, or the kernel has no
    keys: then what it becomes cannot use any either. Nor for a user who has as many keys as the
    kernel lets users have: from those the filter keeps all keys.
    """
    joined = libc.syscall(_SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
    if joined >= 0 or ctypes.get_errno() not in (EPERM, ENOSYS, EDQUOT):
        check(joined, "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)")


_SYS_KEYCTL = {"x86_64": 250, "i686": 288, "i386": 288, "ppc64le": 271, "s390x": 280}.get(
    os.uname().machine, 219
)


def map_ids(process: str, uid_map: str, gid_map: str) -> None:
    """Write the maps of a process, "self" or a pid, that is in a new user namespace.

    user_namespaces(7): a gid map needs setgroups denied, unless it is written with privilege.
    """
    for name, text in (("setgroups", "deny"), ("uid_map", uid_map), ("gid_map", gid_map)):
        path = f"/proc/{process}/{name}"
        try:
            # The founder waits: not by way of io, which would first import an encoding.
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f'write("{path}", "{text}")') from None


def own_descriptor(descriptor: int) -> str:
    """proc_pid_fd(5): a path to what is open, for calls that take no descriptor."""
    return f"/proc/self/fd/{descriptor}"


def write_all(descriptor: int, data: bytes) -> None:
    """write(2) until everything is written: it may take less than it is given."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def setns(descriptor: int, kind: str) -> None:
    """setns(2): into the namespace of `kind` that an open /proc/PID/ns/KIND stands for."""
    check(libc.setns(descriptor, CLONE_FLAGS[kind]), f"setns({descriptor}, {kind})")


def exchange(first: str, second: str) -> None:
    """renameat2(2) with RENAME_EXCHANGE: each has the name of the other, all at once."""
    call = f"renameat2({quoted(first)}, {quoted(second)}, RENAME_EXCHANGE)"
    names = AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second)
    check(libc.renameat2(*names, RENAME_EXCHANGE), call)


def kill_by_descriptor(descriptor: int, number: int) -> None:
    """pidfd_send_signal(2), which takes an open /proc/PID too: never to another with its number."""
    check(
        libc.syscall(SYS_PIDFD_SEND_SIGNAL, descriptor, number, None, 0),
        f"pidfd_send_signal({descriptor}, {number})",
    )


def set_controlling_terminal(descriptor: int) -> None:
    """setsid(2) and TIOCSCTTY, see tty_ioctl(2): a session of its own with this terminal."""
    os.setsid()
    check(libc.ioctl(descriptor, TIOCSCTTY, None), f"ioctl({descriptor}, TIOCSCTTY)")


def sethostname(name: str) -> None:
    """sethostname(2)."""
    raw = os.fsencode(name)
    check(libc.sethostname(raw, len(raw)), f"sethostname({quoted(name)})")


def setdomainname(name: str) -> None:
    """setdomainname(2): the NIS domain, which uname(2) shows."""
    raw = os.fsencode(name)
    check(libc.setdomainname(raw, len(raw)), f"setdomainname({quoted(name)})")


def bring_up(interface: str) -> None:
    """netdevice(7), SIOCSIFFLAGS: set IFF_UP. The kernel gives `lo` 127.0.0.1/8 and ::1/128."""
    fd = check(libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket(AF_INET, SOCK_DGRAM)")
    try:
        request = ctypes.create_string_buffer(interface.encode(), 40)
        check(libc.ioctl(fd, SIOCGIFFLAGS, request), f"ioctl({fd}, SIOCGIFFLAGS)")
        flags = int.from_bytes(request.raw[16:18], byteorder) | IFF_UP
        ctypes.memmove(ctypes.addressof(request) + 16, flags.to_bytes(2, byteorder), 2)
        check(libc.ioctl(fd, SIOCSIFFLAGS, request), f"ioctl({fd}, SIOCSIFFLAGS, IFF_UP)")
    finally:
        os.close(fd)


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument."""
    check(libc.prctl(option, argument, 0, 0, 0), f"prctl({option}, {argument})")


def personality(persona: int) -> None:
    """personality(2)."""
    check(libc.personality(persona), f"personality({persona:#x})")


def seccomp_filter(program: bytes) -> None:
    """seccomp(2), SECCOMP_MODE_FILTER: `program` is an array of 8-byte sock_filter structures."""
    code = ctypes.create_string_buffer(program, len(program))
    header = len(program) // 8
    address = ctypes.addressof(code)
    fprog = ctypes.create_string_buffer(
        header.to_bytes(8, byteorder) + address.to_bytes(8, byteorder)
    )
    check(
        libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(fprog), 0, 0),
        f"prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, {{len={header}}})",
    )


def landlock_abi() -> int:
    """landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION; 0 where there is none."""
    return max(0, int(libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def landlock_scope_abstract_sockets() -> None:
    """landlock(7): from here on, abstract sockets made outside this process cannot be reached."""
    ruleset = (ctypes.c_uint64 * 3)(0, 0, LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET)
    fd = check(
        libc.syscall(SYS_LANDLOCK_CREATE_RULESET, ruleset, ctypes.c_size_t(24), 0),
        "landlock_create_ruleset({scoped=LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET}, 24, 0)",
    )
    try:
        check(libc.syscall(SYS_LANDLOCK_RESTRICT_SELF, fd, 0), f"landlock_restrict_self({fd}, 0)")
    finally:
        os.close(fd)


def set_limit(resource: int, soft: int | None, ceiling: int = RLIM_INFINITY) -> None:
    """setrlimit(2): the soft limit; None is the hard limit, `ceiling` at most. Hard is kept."""
    limits = (ctypes.c_uint64 * 2)()
    check(libc.getrlimit(resource, limits), f"getrlimit({resource})")
    limits[0] = min(limits[1], ceiling) if soft is None else soft
    check(libc.setrlimit(resource, limits), f"setrlimit({resource}, {limits[0]})")


def close_on_exec_from(first: int) -> None:
    """close_range(2), Linux 5.11: every descriptor from `first` on is closed by the next exec."""
    check(
        libc.syscall(SYS_CLOSE_RANGE, first, ctypes.c_uint(2**32 - 1), CLOSE_RANGE_CLOEXEC),
        f"close_range({first}, ~0U, CLOSE_RANGE_CLOEXEC)",
    )


def close_all_but(kept: tuple[int, ...]) -> None:
    """close_range(2), Linux 5.9: of this process's descriptors only those `kept` stay open."""
    first = 0
    for descriptor in sorted({*kept, 2**32 - 1}):
        if descriptor > first:
            last = ctypes.c_uint(descriptor - 1)
            check(
                libc.syscall(SYS_CLOSE_RANGE, ctypes.c_uint(first), last, 0),
                f"close_range({first}, {last.value}, 0)",
            )
        first = descriptor + 1


def open_in_root(root: int, path: str, flags: int) -> int:
    """openat2(2), RESOLVE_IN_ROOT: open `path` as a process does whose root directory is `root`.

    No link and no `..` leads out of it, not even while others rename what is on the way; the links
    of proc(5) that are no text are refused with ELOOP.
    """
    how = (ctypes.c_uint64 * 3)(flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    call = f"openat2({root}, {quoted(path)}, {{resolve=RESOLVE_IN_ROOT}})"
    for attempt in range(MOST_ATTEMPTS):
        found = libc.syscall(SYS_OPENAT2, root, os.fsencode(path), how, ctypes.c_size_t(24))
        if found >= 0 or ctypes.get_errno() != EAGAIN or attempt == MOST_ATTEMPTS - 1:
            return check(found, call)
    raise AssertionError(call)


def birth_time_ns(descriptor: int) -> int:
    """statx(2): when what is open was made, in nanoseconds since 1970.

    0 where the file system, or the C library, does not tell. Raises OSError.
    """
    call = f'statx({descriptor}, "", AT_EMPTY_PATH, STATX_BTIME)'
    found = ctypes.create_string_buffer(STATX_BYTES)
    try:
        statx = libc.statx
    except AttributeError:
        return 0
    check(statx(descriptor, b"", AT_EMPTY_PATH, STATX_BTIME, found), call)
    answer, at = found.raw, BTIME_OFFSET
    if not int.from_bytes(answer[:4], byteorder) & STATX_BTIME:
        return 0
    seconds = int.from_bytes(answer[at : at + 8], byteorder, signed=True)
    return seconds * 10**9 + int.from_bytes(answer[at + 8 : at + 12], byteorder)


def drop_capabilities() -> None:
    """capset(2): none is effective, permitted or inheritable from now on."""
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset(0)")


def child_subreaper() -> bool:
    """prctl(2), PR_GET_CHILD_SUBREAPER: do orphaned descendants become children of this process?"""
    answer = ctypes.c_int()
    check(
        libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer), 0, 0, 0),
        "prctl(PR_GET_CHILD_SUBREAPER)",
    )
    return bool(answer.value)


def _signal_set(signals: tuple[int, ...]) -> ctypes.Array[ctypes.c_char]:
    sigset = ctypes.create_string_buffer(128)
    for number in signals:
        libc.sigaddset(sigset, number)
    return sigset


def set_blocked_signals(signals: tuple[int, ...]) -> None:
    """sigprocmask(2), SIG_SETMASK: exactly these are held back from now on."""
    check(libc.sigprocmask(SIG_SETMASK, _signal_set(signals), None), "sigprocmask(SIG_SETMASK)")


def blocked_signals() -> tuple[int, ...]:
    """sigprocmask(2): the signals that are held back now."""
    held = _signal_set(())
    check(libc.sigprocmask(SIG_BLOCK, None, held), "sigprocmask(SIG_BLOCK, NULL)")
    return tuple(number for number in range(1, 65) if libc.sigismember(held, number) == 1)


def default_signals() -> None:
    """signal(7): every signal as a fresh process has it. Python ignores SIGPIPE and SIGXFSZ."""
    for number in range(1, 65):
        set_signal(number, None)


def set_signal(number: int, handler: int | None) -> None:
    """signal(2): None for the default, 1 to ignore it."""
    libc.signal(number, handler)


def signalfd(signals: tuple[int, ...]) -> int:
    """signalfd(2): a descriptor that tells of `signals`, which must be blocked."""
    return check(libc.signalfd(-1, _signal_set(signals), 0o2000000), "signalfd(-1)")


SIGNALFD_SIGINFO_SIZE = 128


def next_signal(fd: int) -> int:
    """The number of the next signal that a signalfd(2) holds; waits for one."""
    return int.from_bytes(os.read(fd, SIGNALFD_SIGINFO_SIZE)[:4], byteorder)


SHOWN_WORDS = 8


def execve(path: str, argv: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> None:
    """execve(2), with the environment in the order given and names as they are, `=` in them too."""
    words = [os.fsencode(word) for word in argv]
    variables = [os.fsencode(f"{name}={value}") for name, value in environment]
    libc.execve(os.fsencode(path), _strings(words), _strings(variables))
    shown = ", ".join(map(quoted, argv[:SHOWN_WORDS])) + (", ..." * (len(argv) > SHOWN_WORDS))
    check(-1, f"execve({quoted(path)}, [{shown}])")


def _strings(words: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)
