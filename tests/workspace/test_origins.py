"""What is a source and what a build made: by signs, and by the source itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.workspace.changes import compare
from sandbox.workspace.layers import Layer, View
from sandbox.workspace.origins import Origins

if TYPE_CHECKING:
    from pathlib import Path


def tree(top: Path, *names: str) -> View:
    top.mkdir()
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}, of {top.name}\n")
    return View(Layer.at(str(top)))


@pytest.fixture
def products(tmp_path: Path):
    """The paths of those changes that are taken for what the build made."""

    def told(old=(), new=(), sources=None, root: str = "hello", failed=None) -> set[str]:
        before, after = tree(tmp_path / "old", *old), tree(tmp_path / "new", *new)
        left = None if failed is None else tree(tmp_path / "failed", *failed)
        known = None if sources is None else tree(tmp_path / "sources", *sources)
        origins = Origins(before, after, root, known, before if failed is None else left)
        changed = [one for one in compare(before, after).changes if _is_file(one)]
        found = {change.path for change in changed if origins.is_product(change)}
        for view in (before, after, known, left):
            if view is not None:
                view.layers[0].close()
        return found

    return told


def _is_file(change) -> bool:
    return "file" in {side.kind for side in (change.old, change.new) if side is not None}


@pytest.mark.parametrize("known", [None, ["hello/Makefile.in"]])
def test_what_configure_makes_of_a_file_with_in_is_no_source(products, known) -> None:
    files = ["hello/Makefile.in", "hello/Makefile", "hello/main.c"]
    expected = {"hello/Makefile"} if known is None else {"hello/Makefile", "hello/main.c"}
    assert products(files, files, known) == expected


def test_a_file_that_the_source_has_is_one_though_there_is_one_with_in_beside_it(products) -> None:
    files = ["hello/config.h", "hello/config.h.in"]
    assert products(files, files) == {"hello/config.h"}


def test_the_source_itself_knows_better_than_all_signs(products) -> None:
    files = ["hello/config.h", "hello/config.h.in", "hello/lib.a"]
    assert products(files, files, files) == set()


@pytest.mark.parametrize("mark", ["config.status", "CMakeCache.txt", "build.ninja"])
def test_all_in_a_build_directory_below_the_source_is_made(products, mark) -> None:
    new = [f"hello/build/{mark}", "hello/build/src/made.c", "hello/src/main.c"]
    assert products(new=new) == {f"hello/build/{mark}", "hello/build/src/made.c"}


def test_a_source_root_that_was_configured_in_place_is_still_a_source(products) -> None:
    new = ["hello/config.status", "hello/main.c"]
    assert products(new=new) == {"hello/config.status"}


def test_the_depth_of_the_source_root_counts(products) -> None:
    new = ["top/hello/CMakeCache.txt", "top/hello/main.c"]
    assert products(new=new, root="top/hello") == {"top/hello/CMakeCache.txt"}


@pytest.mark.parametrize("directory", ["CMakeFiles", ".libs", ".deps", "__pycache__", "meson-info"])
def test_directories_of_tools_are_made_wherever_they_are(products, directory) -> None:
    new = [f"hello/sub/{directory}/deep/file.txt", "hello/sub/file.txt"]
    assert products(new=new) == {f"hello/sub/{directory}/deep/file.txt"}


def test_what_is_new_is_told_by_signs_even_where_the_source_is_known(products) -> None:
    new = ["hello/added.c", "hello/added.o"]
    assert products(new=new, sources=["hello/main.c"]) == {"hello/added.o"}


def test_what_was_not_there_when_the_build_failed_is_a_source_after_a_snapshot_too(
    products,
) -> None:
    files = ["hello/new.c", "hello/made.c"]
    assert products(files, files, ["hello/main.c"], failed=["hello/made.c"]) == {"hello/made.c"}


def test_the_variables_that_stdenv_writes_are_no_source(products) -> None:
    files = ["env-vars", "hello/env-vars"]
    assert products(files, files, files) == {"env-vars"}


def test_a_removed_file_of_a_build_directory_is_no_source(products) -> None:
    old = ["hello/build/build.ninja", "hello/build/made.c", "hello/main.c"]
    assert products(old=old, new=["hello/build/build.ninja"]) >= {"hello/build/made.c"}
