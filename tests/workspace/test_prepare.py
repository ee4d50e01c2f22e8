"""Making the new root: what is made, and what is said where it cannot be."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import MachineError
from sandbox.model.steps import MakeDirectory, MakeFile, MakeLink, MakePlaces, SetOwner
from sandbox.workspace.prepare import prepare
from tests.workspace.trees import enter_mount_namespace, mount_tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.model.steps import PrepareStep


def refusal(*steps: PrepareStep) -> MachineError:
    with pytest.raises(MachineError) as caught:
        prepare(steps, lambda _: None)
    return caught.value


@pytest.mark.namespaces
def test_a_full_disk_is_told_with_the_file_that_it_has_no_room_for(
    place: Path, run_as_caller: Callable[[Callable[[], None]], None]
) -> None:
    def check() -> None:
        enter_mount_namespace()
        mount_tmpfs(str(place), "4k")
        error = refusal(MakeFile(path=f"{place}/file", content="x" * 10_000))
        assert error.reason == "disk-full"
        assert error.evidence == (f"`{place}/file`: No space left on device",)

    run_as_caller(check)


@pytest.mark.parametrize("step", [MakeDirectory, MakeFile, MakePlaces])
def test_what_cannot_be_made_is_told_with_its_path(place: Path, step: type[PrepareStep]) -> None:
    names = {"directories": ("a",), "files": ()} if step is MakePlaces else {}
    error = refusal(step(path=f"{place}/not/there", **names))
    assert error.reason == "workspace-refused"
    assert error.evidence == (f"`{place}/not/there`: No such file or directory",)


def test_what_is_made_has_its_mode_whatever_the_umask(place: Path) -> None:
    before = os.umask(0o077)
    try:
        prepare(
            (
                MakeDirectory(path=f"{place}/directory"),
                MakeFile(path=f"{place}/directory/file", content="text\n", mode=0o444),
                MakeLink(path=f"{place}/link", target="elsewhere"),
                MakePlaces(path=f"{place}/directory", directories=("a",), files=("b",)),
                SetOwner(path=f"{place}/directory", mode=0o1777, uid=-1, gid=-1),
            ),
            lambda _: None,
        )
    finally:
        os.umask(before)
    assert stat.S_IMODE((place / "directory").stat().st_mode) == 0o1777
    assert stat.S_IMODE((place / "directory/file").stat().st_mode) == 0o444
    assert (place / "directory/file").read_text() == "text\n"
    assert os.readlink(place / "link") == "elsewhere"
    assert sorted(os.listdir(place / "directory")) == ["a", "b", "file"]
