"""The tests' own Nix does what the other tests rely on: it builds, fails, and keeps."""

from __future__ import annotations

import os
import pwd
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import _cache
from tests.nix.world import CASES, CHECK_FAILED, NixError, NixWorld, RealFailure

pytestmark = pytest.mark.nix

EXPECTED = {
    "build-command": "letters/a: No such file or directory",
    "check-phase": CHECK_FAILED,
    "compile-error": "error: expected ';' before '}' token",
    "configure": "configure: error: pkg-config not found",
    "content-addressed": "cp: cannot stat 'letter': No such file or directory",
    "fixed-output": "fetch: command not found",
    "functions": "testing b",
    "handed-on": CHECK_FAILED,
    "i686": "machine: i686",
    "network": "/dev/tcp/192.0.2.1/80: Network is unreachable",
    "no-chroot": "cat: /etc/of-no-host: No such file or directory",
    "odd-files": "",
    "own-builder": "wrong: 41",
    "pass-as-file": "declare: a-b: not found",
    "raw-builder": "bash: line 1: mkdir: command not found",
    "several-outputs": "cp: cannot stat 'manual': No such file or directory",
    "structured-attributes": "Running phase: buildPhase",
}
PHASES = {
    "check-phase": ["checkPhase"],
    "compile-error": ["buildPhase"],
    "configure": ["configurePhase"],
    "functions": ["checkPhase"],
    "handed-on": ["checkPhase"],
    "network": ["downloadPhase"],
    "own-builder": ["buildPhase"],
    "several-outputs": ["installPhase"],
    "structured-attributes": ["buildPhase"],
}


@pytest.fixture(scope="module")
def world(undiverted_world: NixWorld) -> NixWorld:
    return undiverted_world


def variables(failure: RealFailure) -> str:
    return Path(failure.kept, "env-vars").read_text()


def test_every_case_is_expected_to_say_something() -> None:
    assert sorted(EXPECTED) == sorted(path.stem for path in CASES.glob("*.nix"))


@pytest.mark.parametrize("case", EXPECTED)
def test_a_case_fails_as_its_comment_says(world: NixWorld, case: str) -> None:
    failure = world.fail(case)
    assert EXPECTED[case] in failure.log
    assert os.path.isdir(failure.kept)
    assert failure.drv.startswith(str(world.store))
    assert os.path.exists(failure.drv)
    begun = re.findall(r"^Running phase: (\w+)$", failure.log, re.MULTILINE)
    assert begun[-1:] == PHASES.get(case, [])


@pytest.mark.parametrize("case", EXPECTED)
def test_a_repaired_case_builds(world: NixWorld, case: str) -> None:
    assert os.path.exists(world.build(case, "--arg", "repaired", "true"))


def test_a_compiled_program_runs(world: NixWorld) -> None:
    hello = world.build("check-phase", "--arg", "repaired", "true")
    done = subprocess.run([f"{hello}/bin/hello"], capture_output=True, text=True, check=True)
    assert done.stdout == "hello world\n"
    elf = Path(hello, "bin/hello").read_bytes()
    assert f"{world.store}/".encode() in elf
    assert b"/lib64/ld-linux" not in elf


def test_env_vars_are_private_and_hold_the_state_before_the_phase(world: NixWorld) -> None:
    failure = world.fail("check-phase")
    assert stat.S_IMODE(os.stat(f"{failure.kept}/env-vars").st_mode) == 0o600
    text = variables(failure)
    assert 'declare -x NIX_BUILD_TOP="/build"\n' in text
    assert 'declare -x PWD="/build/hello"\n' in text
    assert 'declare -x HOME="/homeless-shelter"\n' in text
    assert "sourceRoot" not in text
    assert "prefix" not in text


def test_what_a_command_exports_comes_too_late_for_env_vars(world: NixWorld) -> None:
    assert "declare -x LATER=" not in variables(world.fail("build-command"))


def test_names_that_are_no_identifiers_are_not_in_env_vars(world: NixWorld) -> None:
    failure = world.fail("pass-as-file")
    assert "a name with" not in variables(failure)
    names = os.listdir(failure.kept)
    assert sum(name.startswith(".attr-") for name in names) == 3
    assert "bash-graph" in names


def test_structured_attributes_come_as_files(world: NixWorld) -> None:
    failure = world.fail("structured-attributes")
    assert {".attrs.json", ".attrs.sh"} <= set(os.listdir(failure.kept))
    text = variables(failure)
    assert 'declare -x PLACE="a value of env, exported"\n' in text
    assert "declare -x out=" in text
    assert "greetings" not in text


def test_partly_written_outputs_stay_in_the_store(world: NixWorld) -> None:
    failure = world.fail("several-outputs")
    outputs = {
        name: value.strip('"')
        for name, _, value in (line[11:].partition("=") for line in variables(failure).splitlines())
        if name in ("out", "dev", "doc")
    }
    assert os.readlink(f"{outputs['out']}/bin/greet") == "hello"
    assert os.path.isfile(f"{outputs['dev']}/include/hello.h")
    assert not os.path.exists(outputs["doc"])


def test_odd_files_are_all_kept(world: NixWorld) -> None:
    odd = os.fsencode(world.fail("odd-files").kept) + b"/odd/"
    assert stat.S_ISFIFO(os.stat(odd + b"fifo").st_mode)
    assert stat.S_ISSOCK(os.stat(odd + b"socket").st_mode)
    assert os.stat(odd + b"one-name").st_ino == os.stat(odd + b"another-name").st_ino
    assert stat.S_IMODE(os.stat(odd + b"unreadable").st_mode) == 0
    assert stat.S_IMODE(os.stat(odd + b"closed").st_mode) == 0
    assert os.readlink(odd + b"passwd") == b"/etc/passwd"
    assert {b"a\nb", b"caf\xe9", b"-rf", b" "} <= set(os.listdir(odd))
    sparse = os.stat(odd + b"sparse")
    assert sparse.st_size > 2**30 > sparse.st_blocks * 512


def test_no_chroot_sees_the_host_when_the_sandbox_is_relaxed(world: NixWorld) -> None:
    failure = world.fail("no-chroot")
    assert " /usr" in failure.log
    assert f'NIX_BUILD_TOP="{failure.kept}"' in variables(failure)


def test_no_chroot_is_refused_by_a_strict_sandbox(nix_world: NixWorld) -> None:
    with pytest.raises(NixError, match="__noChroot"):
        nix_world.fail("no-chroot")


def test_a_diverted_store_lies_below_the_world_and_says_nix_store(nix_world: NixWorld) -> None:
    failure = nix_world.fail("check-phase")
    assert failure.drv.startswith("/nix/store/")
    assert os.path.exists(nix_world.physical(failure.drv))
    # Up to Nix 2.29 in the temporary directory, then beside the store.
    places = rf"{nix_world.tmp}/nix-build-hello-1\.0\.drv-\d+(/build)?"
    later = rf"{nix_world.root}/store/nix/var/nix/builds/nix-\d+-\d+/build"
    assert re.fullmatch(f"{places}|{later}", failure.kept)
    assert os.stat(failure.kept).st_uid == os.getuid()


def test_builds_belong_to_a_build_user_where_there_are_some(
    nix_world_with_build_users: NixWorld,
) -> None:
    failure = nix_world_with_build_users.fail("check-phase")
    assert pwd.getpwuid(os.stat(failure.kept).st_uid).pw_name.startswith("nixbld")


def test_sandbox_paths_of_the_settings_count(open_directory: Path) -> None:
    root = open_directory / "with-shell"
    bash = NixWorld(root).physical(NixWorld(root).build_stdenv(_cache())["bash"])
    world = NixWorld(root, sandbox_paths=f"/bin/sh={bash}/bin/bash")
    path = world.build(
        f"with import {CASES.parent}/stdenv.nix {{ }};"
        ' mkDerivation { name = "sh"; buildCommand = "/bin/sh -c \'echo ran > $out\'"; }'
    )
    assert Path(world.physical(path)).read_text() == "ran\n"
    world.remove()


def test_a_cached_environment_needs_no_build(open_directory: Path, tmp_path: Path) -> None:
    first = NixWorld(open_directory / "first")
    second = NixWorld(open_directory / "second", settings=("max-jobs = 0",))
    try:
        built = first.build_stdenv(tmp_path)
        assert second.build_stdenv(tmp_path) == built
        assert os.path.exists(second.physical(built["stdenv"]))
    finally:
        first.remove()
        second.remove()


def test_a_build_that_succeeds_is_no_failure(world: NixWorld) -> None:
    with pytest.raises(NixError):
        world.fail("check-phase", "--arg", "repaired", "true")


REAL_WORLD = """\
import sys
sys.path.insert(0, sys.argv[1])
from tests.nix.world import NixWorld
world = NixWorld("/tmp/world", real=True, build_users=sys.argv[2])
world.build_stdenv()
failure = world.fail("several-outputs")
print(failure.kept, failure.drv, *(path.name for path in world.store.glob("*-library-1.0-dev")))
"""
PRIVATE_ROOT = """\
set -eu
mount -t tmpfs -o mode=755 none "$1"
cd "$1"
for path in /*; do
    case $path in
        /nix | /tmp) ;;
        *) if [ -L "$path" ]; then cp -P "$path" .; elif [ -d "$path" ]; then
               mkdir ".$path"; mount --rbind "$path" ".$path"
           fi ;;
    esac
done
mkdir nix tmp old
chmod 1777 tmp
mkdir -p ".$2"
mount --rbind "$2" ".$2"
pivot_root . old
umount -l /old
shift 2
exec "$@"
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can write to /nix")
@pytest.mark.usefixtures("nix_world_with_build_users")
@pytest.mark.parametrize("build_users", ["", "nixbld"])
def test_a_real_store_lies_in_slash_nix(tmp_path: Path, build_users: str) -> None:
    """In a root of its own, so that no /nix of this machine is touched."""
    checkout = str(CASES.parent.parent.parent)
    script = ["/bin/sh", "-c", PRIVATE_ROOT, "sh", str(tmp_path), checkout]
    done = subprocess.run(
        ["unshare", "--mount", *script, sys.executable, "-c", REAL_WORLD, checkout, build_users],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept, drv, dev = done.stdout.split()
    assert re.match(r"/tmp/world/tmp/nix-build-library-1\.0\.drv-0|/nix/var/nix/builds/", kept)
    assert drv.startswith("/nix/store/")
    assert dev.endswith("-library-1.0-dev")
