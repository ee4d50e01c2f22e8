"""The differences between a build and the command that enters it, each with its reason.

`docs/differences.md` has the same list; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`keys` are patterns of the probe's keys, `when` names the parties or scenes; empty is always."""

    name: str
    keys: tuple[str, ...]
    when: tuple[str, ...] = ()


DIFFERENCES = (
    Difference(
        name="inputs-read-only",
        keys=("mount./nix/store/*", "write./nix/store/*", "input.*"),
    ),
    Difference(name="single-files-mounted", keys=("links./nix/store/*",)),
    Difference(name="build-overlay", keys=("mount./build", "statfs./build", "node.whiteout")),
    Difference(name="ptmx-node", keys=("tree./dev/ptmx", "mount./dev/ptmx")),
    Difference(name="bin-sh", keys=("*./bin", "*./bin/sh", "write.rmdir /bin", "links./bin/sh")),
    Difference(name="output", keys=("descriptor.[12]*", "terminal.[12]")),
    Difference(
        name="host-files-read-only",
        keys=("mount./etc/*", "write./etc/hosts"),
        when=("fixed-output",),
    ),
    Difference(name="command-name", keys=("process.argv0",), when=("raw",)),
    Difference(
        name="builder-was-root",
        keys=(
            "identity.[ug]id_map",
            "owner./dev/*",
            "owner./etc/*",
            "owner./nix/store/*",
            "owner./proc",
            "sysctl.*.write",
            "write./etc/*",
        ),
        when=("root alone",),
    ),
    Difference(name="death-signal", keys=("process.parent_death_signal",)),
)


def expected(key: str, party: str, scene: str) -> str:
    """The name of the difference that explains `key` here; empty if it must be equal."""
    for difference in DIFFERENCES:
        applies = not difference.when or party in difference.when or scene in difference.when
        if applies and any(fnmatchcase(key, pattern) for pattern in difference.keys):
            return difference.name
    return ""
