"""`nbs show [BUILD]`: all that is known of one failed build."""

from __future__ import annotations

import shlex
import sys

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser
from sandbox.cli.pasteable import called
from sandbox.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

SCHEMA = "nix-build-shell.show/1"
LAST_LINES = 10
NOT_ENTERABLE = ("inputs-missing", "inputs-unknown", "command-not-found")

EPILOG = """\
examples:
  nbs show                 the newest failure
  nbs show hello           the newest of that name
  nbs show --json | jq .log.error
"""


def command(argv: list[str]) -> int:
    """Print what was found."""
    made = Parser(
        prog="nbs show",
        description="Show all that is known of a failed build, with the first error of its log.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD")
    made.add_argument("--json", action="store_true", help="everything, as JSON")
    made.add_argument("--derivation", default="", metavar="DRV")
    made.add_argument("--profile", default="", metavar="VERSION")
    made.add_argument("--store", default="", metavar="STORE")
    asked = made.parse_args(argv)
    path = sandbox.find_build(asked.build, store=asked.store)
    case, problem = _read(path, asked)
    log = sandbox.build_log(case)
    if asked.json:
        _print_json(case, log)
    else:
        _print(case, log)
        print(f"\nenter it: {called(sandbox.one_line(shlex.join(_entering(case, asked))))}")
        problem = problem or _refusal(case)
        if problem is not None:
            speak.show_error(problem)
    return 0


def _read(path: str, asked: argparse.Namespace) -> tuple[sandbox.Case, Error | None]:
    """The case, and what keeps its sandbox from being made: inputs that are gone are no reason
    not to show the rest."""
    how = {"store": asked.store, "derivation": asked.derivation, "profile": asked.profile}
    try:
        return sandbox.read(path, **how), None
    except Error as error:
        if error.reason not in NOT_ENTERABLE:
            raise
        return sandbox.read(path, **how, whole=True), error


def _refusal(case: sandbox.Case) -> Error | None:
    """Why a shell there takes more words, or cannot be: there was no sandbox, or no shell."""
    try:
        sandbox.describe(case, sandbox.Request(command=()))
    except Error as error:
        return error
    return None


def _print(case: sandbox.Case, log: sandbox.BuildLog | None) -> None:
    for name, value in sandbox.facts(case):
        print(f"{name:<18} {sandbox.one_line(value)}")
    if log is None:
        print("log                none")
    else:
        _print_log(log)


def _entering(case: sandbox.Case, asked: argparse.Namespace) -> list[str]:
    """The words that enter what is shown, with what it was found by."""
    given = (
        ("--store", asked.store),
        ("--derivation", asked.derivation),
        ("--profile", asked.profile),
    )
    options = [word for name, value in given if value for word in (name, value)]
    return ["nbs", "shell", *options, case.kept.outer]


def _print_log(log: sandbox.BuildLog) -> None:
    if log.of_later_attempt:
        print(f"{'log':<18} of a later attempt, which may have failed otherwise")
    ended = sandbox.ending_text(log)
    phases = " → ".join(p.name for p in log.phases)
    print(f"{'phases':<18} {sandbox.one_line(phases) or 'the log names none'}")
    if ended:
        print(f"{'ended':<18} {ended}")
    if log.error is not None:
        print(f"\nfirst error, line {log.error.line} of {len(log.lines)}:")
        for mark, text in log.error.marked():
            line = f"  {mark} {sandbox.one_line(text)}"
            print(speak.painted(line, speak.BOLD if mark == ">" else "", sys.stdout))
    print("\nlast lines:")
    for text in log.last_lines(LAST_LINES):
        print(f"    {sandbox.one_line(text)}")


def _print_json(case: sandbox.Case, log: sandbox.BuildLog | None) -> None:
    import json

    document: dict[str, Any] = {
        "schema": SCHEMA,
        "kept": sandbox.as_data(case.kept),
        "derivation": case.nix.derivation_path,
        "derivation_from": case.nix.derivation_from,
        "profile": str(case.nix.profile),
        "inputs": case.nix.inputs.paths,
        "inputs_from": case.nix.inputs_from,
        "outputs": dict(case.nix.outputs),
        "partial_outputs": [path for path, _ in case.nix.partial],
        "log": None if log is None else _log_data(log),
    }
    try:
        described = sandbox.describe(case, sandbox.Request(command=("COMMAND",)))
        document["notes"] = sandbox.as_data(described.notes)
    except Error as error:
        document["problem"] = {"reason": error.reason, "message": error.message}
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _log_data(log: sandbox.BuildLog) -> dict[str, object]:
    data = sandbox.as_data(log.replace(lines=(), whole=()))
    del data["whole"]
    return {**data, "lines": len(log.lines)}
