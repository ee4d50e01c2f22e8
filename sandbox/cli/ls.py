"""`nbs ls`: the failed builds that were kept on this machine, the newest first."""

from __future__ import annotations

import os
import sys
import time

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser

SCHEMA = "nix-build-shell.ls/1"

EPILOG = """\
examples:
  nbs ls                          what failed here, the newest first
  nbs ls --json | jq '.builds[].path'
  nbs ls --store ~/mystore        builds of a store that is not /nix/store
"""


def command(argv: list[str]) -> int:
    """Print the list."""
    made = Parser(
        prog="nbs ls",
        description="List the failed builds that were kept on this machine, the newest first.",
        epilog=EPILOG,
    )
    made.add_argument("--json", action="store_true", help="everything, as JSON")
    made.add_argument("--names", action="store_true", help="names alone, one a line")
    made.add_argument("--store", default="", metavar="STORE")
    asked = made.parse_args(argv)
    summaries = [
        sandbox.summarise(place, asked.store)
        for place in sandbox.kept_builds(os.environ, asked.store)
    ]
    if asked.json:
        _print_json(summaries)
    elif asked.names:
        names = dict.fromkeys(s.name for s in summaries if s.name)
        sys.stdout.write("".join(f"{sandbox.one_line(name)}\n" for name in names))
    elif summaries:
        _print(summaries)
    else:
        speak.say("No failed build was kept on this machine.")
        speak.say("`nix-build --keep-failed` keeps what a failure leaves; `nbs demo` makes one.")
    return 0


def _print_json(summaries: list[sandbox.Summary]) -> None:
    import json

    builds = [{**s.fields(), "owner": sandbox.owner_name(s.owner_uid)} for s in summaries]
    json.dump({"schema": SCHEMA, "builds": builds}, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _print(summaries: list[sandbox.Summary]) -> None:
    now = time.time()
    heading = ("NAME", "PHASE", "ENDED", "AGE", "SIZE", "OWNER", "PATH")
    rows = [
        (
            s.name or "?",
            _told(s, s.phase),
            _told(s, s.ending),
            sandbox.words.age(now - s.mtime_ns / 1e9),
            ("" if s.size_exact else "≥ ") + sandbox.words.size(s.size),
            sandbox.owner_name(s.owner_uid) + ("" if s.readable else ", closed"),
            s.path,
        )
        for s in summaries
    ]
    speak.print_table(heading, rows)
    if any(s.of_later_attempt and (s.phase or s.ending) for s in summaries):
        speak.say("?: as the log tells of a later attempt than that directory")


def _told(summary: sandbox.Summary, what: str) -> str:
    """What the log tells, marked where it may be true of another directory only."""
    return f"{what}{' ?' if summary.of_later_attempt else ''}" if what else "-"
