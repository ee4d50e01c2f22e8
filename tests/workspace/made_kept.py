"""Kept workspaces as sessions leave them, made without a sandbox."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.workspace.holding import Held, create, note_inputs
from sandbox.workspace.kept import Kept
from sandbox.workspace.lower import identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INPUTS = ("0123-bash", "4567-gcc")
STORE = "root/nix/store"


def record(place: Path, **more: object) -> Kept:
    fields = {
        "name": "hello-1.0",
        "path": "",
        "kept": f"{place}/kept",
        "build": f"{place}/kept",
        "identity": identity(f"{place}/kept") if (place / "kept").exists() else (1, 2, 3),
        "build_name": "hello-1.0",
        "created": 1000.0,
        "used": 2000.0,
        "store_place": STORE,
    }
    return Kept(**{**fields, **more})


def make(place: Path, *, in_session: bool = False, **more: object) -> str:
    """A workspace with nothing changed; its path. `in_session`: as a killed session leaves it."""
    held = Held(str(place), "")
    create(str(place), record(place, **more), held)
    path = held.path
    os.mkdir(f"{path}/upper", 0o700)
    os.mkdir(f"{path}/work")
    note_inputs(held.directory, INPUTS)
    if in_session:
        os.makedirs(f"{path}/{STORE}")
        os.mkdir(f"{path}/root/tmp", 0o777)
        for name in INPUTS:
            os.mkdir(f"{path}/{STORE}/{name}")
    held.write(held.kept, times=("prepared_ns",))
    held.forget()
    return path


@contextmanager
def holding(workspace: Path) -> Iterator[None]:
    """Who makes or restores a snapshot of the workspace waits meanwhile, as for another's."""
    descriptor = os.open(workspace / "snapshots", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_waited_for(workspace: Path) -> bool:
    """Has another process opened what `holding` holds, to lock it?"""
    place = str(workspace / "snapshots")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if int(pid) != os.getpid() and place in opened:
            return True
    return False
