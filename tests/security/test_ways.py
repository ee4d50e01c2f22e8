"""What a program makes of the root that it has leads nothing of ours out of its workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Kept, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import RunTool

pytestmark = pytest.mark.namespaces

EXCHANGE = """
    cd /; do_() { /build/busybox "$@" || exit 90; }
    store() { do_ mv /nix /nix.old; do_ mkdir /nix; do_ ln -s "$1" /nix/store; }
    tmp() { do_ mv /tmp /tmp.old; do_ ln -s "$1" /tmp; }
    store_back() { do_ rm /nix/store; do_ rmdir /nix; do_ mv /nix.old /nix; }
    tmp_back() { do_ rm /tmp; do_ mv /tmp.old /tmp; }
"""


@pytest.fixture
def place(tmp_path: Path, user: int | None, open_directory: Path) -> Iterator[Path]:
    """A directory of the caller's, with what nobody else is to see."""
    made = open_directory / tmp_path.name
    for name in ("home", "state"):
        (made / name).mkdir(mode=0o700, parents=True)
    (made / "home/secret").write_text("the caller's key\n")
    _give(made, user)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def kept(hand_made: Kept, place: Path, user: int | None) -> Kept:
    """A kept directory of the caller's own, whose sandbox has a root that the build can write to."""
    path = place / "built"
    shutil.copytree(hand_made.path, path)
    shutil.copy(program("busybox"), path / "busybox")
    _give(path, user)
    return Kept(path=str(path), store=hand_made.store, packages=hand_made.packages)


def _give(tree: Path, user: int | None) -> None:
    if os.getuid() == 0:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, user or 0, user or 0, follow_symlinks=False)


def nothing_is_lost(place: Path) -> bool:
    """Is the caller's directory as it was, and no copy of what is in it anywhere else?"""
    home = {path.name: path.read_text() for path in (place / "home").iterdir()}
    files = (path for path in (place / "state").rglob("*") if path.is_file())
    taken = [path for path in files if b"the caller's key" in path.read_bytes()]
    return home == {"secret": "the caller's key\n"} and not taken


def test_a_store_that_was_moved_is_neither_copied_nor_put_back(
    kept: Kept, place: Path, user: int | None, run_nbs: RunTool
) -> None:
    script = f"""{EXCHANGE}
        echo 'of the build' > /nix/store/authorized_keys; snapshot first; echo "first $?"
        store {place}/home; snapshot stolen; echo "stolen $?"; restore first; echo "restored $?"
        restore failed; echo "failed $?"; store_back
        snapshot again; echo "again $?"; restore first; echo "back $?"; cat /nix/store/authorized_keys
    """
    environment = {"NBS_STATE_HOME": str(place / "state")}
    words = ("shell", "--store", kept.store, kept.path)
    done = run_nbs(*words, input=script.encode(), as_user=user, env=environment)
    said = [line for line in done.stdout.decode().splitlines() if ": " not in line]
    assert said == [
        *("first 0", "stolen 125", "restored 125", "failed 125", "again 0", "back 0"),
        "of the build",
    ], done.stderr.decode()
    assert done.stderr.count(b"`/nix/store` was moved by what runs inside") == 3
    assert nothing_is_lost(place)


def test_a_tmp_that_was_moved_is_copied_as_the_link_that_it_is(
    kept: Kept, place: Path, user: int | None, run_nbs: RunTool
) -> None:
    script = f"""{EXCHANGE}
        echo note > /tmp/note; snapshot first
        tmp {place}/home; snapshot link; restore first; echo "back $? $(</tmp/note)"
        restore link; echo "link $?"; restore failed; echo "failed $?" /tmp/*
    """
    environment = {"NBS_STATE_HOME": str(place / "state")}
    words = ("shell", "--store", kept.store, kept.path)
    done = run_nbs(*words, input=script.encode(), as_user=user, env=environment)
    said = [line for line in done.stdout.decode().splitlines() if ": " not in line]
    assert said[0] == "back 0 note", done.stderr.decode()
    assert nothing_is_lost(place)


@pytest.mark.parametrize("what", ["store", "tmp"])
def test_from_outside_nothing_is_copied_or_compared_by_such_a_link(
    kept: Kept, place: Path, user: int | None, run_nbs: RunTool, tool_command, what: str
) -> None:
    argv, environment = tool_command("sandbox.cli.nbs", user)
    environment |= {"NBS_STATE_HOME": str(place / "state")}
    who = {} if user is None or os.getuid() != 0 else {"user": user, "group": user}
    living = subprocess.Popen(
        [*argv, "shell", "--store", kept.store, kept.path],
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **who,
    )
    assert living.stdin is not None
    assert living.stdout is not None
    try:
        living.stdin.write(f"{EXCHANGE}\n{what} {place}/home; echo ready\n".encode())
        living.stdin.flush()
        assert living.stdout.readline() == b"ready\n"
        name = os.listdir(place / "state/ws")[0]
        for words in (("shell", "--ws", name, "--fork", "--", "true"), ("diff", name)):
            done = run_nbs(*words, as_user=user, env=environment)
            if what == "store":
                assert b"(workspace-rearranged, 125)" in done.stderr, words
            assert b"secret" not in done.stdout + done.stderr
        assert nothing_is_lost(place)
    finally:
        living.communicate()
