"""From a failed build to a recipe that builds: repaired inside, made a patch, verified, built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

STDENV = ROOT / "tests/nix/stdenv.nix"
REPAIRS = {
    "check-phase": "sed -i 's,\\./test.sh,bash ./test.sh,' Makefile",
    "several-outputs": "echo 'say hello' > manual",
    "configure": (
        r"sed -i -e '/pkg-config not found/,/exit 1/ s/exit 1/:/' "
        r"-e 's,(pkg-config.*); then,(echo \"-I$buildInputs/include/greeting\"); then,' configure"
    ),
}
"""What a person types inside, where the failing phase began."""

REPAIR_INSIDE = """
import sys, sandbox
kept, store, line = sys.argv[1:]
case = sandbox.read(kept, store=store, start=True)
described = sandbox.describe(case, sandbox.Request(command=("bash", "-ec", line)))
with sandbox.new_session(case, described, store=store) as session:
    status = sandbox.enter(described, session=session)
print(session.name)
sys.exit(status)
"""
WITH_PATCH = """
let packages = import {stdenv} {{ }}; in
packages // {{
  mkDerivation = attributes: packages.mkDerivation (attributes
    // (if attributes.name == "{name}" then {{ patches = [ {patch} ]; }} else {{ }}));
}}
"""


@pytest.fixture
def environment(nix_world, tmp_path):
    """Nix as the tests have it, and a state of one's own."""
    own = {n: nix_world.environment[n] for n in ("NIX_CONF_DIR", "HOME", "USER", "TMPDIR")}
    yield {**own, "NBS_STATE_HOME": str(tmp_path / "state")}
    shutil.rmtree(tmp_path / "state", ignore_errors=True)


@pytest.mark.parametrize("case", REPAIRS)
def test_what_was_repaired_inside_is_a_patch_with_which_the_recipe_builds(
    nix_world, run_nbs, environment, tmp_path, case
) -> None:
    failure = nix_world.fail(case)
    name = repaired(failure.kept, f"{nix_world.root}/store", REPAIRS[case], environment)

    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode == 0, verified.stderr
    assert b" passes with " in verified.stderr

    patch = tmp_path / "repair.patch"
    assert run_nbs("patch", name, "-o", str(patch), env=environment).returncode == 0
    packages = WITH_PATCH.format(stdenv=STDENV, name=name, patch=patch)
    assert nix_world.build(case, "--arg", "pkgs", packages).endswith(f"-{name}")

    built = run_nbs("verify", name, "--real", "--yes", env=environment)
    assert built.returncode == 0, built.stderr
    assert os.path.exists(nix_world.physical(built.stdout.decode().split("\n")[0]))
    assert os.listdir(tmp_path / "state/run") == []


def test_what_the_recipe_itself_wrote_into_the_source_is_told_not_to_be_repaired(
    nix_world, run_nbs, environment
) -> None:
    """`patches` come before postPatch: a line that this writes is not there yet."""
    failure = nix_world.fail("compile-error")
    line = "sed -i 's/EXIT_SUCCESS$/&;/' hello.c"
    name = repaired(failure.kept, f"{nix_world.root}/store", line, environment)
    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode != 0
    assert b"patchPhase failed" in verified.stderr


def repaired(kept: str, store: str, line: str, environment: dict[str, str]) -> str:
    """Change something in a kept workspace of the build: its name."""
    done = subprocess.run(
        [sys.executable, "-c", REPAIR_INSIDE, kept, store, line],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
