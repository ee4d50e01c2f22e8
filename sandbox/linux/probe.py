"""Tries, in processes of their own, each thing that a sandbox needs of this machine."""

from __future__ import annotations

import os

from sandbox.linux import mounts, syscalls
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACES = ("user", "mnt", "pid", "ipc", "uts", "net")
PROC = "/proc"


class Refusal(Value):
    """A call that was refused: as strace shows it, why in words, and the errno.

    The errno is 0 where an attempt ended otherwise, and `call` is empty then.
    """

    call: str
    why: str
    errno: int

    def __str__(self) -> str:
        return f"{self.call} = {self.why}" if self.call else self.why


def attempt(action: Callable[[], None]) -> Refusal | None:
    """Run `action` in a child; None if it went well, else what was refused."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            action()
            status = 0
        except OSError as error:
            said = f"{error.errno or 0}\0{error.filename or ''}\0{error.strerror or error}"
            os.write(writer, said.encode(errors="replace"))
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as report:
        said = report.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if said:
        number, call, why = said.split("\0", 2)
        return Refusal(call=call, why=why, errno=int(number))
    if status:
        return Refusal(call="", why=f"the attempt ended with status {status}", errno=0)
    return None


def try_sandbox() -> Refusal | None:
    """What every sandbox is made of, all at once as entering does it."""

    def action() -> None:
        _found(*NAMESPACES)
        _in_new_process(_renew_proc)
        _make_read_only()

    return attempt(action)


def try_namespace(name: str) -> Refusal | None:
    """A new namespace of one kind, in a new user namespace."""
    kinds = ("user",) if name == "user" else ("user", name)
    return attempt(lambda: syscalls.unshare(*kinds))


def try_id_map() -> Refusal | None:
    """The caller's own ids seen as 1000 and 100."""
    return attempt(lambda: _found("user"))


def try_proc() -> Refusal | None:
    """A fresh proc of a new pid namespace; refused where something covers part of /proc."""

    def action() -> None:
        _found("user", "mnt", "pid")
        _in_new_process(_renew_proc)

    return attempt(action)


def try_read_only() -> Refusal | None:
    """mount_setattr(2) on a bind mount: Linux 5.12."""

    def action() -> None:
        _found("user", "mnt")
        _make_read_only()

    return attempt(action)


def try_overlay(lower: str, upper: str, work: str, target: str) -> Refusal | None:
    """An overlay over a directory of the caller's own."""

    def action() -> None:
        _found("user", "mnt")
        _let_go_of_mounts()
        mounts.mount_overlay(lower=lower, upper=upper, work=work, target=target, uid=1000, gid=100)

    return attempt(action)


def _found(*kinds: str) -> None:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(*kinds)
    syscalls.map_ids("self", f"1000 {uid} 1", f"100 {gid} 1")


def _let_go_of_mounts() -> None:
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)


def _renew_proc() -> None:
    """Over the /proc that is there: nobody else sees it."""
    _let_go_of_mounts()
    mounts.mount("none", PROC, "proc")


def _make_read_only() -> None:
    _let_go_of_mounts()
    # With what covers parts of it: the kernel refuses to uncover them.
    mounts.mount(PROC, PROC, "", mounts.MS_BIND | mounts.MS_REC)
    mounts.mount_setattr(PROC, read_only=True, recursive=True)


def _in_new_process(action: Callable[[], None]) -> None:
    """`action` where it can be done: the first process after unshare(2) is in the pid namespace."""
    refused = attempt(action)
    if refused is not None:
        raise OSError(refused.errno, refused.why, refused.call)
