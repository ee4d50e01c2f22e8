"""Other directories in the place of some that are mounted in a living sandbox.

A forked child does it, in three places one after another. It enters the sandbox's user namespace,
where it has all capabilities, and in a private copy of the host's mount namespace mounts the new
directories: there the host's paths are, and the mounts belong to those who will write. Then it
enters the sandbox's mount namespace, looks who is inside, lets the old mounts go and attaches the
new ones. What is open in the old one stays what it was; so nobody may be left who has it open, the
first process included.
"""

from __future__ import annotations

import json
import os
import time

from sandbox.errors import MachineError
from sandbox.linux import launch, mounts, syscalls
from sandbox.linux.apply import Linux, apply
from sandbox.linux.looked import STALE, changed
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Self

    from sandbox.model.spec import IdMap, Looked
    from sandbox.model.steps import EnterStep

KILL_S, PAUSE_S = 5.0, 0.02
SHOWN = 8
LONGEST_STATUS = 8192


class Process(Value):
    """One that runs in the sandbox: its pid as those beside it count, and what it is called."""

    pid: int
    name: str


class Seen(Value):
    """The same, with its pid as the sandbox's first process counts."""

    pid: int
    process: Process


class Mounted(Value):
    """What is to be mounted at `path` inside: what is at `top`, a path of the host, after `steps`.

    With what is mounted below that, if `whole`.
    """

    path: str
    top: str
    steps: tuple[EnterStep, ...] = ()
    whole: bool = False


class Doors:
    """The namespaces of a sandbox's first process, open: nothing that it does can close them.

    To be taken before the process goes on. One that has made itself undumpable, as a resident does,
    lets nobody look at its namespaces any more.
    """

    def __init__(self, pid: int) -> None:
        self.user = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(self.user)
            raise

    def close(self) -> None:
        """Let go of them: mounts live as long as their namespace."""
        for descriptor in (self.user, self.mounts):
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def replace(
    doors: Doors,
    new: tuple[Mounted, ...],
    between: Callable[[], None],
    *,
    looked: tuple[Looked, ...] = (),
    ids: IdMap | None = None,
    places: tuple[str, ...] = (),
    resident: bool = False,
    kill: bool = False,
) -> None:
    """Mount what is `new` in the sandbox, in the place of what is mounted at the same paths.

    The process with the pid 1 is to have nothing open in `places`, directories inside; with
    `resident` the commands that it has started, whose namespaces are seen to as well. `between` is
    called when everything that may be refused has been done. What was `looked` at has to be the
    same still; `ids` are those of the sandbox.

    Raises MachineError `processes-inside`, with the names of others unless `kill` ends them, or
    with what those have open there; `remount-refused`; EvidenceError `evidence-changed`; and what
    `between` raises.
    """
    orders, report = launch.Channel.pair()
    child = os.fork()
    if child == 0:
        calls = Linux(launch.no_terminal, looked, ids)
        _child(doors, new, calls, places, orders, report, resident=resident, kill=kill)
    os.close(orders.reader)
    os.close(report.writer)
    try:
        _expect(_read(report), "ready")
        between()
        orders.send(b"go")
        _expect(_read(report), "done")
    finally:
        os.close(orders.writer)
        os.close(report.reader)
        os.waitpid(child, 0)


def _read(report: launch.Channel) -> dict[str, Any]:
    said = b""
    while not said.endswith(b"\n"):
        piece = report.receive()
        if not piece:
            return {"refused": ["", "the process that does it was ended"]}
        said += piece
    told: dict[str, Any] = json.loads(said)
    return told


def _expect(told: dict[str, Any], word: str) -> None:
    if word in told:
        return
    if "inside" in told:
        raise inside_still(tuple(Process(**fields) for fields in told["inside"]))
    if "open" in told:
        raise open_still(tuple(told["open"]))
    if "changed" in told:
        raise changed(told["changed"])
    call, why = told["refused"]
    raise MachineError(
        "another directory cannot be mounted in the sandbox",
        reason="remount-refused",
        evidence=(f"{call} = {why}",),
        hint="leave the sandbox; from outside nothing has to be mounted",
    )


def inside_still(processes: tuple[Process, ...]) -> MachineError:
    """The refusal for the sake of others who are inside."""
    count = len(processes)
    return MachineError(
        "a program still runs inside" if count == 1 else f"{count} programs still run inside",
        reason="processes-inside",
        evidence=_first_of([f"{one.name} (process {one.pid})" for one in processes]),
        hint="end them, or say `--kill`",
    )


def open_still(what: tuple[str, ...]) -> MachineError:
    """The refusal for the sake of who may stay, but has something open."""
    return MachineError(
        "the shell has something open that would be replaced",
        reason="processes-inside",
        evidence=_first_of(what),
        hint="`exec 3>&-` closes descriptor 3, `cd /` leaves a directory",
    )


def _first_of(what: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(what) - SHOWN} more",) if len(what) > SHOWN else ()
    return (*what[:SHOWN], *more)


def _child(
    doors: Doors,
    new: tuple[Mounted, ...],
    calls: Linux,
    places: tuple[str, ...],
    orders: launch.Channel,
    report: launch.Channel,
    *,
    resident: bool,
    kill: bool,
) -> None:
    """Never returns to the caller's code."""
    try:
        os.close(orders.writer)
        os.close(report.reader)
        made = _mounted(doors, new, calls)
        syscalls.setns(doors.mounts, "mnt")
        others = _others(resident=resident)
        if kill:
            others = _killed(resident=resident)
        if others:
            _tell(report, {"inside": [one.process.fields() for one in others]})
            return
        if still := _open_below(places, resident=resident):
            _tell(report, {"open": still})
            return
        nested = _nested() if resident else []
        _tell(report, {"ready": True})
        if orders.receive() == b"go":
            _put_in_place(new, made, nested)
            _tell(report, {"done": True})
    except OSError as error:
        told = {"refused": [str(error.filename or ""), os.strerror(error.errno or 0)]}
        _tell(report, {"changed": error.filename} if error.errno == STALE else told)
    except BaseException as error:  # noqa: BLE001  told outside: this process has no other way
        _tell(report, {"refused": [type(error).__name__, str(error)]})
    finally:
        os._exit(0)


def _tell(report: launch.Channel, told: dict[str, Any]) -> None:
    syscalls.write_all(report.writer, json.dumps(told).encode() + b"\n")


def _mounted(doors: Doors, new: tuple[Mounted, ...], calls: Linux) -> list[int]:
    """The new mounts, attached nowhere."""
    syscalls.setns(doors.user, "user")
    syscalls.unshare("mnt")
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    for one in new:
        for step in one.steps:
            apply(step, calls)
    return [mounts.clone_mount(one.top, recursive=one.whole) for one in new]


def _put_in_place(new: tuple[Mounted, ...], made: list[int], nested: list[int]) -> None:
    _exchange(new, made)
    for namespace in nested:
        again = [mounts.clone_mount(one.path, recursive=one.whole) for one in new]
        syscalls.setns(namespace, "mnt")
        _exchange(new, again)


def _exchange(new: tuple[Mounted, ...], made: list[int]) -> None:
    for one, mount in zip(new, made, strict=True):
        mounts.detach_mount(one.path)
        mounts.attach_mount(mount, one.path)
        os.close(mount)


def _others(*, resident: bool) -> list[Seen]:
    """Who is inside, by the sandbox's own /proc, and ought to be gone."""
    found = []
    for pid in _pids():
        status = _status(pid)
        if not status or status["State"][:1] in ("Z", "X") or pid == 1:
            continue
        if not (resident and _is_of_resident(status)):
            own = int(status["NSpid"].split()[:2][-1]) if resident else pid
            found.append(Seen(pid=pid, process=Process(pid=own, name=status["Name"])))
    return found


def _is_of_resident(status: dict[str, str]) -> bool:
    """Is it the first process of a pid namespace that the resident made for it?"""
    return status["PPid"] == "1" and status["NSpid"].split()[-1] == "1"


def _open_below(places: tuple[str, ...], *, resident: bool) -> list[str]:
    """What those who may stay have open in these places, their directories included.

    A resident cannot be looked at, and has nothing open there.
    """
    found = []
    for pid in _pids():
        status = _status(pid)
        if not (status and (_is_of_resident(status) if resident else pid == 1)):
            continue
        who = f"{status['Name']} (process 1)"
        for link, target in _links(pid):
            if f"{target}/".startswith(tuple(f"{place}/" for place in places)):
                is_directory = link in ("cwd", "root")
                found.append(
                    f"{who} is in {target}" if is_directory else f"{who} has {target} as {link}"
                )
    return found


def _links(pid: int) -> Iterator[tuple[str, str]]:
    """The directories and descriptors of a process: a name or a number, and what it leads to.

    A descriptor from outside of the sandbox is left out: its path means another file here.
    """
    seen = _mounts(pid)
    try:
        numbers = sorted(os.listdir(f"/proc/{pid}/fd"), key=int)
    except OSError:
        numbers = []
    inside = (f"fd/{n}" for n in numbers if not seen or _mount_of(pid, n) in seen)
    for link in ("cwd", "root", *inside):
        try:
            yield link.removeprefix("fd/"), os.readlink(f"/proc/{pid}/{link}")
        except OSError:
            # It is gone, or was closed meanwhile.
            continue


def _mounts(pid: int) -> set[str]:
    """The numbers of the mounts that a process sees; none if they cannot be read."""
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            return {line.split(b" ", 1)[0].decode() for line in file}
    except OSError:
        return set()


def _mount_of(pid: int, descriptor: str) -> str:
    """The number of the mount that an open file is on; "" if it was closed meanwhile."""
    try:
        with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="utf-8", errors="replace") as file:
            found = [line.split()[1] for line in file if line.startswith("mnt_id:")]
    except OSError:
        return ""
    return found[0] if found else ""


def _nested() -> list[int]:
    """The mount namespaces of the commands that a resident has started."""
    found = []
    for pid in _pids():
        status = _status(pid)
        if status and pid != 1 and status["State"][:1] not in ("Z", "X"):
            found.append(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _status(pid: int) -> dict[str, str]:
    """The fields of proc_pid_status(5); empty for a process that is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            lines = file.read(LONGEST_STATUS).split("\n")
    except OSError:
        return {}
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return fields if {"Name", "State", "PPid", "NSpid"} <= fields.keys() else {}


def _killed(*, resident: bool) -> list[Seen]:
    """End them all; who is still there after that."""
    until = time.monotonic() + KILL_S
    while others := _others(resident=resident):
        if time.monotonic() > until:
            break
        for one in others:
            _kill(one.pid)
        time.sleep(PAUSE_S)
    return others


def _kill(pid: int) -> None:
    try:
        directory = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        syscalls.kill_by_descriptor(directory, syscalls.SIGKILL)
    except OSError:
        # It has ended meanwhile; if it may not be ended, it is seen again.
        pass
    finally:
        os.close(directory)
