"""Running in a sandbox: the workspace around the plan, and what is done again with a copy."""

from __future__ import annotations

import os
import stat

from sandbox.errors import StepFailed
from sandbox.linux import launch
from sandbox.model.plan import Plan, paths_in
from sandbox.model.plan import plan as make_plan
from sandbox.model.spec import BuildDirectory, Sandbox
from sandbox.model.steps import CopyTree, MountOverlay
from sandbox.model.value import Value
from sandbox.workspace.prepare import prepare
from sandbox.workspace.workspace import Workspace, state_directory, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from sandbox.model.spec import Looked
    from sandbox.workspace.session import Session

    T = TypeVar("T")

SHOWN_NAMES = 3
SIGNALLED = 128
WORDS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "phases", "snapshots.bash")


def plan(sandbox: Sandbox, workspace: str = "WORKSPACE") -> Plan:
    """The steps that `enter` would carry out, in a workspace of that name."""
    return make_plan(sandbox, paths_in(workspace), os.uname().machine)


def enter(
    sandbox: Sandbox,
    say: Callable[[str], None] = lambda _: None,
    *,
    progress: Callable[[int, int], None] | None = None,
    stdio: tuple[int, int, int] = (0, 1, 2),
    keep: str = "",
    session: Session | None = None,
) -> int:
    """Run the sandbox's command in a fresh workspace; its exit status, or 128 + a signal's number.

    Nothing of the run is left afterwards, but for the build directory, if `keep` is a path
    where there is nothing yet; see `leaving.move`. With `session`, which has been entered, that
    is the workspace instead, and what is left is for its end. `say` is told what a person has to
    know while it runs, `progress` how many files and bytes are copied so far.
    Raises `MachineError`, `CommandError`, `EvidenceError`.
    """
    state = state_directory(os.environ)
    sweep(state)
    run = Run(say=say, progress=progress, stdio=stdio, keep=keep, session=session)
    caller = launch.Caller()
    try:
        return or_with_copy(sandbox, lambda one: _enter(one, state, run))
    finally:
        caller.restore()


def was_interrupted(status: int) -> bool:
    """Whether a signal that `enter` passed on has ended the run, as what it gave tells."""
    return status - SIGNALLED in launch.SIGNALS_PASSED_ON


class Run(Value):
    """What the caller of a run wants to be told, and have."""

    say: Callable[[str], None]
    progress: Callable[[int, int], None] | None
    stdio: tuple[int, int, int]
    keep: str
    session: Session | None = None


def or_with_copy(sandbox: Sandbox, attempt: Callable[[Sandbox], T]) -> T:
    """What `attempt` gives; where the kernel refuses the overlay, once more with a copy."""
    try:
        return attempt(sandbox)
    except StepFailed as failure:
        copied = _copying_build(sandbox, failure)
        if copied is None:
            raise
    return attempt(copied)


def _enter(sandbox: Sandbox, state: str, run: Run) -> int:
    if run.session is not None:
        return _carry_out(run.session.fitting(sandbox), run.session, run)
    with Workspace(state) as workspace:
        status = _carry_out(sandbox, workspace, run)
        if run.keep:
            from sandbox.session import leaving

            leaving.move(workspace.upper, run.keep, state)
        return status


def _carry_out(sandbox: Sandbox, place: Workspace | Session, run: Run) -> int:
    steps = plan(sandbox, place.path)
    if run.session is not None and steps.execute.startup_file:
        return _with_words(sandbox, run.session, steps, run)
    return _live(sandbox, steps, run)


def _live(sandbox: Sandbox, steps: Plan, run: Run, service: launch.Service | None = None) -> int:
    """The command from its start to its end. `service` is what it may ask for something."""
    started = run.session.started if run.session is not None else _nothing

    def meanwhile() -> None:
        prepare_place(sandbox, steps, run)

    if sandbox.process.interactive:
        # Costs the start-up of a run without a terminal nothing. Imported before the fork.
        from sandbox.linux import terminal

        return terminal.run(steps, meanwhile, started, service)
    service = service or launch.Nothing()
    terms = launch.Terms(
        meanwhile=meanwhile,
        stdio=run.stdio,
        adopted=service.adopt,
        handed=service.handed,
    )
    command = launch.start(steps, terms)
    service.begin()
    started(command)
    return launch.supervise(command, service)


def _with_words(sandbox: Sandbox, session: Session, steps: Plan, run: Run) -> int:
    """A session whose shell can ask for snapshots."""
    from sandbox.session.asked import Asked
    from sandbox.session.living import Living

    with open(WORDS, encoding="utf-8") as file:
        text = steps.execute.startup_file + file.read()
    steps = steps.replace(execute=steps.execute.replace(startup_file=text))
    asked = Asked(Living(session, sandbox, resident=False))
    try:
        return _live(sandbox, steps, run, asked)
    finally:
        asked.close()


def _nothing(_: int) -> None:
    """Of a run whose workspace goes when it ends, nobody wants to know who is inside."""


def prepare_place(sandbox: Sandbox, steps: Plan, run: Run) -> None:
    """Make what the sandbox is mounted from; of a kept workspace, what it does not have yet."""
    if run.session is not None:
        run.session.prepare(sandbox, steps.prepare, lambda step: copy(step, run, steps.looked))
    else:
        prepare(steps.prepare, lambda step: copy(step, run, steps.looked))


def _copying_build(sandbox: Sandbox, failure: StepFailed) -> Sandbox | None:
    """The same with a copied build directory, if it is the overlay that the kernel refused.

    Overlays cannot lie on every file system, and older kernels keep them from users. A copy is no
    lesser sandbox, only slower to make.
    """
    step = plan(sandbox).enter[failure.index] if failure.index >= 0 else None
    if not (isinstance(step, MountOverlay)):
        return None
    entries = tuple(
        e.replace(method="copy") if isinstance(e, BuildDirectory) else e for e in sandbox.entries
    )
    return sandbox.replace(entries=entries)


def copy(step: CopyTree, run: Run, looked: tuple[Looked, ...] = ()) -> None:
    """Make a private copy; tell of what had to be left out."""
    from sandbox.workspace.copy import copy_entry, copy_looked, copy_tree

    owner = (step.uid, step.gid) if os.getuid() == 0 and step.uid >= 0 else None
    seen = next((one for one in looked if one.path == step.source), None)
    if seen is not None:
        report = copy_looked(seen, step.path, owner=owner, whose=step.whose, progress=run.progress)
    elif step.any_kind and not stat.S_ISDIR(os.lstat(step.source).st_mode):
        report = copy_entry(step.source, step.path, owner=owner)
    else:
        report = copy_tree(step.source, step.path, owner=owner, progress=run.progress)
    if report.unreadable_count:
        run.say(_left_out("cannot be read by you", report.unreadable_count, report.unreadable))
    if report.skipped_count:
        run.say(_left_out("cannot be copied", report.skipped_count, report.skipped))


def _left_out(why: str, count: int, names: tuple[str, ...]) -> str:
    more = ", …" if count > SHOWN_NAMES else ""
    return f"{count} of what was kept {why} and left out: {', '.join(names[:SHOWN_NAMES])}{more}"
