"""A build with so many inputs that they are mounted over a store in memory."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from sandbox.model.rules import MOST_PLACES_ON_DISK
from sandbox.model.storepath import NIX32
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


@pytest.fixture(params=["root", "unprivileged"])
def user(request: pytest.FixtureRequest, unprivileged: int) -> int | None:
    if request.param == "unprivileged":
        return unprivileged
    if os.getuid() != 0:
        pytest.skip("only root can be root")
    return None


def test_it_is_entered_and_its_outputs_can_be_made(
    many: Kept, run_tool: RunTool, user: int | None
) -> None:
    script = "set -- /nix/store/*-more; echo $#; mkdir /nix/store/out && ls -d /nix/store/out"
    done = run_tool("--store", many.store, many.path, "bash", "-c", script, as_user=user)
    assert done.stdout == f"{MORE}\n/nix/store/out\n".encode(), done.stderr.decode()
