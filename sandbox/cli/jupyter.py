"""Jupyter's own programs: the ones of the environment that nbs is in, else those on PATH."""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import kernel, pasteable
from sandbox.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

KERNEL = "nbs"
LIMIT_S = 60
PACKAGES = {
    "jupyter-console": "jupyter_console",
    "jupyter-lab": "jupyterlab",
    "jupyter-nbconvert": "nbconvert",
}


def find(program: str) -> str:
    """The path of a program, empty if it is not installed."""
    import shutil

    beside = f"{os.path.dirname(sys.executable)}/{program}"
    return beside if os.access(beside, os.X_OK) else shutil.which(program) or ""


def require(program: str) -> str:
    """The path of a program. Raises `MachineError` (`front-end-missing`)."""
    found = find(program)
    if not found:
        raise MachineError(
            f"`{program}` is not installed",
            reason="front-end-missing",
            evidence=(f"neither beside {sys.executable} nor on PATH",),
            hint=f"`{installing(program)}`",
        )
    return found


def installing(program: str) -> str:
    """The command that installs a program, with the kernel, beside this one."""
    return pasteable.installing("jupyter_client", "pyzmq", PACKAGES[program])


def require_kernel(program: str, name: str = KERNEL) -> None:
    """Raises `MachineError` (`kernel-not-installed`) if the Jupyter of `program` has no such
    kernel.
    """
    known = _kernels(program)
    if known is not None and name not in known:
        raise MachineError(
            f"Jupyter knows no kernel that is called `{name}`",
            reason="kernel-not-installed",
            evidence=(f"it is the Jupyter of {program}", f"it knows {', '.join(known) or 'none'}"),
            hint="`nbs kernel install` shows it the kernel"
            if name == KERNEL
            else "`nbs kernel list` shows those of this program",
        )


def starts_ours(program: str, name: str) -> bool:
    """Is what the Jupyter of `program` starts by this name the kernel of this program?

    Where it does not tell, its own name alone is believed.
    """
    known = _kernels(program)
    return name == KERNEL if known is None else known.get(name, False)


def _kernels(program: str) -> dict[str, bool] | None:
    """The names that the Jupyter of a program knows, and whether each starts the kernel of this
    program; None if it does not tell.
    """
    import json
    import subprocess

    command = [f"{os.path.dirname(program)}/jupyter-kernelspec", "list", "--json"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=True,
        )
        listed = json.loads(done.stdout)["kernelspecs"]
        return {name: kernel.is_ours(listed[name]["spec"]) for name in sorted(listed)}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, AttributeError):
        return None


def become(program: str, *arguments: str) -> NoReturn:
    """Go on as that program. Raises `MachineError` (`front-end-missing`) if it cannot be run."""
    sys.stdout.flush()
    try:
        os.execv(program, [program, *arguments])  # noqa: S606  there is no shell that is wanted
    except OSError as error:
        raise MachineError(
            f"`{sandbox.one_line(program)}` cannot be run",
            reason="front-end-missing",
            evidence=(error.strerror or str(error),),
            hint=f"`{installing(os.path.basename(program))}`",
        ) from None
