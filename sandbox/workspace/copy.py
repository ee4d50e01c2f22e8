"""A writable copy of a directory tree, for where an overlay is not to be had.

Large trees are copied by several processes; threads do not pay, because with small files they wait
for the interpreter's lock. `spread` divides the work, `processes` shares it out, `descent` goes
down into directories, and `entries` copies what is in them.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import EvidenceError
from sandbox.linux import syscalls
from sandbox.linux.looked import require_looked
from sandbox.model.value import Value
from sandbox.workspace.descent import Pair
from sandbox.workspace.entries import Entries, open_source
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.processes import carry_out
from sandbox.workspace.refusals import refusal
from sandbox.workspace.remove import remove_entry
from sandbox.workspace.spread import Spread
from sandbox.workspace.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sandbox.model.spec import Looked

_MOST_PROCESSES = 4
_ENTRY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class CopyReport(Value):
    """What `copy_tree` did.

    `files` counts all entries but directories; `bytes` what was read or shared, without holes.
    `unreadable` are the files and directories that the caller may not read, `skipped` devices and
    other file systems: the first thousand of each, relative to the source, in os.fsdecode's form.
    An unreadable directory is there in the copy, empty; an unreadable file is not.
    """

    files: int
    bytes: int
    unreadable: tuple[str, ...] = ()
    unreadable_count: int = 0
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0


class Links:
    """Keeps hard links between the copies that it is given to, and not only within each.

    A context manager: a directory of its own in `place`, a path or an open directory on the file
    system that the copies are on.
    """

    def __init__(self, place: str | int) -> None:
        self._place = place
        self._name = f".links-{os.urandom(16).hex()}"
        self._above = self.directory = -1

    def __enter__(self) -> Self:
        place, inside = (self._place, None) if isinstance(self._place, str) else (".", self._place)
        self._above = os.open(place, OPEN_DIRECTORY, dir_fd=inside)
        try:
            os.mkdir(self._name, 0o700, dir_fd=self._above)
            self.directory = os.open(self._name, OPEN_DIRECTORY, dir_fd=self._above)
        except BaseException:
            os.close(self._above)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.directory)
        remove_entry(self._name, self._above)
        os.close(self._above)


def copy_tree(
    source: str | int,
    destination: str,
    *,
    owner: tuple[int, int] | None,
    whose: int = -1,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
    raw: bool = False,
    links: Links | None = None,
) -> CopyReport:
    """Copy the tree at `source`, a path or an open directory, into `destination`.

    `destination` is made if it is not there, else it has to be empty. As root everything becomes
    `owner`'s, user and group, or without it keeps its owner; for another caller it becomes the
    caller's. Root leaves out what is closed to `whose`, as if it could not read it either: see
    `Entries`. Content, holes, modes, times, `user.` attributes, links, fifos and sockets are kept.
    `progress` gets the files and bytes so far, some twenty times a second. With `raw` whiteouts and
    the attributes of overlayfs are kept too, as in a copy of an overlay's upper layer. `links` are
    shared with other copies.

    Raises MachineError `disk-full`, `too-many-open-files`, `workspace-unwritable` or
    `copy-interrupted`, and EvidenceError `source-changed` or `source-unreadable`. What was
    copied by then is for the caller to remove.
    """
    tally = Tally(progress)

    def made(shared: int) -> Entries:
        return Entries(tally, owner, shared, whose=whose, raw=raw)

    try:
        top = _open_top(source, destination)
        try:
            if links is None:
                with Links(top.target) as own:
                    spread = _copied(top, made(own.directory), processes)
            else:
                spread = _copied(top, made(links.directory), processes)
            spread.finish()
            return _report(tally)
        finally:
            top.close()
    except OSError as error:
        raise refusal(error, destination) from None


def copy_looked(
    looked: Looked,
    destination: str,
    *,
    owner: tuple[int, int] | None,
    whose: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> CopyReport:
    """Copy what was looked at, of whatever kind.

    Raises as `copy_tree` does, and EvidenceError `evidence-changed`.
    """
    try:
        source = require_looked(looked)
    except PermissionError as error:
        raise _unreadable(looked.path, error) from None
    except OSError as error:
        raise refusal(error, destination) from None
    try:
        return copy_open(source, destination, owner=owner, whose=whose, progress=progress)
    finally:
        os.close(source)


def copy_open(
    source: int,
    destination: str,
    *,
    owner: tuple[int, int] | None,
    whose: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> CopyReport:
    """Copy what is open, of whatever kind. Raises as `copy_tree` does."""
    if stat.S_ISDIR(os.fstat(source).st_mode):
        return copy_tree(source, destination, owner=owner, whose=whose, progress=progress)
    return copy_entry(source, destination, owner=owner, whose=whose)


def copy_entry(
    source: str | int,
    destination: str,
    *,
    owner: tuple[int, int] | None,
    links: Links | None = None,
    whose: int = -1,
) -> CopyReport:
    """Copy a single file or link; anything else is left out, and reported as skipped.

    `source` may be open with O_PATH. `links` as for `copy_tree`, and raises as that does.
    """
    place, _, name = destination.rpartition("/")
    tally = Tally(None)
    entries = Entries(tally, owner, -1 if links is None else links.directory, whose=whose)
    opened: list[int] = []
    try:
        opened.append(os.open(place or "/", OPEN_DIRECTORY))
        opened.append(os.open(source, _ENTRY) if isinstance(source, str) else os.dup(source))
        status = os.fstat(opened[1])
        if entries.is_closed(status):
            tally.unread(name)
        elif stat.S_ISREG(status.st_mode):
            # Not by its name again: another file may have it now.
            again = syscalls.own_descriptor(opened[1])
            opened.append(open_source(again, None, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            entries.shared_file(opened[2], status, name, opened[0])
        elif stat.S_ISLNK(status.st_mode):
            text = os.readlink("", dir_fd=opened[1])
            entries.fresh_node(name, opened[0], status, text)
        else:
            tally.skip(name)
    except PermissionError:
        tally.unread(name)
    except OSError as error:
        raise refusal(error, destination) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return _report(tally)


def _open_top(source: str | int, destination: str) -> Pair:
    name, directory = (source, None) if isinstance(source, str) else (".", source)
    try:
        opened = open_source(name, directory, OPEN_DIRECTORY)
    except (PermissionError, FileNotFoundError) as error:
        shown = source if isinstance(source, str) else os.readlink(syscalls.own_descriptor(source))
        raise _unreadable(shown, error) from None
    try:
        if not os.path.lexists(destination):
            os.mkdir(destination, 0o700)
        return Pair("", opened, os.open(destination, OPEN_DIRECTORY))
    except BaseException:
        os.close(opened)
        raise


def _copied(top: Pair, entries: Entries, processes: int | None) -> Spread:
    """All of it is there, but for what the directories at the top look like in the end."""
    spread = Spread(top, entries)
    wanted = processes or min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    if spread.is_much() and wanted > 1 and _is_alone():
        carry_out(len(spread.portions), spread.carry_out, entries.tally, wanted)
    else:
        for index in range(len(spread.portions)):
            spread.carry_out(index, entries.tally)
    return spread


def _unreadable(source: str, error: OSError) -> EvidenceError:
    return EvidenceError(
        f"`{source}` is no directory that you may read",
        reason="source-unreadable",
        evidence=(f"{error.strerror}",),
    )


def _report(tally: Tally) -> CopyReport:
    counts = tally.counts()
    names = {key: tuple(counts[key]) for key in ("unreadable", "skipped")}
    return CopyReport(**(counts | names))


def _is_alone() -> bool:
    """Whether this thread is the only one: a fork leaves the locks of others taken for good."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False
