"""Who the builder is: the ids outside and inside, and who owns the root around it."""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.facts import KeptDirectory, MachineFacts, NixFacts

FREE_ID = 872415232
"""First id of Nix's `auto-allocate-uids` range (`start-id`), which no account of a machine has."""

RANGE = 65536
"""How many ids `uid-range` gives a build."""

OVERFLOW_ID = 65534
"""Whose everything is that has no id in this namespace: /proc/sys/kernel/overflowuid."""

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
    can map only the own ids, and root of a namespace that has no other ids is such a one. Lix gives
    the kept directory to the caller, who then is not the owner that the build had.
    Raises `EvidenceError` (`uid-range-needs-root`, `no-id-for-builder`).
    """
    derivation = nix.derivation
    features = (derivation.get("requiredSystemFeatures") if derivation is not None else None) or ""
    if "uid-range" in features.split():
        return _uid_range(kept, machine)
    if not may_use_others(machine):
        same = kept.uid == machine.uid and not nix.profile.lix
        return Identity(
            build_uid=machine.uid,
            build_gid=machine.gid,
            root_uid=machine.uid,
            root_gid=machine.gid,
            owns_root_instead=not same,
        )
    uid, gid = builders_ids(kept, machine)
    if kept.uid == 0:
        # Root without build users: Nix gave the whole root to the builder, which was root outside.
        return Identity(build_uid=uid, build_gid=gid, root_uid=uid, root_gid=gid)
    return Identity(build_uid=uid, build_gid=gid, root_uid=0, root_gid=0)


def may_use_others(machine: MachineFacts) -> bool:
    """Has the caller ids of others? Root has, but in a namespace where it was given its own alone.

    Raises `EvidenceError` (`no-id-for-builder`) where that one is root's outside as well.
    """
    if machine.uid != 0:
        return False
    if free_id(machine.uids) and free_id(machine.gids):
        return True
    if machine.outside == 0:
        raise EvidenceError(
            "in this user namespace there is no id that a builder could have but root's",
            reason="no-id-for-builder",
            evidence=("/proc/self/uid_map = 0 0 1",),
            hint="run the same command outside of it, or in one that has more ids",
        )
    return False


def builders_ids(kept: KeptDirectory, machine: MachineFacts) -> tuple[int, int]:
    """For root: the owner and group of what was kept. In place of root, and of what has no id in
    this user namespace, ids that no account has."""
    uid = kept.uid if has(machine.uids, kept.uid) else free_id(machine.uids)
    gid = kept.gid if has(machine.gids, kept.gid) else free_id(machine.gids)
    return (uid, gid) if kept.uid else (free_id(machine.uids), free_id(machine.gids))


def has(ranges: tuple[tuple[int, int], ...], number: int) -> bool:
    """Is it one of these ids, that a file can belong to, and not root's?"""
    there = any(first <= number < first + count for first, count in ranges)
    return there and number not in (0, OVERFLOW_ID)


def free_id(ranges: tuple[tuple[int, int], ...]) -> int:
    """An id for a builder that was root: `FREE_ID`, or the last of a namespace with few; else 0."""
    if has(ranges, FREE_ID):
        return FREE_ID
    last = max((first + count - 1 for first, count in ranges), default=0)
    return last - 1 if last == OVERFLOW_ID else last


def _uid_range(kept: KeptDirectory, machine: MachineFacts) -> Identity:
    """Nix: `uid-range` gives a build root inside and the ids from `kept.uid` on."""
    # A range that begins lower would hold accounts of this machine, with root inside.
    base = max(kept.uid, FREE_ID)
    if not (has(machine.uids, base + RANGE - 1) and has(machine.gids, base + RANGE - 1)):
        raise EvidenceError(
            "this build had 65536 user ids, and only root can map so many",
            reason="uid-range-needs-root",
            evidence=("requiredSystemFeatures has `uid-range`",),
            hint="run the same command with `sudo`",
        )
    return Identity(
        build_uid=base,
        build_gid=base,
        root_uid=base,
        root_gid=base,
        inside_uid=0,
        inside_gid=0,
        ids=RANGE,
    )
