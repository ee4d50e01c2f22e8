"""Work on files that are ours, but whose modes keep us out.

A build may leave files of mode 0000 and directories that nobody may search. Root reads them
anyway. Another user does, as the owner, in a user namespace in which the owner's id is mapped:
there a process has CAP_DAC_OVERRIDE over all files of that id (user_namespaces(7)).
"""

from __future__ import annotations

import marshal
import os
import signal

from sandbox import errors
from sandbox.errors import Error, MachineError
from sandbox.linux import syscalls
from sandbox.workspace.processes import carry_out
from sandbox.workspace.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Never


def with_rights(work: Callable[[Tally], None], tally: Tally) -> None:
    """Do `work`, as root in this process, as another user in a forked one with such a namespace.

    What it counts with the tally that it is given is added to `tally`; nothing else that it changes
    in memory comes back. Raises what it raises, MachineError `user-namespaces-forbidden`, and
    `copy-interrupted` if the process was killed.
    """
    if os.geteuid() == 0:
        work(tally)
        return

    def there(_: int, counting: Tally) -> None:
        _enter_namespace()
        work(counting)

    carry_out(1, there, tally, 1)


def are_to_be_had() -> bool:
    """Does this machine let the caller have such a namespace?"""
    try:
        with_rights(lambda _: None, Tally())
    except MachineError:
        return False
    return True


def told(work: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """What `work` gives, one after the other, from a forked process with such a namespace.

    These are texts, bytes, numbers, and tuples and dicts of such. Raises what it raises of `Error`,
    MachineError `user-namespaces-forbidden`, and `copy-interrupted` if the process was killed. It
    is ended with the iterator.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _tell(work, writing)
    os.close(writing)
    try:
        with open(reading, "rb") as pipe:
            yield from _heard(pipe)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


_ITEM, _ERROR, _END = range(3)


def _tell(work: Callable[[], Iterator[Any]], writing: int) -> Never:
    try:
        # The terminal's is for who reads this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with open(writing, "wb") as pipe:
            try:
                _enter_namespace()
                for item in work():
                    marshal.dump((_ITEM, item), pipe)
                marshal.dump((_END, None), pipe)
            except Error as error:
                named = ("message", "reason", "evidence", "hint", "exit_code")
                fields = {name: getattr(error, name) for name in named}
                marshal.dump((_ERROR, (type(error).__name__, fields)), pipe)
    finally:
        os._exit(0)


def _heard(pipe: Any) -> Iterator[Any]:
    try:
        while True:
            kind, content = marshal.load(pipe)  # noqa: S302  written by this very program
            if kind == _END:
                return
            if kind == _ERROR:
                name, fields = content
                raise getattr(errors, name)(fields.pop("message"), **fields)
            yield content
    except EOFError:
        raise MachineError(
            "a process that compared files was killed",
            reason="copy-interrupted",
            hint="`dmesg | tail` shows whether memory ran out",
        ) from None


def _enter_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        syscalls.unshare("user")
        syscalls.map_ids("self", f"{uid} {uid} 1", f"{gid} {gid} 1")
    except OSError as error:
        raise MachineError(
            "this machine does not let you create user namespaces",
            reason="user-namespaces-forbidden",
            evidence=(f"{error.filename} = {error.strerror}",),
            hint="`nbs doctor` finds out why, and says how to allow it",
        ) from None
