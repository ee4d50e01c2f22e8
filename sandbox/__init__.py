"""The sandbox of a failed Nix build, made again around what was kept.

This is the front door: what the command line and the Jupyter kernel may use. In the order in which
one run uses it:

    case = read("/tmp/nix-build-hello.drv-0")          what was found, as data
    sandbox = describe(case, Request(command=("make",)))    what the build saw, as data
    status = enter(sandbox)                            the command runs in it, and its status
"""

from __future__ import annotations

import os

from sandbox.errors import Error, EvidenceError
from sandbox.host.case import Case, build_log, log_path, read, read_unbuilt, readable_log
from sandbox.model import command, rules
from sandbox.model.facts import PhaseScripts, Request
from sandbox.model.printable import one_line, printable
from sandbox.model.spec import Sandbox
from sandbox.model.value import Value
from sandbox.session.run import enter, plan
from sandbox.workspace.workspace import Workspace, state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.host.buildlog import LoggedBuild as LoggedBuild
    from sandbox.host.buildlog import PointedFile as PointedFile
    from sandbox.host.buildlog import logged_build as logged_build
    from sandbox.host.buildlog import pointed_files as pointed_files
    from sandbox.host.buildlog import read_pointed as read_pointed
    from sandbox.host.catalog import NixSurvey as NixSurvey
    from sandbox.host.catalog import demo_root as demo_root
    from sandbox.host.catalog import find_build as find_build
    from sandbox.host.catalog import has_flakes as has_flakes
    from sandbox.host.catalog import kept_builds as kept_builds
    from sandbox.host.catalog import name_of as name_of
    from sandbox.host.catalog import newest_kept_below as newest_kept_below
    from sandbox.host.catalog import survey_nix as survey_nix
    from sandbox.host.catalog import tutorial_root as tutorial_root
    from sandbox.host.failures import FailedBuild as FailedBuild
    from sandbox.host.failures import failed_builds as failed_builds
    from sandbox.host.failures import kept_before as kept_before
    from sandbox.host.places import KeptPlace
    from sandbox.host.summary import Summary as Summary
    from sandbox.host.summary import owner_name as owner_name
    from sandbox.host.tools import find_tools as find_tools
    from sandbox.host.version import installed_profile as installed_profile
    from sandbox.linux import probe as probe
    from sandbox.linux.resident import Command as Command
    from sandbox.linux.resident import Inside as Inside
    from sandbox.model import patched as patched
    from sandbox.model import recipe as recipe
    from sandbox.model import words as words
    from sandbox.model.expression import expression_of as expression_of
    from sandbox.model.logcuts import Piece as Piece
    from sandbox.model.logcuts import error_in as error_in
    from sandbox.model.logcuts import phases_called as phases_called
    from sandbox.model.logcuts import pieces as pieces
    from sandbox.model.logs import BuildLog as BuildLog
    from sandbox.model.nixcommand import NixCommand as NixCommand
    from sandbox.model.nixcommand import nix_command as nix_command
    from sandbox.model.nixevents import Event as Event
    from sandbox.model.nixevents import parse_event as parse_event
    from sandbox.model.nixmessages import Listener as Listener
    from sandbox.model.nixmessages import Report as Report
    from sandbox.model.notebook import Failure as Failure
    from sandbox.model.patched import PatchFile as PatchFile
    from sandbox.model.patched import Repair as Repair
    from sandbox.model.patched import store_name as store_name
    from sandbox.model.progress import Progress as Progress
    from sandbox.model.recipe import Attribute as Attribute
    from sandbox.model.render import Line
    from sandbox.model.storepath import derivation_name as derivation_name
    from sandbox.model.tools import with_tools as with_tools
    from sandbox.repair import replay as replay
    from sandbox.repair import showing as showing
    from sandbox.repair.comparison import compared as compared
    from sandbox.repair.comparison import workspace_of as workspace_of
    from sandbox.repair.patching import Patch as Patch
    from sandbox.repair.patching import environment_in as environment_in
    from sandbox.repair.patching import patch_of as patch_of
    from sandbox.repair.sources import has_sources as has_sources
    from sandbox.repair.sources import take_sources as take_sources
    from sandbox.session.carry import Place as Place
    from sandbox.session.carry import carry_in as carry_in
    from sandbox.session.carry import carry_out as carry_out
    from sandbox.session.carry import only_looked_at as only_looked_at
    from sandbox.session.kept import damaged_workspaces as damaged_workspaces
    from sandbox.session.kept import derivation_in as derivation_in
    from sandbox.session.kept import find_workspace as find_workspace
    from sandbox.session.kept import fork_workspace as fork_workspace
    from sandbox.session.kept import hold_workspace as hold_workspace
    from sandbox.session.kept import is_kept_by_nix as is_kept_by_nix
    from sandbox.session.kept import new_session as new_session
    from sandbox.session.kept import read_again as read_again
    from sandbox.session.kept import recalled as recalled
    from sandbox.session.kept import remove_workspace as remove_workspace
    from sandbox.session.kept import request_again as request_again
    from sandbox.session.kept import require_build as require_build
    from sandbox.session.kept import resumed_session as resumed_session
    from sandbox.session.kept import total_bytes as total_bytes
    from sandbox.session.kept import tried_in as tried_in
    from sandbox.session.kept import workspace_path as workspace_path
    from sandbox.session.kept import workspace_usage as workspace_usage
    from sandbox.session.kept import workspaces as workspaces
    from sandbox.session.kept import workspaces_of as workspaces_of
    from sandbox.session.living import Living as Living
    from sandbox.session.living import given_up as given_up
    from sandbox.session.residence import Residence as Residence
    from sandbox.session.residence import Signals as Signals
    from sandbox.session.residence import settle as settle
    from sandbox.session.residence import stay_outside as stay_outside
    from sandbox.session.roots import is_collectable as is_collectable
    from sandbox.session.snapshots import Snapshot as Snapshot
    from sandbox.session.snapshots import holds as holds
    from sandbox.session.snapshots import listing as listing
    from sandbox.session.snapshots import remove_snapshot as remove_snapshot
    from sandbox.session.snapshots import restore_workspace as restore_workspace
    from sandbox.session.snapshots import snapshot_workspace as snapshot_workspace
    from sandbox.session.snapshots import snapshots_of as snapshots_of
    from sandbox.session.snapshots import told as told
    from sandbox.version import VERSION as VERSION
    from sandbox.workspace.before import take_before as take_before
    from sandbox.workspace.before import tidy as tidy
    from sandbox.workspace.changes import Differences as Differences
    from sandbox.workspace.compared import Comparison as Comparison
    from sandbox.workspace.compared import Finding as Finding
    from sandbox.workspace.holding import Held as Held
    from sandbox.workspace.kept import Kept as Kept
    from sandbox.workspace.session import Session as Session
    from sandbox.workspace.sizes import Usage as Usage

    LeftOut = Callable[[str, str], None]
    """What is told of each path that was not copied, and why."""

PLAN_SCHEMA = "nix-build-shell.plan/1"
SAID_ON_ENTERING = (
    *("derivation", "inputs", "network", "profile"),
    *("sockets", "tools", "variables"),
)
"""Notes that change what a person will find; the others are in `nbs plan`."""

IMPORTED_LATE = {
    "sandbox.host.buildlog": "LoggedBuild PointedFile logged_build pointed_files read_pointed",
    "sandbox.host.catalog": (
        "NixSurvey demo_root find_build has_flakes kept_builds name_of newest_kept_below "
        "survey_nix tutorial_root"
    ),
    "sandbox.host.failures": "FailedBuild failed_builds kept_before",
    "sandbox.host.summary": "Summary owner_name",
    "sandbox.host.tools": "find_tools",
    "sandbox.host.version": "installed_profile",
    "sandbox.linux.probe": "probe",
    "sandbox.linux.resident": "Command Inside",
    "sandbox.model.expression": "expression_of",
    "sandbox.model.logcuts": "Piece error_in phases_called pieces",
    "sandbox.model.logs": "BuildLog",
    "sandbox.model.nixcommand": "NixCommand nix_command",
    "sandbox.model.nixevents": "Event parse_event",
    "sandbox.model.nixmessages": "Listener Report",
    "sandbox.model.notebook": "Failure",
    "sandbox.model.patched": "PatchFile Repair patched store_name",
    "sandbox.model.progress": "Progress",
    "sandbox.model.recipe": "Attribute recipe",
    "sandbox.model.storepath": "derivation_name",
    "sandbox.model.tools": "with_tools",
    "sandbox.model.words": "words",
    "sandbox.repair.comparison": "compared workspace_of",
    "sandbox.repair.patching": "Patch environment_in patch_of",
    "sandbox.repair.replay": "replay",
    "sandbox.repair.showing": "showing",
    "sandbox.repair.sources": "has_sources take_sources",
    "sandbox.session.carry": "Place carry_in carry_out only_looked_at",
    "sandbox.session.kept": (
        "damaged_workspaces derivation_in find_workspace fork_workspace hold_workspace "
        "is_kept_by_nix new_session read_again recalled remove_workspace request_again "
        "require_build resumed_session total_bytes tried_in workspace_path workspace_usage "
        "workspaces workspaces_of"
    ),
    "sandbox.session.living": "Living given_up",
    "sandbox.session.residence": "Residence Signals settle stay_outside",
    "sandbox.session.roots": "is_collectable",
    "sandbox.session.snapshots": (
        "Snapshot holds listing remove_snapshot restore_workspace snapshot_workspace "
        "snapshots_of told"
    ),
    "sandbox.version": "VERSION",
    "sandbox.workspace.before": "take_before tidy",
    "sandbox.workspace.changes": "Differences",
    "sandbox.workspace.compared": "Comparison Finding",
    "sandbox.workspace.holding": "Held",
    "sandbox.workspace.kept": "Kept",
    "sandbox.workspace.session": "Session",
    "sandbox.workspace.sizes": "Usage",
}
"""Modules, and what the kernel and some verbs use of them: no other run pays for it.

Where a name is the last part of the module's, the module itself is meant."""

OF_THE_BUILDS_BASH = ("asked", "report", "order", "texts", "earlier", "child")
"""The files of `phases/` that the build's own bash runs, one behind the other."""

__all__ = [
    "PLAN_SCHEMA",
    "Case",
    "Error",
    "Request",
    "Sandbox",
    "Value",
    "as_data",
    "build_log",
    "builder_words",
    "calls",
    "cautions",
    "describe",
    "describe_build",
    "describe_phases",
    "difference",
    "doubts",
    "ending_text",
    "enter",
    "facts",
    "introduction",
    "log_path",
    "notebook",
    "notebook_name",
    "one_line",
    "phase_again",
    "phase_help",
    "phase_scripts",
    "plan",
    "plan_lines",
    "printable",
    "read",
    "read_unbuilt",
    "readable_log",
    "render",
    "require_startable",
    "scratch_workspace",
    "state_directory",
    "summarise",
    "with_log",
]


def __getattr__(name: str) -> Any:
    for path, names in IMPORTED_LATE.items():
        if name in names.split():
            from importlib import import_module

            module = import_module(path)
            return module if path.endswith(f".{name}") else getattr(module, name)
    raise AttributeError(name)


def describe(case: Case, request: Request) -> Sandbox:
    """What the failed build saw, changed only by what `request` asks for by name.

    Raises `EvidenceError` as `model.rules.sandbox` does.
    """
    return rules.sandbox(case.kept, case.nix, case.machine, request)


def require_startable(case: Case, request: Request) -> None:
    """See that a program can be given the variables of the build, before one is to be started.

    Raises `CommandError` (`environment-too-long`).
    """
    command.require_startable(case.kept, case.nix, request)


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
    from sandbox.model.experiment import from_the_start

    return from_the_start(described, derivation, environment)


def describe_phases(case: Case, request: Request, *, clean: bool = False) -> Sandbox:
    """The sandbox in which `request.phase_words` are run; `clean`: in a directory as Nix makes it.

    Raises as `describe`, and `EvidenceError` (`no-phases`, `builder-unknown`,
    `environment-unknown`).
    """
    request = request.replace(phases=phase_scripts())
    if not clean:
        return describe(case, request)
    from sandbox.repair.replay import describe_clean

    return describe_clean(case, request)


def summarise(place: KeptPlace, store: str = "") -> Summary:
    """What can be said of a kept build at a glance."""
    from sandbox.host.summary import summarise as look

    return look(place, store)


def facts(case: Case) -> tuple[tuple[str, str], ...]:
    """What is known of a failed build, as pairs of a name and a text."""
    from sandbox.host.summary import facts as look

    return look(case)


def ending_text(log: BuildLog) -> str:
    """How a build ended, in a few words."""
    from sandbox.host.summary import ending_text as word

    return word(log)


def introduction(sandbox: Sandbox, log: BuildLog | None) -> tuple[str, ...]:
    """What a person has to know on entering: what failed, and how this is not quite its sandbox."""
    phase = log.failing_phase if log is not None else ""
    ended = ending_text(log) if log is not None else ""
    what = " failed" + (f" in {phase}" if phase else "") + (f" ({ended})" if ended else "")
    lines = [f"{sandbox.name or 'this build'}{what}; its sandbox as {sandbox.profile} makes it"]
    if sandbox.environment_source != "env-vars":
        lines.append(f"variables: from {sandbox.environment_source}")
    lines += doubts(log)
    lines += [f"{n.subject}: {n.text}" for n in sandbox.notes if n.subject in SAID_ON_ENTERING]
    return tuple(one_line(line) for line in lines)


def doubts(log: BuildLog | None) -> tuple[str, ...]:
    """What has to be said where something is gone by that a log tells."""
    if log is None or not log.of_later_attempt:
        return ()
    return ("log: of a later attempt than this directory, which may have failed otherwise",)


def cautions(case: Case, sandbox: Sandbox) -> tuple[str, ...]:
    """What has to be said to a command's caller too: what is there was not what was gone by."""
    lines = []
    if case.kept.env_vars.state != "absent" and sandbox.environment_source != "env-vars":
        lines.append(f"variables: from {sandbox.environment_source}")
    if case.nix.derivation_refused:
        lines.append(f"derivation: {case.nix.derivation_refused}")
    lines += [f"{n.subject}: {n.text}" for n in sandbox.notes if n.subject == "inputs"]
    return tuple(one_line(line) for line in lines)


def with_log(request: Request, log: BuildLog | None) -> Request:
    """The same, with what the log tells: which phase failed, and what those before it have left."""
    if log is None:
        return request
    from sandbox.model.logtold import told

    return request.replace(phase=log.failing_phase, told=told(log))


def phase_again(case: Case, log: BuildLog | None) -> str:
    """The line that runs what failed once more, with the word `phase`; empty if none can."""
    from sandbox.model.phases import again

    return again(case.kept, case.nix, log.failing_phase if log is not None else "")


def builder_words(case: Case) -> tuple[str, ...]:
    """The builder and its arguments; empty where that is not known, or Nix itself builds."""
    from sandbox.model.phases import builder

    return builder(case.nix)


def phase_scripts(*, aligned: bool = True) -> PhaseScripts:
    """What gives a shell the word `phase`.

    `aligned`: an error ends at the right of 80 columns, as those of the commands do. A page has no
    columns.
    """
    place = os.path.join(os.path.dirname(__file__), "phases")

    def text(*names: str) -> str:
        texts = []
        for name in names:
            with open(os.path.join(place, f"{name}.bash"), encoding="utf-8") as file:
                texts.append(file.read())
        return "".join(texts) if aligned else "".join(texts).replace("%80s", "%s")

    return PhaseScripts(word=text("word"), parent=text("parent"), child=text(*OF_THE_BUILDS_BASH))


def phase_help(scripts: PhaseScripts) -> str:
    """What `phase --help` prints."""
    from sandbox.model.phases import usage

    return usage(scripts)


def calls(sandbox: Sandbox) -> tuple[str, ...]:
    """The system calls that `enter` would make inside, as strace prints them."""
    from sandbox.linux.record import calls_of

    return calls_of(plan(sandbox))


def render(sandbox: Sandbox) -> str:
    """The description as text, each line with the rule it follows."""
    from sandbox.model import render as rendering

    return rendering.text(sandbox)


def plan_lines(sandbox: Sandbox) -> tuple[Line, ...]:
    """The same as values, to be laid out otherwise."""
    from sandbox.model import render as rendering

    return rendering.lines(sandbox)


def difference(first: Sandbox, second: Sandbox) -> tuple[tuple[str, Line], ...]:
    """What only one of two sandboxes has: pairs of "-" or "+" and a line of the description."""
    from sandbox.model import render as rendering

    return rendering.difference(first, second)


def as_data(value: object) -> Any:
    """Any value of this package, or a tuple of them, as what JSON knows."""
    from sandbox.model import render as rendering

    return rendering.data(value)


def notebook(failure: Failure) -> dict[str, Any]:
    """The notebook of a failed build, as data for JSON: nbformat 4.5."""
    from sandbox.model.notebook import document

    return document(failure)


def notebook_name(name: str) -> str:
    """What the notebook of a build of that name is called, where nobody calls it otherwise."""
    from sandbox.model.notebook import file_name

    return file_name(name)


def scratch_workspace() -> Workspace:
    """A workspace to try things in: a context manager that leaves nothing behind."""
    return Workspace(state_directory(os.environ))
