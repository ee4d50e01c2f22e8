"""What a run has left, moved to where it is wanted; set aside where that cannot be, never lost.

    STATE/left-RANDOM    the build directory of a run whose place could not be written

Nothing sweeps these: only who made the run knows what they are worth.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.errors import Error, MachineError
from sandbox.model.command import shell_word
from sandbox.workspace.copy import copy_tree
from sandbox.workspace.refusals import refusal
from sandbox.workspace.remove import remove_tree
from sandbox.workspace.rights import with_rights
from sandbox.workspace.tally import Tally

SHOWN = 3


def move(upper: str, path: str, state: str) -> None:
    """Move the directory `upper` to `path`, where there is nothing yet.

    Raises MachineError `output-unwritable`. Then nothing half-made is at `path`, and all of it in
    the state directory, at a path that the error tells.
    """
    try:
        _rename(upper, path)
    except (OSError, Error, KeyboardInterrupt) as error:
        aside = f"{state}/left-{os.urandom(8).hex()}"
        try:
            _rename_here(upper, aside)
        except OSError as another:
            raise refusal(another, state) from None
        raise MachineError(
            f"`{path}` cannot be written",
            reason="output-unwritable",
            evidence=(*_seen(error), f"what the run has left is kept as `{aside}`"),
            hint=f"`mv {shell_word(aside)} DIRECTORY` moves it to another place",
        ) from None


def _seen(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, Error):
        return error.evidence or (error.message,)
    if isinstance(error, OSError):
        return (error.strerror or str(error),)
    return ("it was interrupted",)


def _rename(upper: str, path: str) -> None:
    try:
        _rename_here(upper, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(upper, path)


def _rename_here(upper: str, path: str) -> None:
    """A build may have closed its own directory: rename(2) has to write `..` into it."""
    try:
        os.rename(upper, path)
    except PermissionError:
        mode = stat.S_IMODE(os.lstat(upper).st_mode)
        os.chmod(upper, mode | stat.S_IRWXU)
        now = upper
        try:
            os.rename(upper, path)
            now = path
        finally:
            os.chmod(now, mode)


def _copy(upper: str, path: str) -> None:
    """All of it or nothing: the directory that is copied goes afterwards."""

    def work(_: Tally) -> None:
        report = copy_tree(upper, path, owner=None)
        missing = (*report.unreadable, *report.skipped)
        if missing:
            raise MachineError(
                "not everything can be copied", reason="copy-failed", evidence=missing[:SHOWN]
            )

    os.mkdir(path, 0o700)
    try:
        with_rights(work, Tally())
    except BaseException:
        remove_tree(path)
        raise
