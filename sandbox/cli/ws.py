"""`nbs ws ls|rm|prune|path`: the workspaces that sessions have left."""

from __future__ import annotations

import math
import shlex
import sys
import time

import sandbox
from sandbox.cli import speak
from sandbox.cli.actions import act
from sandbox.cli.parser import Parser
from sandbox.errors import Error, MachineError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

SCHEMA = "nix-build-shell.ws/1"
PUBLISHED = (
    "name",
    "path",
    "kept",
    "build",
    "derivation",
    "store",
    "build_name",
    "method",
    "options",
    "created",
    "used",
    "session",
)
"""What `ls --json` tells of a workspace's record; the rest is how it is kept."""
GONE = "its build is gone"
DAY_S = 86400
SHOWN = 3
USAGE = """\
usage: nbs ws ls [--json | --names]
       nbs ws rm NAME…
       nbs ws prune [--older-than DAYS] [--larger-than SIZE] [--total SIZE] [--unused]
                    [--dry-run] [--yes]
       nbs ws path NAME

What was changed in a shell or a kernel is kept as a workspace: the build's directory, /tmp and the
outputs. Nothing is ever removed unasked.

  nbs shell --ws hello-1.0              go on in it
  nbs ws ls                             what is kept, and how much room it takes
  $EDITOR "$(nbs ws path hello-1.0)"    the files, for a program of the host
  nbs ws rm hello-1.0                   remove it with all that was changed in it
  nbs ws prune --older-than 30          remove what was not used for a month
  nbs ws prune --total 5G --dry-run     what would go to leave no more than that

`nbs ws prune --help` lists the options.
"""


def command(argv: list[str]) -> int:
    """Do what the first word says."""
    actions = {"ls": print_list, "rm": remove, "prune": prune, "path": print_path}
    return act(argv, "nbs ws", USAGE, actions)


def print_list(argv: list[str]) -> int:
    """What is kept, the last used first."""
    made = Parser(prog="nbs ws ls", description="List the kept workspaces, the last used first.")
    made.add_argument("--json", action="store_true", help="everything, as JSON")
    made.add_argument("--names", action="store_true", help="names alone, one a line")
    asked = made.parse_args(argv)
    kept = sandbox.workspaces()
    if asked.names:
        sys.stdout.write("".join(f"{one.name}\n" for one in kept))
        return 0
    seen = [(one, sandbox.workspace_usage(one)) for one in kept]
    if asked.json:
        _print_json(seen)
    elif seen:
        _print(seen)
    else:
        speak.say("No workspace is kept: nothing was changed in a shell or a kernel yet.")
    exposed = [one.name for one in kept if sandbox.is_collectable(one)]
    if exposed and not asked.json:
        more = ", …" if len(exposed) > SHOWN else ""
        speak.say(f"Nix may collect the inputs of {', '.join(exposed[:SHOWN])}{more}")
    for name in sandbox.damaged_workspaces():
        speak.say(f"{name}: its record cannot be read; `nbs ws path {name}` tells where it is")
    return 0


def _print_json(seen: list[tuple[sandbox.Kept, sandbox.Usage]]) -> None:
    import json

    found = [
        {
            **{name: getattr(one, name) for name in PUBLISHED},
            **usage.fields(),
            "state": _state(one),
            "inputs_protected": sandbox.is_kept_by_nix(one),
        }
        for one, usage in seen
    ]
    json.dump({"schema": SCHEMA, "workspaces": found}, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _print(seen: list[tuple[sandbox.Kept, sandbox.Usage]]) -> None:
    heading = ("NAME", "BUILD", "USED", "SIZE", "CHANGED", "SNAPSHOTS", "STATE")
    rows = [
        (
            one.name,
            one.build_name,
            sandbox.words.age(time.time() - one.used),
            ("" if usage.exact else "≥ ") + sandbox.words.size(usage.bytes),
            str(usage.changed),
            str(usage.snapshots),
            _state(one),
        )
        for one, usage in seen
    ]
    speak.print_table(heading, rows)


def _state(one: sandbox.Kept) -> str:
    if one.session:
        return f"open, process {one.session}"
    try:
        sandbox.require_build(one)
    except Error as error:
        is_changed = error.reason == "workspace-build-changed"
        return "its build was changed" if is_changed else GONE
    return "kept" if one.method == "overlay" else "kept, a copy"


def remove(argv: list[str]) -> int:
    """Remove workspaces by name; 1 if one of them stays."""
    made = Parser(
        prog="nbs ws rm", description="Remove workspaces with all that was changed in them."
    )
    made.add_argument("names", nargs="+", metavar="NAME")
    failed = False
    for name in made.parse_args(argv).names:
        try:
            _remove(name)
        except Error as error:
            speak.show_error(error)
            failed = True
    return 1 if failed else 0


def _remove(name: str) -> None:
    removal = sandbox.remove_workspace(name)
    if removal.left:
        raise MachineError(
            f"{removal.left} files of the workspace `{name}` could not be removed",
            reason="workspace-unwritable",
            evidence=removal.examples[:SHOWN],
        )


def prune(argv: list[str]) -> int:
    """Remove the workspaces that fit what is asked for, after showing them."""
    asked = _pruning(argv)
    chosen = _chosen(asked)
    if not chosen:
        speak.say("no workspace fits that: nothing is removed")
        return 0
    _print(chosen)
    total = sandbox.words.size(sum(usage.bytes for _, usage in chosen))
    if asked.dry_run:
        speak.say(f"{len(chosen)} would be removed, {total}; nothing was")
        return 0
    if not asked.yes and not _agreed(len(chosen), total):
        return 1
    return remove([one.name for one, _ in chosen])


def _pruning(argv: list[str]) -> argparse.Namespace:
    made = Parser(
        prog="nbs ws prune",
        description="Remove workspaces, once those that would go were shown. One goes that fits\n"
        "all that is said of it. One with somebody inside never goes.",
    )
    made.add_argument("--older-than", metavar="DAYS", help="not used for so many days")
    made.add_argument("--larger-than", metavar="SIZE", help="takes more on disk: 500M, 2G")
    made.add_argument(
        "--total", metavar="SIZE", help="the longest unused, until no more than SIZE is left"
    )
    made.add_argument(
        "--unused", action="store_true", help="cannot be entered any more: its build is gone"
    )
    made.add_argument("--dry-run", action="store_true", help="only show what would go")
    made.add_argument("--yes", action="store_true", help="do not ask")
    asked = made.parse_args(argv)
    asked.older_than = _amount(_days, asked.older_than, "--older-than", "30")
    asked.larger_than = _amount(_bytes, asked.larger_than, "--larger-than", "500M")
    asked.total = _amount(_bytes, asked.total, "--total", "500M")
    if asked.older_than is None and not asked.unused and asked.larger_than is asked.total is None:
        raise UsageError(
            "`nbs ws prune` is not told what may go",
            reason="option-value",
            hint="`nbs ws prune --older-than 30 --dry-run`",
        )
    return asked


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < math.inf:
        raise ValueError(text)
    return days


def _bytes(text: str) -> float:
    if not text.strip():
        # A variable that is not set is not 0, which everything exceeds.
        raise ValueError(text)
    return sandbox.words.bytes_of(text)


def _amount(
    parse: Callable[[str], float], text: str | None, option: str, example: str
) -> float | None:
    try:
        return None if text is None else parse(text)
    except ValueError:
        raise UsageError(
            f"`{option}` wants an amount, as {example}, and not `{text}`",
            reason="option-value",
            hint=f"`nbs ws prune {option} {example}`",
        ) from None


def _chosen(asked: argparse.Namespace) -> list[tuple[sandbox.Kept, sandbox.Usage]]:
    kept = sandbox.workspaces()
    seen = [(one, sandbox.workspace_usage(one)) for one in kept]
    fitting = [(one, usage) for one, usage in seen if not one.session and _fits(one, usage, asked)]
    if asked.total is None:
        return fitting
    left = sum(usage.bytes for _, usage in seen)
    chosen = []
    for one, usage in reversed(fitting):
        if left > asked.total:
            chosen.append((one, usage))
            left -= usage.bytes
    return chosen


def _fits(one: sandbox.Kept, usage: sandbox.Usage, asked: argparse.Namespace) -> bool:
    old = asked.older_than is None or time.time() - one.used > asked.older_than * DAY_S
    large = asked.larger_than is None or usage.bytes > asked.larger_than
    return old and large and (not asked.unused or _state(one) == GONE)


def _agreed(count: int, total: str) -> bool:
    if not speak.can_ask():
        speak.say("nobody can be asked here: `--yes` removes them, `--dry-run` only shows them")
        return False
    return speak.agreed(f"Remove {count}, {total}?")


def print_path(argv: list[str]) -> int:
    """Where a program of the host finds the files of the build's directory."""
    made = Parser(
        prog="nbs ws path",
        description="Print where a program of the host finds the files of the build's directory.",
    )
    made.add_argument("name", metavar="NAME")
    name = made.parse_args(argv).name
    path, whole = sandbox.workspace_path(name)
    print(path)
    sys.stdout.flush()
    if not whole:
        quoted = shlex.quote(name)
        speak.say(f"only what was changed; the whole while `nbs shell --ws {quoted}` is open")
    return 0
