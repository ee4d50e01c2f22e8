"""Work of ours that is done inside a sandbox: in one made for it, or beside a living session."""

from __future__ import annotations

import errno
import gc
import os

from sandbox.errors import MachineError
from sandbox.linux import launch, syscalls
from sandbox.model.value import Value
from sandbox.session.residence import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.spec import Sandbox
    from sandbox.workspace.session import Session

MOST_PROCESSES = 1000


class Visited(Value):
    """A sandbox, and what people call it. If a session lives in it, `session_pid` is its first
    process; else `sandbox` is entered, in `session` if that is not None.
    """

    name: str
    sandbox: Sandbox
    session_pid: int = 0
    session: Session | None = None


class Visit:
    """A context manager: `work`, with a descriptor of the sandbox's root, goes on in there.

    `pipes` stay open for it. With `writes` it can write what the build could, and no more.
    """

    def __init__(
        self, visited: Visited, work: Callable[[int], None], pipes: tuple[int, ...], *, writes: bool
    ) -> None:
        self._visited = visited
        self._work = work
        self._pipes = pipes
        self._writes = writes
        self._end: Callable[[], object] = _nothing

    def __enter__(self) -> None:
        if self._visited.session_pid:
            self._end = self._beside(self._visited.session_pid)
        else:
            self._end = self._in_a_new_one()

    def __exit__(self, *_: object) -> None:
        self._end()

    def _in_a_new_one(self) -> Callable[[], object]:
        """A short session: its resident does the work."""

        def life(_: object) -> int:
            if self._writes:
                # A resident could write where the build could not.
                syscalls.drop_capabilities()
            return _outcome(lambda: self._work(os.open("/", os.O_PATH | os.O_CLOEXEC)))

        caller = launch.Caller()
        try:
            residence = settle(
                self._visited.sandbox, life, kept_open=self._pipes, session=self._visited.session
            )
        finally:
            caller.restore()
        return residence.close

    def _beside(self, session: int) -> Callable[[], object]:
        """A child with the root directory of a living session, and to write with its builder's ids.

        Root must not make what belongs to itself there: its ids have no number in the sandbox.
        """
        root = _root_of(session, self._visited.name)
        ids = _ids_of(session) if self._writes and os.geteuid() == 0 else None
        pid = os.fork()
        if pid == 0:
            status = 125
            try:
                gc.freeze()
                syscalls.set_signal(syscalls.SIGINT, 1)
                if ids is not None:
                    os.setgroups([])
                    os.setresgid(ids[1], ids[1], ids[1])
                    os.setresuid(ids[0], ids[0], ids[0])
                status = _outcome(lambda: self._work(root))
            finally:
                os._exit(status)
        os.close(root)
        return lambda: os.waitpid(pid, 0)


def _nothing() -> None:
    """Nothing was begun."""


def _outcome(work: Callable[[], None]) -> int:
    """The pipe tells what there is to tell; nobody reads it any more if that breaks."""
    os.umask(0)
    try:
        work()
    except BrokenPipeError:
        return 1
    return 0


def _root_of(session: int, name: str) -> int:
    """The root directory of the sandbox that a session lives in, by one of its processes.

    A kernel lets nobody look at it, but at its cells. Raises `MachineError`.
    """
    refused = OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    waiting = [session]
    for _ in range(MOST_PROCESSES):
        if not waiting:
            break
        pid = waiting.pop(0)
        try:
            return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            refused = error
        waiting += _children(pid)
    raise MachineError(
        f"the session in `{name}` cannot be looked into",
        reason="session-closed",
        evidence=(f"`/proc/{session}/root`: {refused.strerror}",),
        hint="type the command after the session has ended",
    )


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        return []


def _ids_of(pid: int) -> tuple[int, int]:
    """The effective user and group of a process, as the host counts."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("Uid", "Gid"):
                found[name] = int(rest.split()[1])
    return found["Uid"], found["Gid"]
