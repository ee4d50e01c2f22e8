"""`Sandbox` → `Plan`: every step, in order, with every choice already made.

Three sides carry a plan out. `prepare` happens outside, with the caller's own rights, and only in
the workspace. `namespaces` and the id maps make the sandbox's first process. `enter` happens in
that process, which has all capabilities over its own namespaces and none over the host's, and ends
with `Execute`: its first steps make the world, `restrict` the process that lives in it. No step
looks at anything to decide what to do.
"""

from __future__ import annotations

from sandbox.model.seccomp import compile_filter
from sandbox.model.spec import (
    Bind,
    BuildDirectory,
    Directory,
    File,
    Filesystem,
    IdMap,
    Inputs,
    Output,
    Sandbox,
    Symlink,
)
from sandbox.model.steps import (
    BindEach,
    BringUp,
    ChangeDirectory,
    ConnectTerminal,
    CopyTree,
    EnterStep,
    Execute,
    InstallFilter,
    MakeDirectory,
    MakeFile,
    MakeLink,
    MakePlaces,
    MakePlacesInMemory,
    Mount,
    MountOverlay,
    NoNewPrivileges,
    PivotRoot,
    PrepareStep,
    RenewKeyring,
    ScopeAbstractSockets,
    SetIds,
    SetLimit,
    SetMode,
    SetNames,
    SetOwner,
    SetParentDeathSignal,
    SetPersonality,
    SetReadOnly,
    SetSysctl,
    SetUmask,
)
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.model.spec import Looked, Process

MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x1, 0x1000, 0x4000, 0x40000, 0x100000


class Paths(Value):
    """The workspace's directories on the host, empty: the new root, the build's changes or whole
    copy, and the overlay's own."""

    root: str
    upper: str
    work: str

    def beside(self, name: str) -> str:
        """A directory of the workspace that only some sandboxes need."""
        return f"{self.root.rpartition('/')[0]}/{name}"


def paths_in(workspace: str) -> Paths:
    """Those of a workspace."""
    return Paths(root=f"{workspace}/root", upper=f"{workspace}/upper", work=f"{workspace}/work")


class Plan(Value):
    """Where a step names a source that is among those `looked` at, it has to be what it was."""

    prepare: tuple[PrepareStep, ...]
    namespaces: tuple[str, ...]
    uid_map: IdMap
    gid_map: IdMap
    enter: tuple[EnterStep, ...]
    built: int
    execute: Execute
    looked: tuple[Looked, ...] = ()

    @property
    def restrict(self) -> tuple[EnterStep, ...]:
        """What of `enter` concerns the process alone; the `built` steps before made its world."""
        return self.enter[self.built :]


def plan(sandbox: Sandbox, paths: Paths, machine: str) -> Plan:
    """The steps that make `sandbox` in the workspace at `paths`, on a `machine` as `uname -m` has
    it.

    The workspace is a parameter, so that equal builds have equal descriptions.
    """
    process = sandbox.process
    build = (
        RenewKeyring(),
        *_names(sandbox),
        *_mounts(sandbox, paths),
        PivotRoot(root=paths.root),
        *_mounts_within(sandbox),
        # In one of its own a command could mount the caller's cgroup, and freeze or kill all in it.
        SetSysctl(name="user.max_cgroup_namespaces", value="0"),
    )
    return Plan(
        prepare=(*_prepare(sandbox, paths), *_owners(sandbox, paths)),
        namespaces=sandbox.namespaces,
        uid_map=sandbox.uid_map,
        gid_map=sandbox.gid_map,
        enter=(*build, *_restrict(process, machine)),
        built=len(build),
        execute=Execute(
            program=process.program or process.argv[0],
            argv=process.argv,
            environment=process.environment,
            startup_file=process.startup_file,
        ),
        looked=sandbox.looked,
    )


def _prepare(  # noqa: C901  one case a kind of entry
    sandbox: Sandbox, paths: Paths
) -> Iterator[PrepareStep]:
    root = paths.root
    for entry in sandbox.entries:
        match entry:
            case Bind(path="/"):
                pass
            case Directory(path=path) if path != "/" and not _of_host(entry, sandbox):
                yield MakeDirectory(path=root + path)
            case File():
                path = _made_at(entry.path, sandbox, paths)
                yield MakeFile(path=path, content=entry.content, mode=entry.mode)
            case Symlink():
                yield MakeLink(path=root + entry.path, target=entry.target)
            case Bind(kind="directory"):
                yield MakeDirectory(path=root + entry.path)
            case Bind():
                yield MakeFile(path=root + entry.path)
            case Inputs():
                yield from _input_places(entry, paths, sandbox)
            case Output():
                yield _output_copy(entry, sandbox, paths)
            case BuildDirectory():
                yield from _build_directory(entry, sandbox, paths)
            case Directory() | Filesystem():
                pass


def _output_copy(output: Output, sandbox: Sandbox, paths: Paths) -> CopyTree:
    path = _made_at(output.path, sandbox, paths)
    return CopyTree(
        source=output.source,
        path=path,
        uid=output.uid,
        gid=output.gid,
        whose=_owner(sandbox),
        any_kind=True,
    )


def _owner(sandbox: Sandbox) -> int:
    """Who owns what was kept; -1 if root does, who owns all that such a build has left.

    That user may have put what belongs to others beside it, by a hard link.
    """
    sources = {entry.source for entry in sandbox.entries if isinstance(entry, BuildDirectory)}
    return next((one.uid for one in sandbox.looked if one.path in sources), 0) or -1


def _made_at(path: str, sandbox: Sandbox, paths: Paths) -> str:
    """Where what is seen at `path` is made: in the root, or in the upper layer of a store that is
    an overlay."""
    for store in sandbox.entries:
        if (
            isinstance(store, Inputs)
            and store.places != "disk"
            and path.startswith(store.path + "/")
        ):
            return paths.beside("store") + path[len(store.path) :]
    return paths.root + path


def _input_places(inputs: Inputs, paths: Paths, sandbox: Sandbox) -> Iterator[PrepareStep]:
    place = paths.root + inputs.path
    if inputs.places != "disk":
        place = paths.beside("store")
        for name in ("store", "store-work", "places"):
            yield MakeDirectory(path=paths.beside(name))
        made = next(
            e for e in sandbox.entries if isinstance(e, Directory) and e.path == inputs.path
        )
        uid, gid = sandbox.uid_map.outside, made.gid
        yield SetOwner(path=paths.beside("store-work"), mode=0o700, uid=uid, gid=gid)
        yield SetOwner(path=place, mode=made.mode, uid=made.uid, gid=gid)
    else:
        yield MakePlaces(path=place, directories=inputs.directories, files=inputs.files)
    for name, target in inputs.links:
        yield MakeLink(path=f"{place}/{name}", target=target)


def _build_directory(
    entry: BuildDirectory, sandbox: Sandbox, paths: Paths
) -> Iterator[PrepareStep]:
    """A build has its directory for itself while it runs; Nix opens it to all when it keeps it."""
    if entry.method == "copy":
        yield CopyTree(
            source=entry.source,
            path=paths.upper,
            uid=entry.uid,
            gid=entry.gid,
            whose=_owner(sandbox),
        )
    for name, content in entry.files:
        yield MakeFile(path=f"{paths.upper}/{name}", content=content)
        yield SetOwner(path=f"{paths.upper}/{name}", mode=0o644, uid=entry.uid, gid=entry.gid)
    owned = (paths.upper, paths.work) if entry.method == "overlay" else (paths.upper,)
    for path in owned:
        yield SetOwner(path=path, mode=0o700, uid=entry.uid, gid=entry.gid)


def _shows_host(sandbox: Sandbox) -> bool:
    """Is the root the host's own? Directories of the description then cover those of the host."""
    return any(isinstance(entry, Bind) and entry.path == "/" for entry in sandbox.entries)


def _of_host(entry: Directory, sandbox: Sandbox) -> bool:
    """Is it the host's store, which is there already where the root is the host's?"""
    stores = [e.path for e in sandbox.entries if isinstance(e, Inputs)]
    return entry.path in stores and _shows_host(sandbox)


def _covers_host(entry: Directory, sandbox: Sandbox) -> bool:
    """The topmost of those that are made: it brings what is made in it."""
    made = [e.path for e in sandbox.entries if isinstance(e, Directory)]
    inner = any(entry.path.startswith(path + "/") for path in made)
    return _shows_host(sandbox) and not inner and not _of_host(entry, sandbox)


def _owners(sandbox: Sandbox, paths: Paths) -> Iterator[PrepareStep]:
    """Children first: afterwards a directory may not let us in any more."""
    for entry in reversed(sandbox.entries):
        if isinstance(entry, Directory) and not _of_host(entry, sandbox):
            path = paths.root + (entry.path if entry.path != "/" else "")
            yield SetOwner(path=path, mode=entry.mode, uid=entry.uid, gid=entry.gid)


def _names(sandbox: Sandbox) -> Iterator[EnterStep]:
    if "net" in sandbox.namespaces:
        yield BringUp(interface="lo")
    if "uts" in sandbox.namespaces:
        yield SetNames(host_name=sandbox.host_name, domain_name=sandbox.domain_name)


def _mounts(sandbox: Sandbox, paths: Paths) -> Iterator[EnterStep]:
    root = paths.root
    yield Mount(source="none", target="/", flags=MS_REC | MS_PRIVATE)
    yield Mount(source=root, target=root, flags=MS_BIND)
    for entry in sandbox.entries:
        match entry:
            case Inputs():
                yield from store_mounts(entry, paths, sandbox.process)
            case Directory() if _covers_host(entry, sandbox):
                # Where the workspace lies below the root that now covers it.
                yield Mount(
                    source=root + root + entry.path, target=root + entry.path, flags=MS_BIND
                )
                yield SetReadOnly(target=root + entry.path, read_only=False)
            case Bind(within=False):
                target = root + (entry.path if entry.path != "/" else "")
                yield Mount(source=entry.source, target=target, flags=MS_BIND | MS_REC)
                if entry.read_only:
                    yield SetReadOnly(target=target, read_only=True, recursive=True)
            case File(read_only=True):
                target = root + entry.path
                yield Mount(source=target, target=target, flags=MS_BIND)
                yield SetReadOnly(target=target, read_only=True)
            case BuildDirectory():
                yield _build_mount(entry, paths, sandbox.process)
            case Filesystem():
                target = root + entry.path
                yield Mount(source="none", target=target, fstype=entry.fstype, data=entry.options)
                if entry.fstype == "devpts":
                    yield SetMode(path=target + "/ptmx", mode=0o666)
            case _:
                pass


def store_mounts(
    inputs: Inputs, paths: Paths, process: Process, upper: str = "", work: str = ""
) -> Iterator[EnterStep]:
    """The store directory stays writable: the outputs are made in it.

    Of a store that is an overlay, `upper` and `work` may be other directories than it began with.
    """
    store = paths.root + inputs.path
    if inputs.places == "disk":
        yield Mount(source=store, target=store, flags=MS_BIND)
    else:
        lower = inputs.source
        if inputs.places == "memory":
            lower = paths.beside("places")
            yield MakePlacesInMemory(
                path=lower,
                directories=inputs.directories,
                files=inputs.files,
                uid=process.uid,
                gid=process.gid,
            )
        yield MountOverlay(
            lower=lower,
            upper=upper or paths.beside("store"),
            work=work or paths.beside("store-work"),
            target=store,
            uid=process.uid,
            gid=process.gid,
        )
    yield Mount(source="none", target=store, flags=MS_SHARED)
    yield BindEach(source=inputs.source, target=store, names=(*inputs.directories, *inputs.files))
    if inputs.read_only:
        yield SetReadOnly(target=store, read_only=True, recursive=True)
        yield SetReadOnly(target=store, read_only=False)


def _build_mount(entry: BuildDirectory, paths: Paths, process: Process) -> EnterStep:
    target = paths.root + entry.path
    if entry.method != "overlay":
        return Mount(source=paths.upper, target=target, flags=MS_BIND)
    return MountOverlay(
        lower=entry.source,
        upper=paths.upper,
        work=paths.work,
        target=target,
        uid=process.uid,
        gid=process.gid,
    )


def _mounts_within(sandbox: Sandbox) -> Iterator[EnterStep]:
    """Sources inside are looked up here, when no link in them can lead out of the root."""
    for entry in sandbox.entries:
        if isinstance(entry, Bind) and entry.within:
            yield Mount(source=entry.source, target=entry.path, flags=MS_BIND)
            if entry.read_only:
                yield SetReadOnly(target=entry.path, read_only=True)


def _restrict(process: Process, machine: str) -> Iterator[EnterStep]:
    """The filter comes after all that needs a call it refuses, ids before what they would undo."""
    yield SetIds(uid=process.uid, gid=process.gid)
    if process.interactive:
        yield ConnectTerminal()
    yield ChangeDirectory(candidates=process.directories)
    if process.core_limit is not None:
        yield SetLimit(resource="core", soft=process.core_limit)
    if process.open_files_ceiling is not None:
        yield SetLimit(resource="nofile", ceiling=process.open_files_ceiling)
    yield SetUmask(umask=process.umask)
    yield SetPersonality(persona=process.personality)
    yield SetParentDeathSignal(signal=process.parent_death_signal)
    if process.no_new_privileges:
        yield NoNewPrivileges()
    if process.scope_abstract_sockets:
        yield ScopeAbstractSockets()
    if process.filter is not None:
        yield InstallFilter(program=compile_filter(process.filter, machine))
