"""Tries, in processes of their own, each thing that a sandbox needs of this machine."""

from __future__ import annotations

import os

from sandbox.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACES = ("user", "mnt", "pid", "ipc", "uts", "net")


def attempt(action: Callable[[], None]) -> str:
    """Run `action` in a child; empty if it went well, else the call that was refused and why."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            action()
            status = 0
        except OSError as error:
            os.write(writer, f"{error.filename} = {error.strerror}".encode(errors="replace"))
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as report:
        said = report.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return said or ("" if status == 0 else f"the attempt ended with status {status}")


def try_namespace(name: str) -> str:
    """A new namespace of one kind, in a new user namespace."""
    kinds = ("user",) if name == "user" else ("user", name)
    return attempt(lambda: syscalls.unshare(*kinds))


def try_id_map() -> str:
    """The caller's own ids seen as 1000 and 100."""
    uid, gid = os.geteuid(), os.getegid()

    def action() -> None:
        _found(uid, gid)

    return attempt(action)


def _found(uid: int, gid: int, *kinds: str) -> None:
    syscalls.unshare("user", *kinds)
    syscalls.map_ids("self", f"1000 {uid} 1", f"100 {gid} 1")


def try_proc(directory: str) -> str:
    """A fresh proc of a new pid namespace; refused where something covers part of /proc."""
    uid, gid = os.geteuid(), os.getegid()

    def action() -> None:
        _found(uid, gid, "mnt", "pid")
        child = os.fork()
        if child == 0:
            os._exit(_mounts_proc(directory))
        _, status = os.waitpid(child, 0)
        if status:
            errno = os.waitstatus_to_exitcode(status)
            call = f'mount("none", {syscalls.quoted(directory)}, "proc", 0, "")'
            raise OSError(errno, os.strerror(errno), call)

    return attempt(action)


def _mounts_proc(directory: str) -> int:
    try:
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("none", directory, "proc")
    except OSError as error:
        return error.errno or 1
    return 0


def try_overlay(lower: str, upper: str, work: str, target: str) -> str:
    """An overlay over a directory of the caller's own."""
    uid, gid = os.geteuid(), os.getegid()

    def action() -> None:
        _found(uid, gid, "mnt")
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount_overlay(
            lower=lower, upper=upper, work=work, target=target, uid=1000, gid=100
        )

    return attempt(action)


def try_read_only(directory: str) -> str:
    """mount_setattr(2) on a bind mount: Linux 5.12."""
    uid, gid = os.geteuid(), os.getegid()

    def action() -> None:
        _found(uid, gid, "mnt")
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount(directory, directory, "", syscalls.MS_BIND)
        syscalls.mount_setattr(directory, read_only=True, recursive=True)

    return attempt(action)
