"""`nbs doctor`: tries each thing that the tool needs here, and says how to get what is missing."""

from __future__ import annotations

import os
import sys
from functools import partial

import sandbox
from sandbox.cli import remedies, speak
from sandbox.cli.parser import Parser
from sandbox.cli.pasteable import as_root, installing, reachable
from sandbox.errors import Error
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.linux.probe import Refusal

    Attempt = Callable[[], Refusal | None]

SCHEMA = "nix-build-shell.doctor/1"

OVERLAY, WORKSPACES = "overlay", "workspaces"
COLOURS = {"ok": "32", "limited": "33", "failed": "31", "untried": "2"}


class Check(Value):
    """One thing that was tried.

    `verdict` is "ok", "limited" (it works with less), "failed", or "untried" where it needs what
    has failed.
    """

    name: str
    verdict: str
    seen: str
    remedy: str = ""


def command(argv: list[str]) -> int:
    """Try everything; 0 if sandboxes can be made here, 1 if not."""
    made = Parser(
        prog="nbs doctor",
        description="Try each thing that the tool needs on this machine. Changes nothing.",
    )
    made.add_argument("--json", action="store_true", help="the findings as JSON")
    asked = made.parse_args(argv)
    checks = tuple(examine())
    if asked.json:
        _print_json(checks)
    else:
        _print(checks)
    return int(any(c.verdict == "failed" for c in checks))


def _print_json(checks: tuple[Check, ...]) -> None:
    import json

    document = {"schema": SCHEMA, "checks": [check.fields() for check in checks]}
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _print(checks: tuple[Check, ...]) -> None:
    for check in checks:
        verdict = speak.painted(f"{check.verdict:<8}", COLOURS[check.verdict], sys.stdout)
        print(f"{verdict} {check.name:<24} {sandbox.printable(check.seen)}")
        if check.remedy:
            print(f"{'':<8} {'':<24} → {reachable(check.remedy)}")
    failed = sum(c.verdict == "failed" for c in checks)
    print()
    if failed:
        print(f"Sandboxes cannot be made here: {failed} of {len(checks)} checks failed.")
    else:
        well = "Sandboxes can be made here. `nbs ls` lists failed builds, `nbs demo` makes one."
        print(reachable(well))


def examine() -> Iterator[Check]:
    """All checks, those first on which the others depend."""
    yield _python()
    yield _kernel()
    workspaces = _state()
    yield workspaces
    yield from _sandboxes({WORKSPACES} if workspaces.verdict == "failed" else set())
    yield from _nix()
    yield _kept()
    yield _jupyter()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="Python", verdict="ok", seen=f"{version}, {sys.executable}")


def _kernel() -> Check:
    new_enough = remedies.release() >= remedies.NEEDED
    return Check(
        name="kernel",
        verdict="ok" if new_enough else "failed",
        seen=f"Linux {os.uname().release}, {os.uname().machine}",
        remedy="" if new_enough else remedies.too_old(),
    )


def _sandboxes(failed: set[str]) -> Iterator[Check]:
    """What a sandbox is made of, each tried by itself, unless what it needs has failed."""
    for name, needs, attempt, seen in _trials():
        lacking = next((one for one in needs if one in failed), "")
        if lacking:
            yield Check(name=name, verdict="untried", seen=f"not tried: it needs the {lacking}")
            continue
        refused = attempt()
        if refused is None:
            yield Check(name=name, verdict="ok", seen=seen)
            continue
        verdict = "limited" if name == OVERLAY else "failed"
        failed.add(name)
        yield Check(name=name, verdict=verdict, seen=str(refused), remedy=remedies.remedy(refused))


def _trials() -> Iterator[tuple[str, tuple[str, ...], Attempt, str]]:
    """The name of each, what it needs, how it is tried, and what to say if it is there."""
    probe = sandbox.probe
    user, mnt, pid = (f"{name} namespace" for name in ("user", "mnt", "pid"))
    for name in probe.NAMESPACES:
        needs = () if name == "user" else (user,)
        trial = partial(probe.try_namespace, name)
        yield f"{name} namespace", needs, trial, "can be made"
    yield "id maps", (user,), probe.try_id_map, f"{os.geteuid()} can be seen as 1000"
    mounting = (user, "id maps", mnt)
    yield "fresh /proc", (*mounting, pid), probe.try_proc, "can be mounted"
    yield "read-only inputs", mounting, probe.try_read_only, "mount_setattr(2) works"
    seen = "kept directories of your own are entered without copying"
    yield OVERLAY, (WORKSPACES, *mounting), _try_overlay, seen


def _try_overlay() -> Refusal | None:
    with sandbox.scratch_workspace() as workspace:
        lower = f"{workspace.root}/lower"
        os.mkdir(lower)
        return sandbox.probe.try_overlay(lower, workspace.upper, workspace.work, workspace.root)


def _state() -> Check:
    try:
        path = sandbox.state_directory(os.environ)
    except Error as error:
        return Check(name=WORKSPACES, verdict="failed", seen=error.message, remedy=error.hint)
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    return Check(name=WORKSPACES, verdict="ok", seen=f"{path}, {free / 1e9:.1f} GB free")


def _nix() -> Iterator[Check]:
    survey = sandbox.survey_nix(os.environ)
    known = survey.profile
    yield Check(
        name="Nix",
        verdict="ok" if known else "limited",
        seen=str(known) if known else "not found on PATH",
        remedy="" if known else "`--profile VERSION` says which Nix failed; `nbs demo` needs none",
    )
    readable = os.access(survey.store_dir, os.R_OK)
    yield Check(
        name="store",
        verdict="ok" if readable else "limited",
        seen=survey.store_dir + ("" if readable else " is not there"),
    )
    yield Check(
        name="Nix's database",
        verdict="ok" if survey.database == "read" else "limited",
        seen=f"{survey.state_dir}/db: {survey.database}",
        remedy=""
        if survey.database == "read"
        else "inputs are found by reference, which is slower",
    )
    if known:
        yield Check(
            name="setting `sandbox`",
            verdict="ok" if survey.sandbox == "true" else "limited",
            seen=survey.sandbox,
            remedy=""
            if survey.sandbox == "true"
            else "builds that ran without one are entered with `--sandboxed` or `--unsandboxed`",
        )


def _kept() -> Check:
    places = sandbox.kept_builds(os.environ)
    closed = [p for p in places if not p.readable]
    count = len(places)
    return Check(
        name="kept builds",
        verdict="limited" if closed else "ok",
        seen=f"{count} found" + (f", {len(closed)} of them closed to you" if closed else ""),
        remedy=f"`{as_root('nbs shell')}` enters those" if closed else "",
    )


def _jupyter() -> Check:
    from importlib.util import find_spec

    found = find_spec("jupyter_client") is not None and find_spec("zmq") is not None
    return Check(
        name="Jupyter",
        verdict="ok" if found else "limited",
        seen="jupyter_client and pyzmq are installed" if found else "not installed here",
        remedy=""
        if found
        else f"only notebooks need it: `{installing('jupyter_client', 'pyzmq')}`",
    )
