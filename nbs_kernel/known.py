"""What the launcher finds out about a build before the kernel is inside, where it cannot look."""

from __future__ import annotations

import os

import sandbox
from sandbox import Error, Request, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox import Case, Kept, Sandbox, Session

SHELL_OPTIONS = ("--noprofile", "--noediting", "--rcfile", "/dev/fd/9", "-i")
"""How the kernel starts bash: it reads its commands from a channel, and this file first."""

TOOLS = "NBS_WITH_TOOLS"
"""The variable that names programs of the host, with `:` between them, for the word `tool`."""


class Known(Value):
    """What a kernel can say of its build.

    `label` is the name and the failing phase; `banner` the lines that say where one is, `notices`
    those of them that are said above the first cell too, since most front ends show no banner.
    `facts` are pairs of a name and a text; `plan` is the sandbox as `nbs plan` prints it,
    and `plan_rows` the same as section, subject, text and rule;
    `phase_help` what `phase --help` prints; `workspace` the name of the one that the kernel is in;
    `history` what was run before in kernels of this build: session, line, source.
    """

    name: str = ""
    label: str = ""
    banner: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    plan: str = ""
    plan_rows: tuple[tuple[str, ...], ...] = ()
    phase_help: str = ""
    workspace: str = ""
    history: tuple[tuple[int, int, str], ...] = ()


class Found(Value):
    """A build, the sandbox that the kernel enters, and what it will know of it.

    `store` and `derivation` are those that were asked for, to find it again; `workspace` is the
    kept one that is resumed, if it is one. `options` are those of entering, as for `nbs shell`;
    `tools` those that were asked for.
    """

    path: str
    case: Case
    sandbox: Sandbox
    known: Known
    store: str = ""
    derivation: str = ""
    workspace: str = ""
    options: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()


def find(
    build: str,
    store: str = "",
    derivation: str = "",
    workspace: str = "",
    tools: tuple[str, ...] = (),
    *,
    telling: bool = False,
) -> Found:
    """The build that is meant, "" for the newest failure of this machine; or a kept workspace.

    `tools` are names of programs of the host, for the word `tool`, besides those of `TOOLS`.
    `telling`: as for `sandbox.read`.
    Raises `sandbox.Error` as `sandbox.find_build`, `find_workspace`, `read`, `describe` and
    `find_tools` do.
    """
    if workspace:
        return _resumed(sandbox.find_workspace(workspace), tools)
    path = sandbox.find_build(build, store=store)
    case = sandbox.read(path, store=store, derivation=derivation, start=True, telling=telling)
    given = (("--store", store), ("--derivation", derivation))
    found = _found(case, path, Request(), tools)
    notices = (*(() if build else (_chosen(found),)), *_left_behind(path))
    banner = (*found.known.banner, *notices)
    return found.replace(
        known=found.known.replace(banner=banner, notices=notices),
        store=store,
        derivation=derivation,
        options=tuple((name, value) for name, value in given if value),
    )


def _chosen(found: Found) -> str:
    """What is entered when nobody has named a build."""
    return sandbox.one_line(
        f"the newest failed build, {found.known.label}: {found.path}; `%enter BUILD` takes another"
    )


def _left_behind(path: str) -> tuple[str, ...]:
    """That changes to the build are kept, which earlier sessions have made."""
    left = [one.name for one in sandbox.workspaces_of(path) if not one.session]
    if not left:
        return ()
    more = f"; {len(left) - 1} more: `nbs ws ls`" if left[1:] else ""
    return (f"an earlier session's changes are kept: `%enter --ws {left[0]}` goes on there{more}",)


def nowhere(error: Error) -> Known:
    """What a kernel can say that could not enter."""
    hint = (f"hint: {error.hint}",) if error.hint else ()
    lines = (f"error: {error.message}", *(f"  {line}" for line in error.evidence), *hint)
    return Known(banner=tuple(sandbox.one_line(line) for line in lines))


def _resumed(kept: Kept, tools: tuple[str, ...]) -> Found:
    sandbox.require_build(kept)
    found = _found(sandbox.read_again(kept), kept.build, sandbox.request_again(kept), tools)
    banner = (*found.known.banner, f"the workspace {kept.name}, as it was left")
    options = dict(kept.options)
    return found.replace(
        known=found.known.replace(banner=banner),
        store=options.get("--store", ""),
        derivation=options.get("--derivation", ""),
        options=kept.options,
        workspace=kept.name,
    )


def _found(case: Case, path: str, request: Request, tools: tuple[str, ...]) -> Found:
    log = sandbox.readable_log(case)
    phase = log.failing_phase if log is not None else ""
    request = sandbox.with_log(request.replace(shell_options=SHELL_OPTIONS), log)
    sandbox.require_startable(case, request)
    scripts = sandbox.phase_scripts(aligned=False)
    described = sandbox.describe(case, request.replace(phases=scripts))
    wanted = tuple(dict.fromkeys((*filter(None, os.environ.get(TOOLS, "").split(":")), *tools)))
    if wanted:
        described = sandbox.with_tools(described, sandbox.find_tools(wanted, os.environ))
    name = sandbox.one_line(described.name or path.rstrip("/").rpartition("/")[2])
    known = Known(
        name=name,
        label=sandbox.one_line(f"{name} {phase}".strip()),
        banner=sandbox.introduction(described, log),
        facts=sandbox.facts(case),
        plan=sandbox.render(described),
        plan_rows=tuple(
            (line.section, line.subject, line.text, line.rule)
            for line in sandbox.plan_lines(described)
        ),
        phase_help=sandbox.phase_help(scripts),
    )
    return Found(path=path, case=case, sandbox=described, known=known, tools=tools)


def session_in(found: Found) -> Session:
    """The workspace that a kernel of the build lives in: the one that was named, or a new one."""
    if found.workspace:
        return sandbox.resumed_session(found.workspace)
    return sandbox.new_session(found.case, found.sandbox, store=found.store, options=found.options)
