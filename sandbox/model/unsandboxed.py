"""What a build saw that Nix did not sandbox: the host, as far as it can be shown without harm.

Such a build could write wherever its user could. The command may not: of the host's files only the
build directory, /tmp and the store can be written to, and all that is written there is private.
"""

from __future__ import annotations

from sandbox.model import rules
from sandbox.model.identity import Identity, builders_ids, may_use_others
from sandbox.model.spec import (
    Bind,
    Directory,
    Entry,
    Filesystem,
    IdMap,
    Inputs,
    Note,
    Sandbox,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.facts import KeptDirectory, MachineFacts, NixFacts, Request

RULE = "asked for: --unsandboxed"
TEMPORARY = "/tmp"  # noqa: S108  it is made private


def builder(kept: KeptDirectory, machine: MachineFacts) -> Identity:
    """The builder's own ids, inside as outside; never root's, who could undo the protection."""
    if may_use_others(machine):
        uid, gid = builders_ids(kept, machine)
    else:
        uid, gid = machine.uid, machine.gid
    return Identity(
        build_uid=uid,
        build_gid=gid,
        root_uid=0,
        root_gid=0,
        inside_uid=uid or 1000,
        inside_gid=gid or 100,
    )


def build_top(kept: KeptDirectory) -> str:
    """Where the build had its directory: still there, or elsewhere in /tmp if it was moved since.

    The name comes from the build, so it counts only where nothing of the host can be covered.
    """
    seen = kept.env_vars.build_top
    parts = seen.removeprefix(TEMPORARY + "/").split("/")
    plain = seen.startswith(TEMPORARY + "/") and not {"", ".", ".."}.intersection(parts)
    return seen if plain else kept.path


def private_directories(nix: NixFacts, who: Identity, top: str) -> tuple[Entry, ...]:
    """A private /tmp, empty but for the way to the build directory if that is in it.

    A store in /tmp, as tests have it, would be hidden by it: then the host's stays.
    """
    if nix.store_dir.startswith(TEMPORARY + "/"):
        return ()
    made: list[Entry] = [
        Directory(path=TEMPORARY, mode=0o1777, uid=who.root_uid, gid=who.root_gid, rule=RULE)
    ]
    if top.startswith(TEMPORARY + "/"):
        path = TEMPORARY
        for part in top.removeprefix(TEMPORARY + "/").split("/"):
            path += "/" + part
            made.append(
                Directory(path=path, mode=0o755, uid=who.build_uid, gid=who.build_gid, rule=RULE)
            )
    return tuple(made)


def shared_memory(nix: NixFacts, machine: MachineFacts) -> tuple[Entry, ...]:
    """A /dev/shm of its own: the host's cannot be shared without letting files be left there."""
    if "shm" not in machine.devices:
        return ()
    size = f"size={nix.settings.sandbox_dev_shm_size}"
    return (Filesystem(path="/dev/shm", fstype="tmpfs", options=size, rule=RULE),)  # noqa: S108


def notes(kept: KeptDirectory, machine: MachineFacts) -> tuple[Note, ...]:
    """What differs from the build's own view. The same list is in docs/differences.md."""
    found = [
        Note(
            subject="files",
            text="the host's are read-only; /tmp, /run, /dev/shm and /dev/pts are private ones",
        ),
        Note(
            subject="sockets",
            text="the host's that lie elsewhere, and its network, can be reached as by you",
        ),
        Note(subject="store", text="the host's whole store; what is added to it is private"),
        Note(subject="processes", text="those of this run alone, the build saw the host's"),
        Note(subject="owners", text="all but the builder's own files belong to nobody"),
    ]
    if may_use_others(machine):
        uid, _ = builders_ids(kept, machine)
        if kept.uid == 0:
            found.append(Note(subject="identity", text=f"the build was root; this is user {uid}"))
    elif kept.uid != machine.uid:
        found.append(Note(subject="identity", text=f"yours; the build was user {kept.uid}"))
    return tuple(found)


def unsandboxed(
    kept: KeptDirectory, nix: NixFacts, machine: MachineFacts, request: Request
) -> Sandbox:
    """The host, read-only, with the build directory at its own path. Nix: `useChroot` is false.

    Raises `EvidenceError` as `rules.sandbox` does.
    """
    who = builder(kept, machine)
    top = build_top(kept)
    store = Directory(
        path=nix.store_dir, mode=0o1775, uid=who.root_uid, gid=who.build_gid, rule=RULE
    )
    if who.build_uid == machine.uid:
        store = store.replace(uid=who.build_uid)
    entries = (
        Bind(path="/", source="/", kind="directory", read_only=True, rule=RULE),
        *private_directories(nix, who, top),
        store,
        Inputs(path=nix.store_dir, source=nix.real_store_dir, places="store", rule=RULE),
        *rules.partial_outputs(nix, who),
        rules.build_directory(kept, who, request, top),
        Filesystem(path="/proc", fstype="proc", rule=RULE),
        Filesystem(path="/dev/pts", fstype="devpts", options="newinstance,mode=0620", rule=RULE),
        Filesystem(path="/run", fstype="tmpfs", options="mode=0755", rule=RULE),
        *shared_memory(nix, machine),
    )
    return Sandbox(
        name=kept.name_hint or kept.env_vars.name,
        profile=str(nix.profile),
        namespaces=("user", "mnt", "pid"),
        uid_map=IdMap(inside=who.inside_uid, outside=who.build_uid),
        gid_map=IdMap(inside=who.inside_gid, outside=who.build_gid),
        host_name="",
        domain_name="",
        entries=entries,
        process=rules.process(kept, nix, machine, request, who, top),
        environment_source=rules.environment_source(kept, nix),
        notes=notes(kept, machine),
        looked=rules.looked_at(kept, nix),
    )
