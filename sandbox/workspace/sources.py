"""The sources of a kept workspace: the build tree as it is when all `patches` are applied.

    WORKSPACE/sources/            made once, on request, and never changed
              .sources-RANDOM/    being made

A lock on the directory of the workspace keeps those apart who would make it; whether somebody is
inside does not matter. What is found half-made under it was left by somebody who was killed.
"""

from __future__ import annotations

import fcntl
import os

from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.refusals import refusal
from sandbox.workspace.remove import remove_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NAME, _NEW = "sources", ".sources-"


def place_of(workspace: str) -> str:
    """Where the sources of the workspace at that path are, or would be."""
    return f"{workspace}/{_NAME}"


def are_made(workspace: str) -> bool:
    """Are they there?"""
    return os.path.isdir(place_of(workspace))


def make(workspace: str, fill: Callable[[str], None]) -> None:
    """Let `fill` make them at a path where there is nothing yet, unless they are there.

    Raises what it raises, and MachineError as `refusals.refusal`. Then nothing of them is left.
    """
    try:
        directory = os.open(workspace, OPEN_DIRECTORY)
    except OSError as error:
        raise refusal(error, workspace) from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        _sweep(directory)
        if not are_made(workspace):
            name = f"{_NEW}{os.urandom(8).hex()}"
            fill(f"{workspace}/{name}")
            os.rename(name, _NAME, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        raise refusal(error, workspace) from None
    finally:
        _sweep(directory)
        os.close(directory)


def _sweep(directory: int) -> None:
    for name in os.listdir(directory):
        if name.startswith(_NEW):
            remove_entry(name, directory)
