"""Carries out the outside of a plan: the new root and the writable copies, all in the workspace."""

from __future__ import annotations

import os

from sandbox.errors import MachineError
from sandbox.linux import syscalls
from sandbox.model.steps import (
    CopyTree,
    MakeDirectory,
    MakeFile,
    MakeLink,
    MakePlaces,
    PrepareStep,
    SetOwner,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def prepare(steps: tuple[PrepareStep, ...], copy: Callable[[CopyTree], None]) -> None:
    """Make what the sandbox is mounted from. `copy` makes the private copies of trees.

    Raises `MachineError` (`disk-full`, `too-many-open-files`, `workspace-refused`) with the path.
    """
    for step in steps:
        try:
            _prepare(step, copy)
        except OSError as error:
            raise _refusal(error, step.path) from None


def _prepare(step: PrepareStep, copy: Callable[[CopyTree], None]) -> None:
    match step:
        case MakeDirectory():
            os.mkdir(step.path, 0o755)
        case MakeFile():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(step.path, flags, 0o600)
            try:
                if step.content:
                    syscalls.write_all(descriptor, step.content.encode(errors="surrogateescape"))
                os.fchmod(descriptor, step.mode)
            finally:
                os.close(descriptor)
        case MakeLink():
            os.symlink(step.target, step.path)
        case MakePlaces():
            _make_places(step)
        case CopyTree():
            copy(step)
        case SetOwner():
            if (step.uid, step.gid) != (-1, -1) and os.getuid() == 0:
                os.chown(step.path, step.uid, step.gid)
            os.chmod(step.path, step.mode)


def _make_places(step: MakePlaces) -> None:
    parent = os.open(step.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in step.directories:
            os.mkdir(name, 0o755, dir_fd=parent)
        for name in step.files:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=parent))
    finally:
        os.close(parent)


def _refusal(error: OSError, path: str) -> MachineError:
    """`error` may name nothing, or what it was called with beside an open directory."""
    from sandbox.workspace.refusals import refusal  # noqa: PLC0415  for a run that goes wrong

    why = refusal(OSError(error.errno, error.strerror, path), os.path.dirname(path))
    if why.reason != "workspace-unwritable":
        return why
    return MachineError(
        "the workspace cannot be prepared",
        reason="workspace-refused",
        evidence=why.evidence,
        hint="`NBS_STATE_HOME=DIR` puts workspaces into another directory",
    )
