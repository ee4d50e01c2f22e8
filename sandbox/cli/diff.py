"""`nbs diff [BUILD|WS] [PATH…]`: what was changed in a workspace."""

from __future__ import annotations

import os
import shlex
import sys

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser
from sandbox.cli.unpacking import take_sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

SCHEMA = "nix-build-shell.diff/1"
PAGER = "less"
LETTERS = {"added": "A", "removed": "D", "changed": "M"}

EPILOG = """\
examples:
  nbs diff                        in the workspace that was used last
  nbs diff hello                  in the workspace hello, or of the build hello
  nbs diff hello src/main.c       one file; paths are relative to the build tree
  nbs diff hello /tmp --stat      how much there is in /tmp
  nbs diff hello --since works    since the snapshot `works` was made
  nbs diff hello --exact          what is a source is known, and not guessed
  nbs diff hello > all.diff       a patch, byte by byte, that `patch -p1` applies in the build tree

Exit status: 0 nothing was changed, 1 something was, 2 a PATH is not there, and never was.
"""


def parser() -> Parser:
    """The options of `nbs diff`."""
    made = Parser(
        prog="nbs diff",
        description="Show what was changed in a workspace: a summary, then the differences of\n"
        "its source files. What the build made is summed up.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD|WS")
    made.add_argument("paths", nargs="*", metavar="PATH")
    made.add_argument("--since", default="", metavar="SNAPSHOT", help="default: failed")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--stat", action="store_true", help="the summary alone")
    how.add_argument("--names", action="store_true", help="the names alone: A, D or M, and a path")
    how.add_argument("--json", action="store_true", help="everything but the texts, as JSON")
    made.add_argument("--all", action="store_true", help="differences of what the build made, too")
    made.add_argument(
        "--exact", action="store_true", help="unpack the source again, to know it from the rest"
    )
    made.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="default: auto"
    )
    made.add_argument("--no-pager", action="store_true", help="not through $PAGER")
    made.add_argument("--store", default="", metavar="STORE")
    return made


def command(argv: list[str]) -> int:
    """Compare, and print."""
    asked = parser().parse_intermixed_args(argv)
    kept = sandbox.workspace_of(asked.build, store=asked.store)
    if not asked.build:
        speak.say(f"the workspace that was used last: {kept.name}")
    if asked.exact:
        take_sources(kept)
    told = sandbox.compared(
        kept, lambda one: _told(one, asked), since=asked.since, paths=tuple(asked.paths)
    )
    is_changed = next(told)
    if asked.json:
        _print_json(next(told))
    elif asked.names:
        for line in next(told):
            speak.say(line)
        _print_names(told, has_colour=_colour(asked) or sys.stdout.isatty())
    else:
        _print(told, asked)
    return 1 if is_changed else 0


def _told(compared: sandbox.Comparison, asked: argparse.Namespace) -> Iterator[Any]:
    """Whether anything was changed; then what is to be printed."""
    findings = sandbox.showing.counting(compared)
    yield bool(findings)
    if asked.json:
        yield _document(compared, findings, exact=asked.exact)
    elif asked.names:
        yield sandbox.showing.not_compared(compared.unread, compared.unread_count)
        yield from ((LETTERS[finding.change.what], finding.path) for finding in findings)
    else:
        yield from sandbox.showing.shown(
            compared, stat=asked.stat, products=asked.all, later=asked.exact
        )


def _colour(asked: argparse.Namespace) -> bool:
    if asked.color == "auto":
        return speak.has_colour(sys.stdout)
    return bool(asked.color == "always")


def _print(lines: Iterator[tuple[str, bytes]], asked: argparse.Namespace) -> None:
    """For eyes where eyes are: then harmless, coloured and in a pager. Else byte by byte."""
    colour = _colour(asked)
    if not (colour or sys.stdout.isatty()):
        for _, line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    shown = (sandbox.showing.for_eyes(style, line, colour=colour) for style, line in lines)
    if sys.stdout.isatty() and not asked.no_pager and _through_pager(shown):
        return
    for text in shown:
        sys.stdout.write(f"{text}\n")


def _through_pager(lines: Iterator[str]) -> bool:
    """False if there is no pager. One that is left early has shown what it was asked for."""
    import subprocess

    words = shlex.split(os.environ.get("PAGER", PAGER)) or ["cat"]
    settings = {"LESS": "FRX", "LV": "-c", **os.environ}
    try:
        pager = subprocess.Popen(words, stdin=subprocess.PIPE, env=settings)
    except OSError:
        return False
    assert pager.stdin is not None  # noqa: S101  it was asked for
    try:
        for line in lines:
            pager.stdin.write(f"{line}\n".encode("utf-8", "replace"))
        pager.stdin.close()
    except BrokenPipeError:
        pass
    while True:
        try:
            pager.wait()
        except KeyboardInterrupt:
            continue  # the pager's own business
        return True


def _print_names(names: Iterator[tuple[str, str]], *, has_colour: bool) -> None:
    for letter, path in names:
        if has_colour:
            print(sandbox.one_line(f"{letter} {path}"))
        else:
            sys.stdout.buffer.write(b"%s %s\n" % (letter.encode(), sandbox.showing.named(path)))
    sys.stdout.flush()


def _document(
    compared: sandbox.Comparison, findings: tuple[sandbox.Finding, ...], *, exact: bool
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "workspace": compared.kept.name,
        "build": compared.kept.build,
        "since": compared.since,
        "source_root": compared.where.root,
        "told_apart": compared.told_apart,
        "changed_by_build": compared.changed_later() if exact and compared.told_apart else None,
        "changes": [
            {
                "path": finding.path,
                "place": finding.place,
                "what": finding.change.what,
                "product": finding.product,
                "content": finding.change.content,
                "old": finding.change.old and finding.change.old.fields(),
                "new": finding.change.new and finding.change.new.fields(),
            }
            for finding in findings
        ],
        "unread": [{"path": path, "reason": why} for path, why in compared.unread],
        "unread_count": compared.unread_count,
    }


def _print_json(document: dict[str, Any]) -> None:
    import json

    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
