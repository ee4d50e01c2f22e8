"""Having a kept workspace to oneself: making, resuming, forking, removing it.

The rule of `workspace.workspace` holds here too: a lock counts when it is held on the file that has
the name `lock` after it was taken. A kept workspace has a name besides, which another may have by
then: what was locked has to be what has the name.
"""

from __future__ import annotations

import errno
import os
import select
import time

from sandbox.errors import MachineError
from sandbox.linux import syscalls
from sandbox.workspace import harvest
from sandbox.workspace.kept import (
    DERIVATION,
    INPUTS,
    RESTORING,
    SESSION,
    Kept,
    directory_of,
    is_first_inside,
    is_name,
    living,
    name_for,
    names,
    noted_session,
    read_in,
    read_inputs,
    start_time,
    unknown,
    write_file,
    write_record,
)
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.refusals import refusal
from sandbox.workspace.sizes import is_changed
from sandbox.workspace.workspace import is_of_a_run, private_directory, remove_run, take_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from sandbox.workspace.remove import Removal

_ATTEMPTS = 100
_PAUSE_S = 0.02
PATIENCE_S = 10.0
"""How long one waits for a lock that no session has: somebody only looks after the workspace."""


class Held:
    """A kept workspace that is ours alone from `__enter__` to `__exit__`.

    What a session that was killed left has been taken home by then, and nobody is inside. `kept`
    is what it is; `directory` its open directory. With `damaged` it is to be removed: nothing is
    taken home, and one whose record cannot be read is held all the same. It has no `kept`.
    """

    def __init__(self, state: str, name: str, *, damaged: bool = False) -> None:
        self.state = state
        self.name = name
        self._damaged = damaged
        self.directory = self._lock = -1
        self._process = 0
        self._kept: Kept | None = None

    @property
    def kept(self) -> Kept:
        assert self._kept is not None, "it is not held"  # noqa: S101
        return self._kept

    @property
    def path(self) -> str:
        return f"{directory_of(self.state)}/{self.name}"

    def __enter__(self) -> Self:
        """Raises UsageError `workspace-unknown`, and MachineError `workspace-in-use`,
        `workspace-damaged` or as `refusals.refusal` has it."""
        if not is_name(self.name):
            raise unknown(self.state, self.name)
        try:
            self._take(PATIENCE_S)
            if self._read():
                if self._damaged:
                    # It goes with all that is in it.
                    _wait_for_end(self)
                else:
                    self.harvest()
        except FileNotFoundError:
            self.forget()
            raise unknown(self.state, self.name) from None
        except OSError as error:
            self.forget()
            raise refusal(error, self.path) from None
        except BaseException:
            self.forget()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()

    def _read(self) -> bool:
        try:
            self._kept = read_in(self.directory, self.path)
        except MachineError:
            if self._damaged:
                return False
            raise
        if not self._kept.prepared_ns:
            raise unknown(self.state, self.name)
        return True

    def _take(self, patience: float) -> None:
        """Lock what has the name now. Waits for who only looks after it, not for a session."""
        until = time.monotonic() + patience
        while not _lock_named(self):
            pid = living(self.directory) if self.directory >= 0 else 0
            self.forget()
            if pid or time.monotonic() >= until:
                raise _in_use(self.name, pid)
            time.sleep(_PAUSE_S)

    def write(self, kept: Kept, *, times: tuple[str, ...] = ()) -> Kept:
        """Replace the record; see `kept.write_record`. Raises OSError."""
        self._kept = write_record(kept, self.directory, times=times).replace(session=0)
        return self._kept

    def harvest(self) -> None:
        """Take home what a session left, once its last process is gone. Raises OSError.

        A restore that was killed is finished first: it knows the places that the session had.
        """
        if os.path.lexists(f"{self.path}/{RESTORING}"):
            # Only then, for what it needs takes longer to import than all else here.
            from sandbox.workspace.restore import recover  # noqa: PLC0415

            _wait_for_end(self)
            recover(self.path)
        if harvest.is_left(self.directory):
            _wait_for_end(self)
            kept = self.kept
            if kept.prepared_ns:
                inputs = read_inputs(self.directory)
                harvest.take_home(self.directory, kept.store_place, inputs)
            self._kept = kept.replace(session=0)

    def is_changed(self) -> bool:
        """Is there anything in it that would be lost with it?"""
        return is_changed(self.kept, self.directory)

    def remove(self) -> Removal:
        """Remove it with all that is in it. Its name is free at once."""
        gone = f"{directory_of(self.state)}/.gone-{os.urandom(8).hex()}"
        os.rename(self.path, gone)
        removal = remove_run(self.directory, gone)
        self.forget()
        return removal

    def forget(self) -> None:
        """Give up the lock in this process. Who shares it by a fork keeps it."""
        for descriptor in (self._lock, self.directory):
            if descriptor >= 0:
                os.close(descriptor)
        self.directory = self._lock = -1
        self._process = 0

    def adopt(self, directory: int, lock: int) -> None:
        """Be the one who has this lock."""
        self.directory, self._lock = directory, lock
        self._process = os.getpid()

    def is_mine(self) -> bool:
        """Was it taken by this process, and not by the one that forked it?"""
        return self._process == os.getpid()


def _lock_named(held: Held) -> bool:
    """Take the lock, if it is free and the name is still that of what was locked.

    Raises OSError: FileNotFoundError also for a directory that is no workspace.
    """
    held.directory = os.open(held.path, OPEN_DIRECTORY)
    if not is_of_a_run(held.directory):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), held.path)
    lock = take_lock(held.directory)
    if lock < 0:
        return False
    try:
        if os.path.samestat(os.lstat(held.path), os.fstat(held.directory)):
            held.adopt(held.directory, lock)
            return True
    except FileNotFoundError:
        pass
    os.close(lock)
    return False


def create(state: str, kept: Kept, held: Held) -> None:
    """Make a workspace for `held`, called as `kept` or, if that is taken, with a number behind it.

    Nothing is prepared in it. Raises MachineError `disk-full`, `workspace-unwritable`, ….
    """
    try:
        private_directory(directory_of(state))
        for name in _candidates(kept.name, names(state)):
            if _make(f"{directory_of(state)}/{name}", held):
                held.name = name
                held.write(kept.replace(name=name, path=held.path), times=("begun_ns",))
                return
    except OSError as error:
        held.forget()
        raise refusal(error, directory_of(state)) from None
    raise MachineError(
        f"`{directory_of(state)}` allows no locks, or something removes what is made in it",
        reason="workspace-unwritable",
    )


def _candidates(name: str, taken: Iterable[str]) -> Iterable[str]:
    first = name_for(name)
    there = set(taken)
    numbered = (f"{first}-{number}" for number in range(2, len(there) + _ATTEMPTS))
    return (one for one in (first, *numbered) if one not in there)


def _make(path: str, held: Held) -> bool:
    """Make and lock `path`; False if another has it, be it only to sweep it."""
    try:
        os.mkdir(path, 0o700)
        directory = os.open(path, OPEN_DIRECTORY)
    except (FileExistsError, FileNotFoundError):
        return False
    try:
        lock = take_lock(directory)
    except FileNotFoundError:
        lock = -1
    except BaseException:
        os.close(directory)
        raise
    if lock < 0:
        os.close(directory)
        return False
    held.adopt(directory, lock)
    return True


def sweep_kept(state: str) -> None:
    """Tidy up after sessions that were killed. Never waits, and removes nothing that was changed.

    What was never entered, what is half removed, and sessions in which nothing was changed go; what
    other sessions left is taken home.
    """
    try:
        found = os.listdir(directory_of(state))
    except OSError:
        return
    for name in found:
        try:
            _sweep_one(state, name)
        except (OSError, MachineError):
            continue


def _sweep_one(state: str, name: str) -> None:
    path = f"{directory_of(state)}/{name}"
    if is_name(name) and os.path.lexists(f"{path}/upper") and not os.path.lexists(f"{path}/root"):
        return
    held = Held(state, name)
    try:
        if not _lock_named(held):
            return
        if not is_name(name):
            remove_run(held.directory, path)
            return
        try:
            held._kept = read_in(held.directory, path)  # noqa: SLF001  ours
        except FileNotFoundError:
            held.remove()
            return
        _wait_for_end(held)
        if os.path.lexists(f"{path}/{RESTORING}") or held.is_changed():
            held.harvest()
        else:
            held.remove()
    finally:
        held.forget()


def _wait_for_end(held: Held) -> None:
    """The first process of a session dies with its supervisor, but not in the same moment; and it
    may have asked the kernel to let it live, prctl(2). Who has the lock ends it.

    Raises MachineError `workspace-in-use` if it will not go.
    """
    pid, start = noted_session(held.directory)
    if not start or start_time(pid) != start:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if start_time(pid) == start and is_first_inside(pid):
            syscalls.kill_by_descriptor(process, syscalls.SIGKILL)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(PATIENCE_S * 1000):
            raise _in_use(held.name, pid)
    except ProcessLookupError:
        return
    finally:
        os.close(process)


def _in_use(name: str, pid: int) -> MachineError:
    return MachineError(
        f"the workspace `{name}` is in use",
        reason="workspace-in-use",
        evidence=(f"process {pid} is inside",) if pid else (),
        hint=f"`nbs shell --ws {name} --fork` enters a copy of it under another name",
    )


def note_session(directory: int, pid: int) -> None:
    """Write down which process is the first of the session. Raises OSError."""
    write_file(SESSION, f"{pid} {start_time(pid)}\n", directory)


def note_inputs(directory: int, inputs: Iterable[str]) -> None:
    """Write down what in the store directory is no output. Raises OSError."""
    write_file(INPUTS, "".join(f"{name}\n" for name in inputs), directory)


def note_derivation(directory: int, text: str) -> None:
    """Write down what its derivation says, in os.fsdecode's form. Raises OSError."""
    if text:
        write_file(DERIVATION, text, directory)
