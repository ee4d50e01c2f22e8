"""Partial outputs of a real Nix, which its store has no longer, or has anew, as time goes on."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.nix.world import NixWorld

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.nix, pytest.mark.namespaces]

RECIPE = f"""
with import {ROOT}/tests/nix/stdenv.nix {{ }};
mkDerivation {{
  name = "part-1.0";
  outputs = [ "out" "dev" ];
  buildCommand = ''
    mkdir -p $out/bin $dev/include
    echo a > $out/bin/a
    echo h > $dev/include/h.h
    false
  '';
}}
"""
CHANGE = b"echo mine > mine; chmod -R u+w $out; echo more > $out/bin/b\n"
GONE, ANOTHER = "it is gone", "another one is there now"


class Case:
    """A workspace of that build, in which a file was made and another one put into an output."""

    def __init__(
        self, nbs: Callable[..., subprocess.CompletedProcess[bytes]], kept: Path, world: NixWorld
    ) -> None:
        self.state = kept.parent / "state"
        self.nbs = nbs
        self.world = world
        done = nbs("shell", str(kept), input=CHANGE)
        assert done.returncode == 0, done.stderr.decode()
        self.name = "part-1.0"
        (self.out,) = map(str, world.store.glob("*-part-1.0"))
        (self.dev,) = map(str, world.store.glob("*-part-1.0-dev"))

    def names(self, *words: str) -> tuple[list[str], list[str]]:
        """What `nbs diff --names` prints, and what it says."""
        done = self.nbs("diff", "--names", *words, self.name)
        return done.stdout.decode().splitlines(), done.stderr.decode().splitlines()

    def lose(self, how: str) -> None:
        if how == GONE:
            self.world.output("nix-store", "--gc")
        else:
            self.world.fail(RECIPE)


@pytest.fixture(scope="module")
def world() -> Iterator[NixWorld]:
    """A store under its own name, and not below the /tmp of a build."""
    made = NixWorld(tempfile.mkdtemp(prefix="nbs-tests-", dir="/var/tmp"), diverted=False)
    made.build_stdenv()
    stdenv = str(ROOT / "tests/nix/stdenv.nix")
    made.output("nix-build", "-o", f"{made.root}/root", stdenv, "-A", "all")
    yield made
    made.remove()


@pytest.fixture
def case(world: NixWorld, run_nbs, user, open_directory) -> Iterator[Case]:
    failure = world.fail(RECIPE)
    place = Path(tempfile.mkdtemp(dir=open_directory))
    kept = place / os.path.basename(failure.kept)
    shutil.copytree(failure.kept, kept)
    if os.getuid() == 0 and user is not None:
        for path in (place, kept, *kept.rglob("*")):
            os.chown(path, user, user)
    settings = {n: v for n, v in world.environment.items() if n.startswith("NIX_")}
    env = {**settings, "NBS_STATE_HOME": str(place / "state")}
    yield Case(partial(run_nbs, as_user=user, env=env), kept, world)
    shutil.rmtree(place)


@pytest.mark.parametrize("how", [GONE, ANOTHER])
def test_an_output_that_the_store_has_lost_is_named_and_not_called_the_user_s(
    case: Case, how: str
) -> None:
    assert case.names() == (["A mine", f"A {case.out}/bin/b"], [])
    case.lose(how)
    names, said = case.names()
    assert names == ["A mine"]
    assert said == [f"not compared: {path} ({how})" for path in sorted((case.out, case.dev))]
    shown = case.nbs("diff", case.name).stdout.decode()
    assert f"#   not compared: {case.dev} ({how})\n" in shown
    document = json.loads(case.nbs("diff", "--json", case.name).stdout)
    assert {"path": case.out, "reason": how} in document["unread"]
    patch = case.nbs("patch", "--quick", "--source-root", ".", case.name)
    assert f"not compared: {case.out} ({how})\n" in patch.stderr.decode()
    assert b"+++ b/mine\n" in patch.stdout


@pytest.mark.parametrize("how", [GONE, ANOTHER])
def test_failed_brings_the_build_tree_back_and_names_the_outputs_that_stay(
    case: Case, how: str
) -> None:
    case.lose(how)
    done = case.nbs("restore", "--ws", case.name, "failed")
    assert done.returncode == 0, done.stderr.decode()
    assert sorted(done.stdout.decode().splitlines()) == [
        *(
            f"left as it is, for what the build had made there is gone: {path}"
            for path in sorted((case.dev, case.out))
        ),
        "restored: failed; what it replaced is `undone`",
    ]
    assert case.names()[0] == []
    left = case.state / "ws" / case.name / "outputs" / os.path.basename(case.out)
    assert (left / "bin/b").read_text() == "more\n"
    assert case.nbs("restore", "--ws", case.name, "undone").returncode == 0
    assert case.names()[0] == ["A mine"]


def test_failed_brings_an_output_back_that_the_store_still_has(case: Case) -> None:
    done = case.nbs("restore", "--ws", case.name, "failed")
    assert done.stdout == b"restored: failed; what it replaced is `undone`\n", done.stderr
    assert case.names() == ([], [])


def test_inside_as_well_failed_names_the_outputs_that_stay(case: Case) -> None:
    case.lose(ANOTHER)
    script = b"restore failed; ls /build; cat $out/bin/b\n"
    done = case.nbs("shell", "--ws", case.name, input=script)
    said = done.stdout.decode().splitlines()
    assert f"left as it is, for what the build had made there is gone: {case.out}" in said
    assert said[-2:] == ["env-vars", "more"], done.stderr.decode()


def test_an_output_is_not_compared_with_another_of_the_same_number(case: Case) -> None:
    """A file system gives the number of a removed file to the next one."""
    path = case.state / "ws" / case.name / "workspace.json"
    record = json.loads(path.read_text())
    for copied in record["copies"]:
        assert os.stat(copied[1]).st_ino == copied[4]
        copied[-1] -= 1
    path.write_text(json.dumps(record))
    names, said = case.names()
    assert names == ["A mine"]
    assert f"not compared: {case.out} ({ANOTHER})" in said
