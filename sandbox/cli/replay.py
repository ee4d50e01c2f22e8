"""`nbs replay [BUILD]`: the phases of a build again, from the first one, and what they leave."""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import arguments, speak
from sandbox.cli.entering import log_of, prepare
from sandbox.cli.finding import find
from sandbox.errors import MachineError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli.arguments import Arguments

USAGE = """\
usage: nbs replay [OPTIONS] [BUILD]

Run the phases of a failed build again in a fresh sandbox that begins with an empty directory, up
to the one that failed, and keep what they leave.

  nbs replay hello                      the state before the failing phase, as a workspace
  nbs replay --ws hello-1.0             as the snapshot `before` of a workspace that is there
  nbs replay hello -o before            in a new directory
  nbs replay hello --until patchPhase   another end, this phase included
  nbs replay hello --check              the failing phase, too: does it leave what was kept?

  --until PHASE            the last phase to run
  --ws NAME                the workspace, and so the build
  -o, --output DIRECTORY   where to put the build's directory as it is then; must not be there yet
  --check                  compare with what was kept

The other options are those of `nix-build-shell`.
exit status: that of the phases; with --check 0 if what they leave is what was kept, else 1.
"""
SHOWN = 10
FLAGS = (*(flag for flag in arguments.FLAGS if flag != "--version"), "--check")
WITH_VALUE = (*arguments.WITH_VALUE, "--output", "--until", "--ws")
EXCLUSIVE = (("--ws", "--output"), ("--ws", "--check"))


def command(argv: list[str]) -> int:
    """Parse, find the build, run its phases, keep what is left."""
    given = arguments.parse_all(argv, "nbs replay", FLAGS, WITH_VALUE)
    if given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    check_exclusive(given, EXCLUSIVE, "nbs replay")
    workspace = sandbox.find_workspace(given.get("--ws")) if given.has("--ws") else None
    if workspace is not None:
        given = of_workspace(given, workspace)
    case, request = case_of(given, "nbs replay", workspace)
    until = given.get("--until") or ("" if given.has("--check") else sandbox.replay.BEFORE)
    described = sandbox.replay.describe_replay(case, request, until)
    if given.has("--check"):
        return run_and_check(case, described, output(given))
    if given.has("--output"):
        left = output(given)
        return sandbox.enter(described, say=speak.say, progress=speak.progress(), keep=left)
    return run_and_keep(case, described, given, workspace)


def of_workspace(given: Arguments, workspace: sandbox.Kept) -> Arguments:
    """The arguments as they would be if the workspace's build were named. Raises `UsageError`."""
    if given.rest:
        raise UsageError(
            f"`--ws {workspace.name}` names the build already",
            reason="option-value",
            hint=f"`nbs replay --ws {workspace.name}`",
        )
    store = {"--store": workspace.store} if workspace.store else {}
    options = {**dict(workspace.options), **store, **given.options}
    return given.replace(options=options, rest=(workspace.build,))


def check_exclusive(given: Arguments, pairs: tuple[tuple[str, str], ...], command: str) -> None:
    """Raises `UsageError` for two options that cannot be obeyed together."""
    for pair in pairs:
        if all(given.has(option) for option in pair):
            raise UsageError(
                f"`{pair[0]}` and `{pair[1]}` exclude each other",
                reason="option-value",
                hint=f"`{command} --help` lists the options",
            )


def run_and_keep(
    case: sandbox.Case,
    described: sandbox.Sandbox,
    given: Arguments,
    workspace: sandbox.Kept | None,
) -> int:
    """Run the phases in a workspace of their own; of another, if there is one, it is a snapshot."""
    of_entering = (*arguments.FLAGS, *arguments.WITH_VALUE)
    options = tuple((n, v) for n, v in given.options.items() if n in of_entering)
    with sandbox.new_session(
        case, described, store=case.locations.root, options=options
    ) as session:
        status = sandbox.enter(described, say=speak.say, progress=speak.progress(), session=session)
        sandbox.tidy(session.path)
    _tell(session.kept, status, workspace)
    return status


def _tell(left: sandbox.Kept | None, status: int, workspace: sandbox.Kept | None) -> None:
    """Put what is left into its place, and say where that is."""
    if left is None:
        if status == 0:
            speak.say("nothing comes before: Nix handed the builder an empty directory")
        return
    if status or workspace is None:
        speak.say(f"kept as the workspace {left.name}: `nbs shell --ws {left.name}`")
        return
    with sandbox.hold_workspace(left.name) as held:
        sandbox.take_before(held.kept, workspace)
        held.remove()
    speak.say(f"kept as the snapshot `before` of {workspace.name}")


def run_and_check(case: sandbox.Case, described: sandbox.Sandbox, left: str) -> int:
    """Run the phases, the failing one too, and tell whether they leave what was kept."""
    with sandbox.scratch_workspace() as workspace:
        left = left or f"{workspace.path}/replayed"
        status = sandbox.enter(described, say=speak.say, progress=speak.progress(), keep=left)
        return check(described.name, status, sandbox.replay.differences(case, left))


def check(name: str, status: int, found: sandbox.Differences) -> int:
    """Tell what is not as it was kept; 0 if all is, else 1."""
    for change in found.changes[:SHOWN]:
        speak.say(f"  {change.what}: {change.path}")
    if len(found.changes) > SHOWN:
        speak.say(f"  … and {len(found.changes) - SHOWN} more")
    if found.unread_count:
        speak.say(f"  {found.unread_count} could not be compared, as {found.unread[0][0]}")
    count = len(found.changes)
    ended = f"the replay of {name} ends with exit status {status}"
    if count:
        speak.say(f"{ended}, and leaves {count} path{'s' * (count > 1)} otherwise than was kept")
    else:
        speak.say(f"{ended}, and leaves what was kept")
    return 1 if count else 0


def case_of(
    given: Arguments, command: str, workspace: sandbox.Kept | None = None
) -> tuple[sandbox.Case, sandbox.Request]:
    """The build that the one word besides options means, and how its phases are run.

    `workspace` is one of that build, if one was named.
    """
    if len(given.rest) > 1:
        raise UsageError(
            f"`{given.rest[1]}` is one build too many",
            reason="option-value",
            hint=f"`{command} --help` tells what goes together",
        )
    build = given.rest[0] if given.rest else ""
    found = find(build, given.get("--store"))
    case, request = prepare(given, found, (), workspace)
    request = sandbox.with_log(request, log_of(case))
    return case, request.replace(phases=sandbox.phase_scripts())


def output(given: Arguments) -> str:
    """The directory that `--output` names, empty without that option.

    Raises `UsageError` for one that is there, and `MachineError` where none can be made: before
    phases run for hours.
    """
    if not given.has("--output"):
        return ""
    path = os.path.abspath(given.get("--output"))
    if os.path.lexists(path):
        raise UsageError(
            f"`{path}` is there already",
            reason="output-exists",
            hint="`-o DIRECTORY` names one that is not there yet",
        )
    above = os.path.dirname(path)
    try:
        os.close(os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise _unwritable(path, f"`{above}`: {error.strerror}") from None
    if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        raise _unwritable(path, f"you may not write to `{above}`")
    return path


def _unwritable(path: str, seen: str) -> MachineError:
    return MachineError(
        f"`{path}` cannot be written",
        reason="output-unwritable",
        evidence=(seen,),
        hint="`-o DIRECTORY` names one in a directory that you may write to",
    )
