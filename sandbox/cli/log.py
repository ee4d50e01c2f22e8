"""`nbs log [BUILD]`: the log of a failed build; one phase of it, its first error, or the files that
it points to.
"""

from __future__ import annotations

import sys

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SCHEMA = "nix-build-shell.log/1"
LAST_LINES = 25

EPILOG = """\
examples:
  nbs log hello                     the whole log of the newest failure that is called hello
  nbs log hello --phase build       the part of buildPhase
  nbs log hello --errors            the first error, with what stands around it
  nbs log hello --file              the files that the log points to: config.log and the like
  nbs log hello --file config.log   one of them
"""


def parser() -> Parser:
    """The options of `nbs log`."""
    made = Parser(
        prog="nbs log",
        description="Print the log of a failed build, from where Nix keeps it.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD")
    made.add_argument("--phase", default="", metavar="NAME", help="only what this phase wrote")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--errors", action="store_true", help="the first error alone")
    how.add_argument(
        "--file",
        nargs="?",
        const="",
        metavar="NAME",
        help="the files that the log points to, or what one of them says; stands behind BUILD",
    )
    how.add_argument("--json", action="store_true", help="everything, as JSON")
    made.add_argument("--derivation", default="", metavar="DRV")
    made.add_argument("--store", default="", metavar="STORE")
    return made


def command(argv: list[str]) -> int:
    """Find the log, and print what was asked for of it."""
    asked = parser().parse_args(argv)
    build = sandbox.logged_build(asked.build, store=asked.store, derivation=asked.derivation)
    if asked.phase and not sandbox.phases_called(build.log, asked.phase):
        raise _phase_unknown(asked.phase, build.log)
    if build.file.cut or build.log.cut:
        speak.say("the log is too long: its beginning is left out")
    for line in sandbox.doubts(build.log):
        speak.say(line)
    if asked.json:
        _print_json(build, asked.phase)
    elif asked.errors:
        _print_error(build, asked.phase)
    elif asked.file is not None:
        _print_files(build, asked)
    else:
        for piece in sandbox.pieces(build.log, asked.phase):
            _print_lines(piece.lines)
    return 0


def _phase_unknown(name: str, log: sandbox.BuildLog) -> UsageError:
    names = ", ".join(dict.fromkeys(phase.name for phase in log.phases))
    return UsageError(
        f"the log has no phase `{name}`",
        reason="phase-unknown",
        evidence=(f"it has {names}" if names else "it names no phases at all",),
        hint="`nbs log` without `--phase` prints all of it",
    )


def _print_lines(lines: tuple[str, ...]) -> None:
    sys.stdout.write("".join(f"{sandbox.printable(line)}\n" for line in lines))


def _print_error(build: sandbox.LoggedBuild, phase: str) -> None:
    log, error = build.log, sandbox.error_in(build.log, phase)
    if error is None:
        speak.say("no line of it looks like an error; its last lines are")
        piece = sandbox.pieces(log, phase)[-1]
        end = piece.first - 1 + len(piece.lines)
        _print_lines(log.lines[max(piece.first - 1, end - LAST_LINES) : end])
    else:
        where = f" in {log.failing_phase}" if log.failing_phase and not phase else ""
        print(sandbox.one_line(f"line {error.line} of {len(log.lines)}{where}:"))
        for mark, text in error.marked():
            line = f"{mark} {sandbox.printable(text)}"
            print(speak.painted(line, speak.BOLD if mark == ">" else "", sys.stdout))
    files = sandbox.pointed_files(build)
    if files:
        print("\nfiles that it points to (`nbs log --file NAME` prints one):")
        _list(files)


def _list(files: tuple[sandbox.PointedFile, ...]) -> None:
    for one in files:
        size = sandbox.words.size(one.size)
        print(f"  {size:>8}  {sandbox.one_line(one.inside)}")


def _print_files(build: sandbox.LoggedBuild, asked: argparse.Namespace) -> None:
    files = sandbox.pointed_files(build)
    if not asked.file:
        if files:
            _list(files)
        else:
            speak.say("the log points to no file that was kept")
        return
    one = _called(asked.file, files)
    lines, cut = sandbox.read_pointed(build, one.relative)
    speak.say(one.inside)
    if cut:
        speak.say("it is too long: its beginning is left out")
    _print_lines(lines)


def _called(name: str, files: tuple[sandbox.PointedFile, ...]) -> sandbox.PointedFile:
    """By its path in the sandbox, or by as much of its end as tells it from the others."""
    exact = [one for one in files if name in (one.inside, one.relative)]
    found = exact or [one for one in files if one.inside.endswith("/" + name)]
    if len(found) == 1:
        return found[0]
    listed = tuple(sandbox.one_line(one.inside) for one in found or files)
    raise UsageError(
        f"the log points to {'more than one' if found else 'no'} file `{name}`",
        reason="log-file-unclear" if found else "log-file-unknown",
        evidence=listed[:10],
        hint="`nbs log --file` lists those it points to",
    )


def _print_json(build: sandbox.LoggedBuild, phase: str) -> None:
    import json

    log = build.log
    document = {
        "schema": SCHEMA,
        "derivation": build.derivation,
        "path": build.file.path,
        "kept": build.kept.outer if build.kept is not None else "",
        "failing_phase": log.failing_phase,
        "phases": sandbox.as_data(log.phases),
        "ending": sandbox.as_data(log.ending),
        "error": sandbox.as_data(sandbox.error_in(log, phase)),
        "cut": build.file.cut or log.cut,
        "of_later_attempt": log.of_later_attempt,
        "pieces": sandbox.as_data(sandbox.pieces(log, phase)),
        "files": sandbox.as_data(sandbox.pointed_files(build)),
    }
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
