"""The snapshot `before` of a kept workspace: the state that a replay of its phases has made.

A replay begins with an empty directory, so what it leaves is a whole tree. Over what was kept that
is a layer like any other once it hides all that is below it: its directories are opaque, and
what it does not have is whited out (overlayfs(5)).
"""

from __future__ import annotations

import os
import stat
import time

from sandbox.workspace import harvest
from sandbox.workspace.kept import OUTPUTS, TMP
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.layers import OPAQUE
from sandbox.workspace.refusals import refusal
from sandbox.workspace.rights import with_rights
from sandbox.workspace.snapshots import BEFORE, Shelf, Snapshot, record
from sandbox.workspace.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.workspace.kept import Kept

REPORT = ".nbs-phase-"
_UPPER = "upper"


def take_before(replayed: Kept, workspace: Kept) -> None:
    """Make what is in `replayed`, which is ours alone, the snapshot `before` of `workspace`.

    Nothing is copied: `replayed` has none of it afterwards. An older `before` is replaced.
    Raises `MachineError`.
    """
    with Shelf(workspace.path) as shelf:
        try:
            new = shelf.fresh()
            _move_parts(replayed.path, new)
            if workspace.method == "overlay":
                with_rights(lambda _: cover(f"{new}/{_UPPER}", workspace.kept), Tally())
            record(Snapshot(name=BEFORE, created=time.time()), new)
            shelf.take_away(BEFORE)
            os.rename(new, shelf.at(BEFORE))
        except OSError as error:
            raise refusal(error, shelf.path) from None
        finally:
            shelf.sweep()


def tidy(session: str) -> None:
    """Remove what the word `phase` leaves in a session's /tmp, where no `rm` is known.

    `session` is the path of its workspace; nobody is inside any more.
    """
    try:
        directory = os.open(f"{session}/root/tmp", OPEN_DIRECTORY)
    except OSError:
        # The build may have put something else in its place.
        return
    try:
        for name in os.listdir(directory):
            if name.startswith(REPORT) and not harvest.is_directory(name, directory):
                os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)


def _move_parts(source: str, target: str) -> None:
    directories = [os.open(path, OPEN_DIRECTORY) for path in (source, target)]
    try:
        for name in (_UPPER, TMP, OUTPUTS):
            if harvest.is_directory(name, directories[0]):
                harvest.move(name, *directories)
        if not harvest.is_directory(OUTPUTS, directories[1]):
            os.mkdir(OUTPUTS, 0o700, dir_fd=directories[1])
    finally:
        for descriptor in directories:
            os.close(descriptor)


def cover(upper: str, lower: str) -> None:
    """Let nothing of `lower` be seen below `upper`. Raises OSError."""
    top = os.open(upper, OPEN_DIRECTORY)
    try:
        own = set(os.listdir(top))
        for name in os.listdir(lower):
            if name not in own:
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=top)
        for name in own:
            if harvest.is_directory(name, top):
                _make_opaque(name, top)
    finally:
        os.close(top)


def _make_opaque(name: str, top: int) -> None:
    directory = os.open(name, OPEN_DIRECTORY, dir_fd=top)
    try:
        os.setxattr(directory, OPAQUE, b"y")
    finally:
        os.close(directory)
