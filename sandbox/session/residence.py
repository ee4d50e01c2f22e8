"""A sandbox with a resident: made, watched and ended from outside."""

from __future__ import annotations

import os
import select

from sandbox.linux import launch, resident, syscalls
from sandbox.session.living import Living
from sandbox.session.run import Run, or_with_copy, plan, prepare_place
from sandbox.workspace.workspace import Workspace, state_directory, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from sandbox.linux.resident import Inside
    from sandbox.model.plan import Plan
    from sandbox.model.spec import Sandbox
    from sandbox.workspace.session import Session


class Residence:
    """What the outside has of a sandbox with a resident.

    `pid` is the resident's as the host counts, `ended` a pidfd(2) that is readable when it is gone.
    `living` is what can be asked of its kept workspace, if it is in one.
    """

    def __init__(
        self, workspace: Workspace | Session | None, pid: int, living: Living | None = None
    ) -> None:
        self.living = living
        self._workspace = workspace
        self.pid = pid
        self.ended = os.pidfd_open(pid)
        self._status: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal to the resident; without effect when it is gone."""
        if self.status() is None:
            os.kill(self.pid, number)

    def status(self) -> int | None:
        """The resident's exit status, or 128 + the signal that ended it; None while it lives."""
        if self._status is None:
            self._status = launch.reap(self.pid)
        return self._status

    def close(self) -> int:
        """End the resident, with all that it started, if it lives; then the workspace goes.

        Of a session what was changed stays: its `kept` then tells.
        """
        self.signal(syscalls.SIGKILL)
        poll = select.poll()
        poll.register(self.ended, select.POLLIN)
        poll.poll()
        status = self.status() or 0
        os.close(self.ended)
        if self.living is not None:
            self.living.close()
        if self._workspace is not None:
            self._workspace.__exit__()
        return status


class Signals:
    """The signals that end processes, as something to poll: `descriptor` is readable."""

    def __init__(self) -> None:
        syscalls.set_blocked_signals(launch.SIGNALS_PASSED_ON)
        self.descriptor = syscalls.signalfd(launch.SIGNALS_PASSED_ON)

    def next(self) -> int:
        """The number of the next one; waits for it."""
        return syscalls.next_signal(self.descriptor)


def settle(
    sandbox: Sandbox,
    life: Callable[[Inside], int],
    *,
    kept_open: tuple[int, ...] = (),
    stdio: tuple[int, int, int] = (0, 1, 2),
    say: Callable[[str], None] = lambda _: None,
    session: Session | None = None,
) -> Residence:
    """Fork a process that enters `sandbox` in a fresh workspace and there calls `life`.

    With `session`, which has not been entered, that is the workspace instead; it ends with the
    residence.

    What `life` returns is its exit status; it starts commands with the `Inside` that it is given.
    Of the caller's descriptors it has `stdio` as 0, 1 and 2, and `kept_open`. Everything that it
    may want to import has to be imported before. It ends with its caller. The caller may have one
    thread only; the signals that end processes are blocked in it afterwards, to be read from a
    signalfd(2).

    Raises `MachineError`, `EvidenceError`.
    """
    state = state_directory(os.environ)
    sweep(state)
    run = Run(say=say, progress=None, stdio=stdio, keep="", session=session)
    return or_with_copy(sandbox, lambda one: _settle(one, life, kept_open, state, run))


def _settle(
    sandbox: Sandbox,
    life: Callable[[Inside], int],
    kept_open: tuple[int, ...],
    state: str,
    run: Run,
) -> Residence:
    workspace = (run.session or Workspace(state)).__enter__()
    try:
        if run.session is not None:
            sandbox = run.session.fitting(sandbox)
        steps = plan(sandbox, workspace.path)
        living = None
        if run.session is not None:
            living = Living(run.session, sandbox, resident=True)

        def stay(made: Plan, report: launch.Channel) -> Never:
            resident.live(made, report, life)

        terms = launch.Terms(
            meanwhile=lambda: prepare_place(sandbox, steps, run),
            stdio=run.stdio,
            kept_open=kept_open,
            settle=stay,
            adopted=living.adopt if living is not None else launch.unattended,
        )
        pid = launch.start(steps, terms)
        if run.session is not None:
            run.session.started(pid)
        return Residence(workspace, pid, living)
    except BaseException:
        workspace.__exit__()
        raise


def stay_outside(
    life: Callable[[], int],
    *,
    kept_open: tuple[int, ...] = (),
    stdio: tuple[int, int, int] = (0, 1, 2),
) -> Residence:
    """As `settle`, where there is no sandbox: `life` can start nothing."""
    return Residence(None, resident.stay_outside(life, stdio, kept_open))
