"""`nbs snapshots [--ws WS] [--json]`: the snapshots of a workspace."""

from __future__ import annotations

import sys

import sandbox
from sandbox.cli import snapshotting

USAGE = """\
usage: nbs snapshots [--json | --names] [--ws WS|BUILD]

List the snapshots of a workspace, the oldest first. `failed` is always there: the state as it was
kept. `undone` is what the last restore replaced. Without --ws: the workspace that was used last.

  nbs snapshots
  nbs snapshots --names              names alone, one a line
  nbs snapshots --json --ws hello-1.0
"""
SCHEMA = "nix-build-shell.snapshots/1"


def command(argv: list[str]) -> int:
    """List them."""
    options, _ = snapshotting.read(argv, "snapshots", ("--json", "--names"), 0)
    if "--help" in options:
        sys.stdout.write(USAGE)
        return 0
    kept = snapshotting.workspace(options.get("--ws", ""))
    found = sandbox.snapshots_of(kept)
    if "--json" in options:
        import json

        snapshots = [{"name": "failed"}, *(one.fields() for one in found)]
        document = {"schema": SCHEMA, "workspace": kept.name, "snapshots": snapshots}
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif "--names" in options:
        snapshotting.write(("failed", *(one.name for one in found)))
    else:
        snapshotting.write(sandbox.listing(found))
    return 0
