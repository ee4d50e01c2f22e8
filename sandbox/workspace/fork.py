"""A copy of a kept workspace under a name of its own."""

from __future__ import annotations

import os
import time

from sandbox.errors import EvidenceError
from sandbox.workspace import tried
from sandbox.workspace.copy import Links
from sandbox.workspace.holding import Held, create, note_derivation, note_inputs
from sandbox.workspace.kept import OUTPUTS, TMP, derivation_of, find_workspace, inputs_of
from sandbox.workspace.refusals import refusal
from sandbox.workspace.rights import with_rights
from sandbox.workspace.snapshots import copy_part
from sandbox.workspace.tally import Tally
from sandbox.workspace.ways import Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.workspace.kept import Kept

_ATTEMPTS = 3


def fork(state: str, name: str, progress: Callable[[int, int], None] | None = None) -> Kept:
    """Copy the build tree, /tmp and the outputs of a workspace; not its snapshots.

    Somebody may be inside. What is written meanwhile is in the copy or not, as it happens, but no
    file is half of one state and half of another: then it is copied once more.

    Raises UsageError `workspace-unknown`, EvidenceError `source-changed` if something writes all
    the while, and MachineError as a copy does, or `workspace-rearranged`. Then nothing of it is
    left.
    """
    for left in reversed(range(_ATTEMPTS)):
        try:
            return _fork(find_workspace(state, name), state, progress)
        except EvidenceError as error:
            if error.reason != "source-changed" or not left:
                raise
    raise AssertionError  # pragma: no cover


def _fork(source: Kept, state: str, progress: Callable[[int, int], None] | None) -> Kept:
    held = Held(state, "")
    create(state, source.replace(session=0, prepared_ns=0), held)
    try:
        inputs = inputs_of(source)
        note_inputs(held.directory, inputs)
        note_derivation(held.directory, derivation_of(source))
        for one in tried.noted(source.path):
            tried.note(held.path, (*one.tried.split(" "), f"{one.name}={one.value}"))
        path = held.path
        with_rights(lambda tally: _copy(source, inputs, path, tally), Tally(progress))
        now = time.time()
        # All in it is later than that: what a fork began with is never taken for unchanged.
        return held.write(held.kept.replace(created=now, used=now, begun_ns=1, prepared_ns=1))
    except OSError as error:
        held.remove()
        raise refusal(error, state) from None
    except BaseException:
        held.remove()
        raise
    finally:
        held.forget()


def _copy(source: Kept, inputs: frozenset[str], path: str, tally: Tally) -> None:
    tmp, outputs = source.tmp_place, source.outputs_place
    with Links(path) as links, Ways(source.path) as ways:
        copy_part(source.upper, f"{path}/upper", tally, links)
        if os.path.isdir(ways.at(tmp)) and not os.path.islink(ways.at(tmp)):
            copy_part(ways.at(tmp), f"{path}/{TMP}", tally, links)
        names = [name for name in ways.names(outputs) if name not in inputs]
        if not names:
            return
        os.mkdir(f"{path}/{OUTPUTS}", 0o700)
        for name in names:
            copy_part(ways.at(f"{outputs}/{name}"), f"{path}/{OUTPUTS}/{name}", tally, links)
