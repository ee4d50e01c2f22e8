"""`nbs plan [BUILD]`: the sandbox as data, its steps, or its system calls; or how two differ."""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import arguments, entering, speak
from sandbox.cli.parser import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  nbs plan hello                          what the build sees, each line with its rule
  nbs plan hello --json | jq .sandbox     the same for programs
  nbs plan hello --calls                  the calls that make it, as strace prints them
  nbs plan hello --diff world             what two failed builds saw differently
  nbs plan hello --diff hello --profile lix-2.94   what another Nix would have made

exit status: 0; with --diff 0 if there is no difference, 1 if there is one.
"""


def parser() -> Parser:
    """The options of `nbs plan`."""
    made = Parser(
        prog="nbs plan",
        description="Print the sandbox of a failed build as data. Nothing is made.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="description and steps as JSON")
    how.add_argument("--calls", action="store_true", help="the system calls that would be made")
    how.add_argument("--diff", metavar="BUILD", help="compare with the sandbox of another build")
    made.add_argument("--derivation", default="", metavar="DRV")
    made.add_argument("--profile", default="", metavar="VERSION", help="of the first, as lix-2.94")
    made.add_argument("--store", default="", metavar="STORE")
    made.add_argument("--inputs", choices=("ro", "rw"), default="ro")
    for flag in ("--whole-store", "--sandboxed", "--unsandboxed", "--copy"):
        made.add_argument(flag, action="store_true")
    return made


def command(argv: list[str]) -> int:
    """Describe, and print as asked."""
    asked = parser().parse_args(argv)
    described = _describe(asked, asked.build, asked.profile)
    if asked.diff is not None:
        return _print_difference(described, _describe(asked, asked.diff, ""))
    if asked.json:
        return _print_json(described)
    if asked.calls:
        lines = map(sandbox.one_line, sandbox.calls(described))
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 0
    sys.stdout.write(sandbox.render(described))
    return 0


def _describe(asked: argparse.Namespace, build: str, profile: str) -> sandbox.Sandbox:
    flags = ("--whole-store", "--sandboxed", "--unsandboxed", "--copy")
    options = {f: "" for f in flags if getattr(asked, f.lstrip("-").replace("-", "_"))}
    options |= {
        "--derivation": asked.derivation,
        "--profile": profile,
        "--store": asked.store,
        "--inputs": asked.inputs,
    }
    given = arguments.Arguments(options=options, rest=())
    found = sandbox.find_build(build, store=asked.store)
    case, request = entering.prepare(given, found, ("COMMAND",))
    return sandbox.describe(case, request.replace(interactive=False, term=""))


def _print_json(described: sandbox.Sandbox) -> int:
    import json

    steps = sandbox.plan(described)
    document = {
        "schema": sandbox.PLAN_SCHEMA,
        "sandbox": sandbox.as_data(described),
        "plan": sandbox.as_data(steps),
    }
    # Names of files may hold any bytes; JSON's own escapes carry what is no text.
    json.dump(document, sys.stdout, indent=2, ensure_ascii=True)
    sys.stdout.write("\n")
    return 0


def _print_difference(first: sandbox.Sandbox, second: sandbox.Sandbox) -> int:
    changes = sandbox.difference(first, second)
    colours = {"-": "31", "+": "32"}
    for sign, line in changes:
        text = f"{sign} {line.section:<12} {line.subject:<28} {line.text}"
        sys.stdout.write(speak.painted(sandbox.one_line(text), colours[sign], sys.stdout) + "\n")
    return os.EX_OK if not changes else 1
