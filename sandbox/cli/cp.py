"""`nbs cp SOURCE TARGET`: files out of the sandbox of a failed build, and into it."""

from __future__ import annotations

import os

import sandbox
from sandbox import Value
from sandbox.cli import arguments, entering, speak
from sandbox.cli.finding import find
from sandbox.cli.keeping import from_anywhere
from sandbox.cli.parser import Parser
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  nbs cp hello:config.log .                out of the directory where it failed
  nbs cp hello:/build/hello-1.0/src src    a directory, as it is
  nbs cp fixed.c hello:src/main.c          into it: a workspace is made, and named
  nbs cp hello-1.0:/tmp/log - | tail       out of a workspace, to standard output
  nbs cp :/etc/passwd .                    out of the newest failure

BUILD is a kept workspace, or what `nbs shell` takes. A PATH that does not begin with `/` begins in
the directory where the build failed.

exit status: 0; 1 if something was left out, which is told; 125 if it cannot be done.
"""
SHOWN = 10


class Side(Value):
    """One of the two words. `build` is None for the host's side."""

    build: str | None
    path: str


def parser() -> Parser:
    """The options of `nbs cp`."""
    made = Parser(
        prog="nbs cp",
        description="Copy files and directories out of the sandbox of a failed build, or into it.",
        epilog=EPILOG,
    )
    made.add_argument(
        "source",
        nargs="?",
        default="",
        metavar="SOURCE",
        help="[BUILD]:PATH, a path of the host, or -",
    )
    made.add_argument(
        "target",
        nargs="?",
        default="",
        metavar="TARGET",
        help="the same; one of the two has a BUILD",
    )
    made.add_argument("-r", "--recursive", action="store_true", help="accepted, and always so")
    made.add_argument("--derivation", default="", metavar="DRV")
    made.add_argument("--store", default="", metavar="STORE")
    return made


def command(argv: list[str]) -> int:
    """Find the place, and copy."""
    asked = parser().parse_args(argv)
    source, target = side(asked.source), side(asked.target)
    there = asked.source and asked.target
    if not there or (source.build is None) == (target.build is None):
        raise UsageError(
            "one of the two, and only one, is a path in a sandbox",
            reason="copy-sides",
            hint="`nbs cp BUILD:PATH .` or `nbs cp FILE BUILD:PATH`",
        )
    left_out: list[tuple[str, str]] = []

    def leave(path: str, why: str) -> None:
        left_out.append((path, why))

    if source.build is not None:
        sandbox.carry_out(reading(asked, source), target.path, leave)
    else:
        write(asked, source.path, target, leave)
    for path, why in left_out[:SHOWN]:
        speak.say(f"left out: {sandbox.one_line(path)}: {why}")
    if len(left_out) > SHOWN:
        speak.say(f"and {len(left_out) - SHOWN} more")
    return 1 if left_out else 0


def side(word: str) -> Side:
    """`BUILD:PATH`, unless it begins like a path of the host or is one that is there.

    >>> side("hello:src/a:b"), side("./a:b").build
    (Side(build='hello', path='src/a:b'), None)
    """
    build, colon, path = word.partition(":")
    if word.startswith("/"):
        # A kept directory is a BUILD too, and may itself have a colon in it.
        parts = word.split(":")
        cuts = (":".join(parts[:n]) for n in range(1, len(parts)))
        build = next((cut for cut in cuts if os.path.isdir(cut)), "")
        if not build or os.path.lexists(word):
            return Side(build=None, path=word)
        return Side(build=build, path=word[len(build) + 1 :])
    if not colon or word.startswith(("./", "../")) or "/" in build:
        return Side(build=None, path=word)
    return Side(build=build, path=path)


def reading(asked: argparse.Namespace, where: Side) -> sandbox.Place:
    """The place to read: in a kept workspace of that name, else in what was kept."""
    kept = workspace(where.build or "")
    if kept is not None:
        return in_workspace(kept, where.path)
    described, _ = describe(asked, where.build or "")
    return sandbox.Place(
        name=where.build or "", path=where.path, sandbox=sandbox.only_looked_at(described)
    )


def write(asked: argparse.Namespace, source: str, where: Side, leave: sandbox.LeftOut) -> None:
    """Into the workspace of that name, else the last one of that build, else a new one."""
    kept = workspace(where.build or "")
    if kept is None:
        described, found = describe(asked, where.build or "")
        kept = next(iter(sandbox.workspaces_of(found)), None)
        if kept is None:
            write_new(asked, source, where, described, found, leave)
            return
        speak.say(f"into the workspace `{kept.name}`, the last one of this build")
    sandbox.carry_in(source, in_workspace(kept, where.path), leave)


def write_new(
    asked: argparse.Namespace,
    source: str,
    where: Side,
    described: sandbox.Sandbox,
    found: str,
    leave: sandbox.LeftOut,
) -> None:
    """Into a workspace that is made for it; it goes again if nothing was copied."""
    given = (("--derivation", asked.derivation), ("--store", asked.store))
    options = tuple((name, from_anywhere(name, value)) for name, value in given if value)
    case = sandbox.read(found, store=asked.store, derivation=asked.derivation)
    store = dict(options).get("--store", "")
    session = sandbox.new_session(case, described, store=store, options=options)
    place = sandbox.Place(
        name=where.build or found, path=where.path, sandbox=described, session=session
    )
    sandbox.carry_in(source, place, leave)
    if session.kept is not None:
        name = session.kept.name
        speak.say(f"made the workspace `{name}`: `nbs shell --ws {name}` enters it")


def workspace(name: str) -> sandbox.Kept | None:
    """The kept workspace of that name, if there is one."""
    try:
        return sandbox.find_workspace(name) if name else None
    except UsageError:
        return None


def in_workspace(kept: sandbox.Kept, path: str) -> sandbox.Place:
    """A place in a workspace, whether somebody is inside or not."""
    request = sandbox.request_again(kept).replace(command=("true",))
    described = sandbox.describe(sandbox.read_again(kept), request)
    session = None if kept.session else sandbox.resumed_session(kept.name)
    return sandbox.Place(
        name=kept.name, path=path, sandbox=described, session_pid=kept.session, session=session
    )


def describe(asked: argparse.Namespace, build: str) -> tuple[sandbox.Sandbox, str]:
    """The sandbox of a failed build, and its kept directory."""
    options = {"--store": asked.store, "--derivation": asked.derivation}
    given = arguments.Arguments(options=options, rest=())
    found = find(build, asked.store)
    case, request = entering.prepare(given, found, ("true",))
    return sandbox.describe(case, request.replace(interactive=False, term="")), found
