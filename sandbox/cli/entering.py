"""Entering a sandbox as the options say: what all verbs that enter one share."""

from __future__ import annotations

import os

import sandbox
from sandbox.cli import speak

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.cli import arguments

    Introduction = Callable[[sandbox.Sandbox, sandbox.BuildLog | None, str], tuple[str, ...]]


def introduction(
    described: sandbox.Sandbox, log: sandbox.BuildLog | None, _again: str
) -> tuple[str, ...]:
    """What a person has to know on entering; an `Introduction` could tell of the history, too."""
    return sandbox.introduction(described, log)


def enter(
    given: arguments.Arguments,
    build: str,
    inside: tuple[str, ...],
    introduce: Introduction = introduction,
) -> int:
    """Enter the sandbox of the kept directory `build`; the command's exit status.

    `introduce` makes the lines that a person reads before the shell's first prompt.
    """
    _, described = describe(given, build, inside, introduce)
    return sandbox.enter(described, say=speak.say, progress=speak.progress())


def describe(
    given: arguments.Arguments,
    build: str,
    inside: tuple[str, ...],
    introduce: Introduction = introduction,
    kept: sandbox.Kept | None = None,
) -> tuple[sandbox.Case, sandbox.Sandbox]:
    """What was found, and the sandbox to enter; a person has read by then what that is.

    `kept` as for `prepare`.
    """
    tools = sandbox.find_tools(given.tools, os.environ) if given.tools else ()
    case, request = prepare(given, build, inside, kept)
    log = None if inside else sandbox.readable_log(case)
    again = "" if inside else sandbox.phase_again(case, log)
    if not inside:
        request = sandbox.with_log(request, log).replace(
            phases=sandbox.phase_scripts(), history=(again,) if again else ()
        )
    sandbox.require_startable(case, request)
    described = sandbox.describe(case, request)
    if tools:
        described = sandbox.with_tools(described, tools, inside)
    greeted = request.interactive and not inside
    said = introduce(described, log, again) if greeted else sandbox.cautions(case, described)
    if said:
        speak.say("\n".join(said))
    return case, described


def prepare(
    given: arguments.Arguments,
    build: str,
    inside: tuple[str, ...],
    kept: sandbox.Kept | None = None,
) -> tuple[sandbox.Case, sandbox.Request]:
    """What was found about `build`, and what the options ask for.

    `kept` is a workspace of that build, which knows what Nix may have collected by now.
    """
    interactive = any(os.isatty(fd) for fd in (0, 1, 2))
    case = sandbox.read(
        build,
        store=given.get("--store"),
        derivation=given.get("--derivation"),
        profile=given.get("--profile"),
        whole=given.has("--whole-store"),
        start=not inside,
        recalled=sandbox.recalled(kept) if kept is not None else None,
    )
    return case, sandbox.Request(
        command=inside,
        interactive=interactive,
        script=not os.isatty(0),
        term=os.environ.get("TERM", "") if interactive else "",
        inputs_writable=given.get("--inputs") == "rw",
        whole_store=given.has("--whole-store"),
        unsandboxed=unsandboxed(given),
        copy=given.has("--copy"),
    )


def log_of(case: sandbox.Case) -> sandbox.BuildLog | None:
    """The log, to run by what it tells; a person reads where that may be another attempt's."""
    log = sandbox.readable_log(case)
    for line in sandbox.doubts(log):
        speak.say(line)
    return log


def unsandboxed(given: arguments.Arguments) -> bool | None:
    """What the two flags ask for; None leaves it to the evidence."""
    if given.has("--unsandboxed"):
        return True
    return False if given.has("--sandboxed") else None
