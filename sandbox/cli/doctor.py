"""`nbs doctor`: tries each thing that the tool needs here, and says how to get what is missing."""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser
from sandbox.errors import Error
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "nix-build-shell.doctor/1"

SYSCTLS = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0` allows it until reboot",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "`sudo sysctl kernel.unprivileged_userns_clone=1` allows it until the next boot",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "`sudo sysctl user.max_user_namespaces=15000` allows it until the next boot",
    ),
)
IN_CONTAINER = (
    "in a container, start it with `--security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined` (docker, podman)"
)


class Check(Value):
    """One thing that was tried. `verdict`: "ok", "limited" (it works with less), "failed"."""

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
    colours = {"ok": "32", "limited": "33", "failed": "31"}
    for check in checks:
        verdict = speak.painted(f"{check.verdict:<8}", colours[check.verdict], sys.stdout)
        print(f"{verdict} {check.name:<24} {sandbox.printable(check.seen)}")
        if check.remedy:
            print(f"{'':<8} {'':<24} → {check.remedy}")
    failed = sum(c.verdict == "failed" for c in checks)
    print()
    if failed:
        print(f"Sandboxes cannot be made here: {failed} of {len(checks)} checks failed.")
    else:
        print("Sandboxes can be made here. `nbs ls` lists failed builds, `nbs demo` makes one.")


def examine() -> Iterator[Check]:
    """All checks, those first on which the others depend."""
    yield _python()
    yield _kernel()
    yield from _namespaces()
    yield from _mounts()
    yield _state()
    yield from _nix()
    yield _kept()
    yield _jupyter()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="Python", verdict="ok", seen=f"{version}, {sys.executable}")


def _kernel() -> Check:
    release = os.uname().release
    major, minor = (int("".join(filter(str.isdigit, n)) or 0) for n in release.split(".")[:2])
    new_enough = (major, minor) >= (5, 12)
    return Check(
        name="kernel",
        verdict="ok" if new_enough else "failed",
        seen=f"Linux {release}, {os.uname().machine}",
        remedy="" if new_enough else "Linux 5.12 or newer is needed (mount_setattr)",
    )


def _namespaces() -> Iterator[Check]:
    for name in sandbox.probe.NAMESPACES:
        refused = sandbox.probe.try_namespace(name)
        yield Check(
            name=f"{name} namespace",
            verdict="failed" if refused else "ok",
            seen=refused or "can be made",
            remedy=_namespace_remedy() if refused else "",
        )
    refused = sandbox.probe.try_id_map()
    yield Check(
        name="id maps",
        verdict="failed" if refused else "ok",
        seen=refused or f"{os.geteuid()} can be seen as 1000",
        remedy=_namespace_remedy() if refused else "",
    )


def _namespace_remedy() -> str:
    """The likeliest reason first: a setting that says no."""
    for path, forbids, remedy in SYSCTLS:
        if _read(path) == forbids:
            return remedy
    return IN_CONTAINER


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""


def _mounts() -> Iterator[Check]:
    with sandbox.scratch_workspace() as workspace:
        refused = sandbox.probe.try_proc(workspace.root)
        yield Check(
            name="fresh /proc",
            verdict="failed" if refused else "ok",
            seen=refused or "can be mounted",
            remedy=IN_CONTAINER if refused else "",
        )
        refused = sandbox.probe.try_read_only(workspace.root)
        yield Check(
            name="read-only inputs",
            verdict="failed" if refused else "ok",
            seen=refused or "mount_setattr(2) works",
            remedy="Linux 5.12 or newer is needed" if refused else "",
        )
        lower = f"{workspace.root}/lower"
        os.mkdir(lower)
        paths = (lower, workspace.upper, workspace.work, workspace.root)
        refused = sandbox.probe.try_overlay(*paths)
        yield Check(
            name="overlay",
            verdict="limited" if refused else "ok",
            seen=refused or "kept directories of your own are entered without copying",
            remedy="kept directories are copied; `NBS_STATE_HOME` on ext4, xfs or btrfs avoids it"
            if refused
            else "",
        )


def _state() -> Check:
    try:
        path = sandbox.state_directory(os.environ)
    except Error as error:
        return Check(name="workspaces", verdict="failed", seen=error.message, remedy=error.hint)
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    return Check(name="workspaces", verdict="ok", seen=f"{path}, {free / 1e9:.1f} GB free")


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
        remedy="`sudo` with the same command enters those" if closed else "",
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
        else f"only notebooks need it: `{sys.executable} -m pip install jupyter_client pyzmq`",
    )
