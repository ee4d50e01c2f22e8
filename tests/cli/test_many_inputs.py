"""A build with so many inputs that they are mounted over a store in memory."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from sandbox.model.rules import MOST_PLACES_ON_DISK
from sandbox.model.storepath import NIX32
from sandbox.workspace.remove import remove_tree
from tests.conftest import Kept

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunTool

pytestmark = pytest.mark.namespaces
MORE = MOST_PLACES_ON_DISK + 1


@pytest.fixture(scope="module")
def many(open_directory: Path, hand_made: Kept) -> Kept:
    """What `hand_made` is, with more inputs, in a store of its own."""
    store = open_directory / "many"
    shutil.copytree(hand_made.store, store, symlinks=True, copy_function=os.link)
    inputs = [f"/nix/store/{'0' * 30}{NIX32[n % 32]}{NIX32[n // 32]}-more" for n in range(MORE)]
    for path in inputs:
        os.mkdir(f"{store}{path}")
    kept = open_directory / "many-kept" / "many"
    shutil.copytree(hand_made.path, kept)
    with (kept / "env-vars").open("a") as file:
        file.write(f'declare -x more="{" ".join(inputs)}"\n')
    if os.getuid() == 0:
        owner = os.stat(hand_made.path).st_uid
        for one in (kept, *kept.rglob("*")):
            os.chown(one, owner, owner)
    return Kept(path=str(kept), store=str(store), packages=hand_made.packages)


def test_it_is_entered_and_its_outputs_can_be_made(
    many: Kept, run_tool: RunTool, user: int | None
) -> None:
    script = "set -- /nix/store/*-more; echo $#; mkdir /nix/store/out && ls -d /nix/store/out"
    done = run_tool("--store", many.store, many.path, "bash", "-c", script, as_user=user)
    assert done.stdout == f"{MORE}\n/nix/store/out\n".encode(), done.stderr.decode()


RESTORED = """
    cd /build; ln -s nowhere dangling; mkdir /nix/store/out; echo 1 | tee state /nix/store/out/state
    snapshot one
    echo 2 | tee state /nix/store/out/state; touch /nix/store/other
    cd /nix/store/out; restore one; echo "$? $PWD" $(cat state /build/state) /nix/store/o*
    exec 3>/nix/store/out/open; restore undone; echo $?; exec 3>&-; rm /nix/store/out/open
    restore undone; echo "$?" $(cat state /build/state) /nix/store/o*
    echo 3 > state; set -- /nix/store/*-more; echo $#; [[ -d $1 ]] && echo there
    restore failed; echo /nix/store/o*; ls /build
"""


@pytest.mark.parametrize("options", [(), ("--whole-store",)], ids=["in memory", "whole store"])
def test_its_outputs_are_exchanged_while_somebody_is_inside(
    many: Kept, run_nbs: RunTool, user: int | None, open_directory: Path, options: tuple[str, ...]
) -> None:
    state = open_directory / "state-of-many"
    state.mkdir(mode=0o700)
    if user is not None and os.getuid() == 0:
        os.chown(state, user, user)
    words = ("shell", *options, "--store", many.store, many.path)
    environment = {"NBS_STATE_HOME": str(state)}
    done = run_nbs(*words, input=RESTORED.encode(), as_user=user, env=environment)
    said = [line for line in done.stdout.decode().splitlines() if not line.startswith("snapshot")]
    assert said == [
        *("1", "2"),
        "restored: one; what it replaced is `undone`",
        "0 /nix/store/out 1 1 /nix/store/out",
        "125",
        "restored: undone; what it replaced is `undone`",
        "0 2 2 /nix/store/other /nix/store/out",
        *(f"{MORE}", "there"),
        "restored: failed; what it replaced is `undone`",
        "/nix/store/o*",
        *("env-vars", "notes"),
    ], done.stderr.decode()
    assert b"bash (process 1) has /nix/store/out/open as 3" in done.stderr
    resumed = ("restore", "undone"), ("shell", "--ws", "many", "--", "cat", "/nix/store/out/state")
    for command in resumed:
        done = run_nbs(*command, as_user=user, env=environment)
    assert done.stdout == b"3\n", done.stderr.decode()
    assert remove_tree(str(state)).left == 0
