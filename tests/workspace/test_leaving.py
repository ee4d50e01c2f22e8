"""What a run leaves comes to its place as a whole, or stays where it is told to be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import MachineError
from sandbox.session import leaving
from tests.workspace.trees import enter_mount_namespace, mount_tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def left(place: Path) -> Callable[[], Path]:
    """Make what a run has left, with what its modes keep the owner out of, and a place to go to."""

    def make() -> Path:
        upper = place / "run/upper"
        upper.mkdir(parents=True)
        (upper / "file").write_bytes(os.urandom(2 << 20))
        (upper / "closed").mkdir()
        (upper / "closed/secret").write_text("secret")
        (upper / "closed/secret").chmod(0)
        (upper / "closed").chmod(0)
        upper.chmod(0o555)
        (place / "there").mkdir()
        return upper

    return make


def test_a_directory_that_the_build_has_closed_is_taken_along(
    place: Path, left: Callable, run_as_caller: Callable
) -> None:
    def check() -> None:
        upper = left()
        leaving.move(str(upper), f"{place}/there/left", str(place))
        assert os.stat(place / "there/left").st_mode & 0o777 == 0o555
        assert not upper.exists()

    run_as_caller(check)


def test_all_of_it_comes_to_another_file_system(
    place: Path, left: Callable, run_as_caller: Callable
) -> None:
    def check() -> None:
        upper = left()
        enter_mount_namespace()
        mount_tmpfs(str(place / "there"), "8m")
        leaving.move(str(upper), f"{place}/there/left", str(place))
        for top in (upper, place / "there/left"):
            assert os.stat(top).st_mode & 0o777 == 0o555
            (top / "closed").chmod(0o700)
            (top / "closed/secret").chmod(0o600)
            assert (top / "closed/secret").read_text() == "secret"
            assert os.stat(top / "file").st_size == 2 << 20

    run_as_caller(check)


@pytest.mark.parametrize("full", [True, False])
def test_where_it_cannot_come_nothing_half_made_stays_and_nothing_is_lost(
    place: Path, left: Callable, run_as_caller: Callable, *, full: bool
) -> None:
    def check() -> None:
        upper = left()
        inode = os.stat(upper).st_ino
        path = f"{place}/there/left" if full else f"{place}/none/left"
        if full:
            enter_mount_namespace()
            mount_tmpfs(str(place / "there"), "1m")
        with pytest.raises(MachineError) as caught:
            leaving.move(str(upper), path, str(place))
        assert caught.value.reason == "output-unwritable"
        assert os.listdir(place / "there") == []
        (aside,) = place.glob("left-*")
        assert f"`{aside}`" in caught.value.evidence[-1]
        assert f"mv {aside} " in caught.value.hint
        assert (os.stat(aside).st_ino, os.stat(aside).st_mode & 0o777) == (inode, 0o555)

    run_as_caller(check)
