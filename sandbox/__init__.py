"""The sandbox of a failed Nix build, made again around what was kept.

This is the front door: what the command line and the Jupyter kernel may use. In the order in which
one run uses it:

    case = read("/tmp/nix-build-hello.drv-0")          what was found, as data
    sandbox = describe(case, Request(command=("make",)))    what the build saw, as data
    status = enter(sandbox)                            the command runs in it, and its status
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.errors import Error, EvidenceError, StepFailed
from sandbox.host.case import Case, build_log, failing_phase, log_path, read, read_unbuilt
from sandbox.host.catalog import (
    NixSurvey,
    demo_root,
    find_build,
    kept_builds,
    newest_kept_below,
    survey_nix,
)
from sandbox.linux import launch
from sandbox.model import rules
from sandbox.model.experiment import from_the_start
from sandbox.model.facts import Request
from sandbox.model.plan import Paths, Plan
from sandbox.model.plan import plan as make_plan
from sandbox.model.spec import BuildDirectory, Sandbox
from sandbox.model.steps import CopyTree, MountOverlay
from sandbox.model.value import Value
from sandbox.workspace.prepare import prepare
from sandbox.workspace.workspace import Workspace, state_directory, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.host.places import KeptPlace
    from sandbox.host.summary import Summary as Summary
    from sandbox.linux import probe as probe
    from sandbox.model.logs import BuildLog as BuildLog
    from sandbox.model.render import Line

PLAN_SCHEMA = "nix-build-shell.plan/1"
SHOWN_NAMES = 3

__all__ = [
    "PLAN_SCHEMA",
    "Case",
    "Error",
    "NixSurvey",
    "Request",
    "Sandbox",
    "as_data",
    "build_log",
    "calls",
    "demo_root",
    "describe",
    "describe_build",
    "difference",
    "ending_text",
    "enter",
    "failing_phase",
    "find_build",
    "kept_builds",
    "log_path",
    "newest_kept_below",
    "plan",
    "read",
    "read_unbuilt",
    "render",
    "scratch_workspace",
    "state_directory",
    "summarise",
    "survey_nix",
]


def __getattr__(name: str) -> Any:
    if name == "probe":
        # What only `nbs doctor` does, no other run pays for.
        from sandbox.linux import probe as module

        return module
    raise AttributeError(name)


def describe(case: Case, request: Request) -> Sandbox:
    """What the failed build saw, changed only by what `request` asks for by name.

    Raises `EvidenceError` as `model.rules.sandbox` does.
    """
    return rules.sandbox(case.kept, case.nix, case.machine, request)


def describe_build(case: Case) -> Sandbox:
    """The build of the case's derivation itself, from its start, as Nix would run it.

    Raises `EvidenceError` (`environment-unknown`) for a case without a derivation.
    """
    derivation, environment = case.nix.derivation, case.nix.environment
    request = Request(command=("builder",), unsandboxed=False)
    described = rules.sandbox(case.kept, case.nix, case.machine, request)
    if derivation is None or environment is None:
        raise EvidenceError(
            "there is no derivation that could be built", reason="environment-unknown"
        )
    return from_the_start(described, derivation, environment)


def plan(sandbox: Sandbox, workspace: str = "WORKSPACE") -> Plan:
    """The steps that `enter` would carry out, in a workspace of that name."""
    paths = Paths(root=f"{workspace}/root", upper=f"{workspace}/upper", work=f"{workspace}/work")
    return make_plan(sandbox, paths, os.uname().machine)


def summarise(place: KeptPlace, store: str = "") -> Summary:
    """What can be said of a kept build at a glance."""
    from sandbox.host.summary import summarise as look

    return look(place, store)


def ending_text(log: BuildLog) -> str:
    """How a build ended, in a few words."""
    from sandbox.host.summary import ending_text as word

    return word(log)


def calls(sandbox: Sandbox) -> tuple[str, ...]:
    """The system calls that `enter` would make inside, as strace prints them."""
    from sandbox.linux.record import calls_of

    return calls_of(plan(sandbox))


def render(sandbox: Sandbox) -> str:
    """The description as text, each line with the rule it follows."""
    from sandbox.model import render as rendering

    return rendering.text(sandbox)


def difference(first: Sandbox, second: Sandbox) -> tuple[tuple[str, Line], ...]:
    """What only one of two sandboxes has: pairs of "-" or "+" and a line of the description."""
    from sandbox.model import render as rendering

    return rendering.difference(first, second)


def as_data(value: object) -> Any:
    """Any value of this package, or a tuple of them, as what JSON knows."""
    from sandbox.model import render as rendering

    return rendering.data(value)


def enter(
    sandbox: Sandbox,
    say: Callable[[str], None] = lambda _: None,
    *,
    progress: Callable[[int, int], None] | None = None,
    stdio: tuple[int, int, int] = (0, 1, 2),
    keep: str = "",
) -> int:
    """Run the sandbox's command in a fresh workspace; its exit status, or 128 + a signal's number.

    Nothing of the run is left afterwards, but for the build directory, if `keep` is a path
    where there is nothing yet. `say` is told what a person has to know while it
    runs, `progress` how many files and bytes are copied so far.
    Raises `MachineError`, `CommandError`, `EvidenceError`.
    """
    state = state_directory(os.environ)
    sweep(state)
    run = _Run(say=say, progress=progress, stdio=stdio, keep=keep)
    caller = launch.Caller()
    try:
        return _enter_or_copy(sandbox, state, run)
    finally:
        caller.restore()


class _Run(Value):
    say: Callable[[str], None]
    progress: Callable[[int, int], None] | None
    stdio: tuple[int, int, int]
    keep: str


def _enter_or_copy(sandbox: Sandbox, state: str, run: _Run) -> int:
    try:
        return _enter(sandbox, state, run)
    except StepFailed as failure:
        copied = _with_copy(sandbox, failure)
        if copied is None:
            raise
    return _enter(copied, state, run)


def _enter(sandbox: Sandbox, state: str, run: _Run) -> int:
    with Workspace(state) as workspace:
        steps = plan(sandbox, workspace.path)

        def meanwhile() -> None:
            prepare(steps.prepare, lambda step: _copy(step, run))

        if sandbox.process.interactive:
            # Costs the start-up of a run without a terminal nothing. Imported before the fork.
            from sandbox.linux import terminal

            return terminal.run(steps, meanwhile)
        status = launch.supervise(launch.start(steps, stdio=run.stdio, meanwhile=meanwhile))
        if run.keep:
            _keep(workspace.upper, run.keep)
        return status


def scratch_workspace() -> Workspace:
    """A workspace to try things in: a context manager that leaves nothing behind."""
    return Workspace(state_directory(os.environ))


def _keep(upper: str, path: str) -> None:
    try:
        os.rename(upper, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        from sandbox.workspace.copy import copy_tree

        copy_tree(upper, path, owner=None)


def _with_copy(sandbox: Sandbox, failure: StepFailed) -> Sandbox | None:
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


def _copy(step: CopyTree, run: _Run) -> None:
    from sandbox.workspace.copy import copy_entry, copy_tree

    owner = (step.uid, step.gid) if os.getuid() == 0 and step.uid >= 0 else None
    if step.any_kind and not stat.S_ISDIR(os.lstat(step.source).st_mode):
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
