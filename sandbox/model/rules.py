"""What Nix did for this build: facts → `Sandbox`, one short function for each decision.

Each rule names the function of Nix that it follows (class names as in CppNix's
`linux-derivation-builder.cc`; older releases have the same code in `local-derivation-goal.cc`), so
that a new release of Nix can be followed by searching for that name.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.model.command import command_line, why_not
from sandbox.model.identity import Identity, identity
from sandbox.model.seccomp import filter_for, without_keys
from sandbox.model.spec import (
    Bind,
    BuildDirectory,
    Directory,
    Entry,
    File,
    Filesystem,
    IdMap,
    Inputs,
    Note,
    Output,
    Process,
    Sandbox,
    Symlink,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sandbox.model.aterm import Derivation
    from sandbox.model.facts import HostFile, KeptDirectory, MachineFacts, NixFacts, Request
    from sandbox.model.nixconf import NixSettings
    from sandbox.model.seccomp import Filter
    from sandbox.model.spec import Looked

ADDR_NO_RANDOMIZE = 0x0040000
PER_LINUX32 = 0x0008
SYSTEMS_OF_32_BITS = ("i686-linux", "armv5tel-linux", "armv6l-linux", "armv7l-linux")
MOST_OPEN_FILES = 1048576
MOST_NAMED = 3
MOST_PLACES_ON_DISK = 256
"""A directory on a disk takes some 50 µs to make and up to 300 to remove; one in memory 3 µs."""
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")

START_CHILD = "ChrootLinuxDerivationBuilder::startChild"
PREPARE = "ChrootLinuxDerivationBuilder::prepareSandbox"
ENTER = "ChrootLinuxDerivationBuilder::enterChroot"
PATHS = "DerivationBuilder::getPathsInSandbox"
LANDLOCK_SCOPES = 6
"""The first version of Landlock that has them."""
COVERED = ("bin", "dev", "etc", "proc", "sys")
"""Directories of the root that no build directory may come to lie in."""


def build_top(kept: KeptDirectory, nix: NixFacts) -> str:
    """Where the build saw its directory. Nix: `tmpDirInSandbox`, setting `sandbox-build-dir`."""
    seen = kept.env_vars.build_top
    if seen in ("/build", nix.settings.sandbox_build_dir):
        return seen
    return nix.settings.sandbox_build_dir


def own_top(kept: KeptDirectory, nix: NixFacts) -> str:
    """Where a build had its directory that Nix did not sandbox: what it has left names that path.

    The name comes from the build, so it counts only where it covers nothing of the sandbox's own.
    """
    paths = (kept.env_vars.build_top, kept.path)
    return next((path for path in paths if _may_be_top(path, nix)), build_top(kept, nix))


def _may_be_top(path: str, nix: NixFacts) -> bool:
    first, *parts = path.split("/")
    whole = not first and parts and path.isprintable() and not {"", ".", ".."}.intersection(parts)
    store = f"{nix.store_dir}/"
    apart = not f"{path}/".startswith(store) and not store.startswith(f"{path}/")
    return bool(whole) and apart and path != "/tmp" and parts[0] not in COVERED  # noqa: S108


def was_sandboxed(
    kept: KeptDirectory,
    settings: NixSettings,
    derivation: Derivation | None,
    *,
    diverted: bool,
) -> bool:
    """Did Nix make a sandbox at all? Nix: `useChroot` in DerivationBuildingGoal.

    NIX_BUILD_TOP settles it. Without it, the directory inside the directory does (only sandboxed
    builds have one), as does a store that is not where its paths say; and else the settings and
    the derivation.
    """
    if kept.env_vars.build_top:
        return kept.env_vars.build_top in ("/build", settings.sandbox_build_dir)
    if diverted or kept.layout in ("build", "named-pid-build", "pid-build"):
        return True
    if settings.sandbox == "relaxed" and derivation is not None:
        open_to_host = derivation.fixed_output or derivation.impure
        return not (open_to_host or derivation.get("__noChroot") == "1")
    return settings.sandbox != "false"


def keeps_host_network(nix: NixFacts) -> bool:
    """Fixed-output and impure derivations keep the host's network; any other gets a loopback.

    Nix: `derivationType.isSandboxed()` in startChild.
    """
    derivation = nix.derivation
    return derivation is not None and (derivation.fixed_output or derivation.impure)


def namespaces(nix: NixFacts, *, sandboxed: bool) -> tuple[str, ...]:
    """Nix: the flags of clone(2) in startChild; Lix unshares the cgroup namespace as well."""
    if not sandboxed:
        return ("user", "mnt", "pid", "ipc", "uts")
    names = ["user", "mnt", "pid", "ipc", "uts"]
    if not keeps_host_network(nix):
        names.append("net")
    if nix.profile.cgroup_namespace:
        names.append("cgroup")
    return tuple(names)


def root_entries(nix: NixFacts, who: Identity, top: str) -> tuple[Entry, ...]:
    """The directories of the root and the files of /etc. Nix: prepareSandbox.

    Made in this order, parents first. Where the builder did not own the root but the caller does
    now, the owner's write bit is left out: what was refused to the build is refused here.
    """

    def own(path: str, mode: int, rule: str) -> Directory:
        return Directory(path=path, mode=mode, uid=who.root_uid, gid=who.root_gid, rule=rule)

    made = [
        own("/", who.closed(0o750), PREPARE).replace(gid=who.build_gid),
        own("/tmp", 0o1777, PREPARE),  # noqa: S108
        own("/etc", who.closed(nix.profile.etc_mode), PREPARE),
        own("/dev", who.closed(0o755), ENTER),
        own("/dev/pts", 0o755, ENTER),
        own("/dev/shm", 0o755, ENTER),  # noqa: S108
        own("/proc", 0o555, ENTER),
        own("/bin", who.closed(0o755), PATHS),
    ]
    made += missing_parents(nix.store_dir, {entry.path for entry in made}, who, PREPARE)
    made.append(own(nix.store_dir, 0o1775, PREPARE).replace(gid=who.build_gid))
    return (*made, *_account_files(who, top))


def _account_files(who: Identity, top: str) -> tuple[Entry, ...]:
    """/etc/passwd and /etc/group, byte for byte. Nix: prepareSandbox, startChild."""
    passwd = (
        f"root:x:0:0:Nix build user:{top}:/noshell\n"
        f"nixbld:x:{who.inside_uid}:{who.inside_gid}:Nix build user:{top}:/noshell\n"
        "nobody:x:65534:65534:Nobody:/:/noshell\n"
    )
    group = f"root:x:0:\nnixbld:!:{who.inside_gid}:\nnogroup:x:65534:\n"
    return (
        File(path="/etc/passwd", content=passwd, mode=who.closed(0o644), rule=START_CHILD),
        File(path="/etc/group", content=group, mode=who.closed(0o644), rule=PREPARE),
    )


def network_files(nix: NixFacts, machine: MachineFacts, who: Identity) -> tuple[Entry, ...]:
    """/etc/hosts, or for builds with the host's network the host's files. Nix: prepareSandbox."""
    if not keeps_host_network(nix):
        hosts = "127.0.0.1 localhost\n::1 localhost\n"
        return (File(path="/etc/hosts", content=hosts, mode=who.closed(0o644), rule=PREPARE),)
    switch = "hosts: files dns\nservices: files\n"
    entries: list[Entry] = [
        File(path="/etc/nsswitch.conf", content=switch, mode=who.closed(0o644), rule=PREPARE)
    ]
    for file in {file.path: file for file in machine.files}.values():
        if file.path in ("/etc/resolv.conf", "/etc/services", "/etc/hosts"):
            entries.append(_host_file(file.path, file, PREPARE))
        elif file.path == nix.settings.ssl_cert_file and nix.profile.binds_certificates:
            entries += [
                Directory(path="/etc/ssl", mode=0o755, rule=PREPARE),
                Directory(path="/etc/ssl/certs", mode=0o755, rule=PREPARE),
                _host_file("/etc/ssl/certs/ca-certificates.crt", file, "ssl-cert-file"),
            ]
    return tuple(entries)


def _host_file(path: str, file: HostFile, rule: str) -> Bind:
    return Bind(path=path, source=file.real, kind=file.kind, read_only=True, rule=rule)


def has_kvm(nix: NixFacts, machine: MachineFacts) -> bool:
    """/dev/kvm is there if the host has it, unless `system-features` is set and leaves it out."""
    features = nix.settings.system_features
    return "kvm" in machine.devices and (features is None or "kvm" in features)


def devices(nix: NixFacts, machine: MachineFacts) -> tuple[Entry, ...]:
    """/dev: six nodes of the host, kvm by its rule, five links. Nix: enterChroot.

    /dev/ptmx is the node of the private devpts, bound, where Nix makes a link to it.
    """
    names = [name for name in DEVICES if name in machine.devices]
    if has_kvm(nix, machine):
        names.append("kvm")
    nodes: list[Entry] = [
        Bind(path=f"/dev/{name}", source=f"/dev/{name}", kind="file", rule=ENTER)
        for name in sorted(names)
    ]
    links = (
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    )
    return (*nodes, *(Symlink(path=path, target=target, rule=ENTER) for path, target in links))


def kernel_filesystems(nix: NixFacts) -> tuple[Entry, ...]:
    """proc, /dev/shm and a devpts of its own. Nix: enterChroot."""
    size = nix.settings.sandbox_dev_shm_size
    return (
        Filesystem(path="/proc", fstype="proc", rule=ENTER),
        Filesystem(path="/dev/shm", fstype="tmpfs", options=f"size={size}", rule=ENTER),  # noqa: S108
        Filesystem(path="/dev/pts", fstype="devpts", options="newinstance,mode=0620", rule=ENTER),
        Bind(
            path="/dev/ptmx",
            source="/dev/pts/ptmx",
            kind="file",
            within=True,
            rule="contract: a device node",
        ),
    )


def inputs(nix: NixFacts, *, writable: bool) -> tuple[Entry, ...]:
    """The input closure, one mount for each path. Nix: getPathsInSandbox, `pathsInChroot`.

    Read-only, unlike Nix: a builder that owns its root could change the host's store through them.
    """
    if nix.inputs_from == "whole-store":
        rule = "asked for: --whole-store"
        return (Inputs(path=nix.store_dir, source=nix.real_store_dir, places="store", rule=rule),)
    rule = f"input closure, from {nix.inputs_from}"
    own = {path for _, path in nix.outputs}
    start = len(nix.store_dir) + 1
    found = nix.inputs
    return (
        Inputs(
            path=nix.store_dir,
            source=nix.real_store_dir,
            directories=tuple([p[start:] for p in found.directories if p not in own]),
            files=tuple([p[start:] for p in found.files if p not in own]),
            links=tuple([(p[start:], target) for p, target in found.links if p not in own]),
            read_only=not writable,
            places="memory" if len(nix.inputs) > MOST_PLACES_ON_DISK else "disk",
            rule=rule,
        ),
    )


def partial_outputs(nix: NixFacts, who: Identity) -> tuple[Entry, ...]:
    """What the build had put at its outputs; Nix moves it to the real store when a build fails."""
    return tuple(
        Output(
            path=path,
            source=source,
            uid=who.build_uid,
            gid=who.build_gid,
            rule="DerivationBuilder::cleanupBuild",
        )
        for path, source in nix.partial
    )


def own_shell(kept: KeptDirectory, nix: NixFacts, request: Request) -> str:
    """The build's SHELL, for /bin/sh. A phase could pass by it: not where the build had none.

    Where nix.conf does not set `sandbox-paths`, Nix may have a shell of its own there.
    """
    settings = nix.settings
    had_none = "sandbox-paths" in dict(settings.raw) and not any(
        path.target in ("/bin", "/bin/sh") for path in settings.sandbox_paths
    )
    return "" if request.phase_words is not None and had_none else kept.env_vars.shell


def shell_entries(
    nix: NixFacts,
    machine: MachineFacts,
    who: Identity,
    made: tuple[Entry, ...],
    shell: str,
) -> tuple[Entry, ...]:
    """/bin/sh and what else `sandbox-paths` names. Nix: getPathsInSandbox, doBind.

    /bin/sh is the one that nix.conf names, or that lies in the /bin that it names, if that exists;
    else `shell`, the build's own SHELL. A file of `made` gives way to one that nix.conf names, and
    so does /bin, which is there for the shell; another directory or mount of the sandbox's own
    stays.
    """
    exists = {file.path: file for file in machine.files}
    there = {entry.path: entry for entry in made}
    entries: list[Entry] = []
    # As in Nix's map of them, what lies in another comes after it.
    for wanted in sorted(nix.settings.sandbox_paths, key=lambda p: p.target):
        file = exists.get(wanted.source)
        if file is not None and can_be_shown(wanted.target, there):
            entries += missing_parents(wanted.target, there, who, "sandbox-paths")
            entries.append(_host_file(wanted.target, file, "sandbox-paths"))
            there.update((entry.path, entry) for entry in entries)
    if shell and not any(e.path in ("/bin", "/bin/sh") and isinstance(e, Bind) for e in entries):
        rule = "contract: the build's SHELL"
        entries.append(
            Bind(path="/bin/sh", source=shell, kind="file", read_only=True, within=True, rule=rule)
        )
    return tuple(entries)


def can_be_shown(path: str, there: Mapping[str, Entry]) -> bool:
    """Can a file of the host be mounted at `path`, beside what is there already?"""
    own = there.get(path)
    if own is not None and not is_file(own) and own.rule != PATHS:
        return False
    above = [there[parent] for parent in parents_of(path) if parent in there]
    return all(
        isinstance(e, Directory) or (isinstance(e, Bind) and e.kind != "file") for e in above
    )


def is_file(entry: Entry) -> bool:
    """A file made for the sandbox, or one of the host."""
    of_host = isinstance(entry, Bind) and entry.kind == "file" and not entry.within
    return of_host or isinstance(entry, File)


def parents_of(path: str) -> list[str]:
    """The directories above `path`, the root left out, the highest first."""
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))]


def missing_parents(path: str, there: Collection[str], who: Identity, rule: str) -> list[Directory]:
    """The directories above `path` that are not `there` yet. Nix: createDirs in doBind."""
    mode = who.closed(0o755)
    return [
        Directory(path=parent, mode=mode, uid=who.root_uid, gid=who.root_gid, rule=rule)
        for parent in parents_of(path)
        if parent not in there
    ]


def without(entries: tuple[Entry, ...], covered: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """`entries`, but for the files in whose places `covered` has something else."""
    paths = {entry.path for entry in covered}
    return tuple(entry for entry in entries if entry.path not in paths)


def personality(nix: NixFacts, machine: MachineFacts) -> int:
    """Addresses are not randomised; a 32-bit system looks like one. Nix: `setPersonality`."""
    system = nix.derivation.system if nix.derivation is not None else ""
    narrow = system in SYSTEMS_OF_32_BITS and machine.machine in ("x86_64", "aarch64")
    return ADDR_NO_RANDOMIZE | (PER_LINUX32 if narrow else 0)


def system_calls(nix: NixFacts, machine: MachineFacts, who: Identity) -> Filter | None:
    """Nix: `setupSeccomp`, if `filter-syscalls` is on. The caller's own id reads the caller's keys,
    so a builder that has it sees none."""
    filter_ = filter_for(nix.profile) if nix.settings.filter_syscalls else None
    return without_keys(filter_) if who.build_uid == machine.uid else filter_


def answers_to_the_caller(nix: NixFacts, machine: MachineFacts, who: Identity) -> bool:
    """Would abstract sockets of the host take a builder for the caller? They are part of a network
    that is shared, and who listens there knows the other side by its user id."""
    return keeps_host_network(nix) and who.build_uid == machine.uid


def scopes_abstract_sockets(nix: NixFacts, machine: MachineFacts, who: Identity) -> bool:
    """Nix: see `Profile.scopes_abstract_sockets`; and a builder is nowhere taken for the caller."""
    wanted = nix.profile.scopes_abstract_sockets or answers_to_the_caller(nix, machine, who)
    return wanted and machine.landlock_abi >= LANDLOCK_SCOPES


def process(
    kept: KeptDirectory,
    nix: NixFacts,
    machine: MachineFacts,
    request: Request,
    who: Identity,
    top: str,
) -> Process:
    """The command and its attributes. Nix: runChild, `commonChildInit`."""
    line = command_line(kept, nix, request, top)
    profile = nix.profile
    return Process(
        argv=line.argv,
        program=line.program,
        environment=line.environment,
        startup_file=line.startup_file,
        directories=line.directories,
        uid=who.inside_uid,
        gid=who.inside_gid,
        personality=personality(nix, machine),
        filter=system_calls(nix, machine, who),
        scope_abstract_sockets=scopes_abstract_sockets(nix, machine, who),
        open_files_ceiling=MOST_OPEN_FILES if profile.raises_open_files else None,
        interactive=request.interactive,
    )


def build_directory(kept: KeptDirectory, who: Identity, request: Request, top: str) -> Entry:
    """The workspace over the kept directory: an overlay where its files are the builder's own.

    Copying up in an overlay keeps the owner, so it works for the owner that the sandbox maps only.
    """
    own = kept.uid == who.build_uid
    return BuildDirectory(
        path=top,
        source=kept.path,
        method="overlay" if own and not request.copy else "copy",
        uid=who.build_uid,
        gid=who.build_gid,
        rule="NIX_BUILD_TOP, over the kept directory",
    )


def top_entries(top: str, who: Identity, there: Collection[str]) -> tuple[Entry, ...]:
    """The place that the build directory is mounted on. `sandbox-build-dir` can name any."""
    made = missing_parents(top, there, who, PREPARE)
    if top not in there:
        own = {"uid": who.build_uid, "gid": who.build_gid}
        made.append(Directory(path=top, mode=0o755, **own, rule=PREPARE))
    return tuple(made)


def notes(
    kept: KeptDirectory, nix: NixFacts, machine: MachineFacts, who: Identity
) -> tuple[Note, ...]:
    """What of this sandbox is known to differ from the build's own, for this build."""
    found: list[Note] = []
    if who.owns_root_instead:
        text = (
            "the caller owns what belonged to root in the build; "
            "the owner's write bits are left out, so that writing is refused as it was"
        )
        found.append(Note(subject="owners", text=text))
    if nix.profile.last_known:
        newest = nix.profile.last_known
        text = f"{nix.profile} is newer than what is known: it is taken to be like {newest}"
        found.append(Note(subject="profile", text=text))
    if who.build_uid == machine.uid and machine.groups:
        found.append(
            Note(
                subject="groups",
                text="the caller's supplementary groups stay: only root can drop them",
            )
        )
    if keeps_host_network(nix):
        found.append(
            Note(
                subject="network",
                text="the host's, as in the build: the derivation is fixed-output",
            )
        )
    if answers_to_the_caller(nix, machine, who) and machine.landlock_abi < LANDLOCK_SCOPES:
        text = "abstract ones of the host take the command for you: this kernel cannot close them"
        found.append(Note(subject="sockets", text=text))
    if nix.derivation is None:
        text = "the inputs are what env-vars refers to, with their closure"
        text = f"{nix.derivation_refused or 'not known'}: {text}"
        found.append(Note(subject="derivation", text=text))
    if kept.env_vars.state != "read":
        found.append(
            Note(subject="env-vars", text=f"{kept.env_vars.state}: see the environment's source")
        )
    if kept.env_vars.overlong:
        names = " ".join(name for name, _ in kept.env_vars.overlong)
        text = f"too long for any program to start, as in the build, until `export -n {names}`"
        found.append(Note(subject="variables", text=text))
    if nix.missing_inputs:
        found.append(Note(subject="inputs", text=missing_text(nix)))
    return tuple(found)


def missing_text(nix: NixFacts) -> str:
    """What env-vars names and is gone, in a sentence."""
    gone = nix.missing_inputs
    more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
    return f"env-vars names what is no longer in the store: {', '.join(gone[:MOST_NAMED])}{more}"


def require_sandboxed(kept: KeptDirectory, request: Request) -> None:
    """A build that Nix did not sandbox is entered only in a way that was asked for by name."""
    if request.unsandboxed is not None:
        return
    raise EvidenceError(
        f"`{kept.name_hint or kept.path}` was built without a sandbox",
        reason="build-not-sandboxed",
        evidence=(f"NIX_BUILD_TOP={kept.env_vars.build_top}",) if kept.env_vars.build_top else (),
        hint=(
            "`--sandboxed` enters the sandbox that Nix would have made; `--unsandboxed` shows the "
            "host's files, read-only, and its network, as the build had them"
        ),
    )


def sandbox(kept: KeptDirectory, nix: NixFacts, machine: MachineFacts, request: Request) -> Sandbox:
    """All the rules: what the build saw, as far as it can be had here.

    Raises `EvidenceError`: `build-not-sandboxed`, `environment-unknown`, `uid-range-needs-root`.
    """
    sandboxed = was_sandboxed(
        kept, nix.settings, nix.derivation, diverted=nix.real_store_dir != nix.store_dir
    )
    if not sandboxed:
        require_sandboxed(kept, request)
    if not sandboxed and request.unsandboxed:
        from sandbox.model.unsandboxed import unsandboxed  # noqa: PLC0415  it imports this

        return unsandboxed(kept, nix, machine, request)
    who = identity(kept, nix, machine)
    top = build_top(kept, nix) if sandboxed else own_top(kept, nix)
    root = root_entries(nix, who, top)
    made = (
        *root,
        *network_files(nix, machine, who),
        *devices(nix, machine),
        *inputs(nix, writable=request.inputs_writable),
        *partial_outputs(nix, who),
        *top_entries(top, who, {entry.path for entry in root}),
        build_directory(kept, who, request, top),
        *kernel_filesystems(nix),
    )
    shown = shell_entries(nix, machine, who, made, own_shell(kept, nix, request))
    entries = (*without(made, shown), *shown)
    return Sandbox(
        name=kept.name_hint or kept.env_vars.name,
        profile=str(nix.profile),
        namespaces=namespaces(nix, sandboxed=True),
        uid_map=IdMap(inside=who.inside_uid, outside=who.build_uid, count=who.ids),
        gid_map=IdMap(inside=who.inside_gid, outside=who.build_gid, count=who.ids),
        host_name="localhost",
        domain_name="(none)",
        entries=entries,
        process=process(kept, nix, machine, request, who, top),
        environment_source=environment_source(kept, nix),
        notes=notes(kept, nix, machine, who),
        looked=looked_at(kept, nix),
    )


def looked_at(kept: KeptDirectory, nix: NixFacts) -> tuple[Looked, ...]:
    """What was found and belongs to others: the kept directory, and what comes from the store."""
    return (kept.looked, *nix.looked) if kept.looked is not None else nix.looked


def environment_source(kept: KeptDirectory, nix: NixFacts) -> str:
    """Where the variables come from, in words: shown by `nbs plan` and when a session starts."""
    if kept.env_vars.state == "read" and kept.env_vars.shell:
        return "env-vars"
    if nix.environment is None:
        return "none"
    return f"the derivation (env-vars {why_not(kept.env_vars)})"
