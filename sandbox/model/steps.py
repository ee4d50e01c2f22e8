"""The steps of a plan, as values. Each does one thing, and looks at nothing to decide how.

`PrepareStep` happens outside with the caller's own rights, `EnterStep` inside with all capabilities
over the sandbox's namespaces and none over the host's. `linux.apply` and `workspace.prepare` carry
them out; `model.plan` puts them in order.
"""

from __future__ import annotations

from sandbox.model.spec import CALLER
from sandbox.model.value import Value


class MakeDirectory(Value):
    """mkdir(2), writable for the time of preparing; `SetOwner` gives it its mode."""

    path: str


class MakeFile(Value):
    """A new regular file; an empty one is a place to mount on."""

    path: str
    content: str = ""
    mode: int = 0o644


class MakeLink(Value):
    path: str
    target: str


class MakePlaces(Value):
    """Many empty directories and files in one directory: a place to mount on for each input."""

    path: str
    directories: tuple[str, ...]
    files: tuple[str, ...]


class CopyTree(Value):
    """A private copy of a tree; whose files shall belong to `uid` and `gid`.

    `whose`: of what is closed to others, only what this user owns is copied; -1 for anybody's.
    `any_kind`: what lies at `source` may also be a single file or a link, as outputs are.
    """

    source: str
    path: str
    uid: int
    gid: int
    whose: int = -1
    any_kind: bool = False


class SetOwner(Value):
    """chown(2), unless both are -1, then chmod(2)."""

    path: str
    mode: int
    uid: int = CALLER
    gid: int = CALLER


PrepareStep = MakeDirectory | MakeFile | MakeLink | MakePlaces | CopyTree | SetOwner


class RenewKeyring(Value):
    """keyrings(7): an empty session keyring in the place of the caller's; no namespace hides it."""


class SetSysctl(Value):
    """A file below /proc/sys/user, namespaces(7): of this user namespace and of those in it."""

    name: str
    value: str


class BringUp(Value):
    interface: str


class SetNames(Value):
    host_name: str
    domain_name: str


class Mount(Value):
    """mount(2). `flags` in the kernel's bits."""

    source: str
    target: str
    fstype: str = ""
    flags: int = 0
    data: str = ""


class MountOverlay(Value):
    """An overlay with `userxattr`; `uid` and `gid` are inside ids, those of whoever will write."""

    lower: str
    upper: str
    work: str
    target: str
    uid: int
    gid: int


class BindEach(Value):
    """A bind mount for each name below `source`, at the same name below `target`."""

    source: str
    target: str
    names: tuple[str, ...]


class MakePlacesInMemory(Value):
    """A tmpfs at `path` with many empty directories and files, the lower layer of an overlay.

    They belong to `uid` and `gid`, as the namespace counts.
    """

    path: str
    directories: tuple[str, ...]
    files: tuple[str, ...]
    uid: int
    gid: int


class SetReadOnly(Value):
    """mount_setattr(2): the mount at `target`, and those below it if `recursive`."""

    target: str
    read_only: bool
    recursive: bool = False


class SetMode(Value):
    path: str
    mode: int


class PivotRoot(Value):
    root: str


class SetIds(Value):
    """setgid(2), then setuid(2)."""

    uid: int
    gid: int


class NoNewPrivileges(Value):
    pass


class InstallFilter(Value):
    """seccomp(2) with an array of struct sock_filter."""

    program: bytes


class ScopeAbstractSockets(Value):
    pass


class SetPersonality(Value):
    persona: int


class SetLimit(Value):
    """setrlimit(2): the soft limit; None is the hard one, `ceiling` at most."""

    resource: str
    soft: int | None = None
    ceiling: int = 2**64 - 1


class ChangeDirectory(Value):
    """chdir(2) to the first of `candidates` that lets itself be entered."""

    candidates: tuple[str, ...]


class ConnectTerminal(Value):
    """A pseudo-terminal of the sandbox's own devpts takes the place of the caller's terminal."""


class RenewProc(Value):
    """A proc file system of this process's own pid namespace takes the place of the one at `path`.

    For a process in a pid namespace below the one that the sandbox was made with.
    """

    path: str


class SetUmask(Value):
    umask: int


class SetParentDeathSignal(Value):
    signal: int


EnterStep = (
    RenewKeyring
    | SetSysctl
    | BringUp
    | SetNames
    | Mount
    | MountOverlay
    | BindEach
    | MakePlacesInMemory
    | RenewProc
    | SetReadOnly
    | SetMode
    | PivotRoot
    | SetIds
    | NoNewPrivileges
    | InstallFilter
    | ScopeAbstractSockets
    | SetPersonality
    | SetLimit
    | ConnectTerminal
    | ChangeDirectory
    | SetUmask
    | SetParentDeathSignal
)


class Execute(Value):
    """execve(2). `startup_file` is what the descriptor `startup_descriptor` holds, if not empty."""

    program: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    startup_file: str = ""
