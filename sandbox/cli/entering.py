"""Entering a sandbox as the options say: what all verbs that enter one share."""

from __future__ import annotations

import os

import sandbox
from sandbox.cli import speak

SAID_ON_ENTERING = ("network", "derivation", "sockets")
"""Notes that change what a person will find; the others are in `nbs plan`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli import arguments


def enter(given: arguments.Arguments, build: str, inside: tuple[str, ...]) -> int:
    """Enter the sandbox of the kept directory `build`; the command's exit status."""
    case, request = prepare(given, build, inside)
    described = sandbox.describe(case, request)
    if request.interactive and not inside:
        speak.say("\n".join(banner(case, described)))
    return sandbox.enter(described, say=speak.say, progress=speak.progress())


def banner(case: sandbox.Case, described: sandbox.Sandbox) -> list[str]:
    """What a person has to know on entering: what failed, and how this is not quite its sandbox."""
    log = sandbox.build_log(case)
    phase = log.failing_phase if log is not None else ""
    ended = sandbox.ending_text(log) if log is not None else ""
    what = " failed" + (f" in {phase}" if phase else "") + (f" ({ended})" if ended else "")
    lines = [f"{described.name or 'this build'}{what}; its sandbox as {described.profile} makes it"]
    if described.environment_source != "env-vars":
        lines.append(f"variables: from {described.environment_source}")
    lines += [f"{n.subject}: {n.text}" for n in described.notes if n.subject in SAID_ON_ENTERING]
    return [speak.one_line(line) for line in lines]


def prepare(
    given: arguments.Arguments, build: str, inside: tuple[str, ...]
) -> tuple[sandbox.Case, sandbox.Request]:
    """What was found about `build`, and what the options ask for."""
    interactive = any(os.isatty(fd) for fd in (0, 1, 2))
    case = sandbox.read(
        build,
        store=given.get("--store"),
        derivation=given.get("--derivation"),
        profile=given.get("--profile"),
        whole=given.has("--whole-store"),
    )
    return case, sandbox.Request(
        command=inside,
        interactive=interactive,
        term=os.environ.get("TERM", "") if interactive else "",
        phase="" if inside else sandbox.failing_phase(case),
        inputs_writable=given.get("--inputs") == "rw",
        whole_store=given.has("--whole-store"),
        unsandboxed=unsandboxed(given),
        copy=given.has("--copy"),
    )


def unsandboxed(given: arguments.Arguments) -> bool | None:
    """What the two flags ask for; None leaves it to the evidence."""
    if given.has("--unsandboxed"):
        return True
    return False if given.has("--sandboxed") else None
