"""`nbs snapshot [NAME] [--ws WS]`: keep a workspace as it is now, to come back to."""

from __future__ import annotations

import sys

import sandbox
from sandbox.cli import snapshotting, speak
from sandbox.errors import UsageError

USAGE = """\
usage: nbs snapshot [--ws WS|BUILD] [NAME]
       nbs snapshot [--ws WS|BUILD] --remove NAME

Keep the build directory, /tmp and the outputs of a workspace as they are now, under NAME or the
next number. `nbs restore NAME` comes back to it. Without --ws: the workspace that was used last.
It works while somebody is inside, too; what is being written then is tried again, then refused.

  nbs snapshot before-sed          of the workspace that was used last
  nbs snapshot --ws hello-1.0      of the workspace of that name, or of that build
  nbs snapshot --remove before-sed

In the shell of `nbs shell`, `snapshot NAME` does the same; in a notebook, `%snapshot NAME`.
"""


def command(argv: list[str]) -> int:
    """Make one, or remove one."""
    options, names = snapshotting.read(argv, "snapshot", ("--remove",), 1)
    if "--help" in options:
        sys.stdout.write(USAGE)
        return 0
    if "--remove" in options and not names:
        raise UsageError(
            "`--remove` wants the name of a snapshot",
            reason="option-value",
            hint="`nbs snapshots` lists them",
        )
    kept = snapshotting.workspace(options.get("--ws", ""))
    if "--remove" in options:
        sandbox.remove_snapshot(kept, names[0])
        snapshotting.write((f"removed: {names[0]}",))
        return 0
    made = sandbox.snapshot_workspace(kept, "".join(names), progress=speak.progress())
    snapshotting.write((sandbox.told(made),))
    return 0
