"""Files in and out of a sandbox: two processes, a pipe, and the sandbox's own way to read a path.

One process is in the sandbox, or has its root directory and nothing else to go by, so that a link
means there what it means to a build. The other is the caller's own and works with the paths that
were typed. What goes from one to the other is a parcel (`workspace.parcel`).
"""

from __future__ import annotations

import errno
import gc
import os

from sandbox.errors import EvidenceError, MachineError, UsageError
from sandbox.linux import launch, syscalls
from sandbox.model.spec import Bind, BuildDirectory, Directory, Output, Sandbox
from sandbox.model.value import Value
from sandbox.residence import settle
from sandbox.workspace import parcel
from sandbox.workspace.parcel import BrokenParcelError, Record
from sandbox.workspace.receiving import CutError, Refused, open_place, pour_contents, receive
from sandbox.workspace.sending import send, send_contents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.spec import Entry
    from sandbox.workspace.session import Session

STANDARD = "-"
MOST_PROCESSES = 1000
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Place(Value):
    """A path in a sandbox. If a session lives in it, `session_pid` is its first process; else
    `sandbox` is entered, in `session` if that is not None.

    `directories` are those in which a relative path begins, the first that is there.
    """

    name: str
    path: str
    sandbox: Sandbox
    session_pid: int = 0
    session: Session | None = None

    @property
    def directories(self) -> tuple[str, ...]:
        return self.sandbox.process.directories

    def __str__(self) -> str:
        return f"{self.name}:{self.path}"


class Carried(Value):
    """`made` files and links, and what was left out: pairs of a path and the reason."""

    made: int = 0
    left_out: tuple[tuple[str, str], ...] = ()


def only_looked_at(sandbox: Sandbox) -> Sandbox:
    """The same sandbox with what was kept itself in the place of private copies, read-only."""
    top = next(e.path for e in sandbox.entries if isinstance(e, BuildDirectory))
    entries: list[Entry] = []
    for entry in sandbox.entries:
        match entry:
            case Directory(path=path) if path == top:
                continue
            case BuildDirectory():
                entries.append(_seen(entry.path, entry.source, entry.rule))
            case Output() if not os.path.islink(entry.source):
                entries.append(_seen(entry.path, entry.source, entry.rule))
            case _:
                entries.append(entry)
    return sandbox.replace(entries=tuple(entries))


def _seen(path: str, source: str, rule: str) -> Bind:
    kind = "directory" if os.path.isdir(source) else "file"
    return Bind(path=path, source=source, kind=kind, read_only=True, rule=rule)


def carry_out(place: Place, target: str, left_out: Callable[[str, str], None]) -> int:
    """Copy what is at `place` to the path `target`, "-" for standard output.

    How many files were made. Raises `EvidenceError` (`copy-refused`), `MachineError`
    (`copy-failed`, `disk-full`), and what entering raises.
    """
    reader, writer = os.pipe()
    base = base_of(place.path)

    def inside(root: int) -> None:
        os.close(reader)
        send_from(root, place, base, writer)

    with _Inside(place, inside, (reader, writer), writes=False):
        os.close(writer)
        try:
            if target == STANDARD:
                return _pour(reader)
            return _unpack(reader, target, base, left_out)
        except Refused as refused:
            raise _unreadable(str(place), refused) from None
        except BrokenParcelError:
            raise _broken(place) from None
        finally:
            os.close(reader)


def _unpack(reader: int, target: str, base: str, left_out: Callable[[str, str], None]) -> int:
    """A person's own links are followed in what was typed, and nowhere below it."""
    try:
        directory, name = open_place(os.open, target, base)
        try:
            return receive(directory, name, reader, left_out)
        finally:
            os.close(directory)
    except (Refused, BrokenParcelError):
        raise
    except OSError as error:
        raise unwritable(target, error) from None


def _pour(reader: int) -> int:
    record = parcel.read(reader)
    if record.kind == parcel.REFUSED:
        raise Refused(record.number, record.texts[1])
    if record.kind != parcel.FILE:
        raise Refused(errno.EISDIR, "only one file can go to standard output")
    try:
        pour_contents(reader, 1)
    except CutError:
        raise BrokenParcelError from None
    return 1


def carry_in(source: str, place: Place, left_out: Callable[[str, str], None]) -> int:
    """Copy the path `source`, "-" for standard input, to `place`; as `carry_out`."""
    handle = -1
    if source != STANDARD:
        try:
            handle = os.open(source, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(source, error) from None
    base = (
        ""
        if source == STANDARD
        else base_of(os.path.abspath(source) if _is_dots(source) else source)
    )
    reader, writer = os.pipe()
    answers, answer = os.pipe()

    def inside(root: int) -> None:
        os.close(writer)
        os.close(answers)
        receive_in(root, place, base, reader, answer)

    with _Inside(place, inside, (reader, writer, answers, answer), writes=True):
        os.close(reader)
        os.close(answer)
        try:
            _send_all(handle, base, writer)
        except BrokenPipeError:
            pass  # The other side says why.
        except OSError as error:
            raise _unreadable(source, error) from None
        finally:
            os.close(writer)
        try:
            return _hear(answers, source, place, left_out)
        finally:
            os.close(answers)
            if handle >= 0:
                os.close(handle)


def _send_all(handle: int, base: str, writer: int) -> None:
    if handle >= 0:
        send(handle, base, writer)
        return
    parcel.write(writer, Record(kind=parcel.FILE, mode=0o644, payload=b"-"))
    send_contents(0, writer)
    parcel.write(writer, Record(kind=parcel.DONE))


def _hear(answers: int, source: str, place: Place, left_out: Callable[[str, str], None]) -> int:
    """What the inside says of what became of the parcel."""
    try:
        while (record := parcel.read(answers)).kind == parcel.LEFT_OUT:
            left_out(*record.texts)
    except BrokenParcelError:
        raise _broken(place) from None
    if record.kind == parcel.REFUSED:
        path, why = record.texts
        if path:
            raise unwritable(str(place), OSError(record.number, why, path))
        raise _unreadable(source, OSError(record.number, why))
    return record.number


def base_of(path: str) -> str:
    """What a copy of it is called where a directory is named; "." for the contents of one."""
    name = path.rstrip("/").rpartition("/")[2]
    return "." if name in ("", ".", "..") else name


def _is_dots(path: str) -> bool:
    return path.rstrip("/").rpartition("/")[2] == ".."


def send_from(root: int, place: Place, base: str, out: int) -> None:
    """In the process that has the sandbox's root: read what is at the place."""
    try:
        handle = syscalls.open_in_root(root, full_path(root, place), os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        parcel.write(
            out, parcel.told(parcel.REFUSED, place.path, error.strerror or "", error.errno or 0)
        )
        return
    send(handle, base, out)


def receive_in(root: int, place: Place, base: str, source: int, answer: int) -> None:
    """In the process that has the sandbox's root: make what comes, and tell what came of it."""

    def left_out(path: str, why: str) -> None:
        parcel.write(answer, parcel.told(parcel.LEFT_OUT, path, why))

    def open_path(path: str, flags: int) -> int:
        try:
            return syscalls.open_in_root(root, path, flags)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None

    try:
        directory, name = open_place(open_path, full_path(root, place), base)
        made = receive(directory, name, source, left_out)
    except Refused as error:
        parcel.write(
            answer, parcel.told(parcel.REFUSED, "", error.strerror or "", error.errno or 0)
        )
    except BrokenParcelError:
        return
    except OSError as error:
        path = str(error.filename) if error.filename else place.path
        parcel.write(
            answer, parcel.told(parcel.REFUSED, path, error.strerror or "", error.errno or 0)
        )
    else:
        parcel.write(answer, Record(kind=parcel.DONE, number=made))


def full_path(root: int, place: Place) -> str:
    """A relative path begins where a command would."""
    if place.path.startswith("/"):
        return place.path
    for directory in place.directories[:-1]:
        try:
            os.close(syscalls.open_in_root(root, directory, os.O_PATH | os.O_DIRECTORY))
        except OSError:
            continue
        return f"{directory}/{place.path}"
    return f"{place.directories[-1]}/{place.path}"


class _Inside:
    """A context manager: `work`, with a descriptor of the sandbox's root, goes on in there."""

    def __init__(
        self, place: Place, work: Callable[[int], None], pipes: tuple[int, ...], *, writes: bool
    ) -> None:
        self._place = place
        self._work = work
        self._pipes = pipes
        self._writes = writes
        self._end: Callable[[], object] = _nothing

    def __enter__(self) -> None:
        if self._place.session_pid:
            self._end = self._beside(self._place.session_pid)
        else:
            self._end = self._in_a_new_one()

    def __exit__(self, *_: object) -> None:
        self._end()

    def _in_a_new_one(self) -> Callable[[], object]:
        """A short session: its resident does the work."""

        def life(_: object) -> int:
            if self._writes:
                # A resident could write where the build could not.
                syscalls.drop_capabilities()
            return _done(lambda: self._work(os.open("/", os.O_PATH | os.O_CLOEXEC)))

        caller = launch.Caller()
        try:
            residence = settle(
                self._place.sandbox, life, kept_open=self._pipes, session=self._place.session
            )
        finally:
            caller.restore()
        return residence.close

    def _beside(self, session: int) -> Callable[[], object]:
        """A child with the root directory of a living session, and to write with its builder's ids.

        Root must not make what belongs to itself there: its ids have no number in the sandbox.
        """
        root = root_of(session, self._place.name)
        ids = _ids_of(session) if self._writes and os.geteuid() == 0 else None
        pid = os.fork()
        if pid == 0:
            status = 125
            try:
                gc.freeze()
                syscalls.set_signal(syscalls.SIGINT, 1)
                if ids is not None:
                    os.setgroups([])
                    os.setresgid(ids[1], ids[1], ids[1])
                    os.setresuid(ids[0], ids[0], ids[0])
                status = _done(lambda: self._work(root))
            finally:
                os._exit(status)
        os.close(root)
        return lambda: os.waitpid(pid, 0)


def _nothing() -> None:
    """Nothing was begun."""


def _done(work: Callable[[], None]) -> int:
    """The pipe tells what there is to tell; nobody reads it any more if that breaks."""
    os.umask(0)
    try:
        work()
    except BrokenPipeError:
        return 1
    return 0


def root_of(session: int, name: str) -> int:
    """The root directory of the sandbox that a session lives in, by one of its processes.

    A kernel lets nobody look at it, but at its cells. Raises `MachineError`.
    """
    refused = OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    waiting = [session]
    for _ in range(MOST_PROCESSES):
        if not waiting:
            break
        pid = waiting.pop(0)
        try:
            return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            refused = error
        waiting += _children(pid)
    raise MachineError(
        f"the session in `{name}` cannot be looked into",
        reason="session-closed",
        evidence=(f"`/proc/{session}/root`: {refused.strerror}",),
        hint="type the command after the session has ended",
    )


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        return []


def _ids_of(pid: int) -> tuple[int, int]:
    """The effective user and group of a process, as the host counts."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("Uid", "Gid"):
                found[name] = int(rest.split()[1])
    return found["Uid"], found["Gid"]


def _unreadable(what: str, error: OSError) -> UsageError | EvidenceError:
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return EvidenceError(
        f"`{what}` is not there" if missing else f"`{what}` cannot be copied",
        reason="copy-missing" if missing else "copy-refused",
        evidence=() if missing else (error.strerror or str(error),),
    )


def unwritable(target: str, error: OSError) -> MachineError:
    """The error for what could not be made at `target`."""
    path = str(error.filename or target)
    evidence = (f"`{path}`: {error.strerror}",)
    if error.errno in _FULL:
        return MachineError(
            f"no space is left where `{target}` is",
            reason="disk-full",
            evidence=evidence,
            hint="`df -h` shows the file systems",
        )
    return MachineError(
        f"nothing can be copied to `{target}`", reason="copy-failed", evidence=evidence
    )


def _broken(place: Place) -> MachineError:
    return MachineError(
        f"what copied in the sandbox of `{place.name}` ended before it was done",
        reason="copy-failed",
        hint="`nbs doctor` tries what a sandbox needs",
    )
