"""What is done to a workspace that lies over a large build costs what was changed in it."""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sandbox.workspace.changes import compare
from sandbox.workspace.fork import fork
from sandbox.workspace.kept import find_workspace
from sandbox.workspace.layers import Layer, View
from sandbox.workspace.restore import restore
from sandbox.workspace.sizes import usage
from sandbox.workspace.snapshots import Trees, listed, make
from sandbox.workspace.total import total
from tests.workspace.made_kept import make as make_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DIRECTORIES, FILES = 50, 100
FEW = 80
"""Calls, of the thousands that it would be with one for each file, or some for each directory."""

_counted = mmap.mmap(-1, 8)
"""Shared with the processes that do the work."""
_EVENTS = frozenset(("open", "os.listdir", "os.scandir"))


def _count(event: str, _: tuple[object, ...]) -> None:
    if event in _EVENTS:
        _counted[:8] = (int.from_bytes(_counted[:8], "little") + 1).to_bytes(8, "little")


@contextmanager
def few_files_opened() -> Iterator[None]:
    """No more files and directories are opened and listed meanwhile, in all processes."""
    _counted[:8] = bytes(8)
    yield
    number = int.from_bytes(_counted[:8], "little")
    assert 0 < number <= FEW, number


@pytest.fixture(scope="module")
def large(open_directory: Path) -> Path:
    """A build with 5,000 files."""
    kept = open_directory / "large"
    kept.mkdir()
    (kept / "f").touch()
    for one in range(DIRECTORIES):
        (kept / f"d{one}").mkdir()
        for other in range(FILES):
            # Made at once, and as much to look at as a file of its own.
            os.link(kept / "f", kept / f"d{one}" / f"f{other}")
    return kept


def changed(place: Path, kept: Path) -> Trees:
    """A workspace over it, in which one file was changed."""
    path = make_kept(place, kept=str(kept), build=str(kept))
    os.mkdir(f"{path}/upper/d7")
    with open(f"{path}/upper/d7/f8", "w") as file:
        file.write("changed\n")
    return Trees(path=path)


def test_snapshots_and_all_else_cost_what_was_changed(
    large: Path, place: Path, run_as_caller: Callable[[Callable[[], None]], None]
) -> None:
    def check() -> None:
        # Of this child alone, and those that it forks: no hook is ever taken away again.
        sys.addaudithook(_count)
        trees = changed(place, large)
        with few_files_opened():
            assert make(trees, "one").files == 1
        with few_files_opened():
            restore(trees, "one")
        assert [one.name for one in listed(trees.path)] == ["one", "undone"]
        with few_files_opened():
            kept, upper = Layer.at(str(large)), Layer.at(f"{trees.path}/upper")
            (change,) = compare(View(kept), View(upper, kept)).changes
            kept.close()
            upper.close()
        assert change.path == "d7/f8"
        workspace = find_workspace(str(place), "hello-1.0")
        with few_files_opened():
            assert usage(workspace).changed == 1
        with few_files_opened():
            fork(str(place), "hello-1.0")

    run_as_caller(check)


def test_a_workspace_that_did_not_change_is_not_looked_through_for_the_total(
    large: Path, place: Path, run_as_caller: Callable[[Callable[[], None]], None]
) -> None:
    def check() -> None:
        sys.addaudithook(_count)
        trees = changed(place, large)
        for number in range(DIRECTORIES * 2):
            os.mkdir(f"{trees.path}/upper/n{number}")
        state, workspace = str(place), find_workspace(str(place), "hello-1.0")
        first = total(state, [workspace])
        assert first == usage(workspace).bytes
        with few_files_opened():
            assert total(state, [workspace]) == first
        make(trees, "one")
        assert total(state, [workspace]) == usage(workspace).bytes > first
        assert total(state, []) == 0

    run_as_caller(check)
