"""The sources of a workspace: made once, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import MachineError
from sandbox.workspace import sources
from sandbox.workspace.kept import find_workspace
from sandbox.workspace.sizes import usage
from tests.workspace import made_kept

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 1 << 20


def fill(path: str) -> None:
    os.mkdir(path)
    Path(path, "file").write_bytes(b"x" * SIZE)


def test_they_are_made_once(place: Path, run_as_caller: Callable) -> None:
    def check() -> None:
        workspace = made_kept.make(place)
        assert not sources.are_made(workspace)
        sources.make(workspace, fill)
        assert os.listdir(sources.place_of(workspace)) == ["file"]
        sources.make(workspace, lambda _: pytest.fail("made again"))

    run_as_caller(check)


def test_they_count_in_the_size_and_are_no_change(place: Path, run_as_caller: Callable) -> None:
    def check() -> None:
        workspace = made_kept.make(place)
        sources.make(workspace, fill)
        used = usage(find_workspace(str(place), "hello-1.0"))
        assert used.bytes >= SIZE
        assert (used.changed, used.snapshots) == (0, 0)

    run_as_caller(check)


@pytest.mark.parametrize("mode", [0o755, 0])
def test_what_was_left_half_made_is_swept(place: Path, run_as_caller: Callable, mode: int) -> None:
    def check() -> None:
        workspace = made_kept.make(place)
        left = Path(workspace, ".sources-0123")
        fill(str(left))
        left.chmod(mode)
        sources.make(workspace, fill)
        assert not [name for name in os.listdir(workspace) if name.startswith(".sources")]

    run_as_caller(check)


def test_where_making_fails_nothing_is_left(place: Path, run_as_caller: Callable) -> None:
    def stopped(path: str) -> None:
        fill(path)
        raise KeyboardInterrupt

    def full(path: str) -> None:
        fill(path)
        raise OSError(28, "No space left on device", path)

    def check() -> None:
        workspace = made_kept.make(place)
        before = sorted(os.listdir(workspace))
        with pytest.raises(KeyboardInterrupt):
            sources.make(workspace, stopped)
        with pytest.raises(MachineError) as caught:
            sources.make(workspace, full)
        assert caught.value.reason == "disk-full"
        assert sorted(os.listdir(workspace)) == before
        assert not sources.are_made(workspace)

    run_as_caller(check)


def test_a_workspace_that_is_gone_is_an_error(place: Path) -> None:
    with pytest.raises(MachineError):
        sources.make(f"{place}/ws/gone", fill)
