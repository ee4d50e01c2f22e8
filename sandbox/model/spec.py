"""What a build sees of its world, as one value: `Sandbox`.

Made by `model.rules` from what was found, changed by `model.experiment`, compared and printed by
`model.render`, and turned into steps by `model.plan`. Every entry says in `rule` where it comes
from: the function of Nix that makes it, or the setting that asks for it.

Paths are those that the builder sees, unless a field is called `source`: that is the host's. Owners
are the host's numbers; `CALLER` leaves what is made to the one who makes it.
"""

from __future__ import annotations

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.seccomp import Filter

CALLER = -1


class Looked(Value):
    """Something of the host as it was when it was looked at. What is used later has to be the same.

    `path` is what a `source` calls it, `real` the way to it by no link. Whoever owns a directory on
    that way can exchange it at any moment, for a link to what only the caller may see. `device` is
    None if it was looked at long ago: it may have another number since the machine was started.
    `born_ns` is when it was made, 0 where that is not known: a number is given again.
    """

    path: str
    real: str
    device: int | None
    inode: int
    uid: int
    born_ns: int = 0


class Directory(Value):
    """A directory of the root file system, made new for this sandbox."""

    path: str
    mode: int
    uid: int = CALLER
    gid: int = CALLER
    rule: str


class File(Value):
    """A regular file with a fixed content, made new for this sandbox.

    `read_only`: not even its owner can write it. In the store it is an input that Nix has not.
    """

    path: str
    content: str
    mode: int = 0o644
    read_only: bool = False
    rule: str


class Symlink(Value):
    """A symbolic link. Its target is never resolved on the host."""

    path: str
    target: str
    rule: str


class Bind(Value):
    """A path of the host that is seen at `path`. `kind` is "directory" or "file" (any non-
    directory).

    `within`: `source` is a path inside the sandbox instead, looked up when its root is in place.
    """

    path: str
    source: str
    kind: str
    read_only: bool = False
    within: bool = False
    rule: str


class Filesystem(Value):
    """A fresh file system: proc, tmpfs, devpts, sysfs."""

    path: str
    fstype: str
    options: str = ""
    rule: str


class BuildDirectory(Value):
    """The workspace: a private, writable view of what the failed build left.

    `method` is "overlay" (nothing is copied until it changes), "copy", or "empty" for a build that
    has not begun; `files` are then what Nix puts there, as pairs of a name and the content.
    """

    path: str
    source: str
    method: str
    files: tuple[tuple[str, str], ...] = ()
    uid: int = CALLER
    gid: int = CALLER
    rule: str


class Inputs(Value):
    """The input closure: store paths seen at their own names, one mount each.

    `directories` and `files` are names below both `path` and `source`; `links` are pairs of a name
    and what the link says. Nothing else of the host's store is visible. `places` is where the
    empty directories lie that are mounted on: on "disk" with the rest of the root, or in "memory"
    below an overlay, for closures so large that a disk would take longer than all else. "store"
    puts the whole store of the host below the overlay instead, when that was asked for.
    """

    path: str
    source: str
    directories: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    read_only: bool = True
    places: str = "disk"
    rule: str


class Output(Value):
    """A private copy of what the failed build had already put at one of its outputs."""

    path: str
    source: str
    uid: int = CALLER
    gid: int = CALLER
    rule: str


Entry = Directory | File | Symlink | Bind | Filesystem | BuildDirectory | Inputs | Output


class IdMap(Value):
    """The one line of uid_map or gid_map (user_namespaces(7))."""

    inside: int
    outside: int
    count: int = 1

    def __str__(self) -> str:
        return f"{self.inside} {self.outside} {self.count}"

    def seen_inside(self, outside: int) -> int | None:
        """The number inside of an id of the host; None if it has none."""
        number = outside - self.outside
        return self.inside + number if 0 <= number < self.count else None


class Process(Value):
    """The command: PID 1 inside.

    `program` is what is executed, `argv[0]` if it is empty. `directories` are tried in turn, the
    first that exists becomes the working directory.
    `interactive` gives it a controlling terminal. `core_limit` and `open_files` are soft limits in
    the kernel's units; None keeps what the caller has.
    """

    argv: tuple[str, ...]
    program: str = ""
    environment: tuple[tuple[str, str], ...]
    directories: tuple[str, ...]
    uid: int
    gid: int
    umask: int = 0o022
    personality: int = 0
    no_new_privileges: bool = True
    filter: Filter | None = None
    scope_abstract_sockets: bool = False
    core_limit: int | None = 0
    open_files_ceiling: int | None = None
    parent_death_signal: int = 9
    interactive: bool = False
    startup_file: str = ""


class Note(Value):
    """What a person must know about this sandbox: how it differs from the build's own, and why."""

    subject: str
    text: str


class Sandbox(Value):
    """All that decides what the command inside sees and may do.

    `looked` has those sources of entries that others than the caller may be able to exchange.
    """

    name: str
    profile: str
    namespaces: tuple[str, ...]
    uid_map: IdMap
    gid_map: IdMap
    host_name: str
    domain_name: str
    entries: tuple[Entry, ...]
    process: Process
    environment_source: str
    notes: tuple[Note, ...] = ()
    looked: tuple[Looked, ...] = ()
