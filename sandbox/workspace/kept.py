"""Workspaces that outlive their session: what is known of them, and which there are.

    STATE/ws/NAME/lock             held with flock(2) as long as a session, or a command, has it
                  workspace.json   what it is of (`Kept`), always replaced as a whole
                  inputs           the names in the store directory that are no outputs, a line each
                  derivation       the text of its derivation, which Nix may collect
                  attributes       see `workspace.tried`
                  session          the pid and the start time of the sandbox's first process
                  root/ work/ store/ store-work/ places/    a session's own, made anew for each
                  upper/           the build tree: what an overlay changed, or the whole copy
                  tmp/ outputs/    between sessions: what was in /tmp, and the outputs
                  snapshots/       see `workspace.snapshots`
                  restoring/       one of them is on its way back: see `workspace.restore`
                  roots/           links that keep the inputs from Nix's garbage collector

In a session /tmp lies in root/tmp, and the outputs in root/STOREDIR, or in store/ where the store
is an overlay. What a session that was killed left there is taken home by whoever has the lock next
(`workspace.harvest`). A directory whose name begins with a dot is on its way in or out.

Reading needs no lock. What changes a workspace is done through `workspace.holding`.
"""

from __future__ import annotations

import json
import os

from sandbox.errors import MachineError, UsageError
from sandbox.model.storepath import NAME_CHARACTERS
from sandbox.model.value import Value
from sandbox.workspace.files import Replacement, read_bounded
from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Copied = tuple[str, str, int, int, int, int, int, int]

VERSION = 1
RECORD, SESSION, INPUTS, ROOTS = "workspace.json", "session", "inputs", "roots"
DERIVATION, ATTRIBUTES = "derivation", "attributes"
TMP, OUTPUTS, SNAPSHOTS, RESTORING = "tmp", "outputs", "snapshots", "restoring"
UPPER, WORK, STORE, STORE_WORK = "upper", "work", "store", "store-work"
PLACES = "places"
LARGEST_RECORD = 1 << 20
LARGEST_INPUTS = LARGEST_DERIVATION = 1 << 26
LONGEST_NAME = 100
UNKNOWN = -1


class Kept(Value):
    """A kept workspace, as it was when it was looked at.

    `path` is its own directory. `kept` is the directory that the overlay lies on, `build` the one
    that a person would name to enter it again; `identity` is the inode of `kept`, when that was
    made (0: not known) and when it was changed last. `method` is "overlay" or "copy". `options` are
    pairs of an option of entering and its value. `created` and `used` are seconds since the epoch.
    What preparing made or copied has a ctime from `begun_ns` to `prepared_ns`, which is 0 until it
    is done. `build_place` is where a session sees the build tree, `store_dir` what it calls the
    store, `store_place` is where, relative to `path`, a session has the outputs; `partial` are the
    names of those that were copied there, and `places` the names that preparing made in /tmp.
    `copies` are what was copied, each with its place relative to `path`, its source, the ids it was
    given to, the source's inode and owner, -1 where those are not known, whose closed files were
    copied, and when the source was made, 0 where that is not known. `session` is the pid of a
    living session, or 0.
    """

    name: str
    path: str
    kept: str
    build: str
    identity: tuple[int, int, int]
    derivation: str = ""
    store: str = ""
    build_name: str = ""
    method: str = "overlay"
    options: tuple[tuple[str, str], ...] = ()
    created: float = 0.0
    used: float = 0.0
    begun_ns: int = 0
    prepared_ns: int = 0
    build_place: str = ""
    store_dir: str = ""
    store_place: str = ""
    partial: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    copies: tuple[Copied, ...] = ()
    session: int = 0

    @property
    def upper(self) -> str:
        """The build tree: what the overlay changed, or the whole copy."""
        return f"{self.path}/upper"

    @property
    def layers(self) -> tuple[str, ...]:
        """The directories that the build tree is made of, the topmost first."""
        return (self.upper, self.kept) if self.method == "overlay" else (self.upper,)

    @property
    def tmp_place(self) -> str:
        """Where the files of /tmp lie now, relative to `path`: see `workspace.ways`."""
        return f"root/{TMP}" if self.session else TMP

    @property
    def outputs_place(self) -> str:
        """The same of the outputs. In a session names of `inputs` lie there too."""
        return self.store_place if self.session else OUTPUTS

    @property
    def snapshots(self) -> str:
        return f"{self.path}/{SNAPSHOTS}"


def directory_of(state: str) -> str:
    """The directory that holds the kept workspaces. It need not be there."""
    return f"{state}/ws"


def name_for(build_name: str) -> str:
    """What a workspace of a build is called, if nothing else is: plain, and no hidden file."""
    name = "".join(c if c in NAME_CHARACTERS else "_" for c in build_name)[:LONGEST_NAME].lstrip(
        ".-"
    )
    return name or "build"


def is_name(name: str) -> bool:
    """Could a workspace be called so? What a person types may lead nowhere else."""
    return (
        0 < len(name) <= 2 * LONGEST_NAME
        and name[0] not in ".-"
        and NAME_CHARACTERS.issuperset(name)
    )


def workspaces(state: str) -> tuple[Kept, ...]:
    """All kept workspaces whose record can be read, the last used first."""
    found = []
    for name in names(state):
        try:
            found.append(read(state, name))
        except (OSError, MachineError):
            continue
    return tuple(sorted(found, key=lambda kept: (-kept.used, kept.name)))


def names(state: str) -> tuple[str, ...]:
    """The names that are taken, whatever is behind them."""
    try:
        return tuple(sorted(name for name in os.listdir(directory_of(state)) if is_name(name)))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def find_workspace(state: str, name: str) -> Kept:
    """The kept workspace of that name.

    Raises UsageError `workspace-unknown` and MachineError `workspace-damaged`.
    """
    try:
        if is_name(name):
            return read(state, name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    raise unknown(state, name)


def unknown(state: str, name: str) -> UsageError:
    """The error for a name that no workspace has."""
    top = directory_of(state)
    there = [one for one in names(state) if os.path.lexists(f"{top}/{one}/{RECORD}")]
    evidence = (f"there is {', '.join(there[:5])}{', …' if len(there) > 5 else ''}",)  # noqa: PLR2004
    return UsageError(
        f"no workspace is called `{name[:LONGEST_NAME]}`",
        reason="workspace-unknown",
        evidence=evidence if there else ("none is kept",),
        hint="`nbs ws ls` lists them",
    )


def read(state: str, name: str) -> Kept:
    """As `find_workspace`; OSError where there is none, or one that is only being prepared."""
    path = f"{directory_of(state)}/{name}"
    directory = os.open(path, OPEN_DIRECTORY)
    try:
        kept = read_in(directory, path)
    finally:
        os.close(directory)
    if not kept.prepared_ns:
        raise FileNotFoundError(path)
    return kept


def read_in(directory: int, path: str) -> Kept:
    """What an open directory of a workspace says of itself.

    Raises FileNotFoundError without a record, MachineError `workspace-damaged` for one that is
    none.
    """
    name = path.rpartition("/")[2]
    text = read_bounded(RECORD, directory, LARGEST_RECORD)
    try:
        return _kept(json.loads(text), name, path).replace(session=living(directory))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MachineError(
            f"the record of the workspace `{name}` cannot be read",
            reason="workspace-damaged",
            evidence=(f"`{path}/{RECORD}`: {type(error).__name__}",),
            hint=f"its files are in `{path}/upper`; `nbs ws rm {name}` removes it",
        ) from None


def _kept(data: dict[str, Any], name: str, path: str) -> Kept:
    if data["version"] != VERSION:
        raise ValueError
    inode, born_ns, mtime_ns = data["identity"]
    fields: dict[str, Any] = {
        **{field: str(data[field]) for field in _TEXTS},
        **{field: float(data[field]) for field in ("created", "used")},
        **{field: int(data[field]) for field in ("begun_ns", "prepared_ns")},
    }
    return Kept(
        name=name,
        path=path,
        identity=(int(inode), int(born_ns), int(mtime_ns)),
        options=tuple((str(option), str(value)) for option, value in data["options"]),
        partial=tuple(map(str, data["partial"])),
        places=tuple(map(str, data["places"])),
        copies=tuple(_copied(*one) for one in data["copies"]),
        **fields,
    )


def _copied(path: str, source: str, *numbers: int) -> Copied:
    known = (*numbers, *_NOT_KNOWN[len(numbers) :])
    uid, gid, inode, owner, whose, born_ns = map(int, known)
    return str(path), str(source), uid, gid, inode, owner, whose, born_ns


_NOT_KNOWN = (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, 0)


_TEXTS = (
    "kept",
    "build",
    "derivation",
    "store",
    "build_name",
    "method",
    "build_place",
    "store_dir",
    "store_place",
)


def as_record(kept: Kept) -> str:
    """The text of workspace.json. The name is in it for people; the directory's counts."""
    fields = {name: value for name, value in kept.fields().items() if name not in _NOT_RECORDED}
    return json.dumps({"version": VERSION, **fields}, indent=1) + "\n"


_NOT_RECORDED = ("path", "session")


def write_record(kept: Kept, directory: int, *, times: tuple[str, ...] = ()) -> Kept:
    """Replace workspace.json; the fields in `times` get the ctime that a file made now has."""
    with Replacement(RECORD, directory) as new:
        kept = kept.replace(**dict.fromkeys(times, new.ctime_ns()))
        new.write(as_record(kept))
        new.sync()
    return kept


def write_file(name: str, text: str, directory: int) -> None:
    """Replace another file of a workspace."""
    with Replacement(name, directory) as new:
        new.write(text)


def read_inputs(directory: int) -> frozenset[str]:
    """The names in the store directory that a session has besides outputs."""
    try:
        return frozenset(read_bounded(INPUTS, directory, LARGEST_INPUTS).splitlines())
    except FileNotFoundError:
        return frozenset()


def inputs_of(kept: Kept) -> frozenset[str]:
    """The same of one that is not open. Raises OSError if it is gone."""
    directory = os.open(kept.path, OPEN_DIRECTORY)
    try:
        return read_inputs(directory)
    finally:
        os.close(directory)


def derivation_of(kept: Kept) -> str:
    """The text of its derivation, in os.fsdecode's form; empty if it is not known."""
    try:
        directory = os.open(kept.path, OPEN_DIRECTORY)
    except OSError:
        return ""
    try:
        return read_bounded(DERIVATION, directory, LARGEST_DERIVATION)
    except OSError:
        return ""
    finally:
        os.close(directory)


def living(directory: int) -> int:
    """The pid of the session in an open workspace; 0 if none lives."""
    pid, start = noted_session(directory)
    return pid if start and start == start_time(pid) else 0


def noted_session(directory: int) -> tuple[int, str]:
    """The first process of the last session, as `holding.note_session` has written it down.

    Its pid and its start time, which is empty where nothing is noted.
    """
    try:
        pid, start = read_bounded(SESSION, directory, LONGEST_NAME).split()
        return int(pid), start
    except (OSError, ValueError):
        return 0, ""


def is_first_inside(pid: int) -> bool:
    """Is it the first process of a pid namespace below ours? proc_pid_status(5): NSpid."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            found = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
    except OSError:
        return False
    return len(found) > 1 and found[-1] == "1"


def start_time(pid: int) -> str:
    """When a process was started, in ticks since boot; empty if it has ended.

    proc_pid_stat(5), field 22.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state, *fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]
