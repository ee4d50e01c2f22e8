"""`nbs restore [NAME] [--ws WS]`: put a workspace back to a snapshot."""

from __future__ import annotations

import sys

import sandbox
from sandbox.cli import snapshotting, speak

USAGE = """\
usage: nbs restore [--ws WS|BUILD] [NAME]

Put the build directory, /tmp and the outputs of a workspace back to the snapshot NAME, or to the
last one. `failed` is always there: the state as it was kept. What is replaced becomes the
snapshot `undone`, so `nbs restore undone` takes it back. Without --ws: the workspace used last.

While somebody is inside, only they can do it: `restore NAME` in the shell of `nbs shell`,
`%restore NAME` in a notebook. Programs that run inside are then named, or ended with --kill.

  nbs restore before-sed
  nbs restore --ws hello-1.0 failed
"""


def command(argv: list[str]) -> int:
    """Restore; say what was done."""
    options, names = snapshotting.read(argv, "restore", (), 1)
    if "--help" in options:
        sys.stdout.write(USAGE)
        return 0
    kept = snapshotting.workspace(options.get("--ws", ""))
    done = sandbox.restore_workspace(kept, "".join(names), progress=speak.progress())
    snapshotting.write(done.words)
    return 0
