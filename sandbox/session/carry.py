"""Files in and out of a sandbox: two processes, a pipe, and the sandbox's own way to read a path.

One process is in the sandbox, or has its root directory and nothing else to go by, so that a link
means there what it means to a build. The other is the caller's own and works with the paths that
were typed. What goes from one to the other is a parcel (`workspace.parcel`).
"""

from __future__ import annotations

import errno
import os

from sandbox.errors import EvidenceError, MachineError, stdout_unwritable
from sandbox.linux import syscalls
from sandbox.model.spec import Bind, BuildDirectory, Directory, Inputs, Output, Sandbox
from sandbox.session.visit import Visit, Visited
from sandbox.workspace import parcel
from sandbox.workspace.parcel import BrokenParcelError, Record
from sandbox.workspace.receiving import CutError, Refused, open_place, pour_contents, receive
from sandbox.workspace.sending import send, send_contents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.spec import Entry

STANDARD = "-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Place(Visited):
    """A path in a sandbox; a relative one begins in the first of `directories` that is there."""

    path: str

    @property
    def directories(self) -> tuple[str, ...]:
        return self.sandbox.process.directories

    def __str__(self) -> str:
        return f"{self.name}:{self.path}"


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

    How many files were made. Raises `EvidenceError` (`copy-missing`, `copy-refused`),
    `MachineError` (`copy-failed`, `disk-full`, `stdout-unwritable`), and what entering raises.
    """
    reader, writer = os.pipe()
    base = _base_of(place.path)

    def inside(root: int) -> None:
        os.close(reader)
        _send_from(root, place, base, writer)

    with Visit(place, inside, (reader, writer), writes=False):
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
        raise _unwritable(target, error) from None


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
    except (BrokenParcelError, BrokenPipeError):
        raise
    except OSError as error:
        raise stdout_unwritable(error) from None
    return 1


def carry_in(source: str, place: Place, left_out: Callable[[str, str], None]) -> int:
    """Copy the path `source`, "-" for standard input, to `place`; as `carry_out`."""
    handle, base = _open_source(source)
    reader, writer = os.pipe()
    answers, answer = os.pipe()

    def inside(root: int) -> None:
        os.close(writer)
        os.close(answers)
        _receive_in(root, place, base, reader, answer)

    with Visit(place, inside, (reader, writer, answers, answer), writes=True):
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


def _open_source(source: str) -> tuple[int, str]:
    """A descriptor of it and what a copy is called; -1 and nothing for standard input."""
    if source == STANDARD:
        return -1, ""
    # `..` has a name, which the copy gets; with `.` the contents are meant.
    named = os.path.abspath(source) if source.rstrip("/").rpartition("/")[2] == ".." else source
    try:
        return os.open(source, os.O_PATH | os.O_CLOEXEC), _base_of(named)
    except OSError as error:
        raise _unreadable(source, error) from None


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
            raise _unwritable(str(place), OSError(record.number, why, path))
        raise _unreadable(source, OSError(record.number, why))
    return record.number


def _base_of(path: str) -> str:
    """What a copy of it is called where a directory is named; "." for the contents of one."""
    name = path.rstrip("/").rpartition("/")[2]
    return "." if name in ("", ".", "..") else name


def _send_from(root: int, place: Place, base: str, out: int) -> None:
    """In the process that has the sandbox's root: read what is at the place."""
    try:
        handle = syscalls.open_in_root(root, _full_path(root, place), os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        parcel.write(out, parcel.refused(place.path, error))
        return
    send(handle, base, out)


def _receive_in(root: int, place: Place, base: str, source: int, answer: int) -> None:
    """In the process that has the sandbox's root: make what comes, and tell what came of it."""

    def left_out(path: str, why: str) -> None:
        parcel.write(answer, parcel.left_out(path, why))

    def open_path(path: str, flags: int) -> int:
        try:
            return syscalls.open_in_root(root, path, flags)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None

    try:
        directory, name = open_place(open_path, _full_path(root, place), base)
        _require_to_stay(directory, place.sandbox)
        made = receive(directory, name, source, left_out)
    except Refused as error:
        parcel.write(answer, parcel.refused("", error))
    except BrokenParcelError:
        return
    except OSError as error:
        path = str(error.filename) if error.filename else place.path
        parcel.write(answer, parcel.refused(path, error))
    else:
        parcel.write(answer, Record(kind=parcel.DONE, number=made))


def _require_to_stay(directory: int, sandbox: Sandbox) -> None:
    """Nothing is made where it would go with the sandbox. Raises OSError.

    Where an open directory is, by whatever links it was come to, proc_pid_fd(5) tells.
    """
    is_at = os.readlink(syscalls.own_descriptor(directory))
    tops = [e.path for e in sandbox.entries if isinstance(e, BuildDirectory | Inputs)]
    if not any(f"{is_at}/".startswith(f"{top}/") for top in (*tops, "/tmp")):  # noqa: S108
        why = "only the build's directory, /tmp and outputs stay"
        raise OSError(errno.EPERM, why, is_at)


def _full_path(root: int, place: Place) -> str:
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


def _unreadable(what: str, error: OSError) -> EvidenceError:
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return EvidenceError(
        f"`{what}` is not there" if missing else f"`{what}` cannot be copied",
        reason="copy-missing" if missing else "copy-refused",
        evidence=() if missing else (error.strerror or str(error),),
    )


def _unwritable(target: str, error: OSError) -> MachineError:
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
