"""Starts the command of a plan as PID 1 of its namespaces, and brings its status home.

Three processes take part. The *supervisor* is the caller's own process and stays outside. It forks
the *founder*, which makes the namespaces, forks the *command* into the new pid namespace, and is
gone. The supervisor, as child subreaper (prctl(2)), becomes the parent of the command, which waits
until its id maps are written: the supervisor alone waits for it, and when it is killed, the kernel
kills the command and with it all that the pid namespace holds.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal imports enum
import fcntl
import gc
import os
import select

from sandbox.errors import (
    OUT_OF_DESCRIPTORS,
    CommandError,
    Error,
    MachineError,
    StepFailed,
    too_many_open_files,
)
from sandbox.linux import syscalls
from sandbox.linux.apply import Linux, apply
from sandbox.linux.looked import STALE, changed
from sandbox.model.steps import SetIds, SetParentDeathSignal
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never, Protocol

    from sandbox.model.plan import Plan
    from sandbox.model.steps import Execute

    class Service(Protocol):
        """What a session can be asked for from inside, over a descriptor that is handed to it."""

        @property
        def handed(self) -> int: ...
        @property
        def watched(self) -> int: ...
        def adopt(self, pid: int) -> None: ...
        def begin(self) -> None: ...
        def ready(self) -> None: ...


STARTUP_DESCRIPTOR = 9
HANDED_DESCRIPTOR = 60
FOUNDING, FORKING = -1, -2
"""What is refused before the first step of the plan."""

EINVAL = 22

SIGNALS_PASSED_ON = (
    syscalls.SIGHUP,
    syscalls.SIGINT,
    syscalls.SIGQUIT,
    syscalls.SIGTERM,
)
IGNORED = 1

OF_A_RESIDENT = (SetIds, SetParentDeathSignal)
"""The restrictions that a resident takes on itself: the others are for what it starts."""


class Caller:
    """What a run changes in its caller's process, to be put back when the run has ended.

    The caller may be a program that goes on: it has children of its own and other threads.
    """

    def __init__(self) -> None:
        self._adopts = syscalls.child_subreaper()
        self._blocked = syscalls.blocked_signals()
        self._ignores_children = _signal.getsignal(syscalls.SIGCHLD) == IGNORED
        if self._ignores_children:
            # A child's status is lost then, see wait(2). Who started us may have left it so.
            syscalls.set_signal(syscalls.SIGCHLD, None)

    def restore(self) -> None:
        """Everything as it was. A signal that came meanwhile then has its effect."""
        if self._ignores_children:
            syscalls.set_signal(syscalls.SIGCHLD, IGNORED)
        if not self._adopts:
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 0)
        syscalls.set_blocked_signals(self._blocked)


class Channel:
    """A pipe of which each side closes the end that it does not use."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two of them. Raises `MachineError` (`too-many-open-files`); then none is left open."""
        made: list[Channel] = []
        try:
            made += [cls()]
            return made[0], cls()
        except OSError as error:
            for one in made:
                os.close(one.reader)
                os.close(one.writer)
            raise too_many_open_files(f"pipe2() = {error.strerror}") from None

    def send(self, data: bytes) -> None:
        """Without effect when the other side is gone: `receive` will tell."""
        try:  # noqa: SIM105  contextlib is not worth its import here
            os.write(self.writer, data)
        except BrokenPipeError:
            pass

    def receive(self) -> bytes:
        """The next message; empty when the other side is gone or has executed something else."""
        return os.read(self.reader, 65536)


def no_terminal() -> None:
    """Without a terminal the three descriptors go inside unchanged."""


def _nothing() -> None:
    """The workspace is prepared already."""


def unattended(_: int) -> None:
    """Nobody wants to know the command before it runs."""


class Terms(Value):
    """What a start is told beside its plan.

    `meanwhile` is done by the caller's process while the kernel makes the namespaces, and before
    anything of the plan is carried out. `stdio` are the descriptors that the command has as 0, 1
    and 2. `connect` carries out the step `ConnectTerminal`, in the command's process, where of the
    caller's other descriptors only those in `kept_open` are left, and `handed`, which becomes
    number 60, if it is one. With `settle` no command is started: that process becomes a resident
    (`linux.resident`). `adopted` is told its PID before it does anything. The signals `watched` are
    blocked in the caller afterwards, to be read from a signalfd(2); `Caller` takes that back.
    """

    meanwhile: Callable[[], None] = _nothing
    stdio: tuple[int, int, int] = (0, 1, 2)
    connect: Callable[[], None] = no_terminal
    kept_open: tuple[int, ...] = ()
    handed: int = -1
    settle: Callable[[Plan, Channel], Never] | None = None
    adopted: Callable[[int], None] = unattended
    watched: tuple[int, ...] = SIGNALS_PASSED_ON


def start(plan: Plan, terms: Terms) -> int:
    """Make the sandbox and start its command in it; the command's PID as the host sees it.

    Raises `MachineError` (`user-namespaces-forbidden`, `id-map-refused`, `process-refused`,
    `step-failed`, `too-many-open-files`), `CommandError`, and `EvidenceError` (`evidence-changed`).
    """
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    held = syscalls.blocked_signals()
    processes = _Processes(plan, terms)
    try:
        try:
            terms.meanwhile()
        except Error:
            # Without namespaces even the caller's own files may be refused: the cause comes first.
            processes.await_command()
            raise
        # Until here a signal does to the caller what it does elsewhere: a copy may take long.
        syscalls.set_blocked_signals(terms.watched)
        command = processes.await_command()
        _map_ids(plan, command)
        terms.adopted(command)
        processes.orders.send(b"adopted")
        _raise_report(processes.report.receive(), plan)
    except BaseException:
        processes.end()
        syscalls.set_blocked_signals(held)
        raise
    processes.close()
    return command


class _Processes:
    """The founder, the command that it forks, and the pipes to them."""

    def __init__(self, plan: Plan, terms: Terms) -> None:
        self.orders, self.report = Channel.pair()
        self._plan = plan
        self._command = 0
        try:
            self._founder = os.fork()
        except OSError as error:
            os.close(self.orders.reader)
            os.close(self.report.writer)
            self.close()
            raise _process_refused("fork()", error.strerror or "") from None
        if self._founder == 0:
            _found(plan, terms, self.orders, self.report)
        os.close(self.orders.reader)
        os.close(self.report.writer)

    def await_command(self) -> int:
        """The PID of the command, which then waits. Raises `MachineError`: there is none."""
        _, status = os.waitpid(self._founder, 0)
        self._founder = 0
        # A founder that was killed says no more, but its child may hold the pipe open.
        said = self.report.receive() if os.WIFEXITED(status) else b""
        self._command = _command(said, self._plan)
        return self._command

    def end(self) -> None:
        """Of a start that came to nothing no process stays, not even as a zombie."""
        try:
            if self._founder:
                self.await_command()
        except MachineError:
            pass
        finally:
            if self._command:
                os.kill(self._command, syscalls.SIGKILL)
                os.waitpid(self._command, 0)
            self.close()

    def close(self) -> None:
        """Give the pipes back. Whoever still waits for an order is gone then."""
        os.close(self.orders.writer)
        os.close(self.report.reader)


def _found(plan: Plan, terms: Terms, orders: Channel, report: Channel) -> None:
    """The founder, and after its fork the command. Never returns to the caller's code.

    The command is forked at once, to wait for its maps and for the root: a fork takes a while.
    """
    status, step = 125, FOUNDING
    try:
        syscalls.set_blocked_signals(SIGNALS_PASSED_ON)
        given = (terms.handed,) if terms.handed >= 0 else ()
        let_go(terms.stdio, (orders.reader, report.writer, *terms.kept_open, *given))
        if plan.uid_map.outside != os.getuid():
            # Who maps another's id is root, and may drop groups.
            os.setgroups([])
        syscalls.unshare(*plan.namespaces)
        step = FORKING
        pid = os.fork()
        if pid:
            report.send(str(pid).encode())
            status = 0
        elif orders.receive() == b"adopted":
            _become(plan, terms, report)
    except OSError as error:
        report.send(report_of(step, error))
    finally:
        os._exit(status)


def let_go(stdio: tuple[int, int, int], kept: tuple[int, ...]) -> None:
    """Close all that the caller has open but `stdio`, which come to their places, and `kept`.

    An open directory of the host would be a way out of the new root for any path that the build
    chose, as `/proc/self/fd/3` for its working directory.
    """
    # The caller's objects must not close, when they are collected, a number that is used anew.
    gc.disable()
    copies = [_copied(descriptor) for descriptor in stdio]
    for place, descriptor in enumerate(copies):
        os.dup2(descriptor, place)
    syscalls.close_all_but((0, 1, 2, *kept))


def _copied(descriptor: int) -> int:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError as error:
        call = f"fcntl({descriptor}, F_DUPFD_CLOEXEC, 3)"
        raise OSError(error.errno, error.strerror, call) from None


def report_of(index: int, error: OSError) -> bytes:
    """What a process inside has to say of the step that it was refused."""
    text = f"{index}\0{error.errno}\0{error.filename or ''}"
    return text.encode(errors="surrogateescape")


def _become(plan: Plan, terms: Terms, report: Channel) -> None:
    """Carry out the plan in this process and become the command; on failure, tell which step."""
    index = 0
    calls = Linux(terms.connect, plan.looked, plan.uid_map)
    try:
        for index, step in enumerate(plan.enter):
            if terms.settle is None or index < plan.built or isinstance(step, OF_A_RESIDENT):
                apply(step, calls)
        index = len(plan.enter)
        if _is_orphan(report):
            return
        if terms.settle is not None:
            terms.settle(plan, report)
        _execute(plan.execute, terms.handed)
    except OSError as error:
        report.send(report_of(index, error))
    except ValueError as error:
        # Python's word for a path that the kernel would cut short at a NUL.
        report.send(report_of(index, OSError(EINVAL, "", str(error))))


def _is_orphan(report: Channel) -> bool:
    """Was the supervisor gone before it could be asked for the signal of its death?"""
    poll = select.poll()
    poll.register(report.writer, 0)
    return bool(poll.poll(0))


def _execute(execute: Execute, handed: int) -> None:
    kept: tuple[int, ...] = ()
    if handed >= 0:
        os.dup2(handed, HANDED_DESCRIPTOR)
        kept = (HANDED_DESCRIPTOR,)
    if execute.startup_file:
        # Not a pipe: it may be longer than one holds, and nobody would read it yet.
        startup = os.memfd_create("startup")
        os.write(startup, execute.startup_file.encode(errors="surrogateescape"))
        os.dup2(startup, STARTUP_DESCRIPTOR)
        kept = (*kept, STARTUP_DESCRIPTOR)
    become(execute.program, execute.argv, execute.environment, kept)


def become(
    program: str,
    argv: tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    kept: tuple[int, ...] = (),
) -> None:
    """A session of its own, default signals, no descriptor but 0, 1, 2 and `kept`; then execve(2).

    Raises OSError.
    """
    if os.getsid(0) != os.getpid():
        os.setsid()
    syscalls.default_signals()
    syscalls.set_blocked_signals(())
    syscalls.close_on_exec_from(3)
    for descriptor in kept:
        os.set_inheritable(descriptor, True)  # noqa: FBT003  the only form it has
    syscalls.execve(program, argv, environment)


def _map_ids(plan: Plan, pid: int) -> None:
    try:
        syscalls.map_ids(str(pid), str(plan.uid_map), str(plan.gid_map))
    except OSError as error:
        _expect_descriptors(error.errno or 0, str(error.filename))
        raise MachineError(
            "this machine does not let you map user ids",
            reason="id-map-refused",
            evidence=(f"{error.filename} = {error.strerror}",),
            hint="`nbs doctor` looks for the cause",
        ) from None


def _command(report: bytes, plan: Plan) -> int:
    """The PID of the founder's child, which has become ours. Raises `MachineError`: the reason."""
    if report.isdigit():
        return int(report)
    call, why = refusal(report)
    if not report or read_report(report)[0] == FORKING:
        raise _process_refused(call or "fork()", why)
    names = "|".join("CLONE_NEW" + ("NS" if n == "mnt" else n.upper()) for n in plan.namespaces)
    raise MachineError(
        "this machine does not let you create user namespaces",
        reason="user-namespaces-forbidden",
        evidence=(f"{call or f'unshare({names})'} = {why}",),
        hint="`nbs doctor` finds out why, and says how to allow it",
    )


def _process_refused(call: str, why: str) -> MachineError:
    return MachineError(
        "this machine does not let you start another process",
        reason="process-refused",
        evidence=(f"{call} = {why}",),
        hint="`ulimit -u` shows how many you may have",
    )


def read_report(report: bytes) -> tuple[int, int, str]:
    """The step, errno and call of `report_of`."""
    index, number, call = report.decode(errors="surrogateescape").split("\0", 2)
    return int(index), int(number), call


def refusal(report: bytes) -> tuple[str, str]:
    """The call that the founder was refused, empty where its error does not name it, and why."""
    if not report:
        return "", "the process that makes the sandbox was ended from outside"
    _, number, call = read_report(report)
    _expect_descriptors(number, call)
    return call, os.strerror(number)


def _expect_descriptors(number: int, call: str) -> None:
    """Raises `MachineError` (`too-many-open-files`) if that is what `call` was refused for."""
    if number in OUT_OF_DESCRIPTORS:
        raise too_many_open_files(f"{call or 'open()'} = {os.strerror(number)}")


def _raise_report(report: bytes, plan: Plan) -> None:
    """What the inside had to say before it became the command: nothing, if all went well."""
    if not report:
        return
    index, errno, call = read_report(report)
    _expect_descriptors(errno, call)
    if index < len(plan.enter):
        if errno == STALE:
            raise changed(call)
        raise step_failed(index, len(plan.enter), call, errno)
    raise not_executed(plan.execute.program, call, errno)


def step_failed(index: int, total: int, call: str, errno: int) -> StepFailed:
    """What is to be said of a step that the kernel refused."""
    return StepFailed(
        index=index,
        total=total,
        call=call,
        errno=errno,
        strerror=os.strerror(errno),
        hint="`nbs doctor` tries each thing that the sandbox needs",
    )


def not_executed(program: str, call: str, errno: int) -> CommandError:
    """What is to be said of an execve(2) that was refused."""
    missing = errno in (2, 20)
    return CommandError(
        f"`{program}` {'is not there' if missing else 'cannot be run'}",
        reason="command-not-found" if missing else "command-not-runnable",
        evidence=(f"{call} = {os.strerror(errno)}",),
        hint="name the command with its whole path inside, as `/nix/store/…/bin/bash`",
        exit_code=127 if missing else 126,
    )


class Nothing:
    """For a session that nobody may ask for anything."""

    handed = watched = -1

    def adopt(self, pid: int) -> None:
        """The first process is there, and waits."""

    def begin(self) -> None:
        """It has what was handed to it."""

    def ready(self) -> None:
        """What is watched can be read."""


def supervise(command: int, service: Service | None = None) -> int:
    """Wait for the command; pass on what ends processes. Its status, or 128 + the signal's number.

    Meanwhile what is inside may ask `service` for something.

    A signal that PID 1 neither catches nor ignores would be lost on it (pid_namespaces(7)); any
    other process would have died of it, so the command does.
    """
    signals = syscalls.signalfd(SIGNALS_PASSED_ON)
    # Not SIGCHLD, which another thread of the caller may get instead of us.
    ended = os.pidfd_open(command)
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.register(ended, select.POLLIN)
    ended_by = 0
    service = service or Nothing()
    try:
        while True:
            asked = service.watched
            if asked >= 0:
                poll.register(asked, select.POLLIN)
            ready = dict(poll.poll())
            if asked >= 0:
                poll.unregister(asked)
            if ready.get(signals):
                ended_by = deliver(command, syscalls.next_signal(signals)) or ended_by
            if ready.get(asked):
                service.ready()
            status = reap(command) if ready.get(ended) else None
            if status is not None:
                return status_after(status, ended_by)
    finally:
        os.close(signals)
        os.close(ended)


def reap(command: int) -> int | None:
    """The command's status if it has ended, else None. The caller's other children stay its own."""
    try:
        pid, status = os.waitpid(command, os.WNOHANG)
    except ChildProcessError:
        return 125
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def status_after(status: int, ended_by: int) -> int:
    """A command's status, or 128 + the signal for whose sake it was ended by force.

    It may have ended by itself in the moment before: then its status is its own.
    """
    return 128 + ended_by if ended_by and status == 128 + syscalls.SIGKILL else status


def deliver(command: int, number: int) -> int:
    """Give a signal to the command's process group; `number` if that has to end PID 1 by force.

    Then it comes first: a shell whose program alone was ended would go on with the next one.
    """
    if would_be_lost(command, number):
        os.kill(command, syscalls.SIGKILL)
        return number
    try:
        os.killpg(command, number)
    except ProcessLookupError:
        os.kill(command, number)
    return 0


def would_be_lost(pid: int, number: int) -> bool:
    """Is the signal at its default in `pid`, a PID 1? proc_pid_status(5): SigIgn, SigCgt."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return False
    handled = int(lines["SigIgn"], 16) | int(lines["SigCgt"], 16)
    return not handled >> (number - 1) & 1
