"""What a hostile build may try: everything that it left, and all that it does inside, is its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

CALLERS = ["caller", "unprivileged"]
HASH = "0" * 32


@pytest.fixture
def open_path(open_directory: Path) -> Path:
    """As `tmp_path`, and every user can enter it: pytest closes what is above that, now and then."""
    path = Path(tempfile.mkdtemp(dir=open_directory))
    path.chmod(0o755)
    return path


@pytest.fixture
def hostile(hand_made: Kept, open_path: Path, unprivileged: int) -> Callable[..., str]:
    """A copy of the least kept directory, of the same owner, with more lines in its env-vars."""

    def make(env_vars: str = "", name: str = "kept") -> str:
        path = open_path / name
        shutil.copytree(hand_made.path, path)
        with (path / "env-vars").open("a") as file:
            file.write(env_vars)
        if os.getuid() == 0:
            for place in (path, *path.iterdir()):
                os.chown(place, unprivileged, unprivileged)
        return str(path)

    return make


@pytest.fixture(params=CALLERS)
def run(request, hand_made: Kept, run_tool: RunTool, unprivileged: int):
    user = unprivileged if request.param == "unprivileged" else None

    def run(kept: str, *command: str, options: tuple[str, ...] = ()):
        return run_tool("--store", hand_made.store, *options, kept, *command, as_user=user)

    return run


def derivation(kept: Kept, output: str, *, second: str = "") -> str:
    """The text of a derivation whose outputs are at those paths."""
    outputs = [("out", output), *([("second", second)] if second else [])]
    listed = ",".join(f'("{name}","{path}","","")' for name, path in outputs)
    sources = ",".join(f'"{path}"' for path in sorted(kept.packages.values()))
    bash = kept.packages["bash"] + "/bin/bash"
    variables = f'("PATH","{kept.packages["coreutils"]}/bin"),("out","{output}")'
    return f'Derive([{listed}],[],[{sources}],"x86_64-linux","{bash}",[],[{variables}])'


@pytest.mark.parametrize("descriptor", range(3, 16))
def test_a_working_directory_that_names_a_descriptor_of_the_tool_leads_nowhere(
    hostile, run, descriptor
):
    kept = hostile(f'declare -x PWD="/proc/self/fd/{descriptor}"\n')
    done = run(kept, "bash", "-c", "pwd -P; cd ../../../../../../../../..; echo *")
    assert done.stdout == b"/build\nbin build dev etc nix proc tmp\n"


@pytest.mark.parametrize("path", ["/proc/self/cwd", "/proc/1/root/../..", "/proc/self/task/1/root"])
def test_a_working_directory_by_way_of_proc_is_inside(hostile, run, path):
    kept = hostile(f'declare -x PWD="{path}"\n')
    done = run(kept, "bash", "-c", "cd ../../../../../../../../..; echo *")
    assert done.stdout == b"bin build dev etc nix proc tmp\n"


@pytest.mark.parametrize("shell", ["/proc/self/exe", "/proc/self/fd/3", "/usr/bin/python3", "/etc"])
def test_a_shell_that_is_not_inside_is_never_the_host_s(hostile, run, shell):
    done = run(hostile(f'declare -x SHELL="{shell}"\n'), "-c", "print(1)")
    assert (done.returncode, done.stdout) in {(125, b""), (126, b""), (127, b"")}


@pytest.mark.parametrize("output", ["/etc/hostname", "/nix/store/../../etc/hostname", "/etc"])
def test_an_output_that_is_not_in_the_store_is_not_copied(
    hand_made, hostile, run, open_path, output
):
    file = open_path / "evil.drv"
    file.write_text(derivation(hand_made, output))
    kept = hostile()
    done = run(kept, "bash", "-c", "cat /etc/hostname", options=("--derivation", str(file)))
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"derivation-refused" in done.stderr


def test_a_store_that_comes_with_the_kept_directory_cannot_name_the_host_s_files(
    hand_made, run_tool, tmp_path, unprivileged
):
    root = tmp_path / "their"
    shutil.copytree(hand_made.store, root, symlinks=True)
    out = f"/nix/store/{HASH}-evil"
    text = derivation(hand_made, out, second="/etc/hostname")
    (root / f"nix/store/{HASH}-evil.drv").write_text(text)
    build = root / "nix/var/nix/builds/nix-1-2/build"
    build.parent.mkdir(parents=True)
    shutil.copytree(hand_made.path, build)
    with (build / "env-vars").open("a") as file:
        file.write(f'declare -x out="{out}"\n')
    if os.getuid() == 0:
        for place in (build, *build.iterdir()):
            os.chown(place, unprivileged, unprivileged)
    done = run_tool(str(build), "bash", "-c", "cat /etc/hostname")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"derivation-refused" in done.stderr


@pytest.mark.nix
@pytest.mark.parametrize("user", CALLERS)
def test_a_store_with_links_in_the_places_of_nix_s_own_files_is_not_written(
    hand_made, run_tool, open_path, unprivileged, user
):
    """Nix opens a store in order to write: it would follow the links, as root with root's rights."""
    root = open_path / "their"
    shutil.copytree(hand_made.store, root, symlinks=True, copy_function=os.link)
    build = root / "nix/var/nix/builds/nix-1-2/build"
    shutil.copytree(hand_made.path, build)
    (root / "nix/var/nix/db").mkdir()
    for name in ("db/reserved", "db/big-lock", "gc.lock"):
        (root / "nix/var/nix" / name).symlink_to(open_path / "target")
    if os.getuid() == 0:
        for place in (root, *root.rglob("*")):
            if place.is_dir() or build in place.parents:
                os.chown(place, unprivileged, unprivileged, follow_symlinks=False)
    before = {path: path.lstat() for path in open_path.rglob("*")}
    done = run_tool(str(build), "cat", "notes", as_user=unprivileged if user != "caller" else None)
    assert (done.returncode, done.stdout) == (0, b"what the build wrote\n"), done.stderr
    after = {path: path.lstat() for path in open_path.rglob("*")}
    assert after.keys() == before.keys()
    for path, status in after.items():
        assert (status.st_uid, status.st_ctime_ns) == (
            before[path].st_uid,
            before[path].st_ctime_ns,
        )


def test_a_name_with_control_characters_is_shown_without_them(hostile, run_tool, hand_made):
    kept = hostile()
    os.mkfifo(f"{kept}/env-vars.fifo")
    os.mkdir(f"{kept}/\x1b]0;title\x07")
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    os.chmod(f"{kept}/\x1b]0;title\x07", 0)
    done = run_tool("--store", hand_made.store, "--copy", kept, "true")
    os.chmod(f"{kept}/\x1b]0;title\x07", 0o700)
    assert b"title" in done.stderr
    assert b"\x1b" not in done.stderr
    assert b"\x07" not in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="root alone reads what is closed to all others")
def test_what_is_closed_to_the_owner_of_the_kept_directory_is_not_copied_for_it(
    hostile, hand_made, run_tool, unprivileged
):
    """A hard link to another's file, which some kernels let users make, and what root has left."""
    kept = hostile()
    for name, owner, mode in (("s", 0, 0o600), ("other", 1, 0o640), ("open", 0, 0o644)):
        with open(f"{kept}/{name}", "w") as file:
            file.write(f"content of {name}\n")
        os.chown(file.name, owner, owner)
        os.chmod(file.name, mode)
    os.link(f"{kept}/other", f"{kept}.linked")
    os.mkdir(f"{kept}/shut", 0o700)
    shutil.copy(f"{kept}/open", f"{kept}/shut")
    words = ("bash", "-c", "cat s other shut/* open notes")
    done = run_tool("--store", hand_made.store, "--copy", kept, *words)
    assert done.stdout == b"content of open\nwhat the build wrote\n"
    assert b"3 of what was kept cannot be read" in done.stderr


def test_inputs_stay_read_only_in_a_user_namespace_of_the_command_s_own(hostile, run, hand_made):
    bash = hand_made.packages["bash"]
    script = f"unshare -Ur mount -o remount,rw,bind {bash}; unshare -Ur umount {bash}; : > {bash}/x"
    done = run(hostile(), "bash", "-c", script)
    assert done.returncode != 0
    assert b"Read-only file system" in done.stderr
    assert not os.path.lexists(f"{hand_made.store}{bash}/x")


def test_no_capability_and_no_group_of_the_host_is_left(hostile, run):
    done = run(hostile(), "cat", "/proc/self/status")
    lines = dict(line.split(":\t", 1) for line in done.stdout.decode().splitlines())
    assert {lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert lines["Uid"].split() == ["1000"] * 4
    assert lines["Gid"].split() == ["100"] * 4
    assert lines["NoNewPrivs"] == "1"


def test_only_processes_of_the_sandbox_are_seen_or_signalled(hostile, run):
    done = run(hostile(), "bash", "-c", "echo /proc/[0-9]*; kill -0 -1")
    assert done.stdout == b"/proc/1\n"


def test_a_variable_s_name_may_hold_an_equals_sign_as_nix_allows(
    hand_made, hostile, run, open_path
):
    text = derivation(hand_made, f"/nix/store/{HASH}-x").replace('[("PATH"', '[("A=B","c"),("PATH"')
    file = open_path / "odd.drv"
    file.write_text(text)
    done = run(hostile(), "cat", "/proc/1/environ", options=("--derivation", str(file)))
    assert done.returncode == 0
