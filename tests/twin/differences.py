"""The differences between a build and the command that enters it, each with its reason.

`docs/differences.md` has the same names with their reasons; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

ANOTHER = "build users, entered by another"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`keys` are patterns of the probe's keys; `parties`, `scenes` where it applies, if not always."""

    name: str
    keys: tuple[str, ...]
    parties: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()

    def explains(self, key: str, party: str, scene: str) -> bool:
        here = party in (self.parties or (party,)) and scene in (self.scenes or (scene,))
        return here and any(fnmatchcase(key, pattern) for pattern in self.keys)


DIFFERENCES = (
    Difference(
        name="inputs-read-only",
        keys=("mount./nix/store/*", "write./nix/store/*", "input.*"),
    ),
    Difference(
        name="single-files-mounted",
        keys=("mount./nix/store/*", "links./nix/store/*", "input.file.*", "tree./nix/store/*-link"),
    ),
    Difference(name="build-overlay", keys=("mount./build", "statfs./build", "node.whiteout")),
    Difference(name="ptmx-node", keys=("tree./dev/ptmx", "mount./dev/ptmx")),
    Difference(
        name="bin-sh",
        keys=("*./bin", "*./bin/sh", "write.rmdir /bin"),
        scenes=("plain", "fixed-output", "structured", "outputs", "narrow", "raw"),
    ),
    Difference(name="kvm", keys=("*./dev/kvm",), parties=("own build", ANOTHER)),
    Difference(name="output", keys=("descriptor.[12]*", "terminal.[12]")),
    Difference(name="death-signal", keys=("process.parent_death_signal",)),
    Difference(name="command-name", keys=("process.argv0",), scenes=("raw",)),
    Difference(
        name="host-files-read-only",
        keys=(
            "mount./etc/*",
            "write./etc/hosts",
            "mount./bin/sh",
            "mount./some/file",
            "write./bin/sh",
        ),
        scenes=("fixed-output", "shell"),
    ),
    Difference(
        name="caller-sockets",
        keys=("socket.abstract.of the host",),
        parties=("own build", ANOTHER),
        scenes=("fixed-output",),
    ),
    Difference(
        name="builder-was-root",
        keys=(
            "identity.[ug]id_map",
            "owner./dev/*",
            "owner./etc/*",
            "owner./bin/sh",
            "owner./some/file",
            "owner./nix/store/*",
            "owner./proc",
            "sysctl.*.write",
            "sysctl.net/ipv4/ping_group_range",
            "write./etc/*",
        ),
        parties=("root alone",),
    ),
    Difference(
        name="caller-owns-root",
        keys=(
            "identity.[ug]id_map",
            "owner.*",
            "tree./",
            "tree./dev",
            "tree./etc",
            "tree./etc/*",
            "tree./nix",
            "tree./var*",
            "tree./srv*",
            "tree./bin",
            "tree./some",
            "write.chmod /",
            "input.directory.rmdir",
        ),
        parties=(ANOTHER,),
    ),
    Difference(
        name="closed-files",
        keys=(
            "*./build/env-vars",
            "*./build/work/file",
            "environment",
            "environment.PWD",
            "environment.OLDPWD",
            "environment.GZIP_NO_TIMESTAMPS",
            "process.cwd",
        ),
        parties=(ANOTHER,),
    ),
    Difference(
        name="host-shown",
        keys=(
            "terminal.mode",
            "identity.*",
            "status.NSpid",
            "status.CapBnd",
            "process.ids",
            "process.cgroup",
            "sysctl.*",
            "owner.*",
            "proc.*",
            "terminal.name",
            "node.chown to root",
            "node.to /tmp",
            "privilege.setuid 0",
            "privilege.signal to all",
            "write.*",
        ),
        scenes=("open",),
    ),
    Difference(
        name="caller-builds",
        keys=("terminal.mode", "node.new file"),
        parties=(ANOTHER,),
        scenes=("open",),
    ),
)

INTERACTIVE = (
    Difference(name="terminal", keys=("descriptor.*", "terminal.*", "*./dev/pts/0")),
    Difference(name="term", keys=("environment.TERM",)),
)
"""What more differs for a command that is started at a terminal."""


def expected(key: str, party: str, scene: str, *, without: str = "") -> str:
    """The name of the difference that explains `key` here; empty if it must be equal."""
    for difference in DIFFERENCES:
        if difference.name != without and difference.explains(key, party, scene):
            return difference.name
    return ""
