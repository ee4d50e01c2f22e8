"""A patch is for the source as `patches` leave it, whatever the build has made of it since."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox.repair.patching import patch
from sandbox.workspace import sources
from sandbox.workspace.compared import Comparison, Where
from sandbox.workspace.kept import find_workspace
from tests.workspace import made_kept

if TYPE_CHECKING:
    from pathlib import Path

LATER = "the build itself changes it after `patches`"
TEXT = "".join(f"line {number}\n" for number in range(1, 21))


@pytest.fixture
def made(tmp_path: Path):
    """The patch of a workspace of which three trees are given: file by file, None for no file."""

    def make(**files: tuple[str | None, str | None, str | None]):
        trees = {name: tmp_path / name / "hello" for name in ("source", "kept", "now")}
        for number, tree in enumerate(trees.values()):
            tree.mkdir(parents=True)
            for file, contents in files.items():
                content = contents[number]
                if content is not None:
                    _write(tree / file, content)
        made_kept.make(tmp_path, method="copy")
        workspace = find_workspace(str(tmp_path), "hello-1.0")
        os.rmdir(workspace.upper)
        shutil.copytree(tmp_path / "now", workspace.upper, symlinks=True)
        source = str(tmp_path / "source")
        sources.make(workspace.path, lambda path: shutil.copytree(source, path, symlinks=True))
        where = Where(top="/build", store="/nix/store", root="hello")
        with Comparison(workspace, where) as compared:
            found = patch(compared)
        if found.text:
            command = ["patch", "-p1", "--fuzz=0", "--quiet"]
            subprocess.run(command, input=found.text, cwd=trees["source"], check=True)
        return found, trees["source"]

    return make


def _write(path: Path, content: str) -> None:
    """A file, an executable one after "+x ", a link after "-> "."""
    if content.startswith("-> "):
        path.symlink_to(content[3:])
        return
    path.write_text(content.removeprefix("+x "))
    path.chmod(0o755 if content.startswith("+x ") else 0o644)


def test_what_the_build_has_left_alone_is_as_before(made) -> None:
    found, source = made(a=(TEXT, TEXT, TEXT.replace("line 3\n", "three\n")))
    assert (source / "a").read_text() == TEXT.replace("line 3\n", "three\n")
    assert (found.carried, found.left_out) == ((), ())


def test_a_change_beside_one_of_the_build_s_is_carried(made) -> None:
    kept = TEXT.replace("line 4\n", "of the build\nand more\n")
    found, source = made(a=(TEXT, kept, kept.replace("line 5\n", "five\n")))
    assert (source / "a").read_text() == TEXT.replace("line 5\n", "five\n")
    assert (found.files, found.carried, found.left_out) == (("a",), ("a",), ())


def test_lines_that_both_changed_are_left_out_by_number(made) -> None:
    kept = TEXT.replace("line 4\n", "of the build\n")
    now = kept.replace("of the build\n", "mine\nboth\n").replace("line 20\n", "twenty\n")
    found, source = made(a=(TEXT, kept, now))
    assert found.left_out == (("a, lines 4-5", LATER),)
    assert (source / "a").read_text() == TEXT.replace("line 20\n", "twenty\n")


@pytest.mark.parametrize(
    ("source", "kept", "now"),
    [
        (TEXT, TEXT.replace("9", "nine"), TEXT),  # what the build did is undone
        (TEXT, TEXT.replace("9", "nine"), None),
        (TEXT, None, TEXT.replace("9", "nine")),
        ("-> one", "-> two", "-> three"),
        (TEXT, "-> two", "-> three"),
    ],
)
def test_what_cannot_be_carried_is_named_and_in_no_patch(made, source, kept, now) -> None:
    found, _ = made(a=(source, kept, now))
    assert (found.text, found.left_out) == (b"", (("a", LATER),))


def test_what_was_added_or_removed_is_carried_as_it_is(made) -> None:
    found, source = made(new=(None, None, "new\n"), old=(TEXT, TEXT, None))
    assert found.files == ("new", "old")
    assert sorted(os.listdir(source)) == ["new"]


def test_what_the_build_made_is_no_source_though_nothing_but_the_source_tells(made) -> None:
    found, _ = made(generated=(None, "of configure\n", "changed\n"))
    assert (found.text, found.products) == (b"", ("generated",))


def test_a_mode_is_carried_without_the_text_that_the_build_wrote(made) -> None:
    found, source = made(a=(TEXT, "of the build\n", "+x of the build\n"))
    assert (source / "a").read_text() == TEXT
    assert os.access(source / "a", os.X_OK)
    assert found.left_out == ()


def test_a_mode_that_the_build_sets_is_left_to_it(made) -> None:
    found, source = made(a=(TEXT, f"+x {TEXT}", f"+x {TEXT}".replace("7", "seven")))
    assert (source / "a").read_text() == TEXT.replace("7", "seven")
    assert b"mode" not in found.text.partition(b"diff --git")[2]
