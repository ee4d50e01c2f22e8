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
from sandbox.run import enter, plan
from sandbox.workspace.workspace import Workspace, state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox import replay as replay
    from sandbox import showing as showing
    from sandbox.carry import Place as Place
    from sandbox.carry import carry_in as carry_in
    from sandbox.carry import carry_out as carry_out
    from sandbox.carry import only_looked_at as only_looked_at
    from sandbox.comparison import compared as compared
    from sandbox.comparison import workspace_of as workspace_of
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
    from sandbox.kept import damaged_workspaces as damaged_workspaces
    from sandbox.kept import find_workspace as find_workspace
    from sandbox.kept import fork_workspace as fork_workspace
    from sandbox.kept import hold_workspace as hold_workspace
    from sandbox.kept import is_kept_by_nix as is_kept_by_nix
    from sandbox.kept import new_session as new_session
    from sandbox.kept import read_again as read_again
    from sandbox.kept import recalled as recalled
    from sandbox.kept import remove_workspace as remove_workspace
    from sandbox.kept import request_again as request_again
    from sandbox.kept import require_build as require_build
    from sandbox.kept import resumed_session as resumed_session
    from sandbox.kept import total_bytes as total_bytes
    from sandbox.kept import tried_in as tried_in
    from sandbox.kept import workspace_path as workspace_path
    from sandbox.kept import workspace_usage as workspace_usage
    from sandbox.kept import workspaces as workspaces
    from sandbox.kept import workspaces_of as workspaces_of
    from sandbox.linux import probe as probe
    from sandbox.linux.resident import Command as Command
    from sandbox.linux.resident import Inside as Inside
    from sandbox.living import Living as Living
    from sandbox.living import given_up as given_up
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
    from sandbox.patching import Patch as Patch
    from sandbox.patching import patch_of as patch_of
    from sandbox.residence import Residence as Residence
    from sandbox.residence import Signals as Signals
    from sandbox.residence import settle as settle
    from sandbox.residence import stay_outside as stay_outside
    from sandbox.roots import is_collectable as is_collectable
    from sandbox.snapshots import Snapshot as Snapshot
    from sandbox.snapshots import holds as holds
    from sandbox.snapshots import listing as listing
    from sandbox.snapshots import remove_snapshot as remove_snapshot
    from sandbox.snapshots import restore_workspace as restore_workspace
    from sandbox.snapshots import snapshot_workspace as snapshot_workspace
    from sandbox.snapshots import snapshots_of as snapshots_of
    from sandbox.snapshots import told as told
    from sandbox.sources import has_sources as has_sources
    from sandbox.sources import take_sources as take_sources
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
    "NixSurvey": "sandbox.host.catalog",
    "demo_root": "sandbox.host.catalog",
    "find_build": "sandbox.host.catalog",
    "has_flakes": "sandbox.host.catalog",
    "kept_builds": "sandbox.host.catalog",
    "name_of": "sandbox.host.catalog",
    "newest_kept_below": "sandbox.host.catalog",
    "survey_nix": "sandbox.host.catalog",
    "tutorial_root": "sandbox.host.catalog",
    "Command": "sandbox.linux.resident",
    "Inside": "sandbox.linux.resident",
    "Residence": "sandbox.residence",
    "Signals": "sandbox.residence",
    "settle": "sandbox.residence",
    "stay_outside": "sandbox.residence",
    "VERSION": "sandbox.version",
    "Comparison": "sandbox.workspace.compared",
    "Finding": "sandbox.workspace.compared",
    "compared": "sandbox.comparison",
    "has_sources": "sandbox.sources",
    "take_sources": "sandbox.sources",
    "workspace_of": "sandbox.comparison",
    "Patch": "sandbox.patching",
    "patch_of": "sandbox.patching",
    "recipe": "sandbox.model.recipe",
    "Attribute": "sandbox.model.recipe",
    "showing": "sandbox.showing",
    "derivation_name": "sandbox.model.storepath",
    "probe": "sandbox.linux.probe",
    "owner_name": "sandbox.host.summary",
    "words": "sandbox.model.words",
    "Place": "sandbox.carry",
    "carry_in": "sandbox.carry",
    "carry_out": "sandbox.carry",
    "only_looked_at": "sandbox.carry",
    "find_tools": "sandbox.host.tools",
    "with_tools": "sandbox.model.tools",
    "FailedBuild": "sandbox.host.failures",
    "failed_builds": "sandbox.host.failures",
    "kept_before": "sandbox.host.failures",
    "LoggedBuild": "sandbox.host.buildlog",
    "PointedFile": "sandbox.host.buildlog",
    "logged_build": "sandbox.host.buildlog",
    "pointed_files": "sandbox.host.buildlog",
    "read_pointed": "sandbox.host.buildlog",
    "Piece": "sandbox.model.logcuts",
    "error_in": "sandbox.model.logcuts",
    "phases_called": "sandbox.model.logcuts",
    "pieces": "sandbox.model.logcuts",
    "NixCommand": "sandbox.model.nixcommand",
    "nix_command": "sandbox.model.nixcommand",
    "Event": "sandbox.model.nixevents",
    "parse_event": "sandbox.model.nixevents",
    "Listener": "sandbox.model.nixmessages",
    "Report": "sandbox.model.nixmessages",
    "Failure": "sandbox.model.notebook",
    "Differences": "sandbox.workspace.changes",
    "take_before": "sandbox.workspace.before",
    "tidy": "sandbox.workspace.before",
    "PatchFile": "sandbox.model.patched",
    "Repair": "sandbox.model.patched",
    "replay": "sandbox.replay",
    "expression_of": "sandbox.model.expression",
    "patched": "sandbox.model.patched",
    "store_name": "sandbox.model.patched",
    "Progress": "sandbox.model.progress",
    "installed_profile": "sandbox.host.version",
    "Living": "sandbox.living",
    "listing": "sandbox.snapshots",
    "told": "sandbox.snapshots",
    "holds": "sandbox.snapshots",
    "given_up": "sandbox.living",
    "remove_snapshot": "sandbox.snapshots",
    "restore_workspace": "sandbox.snapshots",
    "snapshot_workspace": "sandbox.snapshots",
    "snapshots_of": "sandbox.snapshots",
    "Snapshot": "sandbox.snapshots",
    "Held": "sandbox.workspace.holding",
    "Kept": "sandbox.workspace.kept",
    "Session": "sandbox.workspace.session",
    "Usage": "sandbox.workspace.sizes",
    "find_workspace": "sandbox.kept",
    "fork_workspace": "sandbox.kept",
    "hold_workspace": "sandbox.kept",
    "is_collectable": "sandbox.roots",
    "is_kept_by_nix": "sandbox.kept",
    "new_session": "sandbox.kept",
    "require_build": "sandbox.kept",
    "resumed_session": "sandbox.kept",
    "damaged_workspaces": "sandbox.kept",
    "read_again": "sandbox.kept",
    "recalled": "sandbox.kept",
    "request_again": "sandbox.kept",
    "remove_workspace": "sandbox.kept",
    "total_bytes": "sandbox.kept",
    "tried_in": "sandbox.kept",
    "workspace_path": "sandbox.kept",
    "workspace_usage": "sandbox.kept",
    "workspaces": "sandbox.kept",
    "workspaces_of": "sandbox.kept",
}
"""What only the kernel and some verbs use, and the modules it is in: no other run pays for it.

Where the name is the last part of the module's, the module itself is meant."""

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
    if name not in IMPORTED_LATE:
        raise AttributeError(name)
    from importlib import import_module

    module = import_module(IMPORTED_LATE[name])
    return module if module.__name__.endswith(f".{name}") else getattr(module, name)


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
    from sandbox.replay import describe_clean

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
    lines += [f"{n.subject}: {n.text}" for n in sandbox.notes if n.subject in SAID_ON_ENTERING]
    return tuple(one_line(line) for line in lines)


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
