"""A process of ours that lives in a sandbox, and the commands that it starts there.

The resident has entered like a command, but goes on as the program that it was: it has all
capabilities over the sandbox's namespaces and none over the host's, and cannot be dumped or traced
by what runs beside it. Each command that it starts is PID 1 of a pid namespace of its own below the
resident's, from where the resident cannot be seen, and is restricted like the builder was.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys

from sandbox.errors import CommandError
from sandbox.linux import launch, syscalls
from sandbox.linux.apply import Linux, apply
from sandbox.model.steps import ChangeDirectory, RenewProc
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from sandbox.model.plan import Plan
    from sandbox.model.steps import EnterStep

SIGINT, IGNORED = syscalls.SIGINT, 1


class Command(Value):
    """What a resident starts.

    `program` is what is executed, `argv[0]` if it is empty; the first of `directories` that can be
    entered becomes the working directory. `descriptors` are pairs of a number inside and the
    descriptor here that it is to be; no other is open inside. `terminal` is the number inside of
    the one that becomes the controlling terminal, -1 for none. `startup` is text that whoever
    starts an interactive shell lets it read first.
    """

    argv: tuple[str, ...]
    program: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    directories: tuple[str, ...] = ("/",)
    descriptors: tuple[tuple[int, int], ...] = ()
    terminal: int = -1
    startup: str = ""


class Inside:
    """What a resident may do. `shell` is the command of the plan that it was made with."""

    def __init__(self, plan: Plan) -> None:
        directories: tuple[str, ...] = ("/",)
        for step in plan.restrict:
            if isinstance(step, ChangeDirectory):
                directories = step.candidates
        self._restrict = plan.restrict
        self.shell = Command(
            argv=plan.execute.argv,
            program=plan.execute.program,
            environment=plan.execute.environment,
            directories=directories,
            startup=plan.execute.startup_file,
        )

    def start(self, command: Command) -> int:
        """Start `command`; its PID as this process counts, for waitpid(2).

        Raises OSError where no process can be had, `StepFailed`, and `CommandError`
        (`command-not-found`, `command-not-runnable`).
        """
        orders, report = launch.Channel.pair()
        founder = os.fork()
        if founder == 0:
            self._found(command, orders, report)
        os.close(orders.reader)
        os.close(report.writer)
        try:
            answer = report.receive()
            os.waitpid(founder, 0)
            if not answer.isdigit():
                raise _refusal(answer)
            orders.send(b"adopted")
            return self._started(int(answer), report.receive(), command)
        finally:
            os.close(orders.writer)
            os.close(report.reader)

    def _found(self, command: Command, orders: launch.Channel, report: launch.Channel) -> Never:
        """Make the pid namespace, fork its first process, and be gone."""
        status = 125
        try:
            gc.disable()
            syscalls.set_blocked_signals(launch.SIGNALS_PASSED_ON)
            ours = tuple(here for _, here in command.descriptors)
            syscalls.close_all_but((orders.reader, report.writer, *ours))
            syscalls.unshare("pid", "mnt")
            pid = os.fork()
            if pid:
                report.send(str(pid).encode())
                status = 0
            elif orders.receive() == b"adopted":
                self._become(command, report)
        except OSError as error:
            report.send(launch.report_of(launch.FOUNDING, error))
        finally:
            os._exit(status)

    def _become(self, command: Command, report: launch.Channel) -> None:
        index = 0
        calls = Linux(launch.no_terminal)
        try:
            writer = _put_in_place(command, report.writer)
            report.writer = writer
            for index, step in enumerate(self._steps(command)):  # noqa: B007  told on failure
                apply(step, calls)
            index = -1
            launch.become(
                command.program or command.argv[0],
                command.argv,
                command.environment,
                kept=tuple(number for number, _ in command.descriptors),
            )
        except OSError as error:
            report.send(launch.report_of(index, error))

    def _steps(self, command: Command) -> tuple[EnterStep, ...]:
        there = ChangeDirectory(candidates=command.directories)
        restrict = (there if isinstance(s, ChangeDirectory) else s for s in self._restrict)
        return (RenewProc(path="/proc"), *restrict)

    def _started(self, pid: int, report: bytes, command: Command) -> int:
        """The PID, unless the process had something to say before it became the command."""
        if not report:
            return pid
        os.waitpid(pid, 0)
        index, errno, call = launch.read_report(report)
        if index >= 0:
            raise launch.step_failed(index, len(self._restrict) + 1, call, errno)
        raise launch.not_executed(command.program or command.argv[0], call, errno)


def live(plan: Plan, report: launch.Channel, life: Callable[[Inside], int]) -> Never:
    """In the process that has built the sandbox: tell that it is built, then be its resident."""

    def begin() -> int:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        os.close(report.writer)
        return life(Inside(plan))

    _live(begin)


def stay_outside(
    life: Callable[[], int], stdio: tuple[int, int, int], kept_open: tuple[int, ...]
) -> int:
    """Fork a process like a resident, but in no sandbox, and able to start nothing; its PID."""
    parent = os.getpid()

    def begin() -> int:
        launch.let_go(stdio, kept_open)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)
        return life() if os.getppid() == parent else 125

    pid = os.fork()
    if pid == 0:
        _live(begin)
    return pid


def _live(life: Callable[[], int]) -> Never:
    """`life` in a session of its own. What the launcher's objects held is not collected here."""
    status = 125
    try:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        # Out of the launcher's process group: a signal for that reaches us once, from the launcher.
        os.setsid()
        # Until `life` has handlers of its own.
        syscalls.set_signal(SIGINT, IGNORED)
        syscalls.set_blocked_signals(())
        gc.freeze()
        gc.enable()
        status = life()
    except BaseException:  # noqa: BLE001  what would leave here would go on as the launcher
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _put_in_place(command: Command, writer: int) -> int:
    """Each descriptor at its number inside; where `writer` is then.

    All are moved out of the way first: a number inside may be another's number here.
    """
    above = max((number for number, _ in command.descriptors), default=2) + 1
    copies = [(number, _above(here, above)) for number, here in command.descriptors]
    writer = _above(writer, above)
    for number, copy in copies:
        os.dup2(copy, number)
    if command.terminal >= 0:
        syscalls.set_controlling_terminal(command.terminal)
    return writer


def _above(descriptor: int, lowest: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)


def _refusal(report: bytes) -> CommandError:
    call, why = launch.refusal(report)
    return CommandError(
        "no other process can be started in the sandbox",
        reason="process-refused",
        evidence=(f"{call or 'fork()'} = {why}",),
        hint="`ulimit -u` shows how many you may have",
        exit_code=126,
    )
