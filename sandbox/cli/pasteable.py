"""Commands that are told to a person, so that they can be pasted here as they are.

Our own programs are named by a path where PATH does not lead to them, root is not told to become
root, and Python packages come from what may install them beside this Python.
"""

from __future__ import annotations

import os
import shlex
import sys

PROGRAMS = ("nbs", "nix-build-shell")
ROOTS_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""sudoers(5), `secure_path`, as Debian, Ubuntu and Fedora have it: what sudo searches instead of
PATH."""


def called(command: str) -> str:
    """The command; one that begins with a program of ours has its path, if PATH has it not."""
    program, space, rest = command.partition(" ")
    path = _beside_us(program) if program in PROGRAMS else ""
    return command if not path or _on_path(program) else f"{shlex.quote(path)}{space}{rest}"


def reachable(text: str) -> str:
    """The text, with each command of ours in it as `called` has it."""
    for program in PROGRAMS:
        if f"`{program} " in text:
            text = text.replace(f"`{program} ", f"`{called(program)} ")
    return text


def as_root(command: str) -> str:
    """The command as root's: with `sudo` for whoever is not root, and what sudo can find."""
    if os.geteuid() == 0:
        return called(command)
    program, space, rest = command.partition(" ")
    word = _for_root(program) if program in PROGRAMS else program
    return f"sudo {word}{space}{rest}"


def installing(*packages: str) -> str:
    """The command that brings Python packages to where this program runs from.

    A Python that belongs to the system takes none (PEP 668), and may have no pip: then it is an
    environment of their own, with this program in it once more.
    """
    names, python = shlex.join(packages), shlex.quote(sys.executable)
    if sys.prefix != sys.base_prefix:
        if os.path.exists(f"{sys.prefix}/pipx_metadata.json"):
            return f"pipx inject {shlex.quote(os.path.basename(sys.prefix))} {names}"
        if _has_pip():
            return f"{python} -m pip install {names}"
        # As `uv venv` and `uv tool` make it: without a pip.
        return f"uv pip install --python {python} {names}"
    if _has_pip() and not _is_managed():
        return f"{python} -m pip install {names}"
    ours = shlex.quote(_checkout() or "DIR")
    return f"{python} -m venv .venv && .venv/bin/pip install {ours} {names}"


def _beside_us(program: str) -> str:
    """The program's path, if one of ours was started as a program; else empty."""
    started = os.path.abspath(sys.argv[0])
    known = os.path.basename(started) in PROGRAMS and os.access(started, os.X_OK)
    return f"{os.path.dirname(started)}/{program}" if known else ""


def _on_path(program: str) -> str:
    """The first directory of PATH that has the program; empty if none has."""
    folders = os.environ.get("PATH", os.defpath).split(":")
    return next((one for one in folders if os.access(f"{one or '.'}/{program}", os.X_OK)), "")


def _for_root(program: str) -> str:
    path = _beside_us(program)
    if not path:
        module = f"sandbox.cli.{program.replace('-', '_')}"
        return f"{shlex.quote(sys.executable)} -m {module}"
    found = os.path.dirname(path) in ROOTS_PATH or _on_path(program) in ROOTS_PATH
    return program if found else shlex.quote(path)


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None


def _is_managed() -> bool:
    """Does this Python belong to the system? PEP 668: a file beside its library says so."""
    import sysconfig

    return os.path.exists(f"{sysconfig.get_path('stdlib')}/EXTERNALLY-MANAGED")


def _checkout() -> str:
    """The directory of this program's source, if that is what runs."""
    above = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return above if os.path.exists(f"{above}/pyproject.toml") else ""
