"""The processes below one, as /proc tells them to anybody."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """One process for good: a number alone is given to another later."""

    pid: int
    started: int
    name: str


def below(pid: int) -> frozenset[Process]:
    """Every descendant of a process that has not ended."""
    children: dict[int, list[Process]] = {}
    for parent, process in _living():
        children.setdefault(parent, []).append(process)
    found, left = set(), [pid]
    while left:
        new = children.get(left.pop(), [])
        found.update(new)
        left += [process.pid for process in new]
    return frozenset(found)


def children(pid: int) -> frozenset[Process]:
    """Those that a process has itself, and that have not ended."""
    return frozenset(process for parent, process in _living() if parent == pid)


def living(processes: frozenset[Process]) -> frozenset[Process]:
    """Those of them that have not ended."""
    return processes & {process for _, process in _living()}


def _living() -> Iterator[tuple[int, Process]]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                text = file.read()
        except OSError:
            continue
        command, _, rest = text.partition(" (")[2].rpartition(") ")
        fields = rest.split()
        if fields[0] not in "ZX":
            yield int(fields[1]), Process(int(name), int(fields[19]), command)


@contextlib.contextmanager
def orphans_stay_below() -> Iterator[None]:
    """Who loses their parent meanwhile becomes a child of this process, so that it is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
