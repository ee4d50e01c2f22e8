"""`nbs patch [BUILD|WS]`: the changes to source files, as a patch for the recipe."""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser
from sandbox.cli.unpacking import take_sources
from sandbox.errors import UsageError

NAMED = 5

EPILOG = """\
examples:
  nbs patch                          of the workspace that was used last, on stdout
  nbs patch hello -o fix.patch       into a file
  nbs patch hello --nix              into hello.patch; on stdout the lines for the recipe, with
                                     what `phase … NAME=VALUE` has passed with inside
  nbs patch hello --exclude '*.log'  without these files
  nbs patch hello --quick            without unpacking the source again

Exit status: 0 there is a patch, 1 there is nothing that one could carry.
"""


def parser() -> Parser:
    """The options of `nbs patch`."""
    made = Parser(
        prog="nbs patch",
        description="Write the changes to source files as a patch for `patches`, relative to the\n"
        "source root: -p1, or as patchFlags of the build say. What the build made is left out.\n"
        "The source is unpacked and patched again, once for a workspace: `patches` come before\n"
        "postPatch.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD|WS")
    made.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="without such files"
    )
    made.add_argument("--since", default="", metavar="SNAPSHOT", help="default: failed")
    made.add_argument("-o", "--output", default="", metavar="FILE", help="default: stdout")
    made.add_argument(
        "--nix",
        action="store_true",
        help="print the lines for the recipe; without -o the patch is in WS.patch, here",
    )
    made.add_argument("--all", action="store_true", help="what the build made, too")
    made.add_argument("--quick", action="store_true", help="do not unpack the source again")
    made.add_argument(
        "--source-root", default="", metavar="DIR", help="relative to the build tree, if not found"
    )
    made.add_argument("--store", default="", metavar="STORE")
    return made


def command(argv: list[str]) -> int:
    """Compare, and write what a patch can carry."""
    asked = parser().parse_args(argv)
    kept = sandbox.workspace_of(asked.build, store=asked.store)
    if not asked.build:
        speak.say(f"the workspace that was used last: {kept.name}")
    root = os.path.normpath(asked.source_root) if asked.source_root else ""
    if root.startswith(("/", "..")):
        raise _root_elsewhere(asked.source_root)
    if not asked.quick:
        take_sources(kept)
    patch = sandbox.patch_of(
        kept, tuple(asked.exclude), everything=asked.all, since=asked.since, root=root
    )
    _tell(patch)
    attributes = sandbox.tried_in(kept)
    if attributes and not asked.nix:
        names = tuple(one.name for one in attributes)
        speak.say(_named("attributes that were tried, which `--nix` prints", names))
    if asked.nix and attributes and not patch.text:
        _print_recipe((), attributes, sandbox.environment_in(kept))
        return 0
    if not patch.text:
        nothing = not (patch.left_out or patch.products or patch.outside)
        why = "no source file was changed" if nothing else "nothing that a patch could carry"
        speak.say(f"{kept.name}: {why}")
        return 1
    name = asked.output or (f"{kept.name}.patch" if asked.nix else "")
    _write(patch.text, name, replace=bool(asked.output))
    if asked.nix:
        file = os.path.basename(name)
        line = sandbox.recipe.patches_line(file, has_patches=patch.has_patches)
        _print_recipe((line,), attributes, sandbox.environment_in(kept))
    return 0


def _print_recipe(
    lines: tuple[str, ...], attributes: tuple[sandbox.Attribute, ...], environment: frozenset[str]
) -> None:
    """What goes into the recipe, on stdout. It has the names of `environment` in its `env`."""
    variables: tuple[sandbox.Attribute, ...] = ()
    for one in attributes:
        if not sandbox.recipe.can_be_written(one):
            speak.say(sandbox.one_line(f"left out, for Nix has no words for it: {one.name}"))
        elif one.name in environment:
            variables = (*variables, one)
        else:
            lines = (*lines, *sandbox.recipe.attribute_lines(one))
    lines = (*lines, *sandbox.recipe.environment_lines(variables))
    text = "".join(f"{line}\n" for line in lines)
    sys.stdout.buffer.write(_for(sys.stdout.isatty(), text.encode(errors="surrogateescape")))
    sys.stdout.buffer.flush()


def _root_elsewhere(root: str) -> UsageError:
    return UsageError(
        f"`{root}` is not in the build tree",
        reason="path-elsewhere",
        hint="`nbs patch --source-root hello-1.0` names a directory at the top of the build tree",
    )


def _tell(patch: sandbox.Patch) -> None:
    """On stderr: what is not in the patch, and how much can be relied on that."""
    for why in patch.cautions:
        speak.say(sandbox.one_line(f"the build may not apply it: {why}"))
    if patch.strip != 1:
        speak.say(f"for `patch -p{patch.strip}`, as patchFlags of the build say")
    for path, why in patch.left_out:
        speak.say(sandbox.one_line(f"not in the patch: {path} ({why})"))
    if patch.carried:
        speak.say(_named("the build itself changes after `patches`", patch.carried))
    if patch.products:
        speak.say(_named("not in the patch, made by a build", patch.products))
    if patch.outside:
        speak.say(_named("not in the patch, outside of the source root", patch.outside))
    for line in sandbox.showing.not_compared(patch.unread, patch.unread_count):
        speak.say(line)
    if not patch.told_apart and patch.files:
        speak.say("sources are told from what the build made by names and first bytes alone")
        speak.say("it may not apply where the build itself changes a file, in postPatch or later")


def _named(what: str, paths: tuple[str, ...]) -> str:
    more = f", … ({len(paths)})" if len(paths) > NAMED else ""
    return sandbox.one_line(f"{what}: {', '.join(paths[:NAMED])}{more}")


def _write(text: bytes, name: str, *, replace: bool) -> None:
    """To stdout without a name. A file that was not named is never replaced."""
    if not name:
        sys.stdout.buffer.write(_for(sys.stdout.isatty(), text))
        sys.stdout.buffer.flush()
        return
    try:
        with open(name, "wb" if replace else "xb") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"`{name}` is there already",
            reason="patch-exists",
            hint=f"`nbs patch -o {name}` replaces it",
        ) from None
    except OSError as error:
        raise UsageError(
            f"`{name}` cannot be written",
            reason="patch-refused",
            evidence=(str(error.strerror),),
            hint="`nbs patch -o FILE` writes it elsewhere",
        ) from None
    speak.say(f"written: {name}")


def _for(is_terminal: bool, text: bytes) -> bytes:
    """What goes to a terminal must not be able to do anything to it."""
    if not is_terminal:
        return text
    return sandbox.printable(text.decode("utf-8", "surrogateescape")).encode()
