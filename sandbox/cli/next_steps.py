"""`nbs` alone: what to do next, from what this machine allows and what has failed on it."""

from __future__ import annotations

import os
import shutil
import time

import sandbox
from sandbox.cli.pasteable import as_root, called, reachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

Step = tuple[str, str]

MORE = "`nbs --help` lists all that there is."


def text() -> str:
    """A sentence or two about the state of things, and commands that can be pasted."""
    said, listed = _situation()
    steps = [(called(command), meaning) for command, meaning in listed]
    width = max(len(command) for command, _ in steps)
    lines = [f"  {command:<{width}}  {meaning}" for command, meaning in steps]
    return "\n".join([*said, "", *lines, "", reachable(MORE), ""])


def _situation() -> tuple[list[str], list[Step]]:
    refused = sandbox.probe.try_sandbox()
    if refused is not None:
        said = [f"A sandbox cannot be made here: {_refused(refused)}."]
        return said, [("nbs doctor", "what is refused, and the remedy"), *_without_sandbox()]
    places = sandbox.kept_builds(os.environ)
    if not places:
        return ["No failed build was kept on this machine."], list(_to_begin_with())
    newest = sandbox.summarise(places[0])
    said = [_told(newest)]
    if len(places) > 1:
        others = len(places) - 1
        said.append(f"{others} more {'was' if others == 1 else 'were'} kept.")
    steps = [*_for_the_newest(newest), *_in_a_workspace()]
    if len(places) > 1:
        steps.append(("nbs ls", "all that were kept; `nbs shell NAME` enters another"))
    return said, steps


def _refused(refused: sandbox.probe.Refusal) -> str:
    if refused.call.startswith("unshare"):
        return "this machine refuses new namespaces"
    return f"this machine refuses {refused}" if refused.call else refused.why


def _without_sandbox() -> Iterator[Step]:
    if sandbox.kept_builds(os.environ):
        yield "nbs show", "what is known of the newest failed build; needs no sandbox"
        yield "nbs log --errors", "the first error of its log"


def _to_begin_with() -> Iterator[Step]:
    if shutil.which("nix-build"):
        yield "nbs build -- -A hello", "nix-build -A hello, and into the place where it fails"
        if sandbox.has_flakes(os.environ):
            yield "nbs build -- nix build .#hello", "the same for a flake"
    yield "nbs demo", "a small build that fails, made here, to try everything on"


def _in_a_workspace() -> Iterator[Step]:
    """The way back into what was changed last, if there is one and nobody is in it."""
    try:
        kept = [one for one in sandbox.workspaces() if not one.session]
        if kept:
            sandbox.require_build(kept[0])
    except sandbox.Error:
        return
    if kept:
        when = sandbox.words.age(time.time() - kept[0].used)
        yield f"nbs shell --ws {kept[0].name}", f"go on with what was changed {when} ago"


def _told(newest: sandbox.Summary) -> str:
    """`hello-1.0 failed in checkPhase (exit 2), 3 min ago.`"""
    when = sandbox.words.age(time.time() - newest.mtime_ns / 1e9)
    where = f" in {newest.phase}" if newest.phase else ""
    how = f" ({newest.ending})" if newest.ending else ""
    told = f"{newest.name or newest.path} failed{where}{how}, {when} ago."
    return sandbox.one_line(told)


def _for_the_newest(newest: sandbox.Summary) -> Iterator[Step]:
    if not newest.readable:
        owner = sandbox.one_line(sandbox.owner_name(newest.owner_uid))
        yield as_root("nbs shell"), f"into its sandbox; what it left is {owner}'s alone"
        return
    yield "nbs shell", "into its sandbox, where it failed"
    if newest.phase:
        yield "nbs phase", f"{sandbox.one_line(newest.phase)} once more, as the build ran it"
        yield "nbs log --errors", "the first error of its log"
    yield "nbs notebook", "a notebook about it, in JupyterLab"
