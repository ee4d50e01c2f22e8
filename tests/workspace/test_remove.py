from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from sandbox.workspace.remove import Removal, remove_entry, remove_tree
from tests.workspace.trees import UNPRIVILEGED, in_child, make_deep_tree, make_odd_tree

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[[Callable[[], None]], None]

_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


def set_immutable(path: Path, *, on: bool) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flags = bytearray(fcntl.ioctl(descriptor, _GET_FLAGS, b"\0" * 8))
        flags[0] = flags[0] | _IMMUTABLE if on else flags[0] & ~_IMMUTABLE
        fcntl.ioctl(descriptor, _SET_FLAGS, bytes(flags))
    finally:
        os.close(descriptor)


def test_an_odd_tree_is_removed_whole(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        make_odd_tree(place / "tree", secret=True)
        assert remove_tree(str(place / "tree")) == Removal()
        assert os.listdir(place) == []

    run_as_caller(check)


def test_directories_without_permissions_are_opened_up(place: Path, run_as_caller: Run) -> None:
    """As overlayfs leaves `work/work`, and as tests of builds leave much else."""

    def check() -> None:
        for mode in (0, 0o100, 0o200, 0o300, 0o400, 0o500):
            below = place / "tree" / f"{mode:o}" / "closed" / "below"
            below.mkdir(parents=True)
            (below / "file").touch()
            below.chmod(mode)
            below.parent.chmod(mode)
        assert remove_tree(str(place / "tree") + "/") == Removal()
        assert os.listdir(place) == []

    run_as_caller(check)


def test_links_are_removed_and_not_followed(place: Path) -> None:
    (place / "outside").mkdir()
    (place / "outside" / "file").touch()
    (place / "tree").mkdir()
    (place / "tree" / "link").symlink_to(place / "outside")
    (place / "link").symlink_to(place / "outside")
    assert remove_tree(str(place / "tree")) == Removal()
    assert remove_tree(str(place / "link")) == Removal()
    assert os.listdir(place) == ["outside"]
    assert os.listdir(place / "outside") == ["file"]


def test_what_is_not_there_needs_no_removing(place: Path) -> None:
    assert remove_tree(str(place / "nothing")) == Removal()
    assert remove_tree(str(place / "nothing" / "below")) == Removal()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_only_the_name_of_an_entry_can_be_removed(name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        remove_entry(name, -1)


def test_a_deep_tree_is_removed_with_few_descriptors(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        make_deep_tree(place / "tree", 3000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        assert remove_tree(str(place / "tree")) == Removal()
        assert os.listdir(place) == []

    run_as_caller(check)


def test_many_deep_branches_are_all_removed(place: Path) -> None:
    path = place / "tree"
    for _ in range(100):
        path = path / "deeper"
        for side in ("left", "right"):
            (path / side / "below").mkdir(parents=True)
    assert remove_tree(str(place / "tree")) == Removal()
    assert os.listdir(place) == []


@pytest.mark.usefixtures("as_root")
def test_what_is_another_users_is_named_and_the_rest_goes(place: Path) -> None:
    (place / "tree" / "theirs").mkdir(parents=True)
    (place / "tree" / "theirs" / "file").touch()
    (place / "tree" / "ours").touch()
    os.chown(place / "tree", UNPRIVILEGED, -1)

    def check() -> None:
        removal = remove_tree(str(place / "tree"))
        assert removal.left == 1
        assert removal.examples == ("tree/theirs/file: Permission denied",)

    in_child(check, uid=UNPRIVILEGED)
    assert os.listdir(place / "tree") == ["theirs"]


@pytest.mark.usefixtures("as_root")
def test_what_is_immutable_is_named_and_the_rest_goes(place: Path) -> None:
    (place / "tree" / "a" / "b").mkdir(parents=True)
    (place / "tree" / "a" / "b" / "held").touch()
    (place / "tree" / "a" / "free").touch()
    try:
        set_immutable(place / "tree" / "a" / "b" / "held", on=True)
    except OSError:
        pytest.skip("this file system has no immutable files")
    removal = remove_tree(str(place / "tree"))
    set_immutable(place / "tree" / "a" / "b" / "held", on=False)
    assert removal == Removal(left=1, examples=("tree/a/b/held: Operation not permitted",))
    assert os.listdir(place / "tree" / "a") == ["b"]


def test_leftovers_of_several_removals_add_up() -> None:
    one = Removal(left=150, examples=("x: Operation not permitted",) * 100)
    both = one + one
    assert both.left == 300
    assert len(both.examples) == 100
