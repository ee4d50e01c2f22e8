"""Putting a snapshot back into the place of what is there.

    WORKSPACE/restoring/plan.json    what is exchanged, in order
                        new/         copies of the snapshot's trees, until they are in their places
                        old/         what was in the places; in the end it becomes `undone`

Until the directory has this name, nothing has happened, and a half-made one is swept with the other
unnamed ones. From then on the restore is carried through, if need be by whoever has the
workspace next: each step can be seen to be done, or not, by what is where. So a restore that is
killed is either undone or finished, and the snapshot itself is only read.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time

from sandbox.errors import MachineError
from sandbox.linux import syscalls
from sandbox.linux.looked import STALE, open_looked, require_looked
from sandbox.model.value import Value
from sandbox.workspace.copy import Links, copy_entry, copy_open
from sandbox.workspace.kept import OUTPUTS, RESTORING, STORE, STORE_WORK, TMP, UPPER, WORK
from sandbox.workspace.refusals import refusal
from sandbox.workspace.remove import remove_tree
from sandbox.workspace.rights import with_rights
from sandbox.workspace.snapshots import (
    FAILED,
    UNDONE,
    Shelf,
    Snapshot,
    Trees,
    copy_part,
    expect,
    record,
)
from sandbox.workspace.tally import Tally
from sandbox.workspace.ways import Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.workspace.snapshots import First, Progress

_PLAN = "plan.json"
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
_LARGEST_PLAN = 1 << 24


class Exchange(Value):
    """`place` is relative to the workspace; `name` is in both `new` and `old`.

    `had` and `gets`: was there something before, and is there something afterwards?
    """

    name: str
    place: str
    had: bool
    gets: bool


def restore(
    trees: Trees,
    name: str,
    *,
    replace: Callable[[str, Callable[[], None]], None] | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Make the trees what they were when the snapshot was made; `undone` keeps what they are now.

    For whoever has the lock of the workspace. In a session nobody may be in the build directory;
    `progress` is told now and then how much is copied, while it waits for others too; what it
    raises ends it. `replace` is given the directory that has the new `upper` and `work`, and
    `store` and `store-work` if an overlaid store has to change, before they are in their places,
    and what exchanges the trees: it has to call that, and to put the new directories before the
    session's eyes.

    The names of the outputs that stay as they are: `failed` cannot bring back what the store has no
    more.

    Raises UsageError `snapshot-unknown`, and as `snapshots.make`: then nothing has changed. What is
    moved out of its place after that is left where it is.
    """
    with Shelf(trees.path, progress) as shelf:
        _carry_through(trees.path, shelf)
        expect(trees.path, name)
        new = shelf.fresh()
        # Opened here: with more rights the owners of others' files have no number to know them by.
        opened = _open_firsts(trees) if name == FAILED else {}
        try:
            with_rights(
                lambda tally: _build(trees, shelf, name, new, opened, tally), Tally(progress)
            )
            with Ways(trees.path) as ways:
                _write_plan(new, _exchanges(trees, new, ways))
            record(Snapshot(name=UNDONE, created=time.time()), f"{new}/old")

            def exchange() -> None:
                os.rename(new, f"{trees.path}/{RESTORING}")
                with_rights(lambda _: _exchange_all(trees.path), Tally())

            if replace is not None:
                replace(f"{new}/new", exchange)
            else:
                exchange()
        except OSError as error:
            raise refusal(error, trees.path) from None
        finally:
            shelf.sweep()
            for handle in opened.values():
                os.close(handle)
        _carry_through(trees.path, shelf)
    lost = trees.firsts if name == FAILED else ()
    return tuple(os.path.basename(first.path) for first in lost if first.path not in opened)


def recover(path: str) -> bool:
    """Carry through a restore that was interrupted; whether there was one.

    For whoever has taken the lock of the workspace, before anything else.
    """
    if not os.path.lexists(f"{path}/{RESTORING}"):
        return False
    with Shelf(path) as shelf:
        return _carry_through(path, shelf)


def _carry_through(path: str, shelf: Shelf) -> bool:
    restoring = f"{path}/{RESTORING}"
    if not os.path.lexists(restoring):
        return False
    with_rights(lambda _: _exchange_all(path), Tally())
    old = f"{restoring}/old"
    if os.path.lexists(old):
        for name in (WORK, STORE, STORE_WORK):
            remove_tree(f"{old}/{name}")
        shelf.take_away(UNDONE)
        os.rename(old, shelf.at(UNDONE))
    remove_tree(restoring)
    return True


def _open_firsts(trees: Trees) -> dict[str, int]:
    """What the session began with, by its place, without the outputs that the store has no more.

    Raises EvidenceError `evidence-changed`.
    """
    opened: dict[str, int] = {}
    try:
        for first in trees.firsts:
            try:
                is_output = first.path != UPPER
                opened[first.path] = (open_looked if is_output else require_looked)(first.source)
            except OSError as error:
                if error.errno != STALE:
                    raise refusal(error, first.source.path) from None
    except BaseException:
        for handle in opened.values():
            os.close(handle)
        raise
    return opened


def _build(
    trees: Trees, shelf: Shelf, name: str, new: str, opened: dict[str, int], tally: Tally
) -> None:
    """All that is to come, and room for what has to go."""
    for part in ("new", f"new/{OUTPUTS}", "old", f"old/{OUTPUTS}"):
        os.mkdir(f"{new}/{part}", 0o700)
    upper = os.stat(f"{trees.path}/{UPPER}")
    if os.path.lexists(f"{trees.path}/{WORK}"):
        # Between sessions there is none.
        _empty(f"{new}/new/{WORK}", 0o700, upper)
    with Ways(trees.path) as ways:
        if name == FAILED:
            _build_failed(trees, ways, f"{new}/new", upper, opened, tally)
        else:
            _build_snapshot(trees, ways, shelf.at(name), new, tally)
        _build_store(trees, ways, f"{new}/new")


def _build_snapshot(trees: Trees, ways: Ways, snapshot: str, new: str, tally: Tally) -> None:
    with Links(new) as links:
        copy_part(f"{snapshot}/upper", f"{new}/new/upper", tally, links)
        if os.path.lexists(f"{snapshot}/{TMP}"):
            copy_part(f"{snapshot}/{TMP}", f"{new}/new/{TMP}", tally, links)
        elif not ways.is_missing(trees.tmp):
            _empty_tmp(trees, ways, f"{new}/new/{TMP}")
        for output in os.listdir(f"{snapshot}/{OUTPUTS}"):
            copy_part(
                f"{snapshot}/{OUTPUTS}/{output}", f"{new}/new/{OUTPUTS}/{output}", tally, links
            )


def _build_store(trees: Trees, ways: Ways, new: str) -> None:
    """The upper layer of a store that is an overlay, with the outputs, if there are or were any.

    All of it is exchanged then: below a mounted overlay nothing may be.
    """
    if not trees.overlaid or not (trees.output_names(ways) or os.listdir(f"{new}/{OUTPUTS}")):
        return
    for name in (STORE, STORE_WORK):
        status = os.stat(ways.directory(name))
        _empty(f"{new}/{name}", stat.S_IMODE(status.st_mode), status)
    for name in trees.inputs.intersection(ways.names(STORE)):
        copy_entry(ways.at(f"{STORE}/{name}"), f"{new}/{STORE}/{name}", owner=None)
    for name in os.listdir(f"{new}/{OUTPUTS}"):
        os.rename(f"{new}/{OUTPUTS}/{name}", f"{new}/{STORE}/{name}")


def _build_failed(
    trees: Trees, ways: Ways, new: str, upper: os.stat_result, opened: dict[str, int], tally: Tally
) -> None:
    """As the session was begun: with an empty upper layer, or with the copies that were made.

    Outputs that are not `opened` are as they are now.
    """
    for first in trees.firsts:
        name = os.path.basename(first.path)
        if first.path == UPPER:
            _copy_first(first, opened[UPPER], f"{new}/{UPPER}", tally)
            _own(f"{new}/{UPPER}", 0o700, upper)
        elif first.path in opened:
            _copy_first(first, opened[first.path], f"{new}/{OUTPUTS}/{name}", tally)
        elif name in trees.output_names(ways):
            with Links(new) as links:
                output = ways.at(f"{trees.outputs}/{name}")
                copy_part(output, f"{new}/{OUTPUTS}/{name}", tally, links)
    if not os.path.lexists(f"{new}/upper"):
        _empty(f"{new}/upper", 0o700, upper)
    if not ways.is_missing(trees.tmp):
        _empty_tmp(trees, ways, f"{new}/{TMP}")


def _copy_first(first: First, source: int, destination: str, tally: Tally) -> None:
    owner = (first.uid, first.gid) if os.geteuid() == 0 and first.uid >= 0 else None
    copy_open(source, destination, owner=owner, whose=first.whose, progress=tally.counter())


def _empty_tmp(trees: Trees, ways: Ways, path: str) -> None:
    _empty(path, 0o1777, os.stat(ways.directory(trees.tmp)))


def _empty(path: str, mode: int, like: os.stat_result) -> None:
    os.mkdir(path, 0o700)
    _own(path, mode, like)


def _own(path: str, mode: int, like: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, like.st_uid, like.st_gid)
    os.chmod(path, mode)


def _exchanges(trees: Trees, new: str, ways: Ways) -> tuple[Exchange, ...]:
    pairs = ((UPPER, UPPER), (WORK, WORK), *_tmp(trees, new, ways), *_outputs(trees, new, ways))
    exchanged = tuple(
        Exchange(
            name=name,
            place=place,
            had=_is_there(place, ways),
            gets=os.path.lexists(f"{new}/new/{name}"),
        )
        for name, place in pairs
    )
    return (*exchanged, *_taken_out(trees, new, ways))


def _is_there(place: str, ways: Ways) -> bool:
    above = os.path.dirname(place)
    return not (above and ways.is_missing(above)) and os.path.lexists(ways.at(place))


def _outputs(trees: Trees, new: str, ways: Ways) -> tuple[tuple[str, str], ...]:
    if os.path.lexists(f"{new}/new/{STORE}"):
        return (STORE, STORE), (STORE_WORK, STORE_WORK)
    names = {*trees.output_names(ways), *os.listdir(f"{new}/new/{OUTPUTS}")}
    return tuple((f"{OUTPUTS}/{name}", f"{trees.outputs}/{name}") for name in sorted(names))


def _taken_out(trees: Trees, new: str, ways: Ways) -> tuple[Exchange, ...]:
    """The outputs of the store that was exchanged: `undone` has outputs, and no store."""
    if not os.path.lexists(f"{new}/new/{STORE}"):
        return ()
    replaced = f"{RESTORING}/old/{STORE}"
    return tuple(
        Exchange(name=f"{OUTPUTS}/{name}", place=f"{replaced}/{name}", had=True, gets=False)
        for name in trees.output_names(ways)
    )


def _tmp(trees: Trees, new: str, ways: Ways) -> tuple[tuple[str, str], ...]:
    """As a whole; around places that are mounted on, entry by entry."""
    if not trees.places:
        return ((TMP, trees.tmp),)
    os.mkdir(f"{new}/old/{TMP}", 0o700)
    names = {*ways.names(trees.tmp), *os.listdir(f"{new}/new/{TMP}")} - trees.places
    return tuple((f"{TMP}/{name}", f"{trees.tmp}/{name}") for name in sorted(names))


def _write_plan(new: str, exchanges: tuple[Exchange, ...]) -> None:
    with open(f"{new}/{_PLAN}", "x", encoding="utf-8") as file:
        json.dump([one.fields() for one in exchanges], file)


def _exchange_all(path: str) -> None:
    restoring = f"{path}/{RESTORING}"
    try:
        with open(f"{restoring}/{_PLAN}", encoding="utf-8") as file:
            exchanges = [Exchange(**fields) for fields in json.loads(file.read(_LARGEST_PLAN))]
    except (ValueError, TypeError) as error:
        raise MachineError(
            f"`{restoring}` cannot be understood", reason="restore-damaged", evidence=(str(error),)
        ) from None
    except FileNotFoundError:
        # Only its removal was left to do.
        return
    with Ways(path) as ways:
        for one in exchanges:
            _exchange(one, ways, path)


def _exchange(one: Exchange, ways: Ways, path: str) -> None:
    restoring = f"{path}/{RESTORING}"
    if not os.path.lexists(f"{restoring}/old"):
        return
    above = os.path.dirname(one.place)
    if above == OUTPUTS and ways.is_missing(above):
        os.mkdir(f"{path}/{above}", 0o700)
    try:
        place = ways.at(one.place)
    except MachineError:
        # Whoever has moved it has it there.
        return
    old, new = f"{restoring}/old/{one.name}", f"{restoring}/new/{one.name}"
    if one.had and not os.path.lexists(old) and os.path.lexists(place):
        os.rename(place, old)
    if one.gets and os.path.lexists(new):
        try:
            os.rename(new, place)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            # A program inside has put something there in the moment before.
            syscalls.exchange(new, place)
            remove_tree(new)
