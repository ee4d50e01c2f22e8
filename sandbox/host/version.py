"""Which Nix is installed here: its version, without starting it where that can be avoided."""

from __future__ import annotations

import os

from sandbox.host.builddir import read_bounded
from sandbox.host.nixconf import home
from sandbox.model.profile import (
    LAYOUT_DEFAULTS,
    NEWEST,
    Profile,
    fits_layout,
    parse_profile,
    parse_version,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.model.facts import KeptDirectory


LONGEST_ANSWER = 4096
INSTALLED_FOR_ALL = ("/run/current-system/sw/bin", "/nix/var/nix/profiles/default/bin", "/usr/bin")


def find_profile(
    kept: KeptDirectory, environ: Mapping[str, str], wanted: str = ""
) -> tuple[Profile, str]:
    """The Nix whose sandbox is made, and where that is known from, in words.

    What was asked for; else the installed Nix, if it can have made a kept directory of this layout;
    else the Nix that the layout stands for.
    """
    if wanted:
        return parse_profile(wanted), "asked for"
    installed = installed_profile(environ)
    # Unless it says that its directory had another name inside, it may have had no sandbox.
    inside = kept.env_vars.build_top not in ("", kept.path)
    if installed is not None and fits_layout(installed, kept.layout, sandboxed=inside):
        return installed, "the installed Nix"
    return LAYOUT_DEFAULTS.get(kept.layout, NEWEST), "the kept directory's layout"


def installed_profile(environ: Mapping[str, str]) -> Profile | None:
    """The Nix that the caller's PATH leads to, or None."""
    path = find_program("nix-store", environ)
    if not path:
        return None
    real = os.path.realpath(path)
    for part in real.split("/"):
        # A Nix in a store names its version: …-nix-2.18.1/bin/nix, …-lix-2.94.0/bin/nix.
        name = part.partition("-")[2]
        if name.startswith(("nix-", "lix-")):
            version = parse_version(name)
            if version is not None:
                return Profile(flavour=name[:3], version=version)
    return _remembered(real, environ)


def find_program(name: str, environ: Mapping[str, str]) -> str:
    """A program of Nix: on PATH, or where Nix is installed for all; empty if there is none.

    What a service or `ssh HOST COMMAND` starts often has a PATH without Nix.
    """
    for place in (*environ.get("PATH", "").split(":"), *INSTALLED_FOR_ALL):
        if place.startswith("/") and os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    return ""


def _remembered(program: str, environ: Mapping[str, str]) -> Profile | None:
    """Starting Nix takes longer than making a sandbox, so its answer is kept with the file's
    identity.
    """
    status = os.stat(program)
    identity = f"{program} {status.st_size} {status.st_mtime_ns}"
    cache = _cache_file(environ)
    data, _, _ = read_bounded(cache, LONGEST_ANSWER)
    known, _, answer = os.fsdecode(data).partition("\n")
    if known != identity:
        answer = _ask(program, environ)
        if parse_version(answer) is not None:
            _remember(cache, f"{identity}\n{answer}")
    version = parse_version(answer)
    if version is None:
        return None
    return Profile(flavour="lix" if "lix" in answer.lower() else "nix", version=version)


def _cache_file(environ: Mapping[str, str]) -> str:
    cache = environ.get("XDG_CACHE_HOME") or f"{home(environ)}/.cache"
    return f"{cache}/nix-build-shell/nix-version"


def _remember(cache: str, text: str) -> None:
    """Written whole or not at all; without a place for it, Nix is asked each time."""
    temporary = f"{cache}.{os.getpid()}"
    place = os.path.dirname(cache)
    if not _is_ours(os.path.dirname(place)):
        # The HOME of another user, as sudo may leave it: a link there leads anywhere.
        return
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(os.fsencode(text))
        os.rename(temporary, cache)
    except OSError:
        _remove_half(temporary)


def _remove_half(temporary: str) -> None:
    """A full disk would get one more of them with each start."""
    try:  # noqa: SIM105  contextlib is not worth its import here
        os.unlink(temporary)
    except OSError:
        pass


def _is_ours(path: str) -> bool:
    """Does the directory belong to the caller, or the nearest above it that is there?"""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except FileNotFoundError:
        return path not in ("", "/") and _is_ours(os.path.dirname(path))
    except OSError:
        return False


def _ask(program: str, environ: Mapping[str, str]) -> str:
    reader, writer = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        ]
        # Without a home, Nix looks for an account, which a user need not have.
        variables = {"PATH": "/usr/bin:/bin", "HOME": environ.get("HOME") or "/"}
        pid = os.posix_spawn(program, [program, "--version"], variables, file_actions=actions)
    except OSError:
        os.close(reader)
        return ""
    finally:
        os.close(writer)
    with open(reader, "rb") as output:
        answer = output.read(4096)
    try:  # noqa: SIM105  contextlib is not worth its import here
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # of a caller that ignores SIGCHLD
    return answer.decode(errors="replace")
