"""Who the builder is: the ids outside and inside, and who owns the root around it."""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.facts import KeptDirectory, MachineFacts, NixFacts

FREE_ID = 872415232
"""First id of Nix's `auto-allocate-uids` range (`start-id`), which no account of a machine has."""

OWNER_WRITES = 0o200


class Identity(Value):
    """`build_*`: the builder's ids on the host. `root_*`: the host's ids that own the root.

    `owns_root_instead`: the builder has to own what belonged to root in the build, because the
    caller may use no other id.
    """

    build_uid: int
    build_gid: int
    root_uid: int
    root_gid: int
    inside_uid: int = 1000
    inside_gid: int = 100
    ids: int = 1
    owns_root_instead: bool = False

    def closed(self, mode: int) -> int:
        """The mode of a directory that the build could not write to."""
        return mode & ~OWNER_WRITES if self.owns_root_instead else mode


def identity(kept: KeptDirectory, nix: NixFacts, machine: MachineFacts) -> Identity:
    """Nix: UserLock, `sandboxUid` and `sandboxGid` in ChrootLinuxDerivationBuilder.

    As root the kept directory's owner becomes the builder again; never root itself. Anyone else
    can map only the own ids. Lix gives the kept directory to the caller, who then is not the owner
    that the build had.
    """
    derivation = nix.derivation
    features = (derivation.get("requiredSystemFeatures") if derivation is not None else None) or ""
    if "uid-range" in features.split():
        return _uid_range(kept, machine)
    if machine.uid != 0:
        same = kept.uid == machine.uid and not nix.profile.lix
        return Identity(
            build_uid=machine.uid,
            build_gid=machine.gid,
            root_uid=machine.uid,
            root_gid=machine.gid,
            owns_root_instead=not same,
        )
    if kept.uid == 0:
        # Root without build users: Nix gave the whole root to the builder, which was root outside.
        return Identity(build_uid=FREE_ID, build_gid=FREE_ID, root_uid=FREE_ID, root_gid=FREE_ID)
    return Identity(build_uid=kept.uid, build_gid=kept.gid or FREE_ID, root_uid=0, root_gid=0)


def _uid_range(kept: KeptDirectory, machine: MachineFacts) -> Identity:
    """Nix: `uid-range` gives a build root inside and the ids from `kept.uid` on."""
    if machine.uid != 0:
        raise EvidenceError(
            "this build had 65536 user ids, and only root can map so many",
            reason="uid-range-needs-root",
            evidence=("requiredSystemFeatures has `uid-range`",),
            hint="run the same command with `sudo`",
        )
    # A range that begins lower would hold accounts of this machine, with root inside.
    base = max(kept.uid, FREE_ID)
    return Identity(
        build_uid=base,
        build_gid=base,
        root_uid=base,
        root_gid=base,
        inside_uid=0,
        inside_gid=0,
        ids=65536,
    )
