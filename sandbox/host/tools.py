"""A program of the host, with all that it needs to run at another place."""

from __future__ import annotations

import os
import stat

from sandbox.errors import UsageError
from sandbox.host.elf import Elf, read_elf
from sandbox.host.libraries import libraries
from sandbox.model.tools import Tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STORE = "/nix/store/"
OPENED_LATER = ("libgcc_s.so.1",)
"""glibc opens it by name when a thread is cancelled or a backtrace is wanted."""

OF_GDB = ("libthread_db.so.1",)
GDB_ARGUMENTS = ("--early-init-eval-command=set python ignore-environment on",)
"""The build's PYTHONPATH is for the build's Python, and not for the one in gdb."""

SHELLS = ("bash", "dash", "sh", "ksh", "mksh", "zsh", "busybox")
LONGEST_FIRST_LINE = 256


def find_tools(words: tuple[str, ...], environ: Mapping[str, str]) -> tuple[Tool, ...]:
    """Each of `words` a name on the caller's PATH or a path.

    Raises `UsageError`: `tool-missing`, `tool-refused`, `tool-libraries`, `tool-fixed`,
    `tool-twice`.
    """
    found: dict[str, Tool] = {}
    for word in words:
        tool = find_tool(word, environ)
        other = found.setdefault(tool.name, tool)
        if other != tool:
            raise UsageError(
                f"two tools are called `{tool.name}`",
                reason="tool-twice",
                evidence=(other.program, tool.program),
                hint="give one of them only, or make a link with another name to it",
            )
    return tuple(found.values())


def find_tool(word: str, environ: Mapping[str, str]) -> Tool:
    """One of them; raises as `find_tools`."""
    path = _on_path(word, environ.get("PATH", os.defpath))
    name, real = os.path.basename(path), os.path.realpath(path)
    try:
        elf = read_elf(real)
        if elf is not None:
            return _compiled(name, real, elf)
        with open(real, "rb") as file:
            first = file.readline(LONGEST_FIRST_LINE)
    except OSError as error:
        raise UsageError(
            f"the tool `{word}` cannot be read",
            reason="tool-refused",
            evidence=(f"{real}: {error.strerror}",),
            hint="a program that you may run but not read can be no tool",
        ) from None
    if first.startswith(b"#!"):
        return _script(name, real, os.fsdecode(first[2:]).split(None, 1), environ)
    raise UsageError(
        f"the tool `{word}` is neither a program for this machine nor a script",
        reason="tool-refused",
        evidence=(real,),
        hint="`--with-tool /path/of/a/program` names one by its path",
    )


def _on_path(word: str, path: str) -> str:
    """Where a shell would find it. Nothing is run."""
    if "/" in word:
        candidates = [os.path.abspath(word)]
    else:
        candidates = [os.path.abspath(f"{part or '.'}/{word}") for part in path.split(":")]
    for candidate in candidates:
        try:
            mode = os.stat(candidate).st_mode
        except (OSError, ValueError):
            continue
        if word and stat.S_ISREG(mode) and os.access(candidate, os.X_OK):
            return candidate
    where = "there is no program at" if "/" in word else "your PATH has no program"
    raise UsageError(
        f"{where} `{word}`",
        reason="tool-missing",
        hint="`--with-tool` takes the name of a program of this machine, or its path",
    )


def _compiled(name: str, real: str, elf: Elf) -> Tool:
    shown = f"{os.path.dirname(real).rstrip('/')}/{name}"
    if not elf.interpreter:
        return Tool(name=name, program=real, shown_as=shown)
    is_gdb = os.path.basename(real).startswith("gdb")
    optional = (*OPENED_LATER, *(OF_GDB if is_gdb else ()))
    python = _python_files(libraries(real, elf).found, real)
    if is_gdb and python and real.startswith(STORE):
        raise _fixed(name, real, "its Python finds its files by their store paths")
    trees = (*python, *(_beside(real, "share/gdb") if is_gdb else ()))
    plugins = tuple(path for tree in python for path in _extensions(tree))
    needed = libraries(real, elf, optional=optional, also=plugins)
    if needed.missing:
        raise UsageError(
            f"the tool `{name}` lacks libraries on this machine",
            reason="tool-libraries",
            evidence=needed.missing,
            hint=f"`ldd {real}` shows what its loader finds",
        )
    return Tool(
        name=name,
        program=real,
        shown_as=shown,
        loader=os.path.realpath(elf.interpreter),
        libraries=needed.found,
        trees=trees,
        arguments=GDB_ARGUMENTS if is_gdb else (),
    )


def _python_files(found: tuple[tuple[str, str], ...], program: str) -> tuple[str, ...]:
    """The library directories of a Python that the program is, or has in itself."""
    names = [(n.removeprefix("lib").partition(".so")[0], path) for n, path in found]
    names.append((os.path.basename(program), program))
    for name, path in names:
        version = name.removeprefix("python")
        if name.startswith("python") and version.replace(".", "").isdigit():
            return _beside(path, f"lib/python{version}")
    return ()


def _beside(path: str, name: str) -> tuple[str, ...]:
    """`name` below the nearest directory above `path` that has it."""
    above = os.path.dirname(path)
    while above != "/":
        above = os.path.dirname(above)
        candidate = f"{above.rstrip('/')}/{name}"
        if os.path.isdir(candidate):
            return (os.path.realpath(candidate),)
    return ()


def _extensions(tree: str) -> list[str]:
    """Modules of Python that are libraries, and want libraries of their own."""
    place = f"{tree}/lib-dynload"
    try:
        return [f"{place}/{name}" for name in sorted(os.listdir(place)) if name.endswith(".so")]
    except OSError:
        return []


def _script(name: str, real: str, first: list[str], environ: Mapping[str, str]) -> Tool:
    """A script runs if its interpreter can be moved. A shell's other programs are the build's."""
    words = [word.strip() for word in first]
    if words and os.path.basename(words[0]) == "env" and len(words) > 1:
        words = words[1].removeprefix("-S").split()
    interpreter = find_tool(words[0], environ) if words else None
    if interpreter is None or interpreter.script:
        raise _fixed(name, real, "its first line names no interpreter that is a program")
    python = os.path.basename(interpreter.program).startswith("python")
    if not python and interpreter.name not in SHELLS:
        raise _fixed(name, real, f"{interpreter.program} finds its own files by fixed paths")
    if real.startswith(STORE):
        raise _fixed(name, real, "what it starts, it finds by store paths")
    return interpreter.replace(
        name=name,
        files=(*interpreter.files, real),
        arguments=("-E",) if python else tuple(" ".join(words[1:]).split()),
        script=real,
    )


def _fixed(name: str, real: str, why: str) -> UsageError:
    return UsageError(
        f"the tool `{name}` works only where it is installed",
        reason="tool-fixed",
        evidence=(real, why),
        hint=(
            "`--with-tool /nix/store/…/bin/.NAME-wrapped` takes the program that a script wraps"
            if real.startswith(STORE)
            else "a program that is no script mostly works"
        ),
    )
