"""Root of a user namespace that has few ids, as in a rootless container, enters a sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Kept

pytestmark = pytest.mark.namespaces

AS_ROOT_OF = """\
import os, sys
uids, gids, *command = sys.argv[1:]
mapped, unshared = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    import ctypes
    ctypes.CDLL(None).unshare(0x10000000)
    os.write(unshared[1], b"x")
    os.read(mapped[0], 1)
    os.setgid(0)
    os.setuid(0)
    os.execvp(command[0], command)
os.read(unshared[0], 1)
if os.getuid() != 0:
    open(f"/proc/{child}/setgroups", "w").write("deny")
open(f"/proc/{child}/uid_map", "w").write(uids)
open(f"/proc/{child}/gid_map", "w").write(gids)
os.write(mapped[1], b"x")
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
WHO = 'id -u; id -g; read -r inside outside count </proc/self/uid_map; echo "$outside"; echo x >new'
FIRST = 100000


@pytest.fixture
def enter(tool_command, hand_made: Kept, tmp_path: Path):
    """Enter with a copy of what was kept that belongs to `owner`, as root with those ids."""
    argv, environment = tool_command("sandbox.cli.nix_build_shell")

    def run(ids: str, owner: int | None = None) -> subprocess.CompletedProcess[str]:
        kept = tmp_path / "kept"
        shutil.copytree(hand_made.path, kept, symlinks=True)
        home = tmp_path / "home"
        home.mkdir()
        if owner is not None:
            os.chown(home, FIRST, FIRST)
            for path in (kept, *kept.rglob("*")):
                os.chown(path, owner, owner)
        for above in (tmp_path, *tmp_path.parents[:2]):
            above.chmod(0o755)
        return subprocess.run(
            [
                sys.executable,
                "-c",
                AS_ROOT_OF,
                ids,
                ids,
                *argv,
                "--store",
                hand_made.store,
                str(kept),
                "sh",
                "-c",
                WHO,
            ],
            env=environment | {"NBS_STATE_HOME": f"{home}/state"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.skipif(os.getuid() == 0, reason="root's one id is root's outside")
def test_with_one_id_it_is_a_user_without_rights(enter):
    done = enter(f"0 {os.getuid()} 1" if os.getuid() == os.getgid() else "")
    assert (done.returncode, done.stdout.split()) == (0, ["1000", "100", "0"]), done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give many ids")
@pytest.mark.parametrize(("owner", "outside"), [(FIRST, 65535), (FIRST + 30001, 30001), (0, 65535)])
def test_with_few_ids_the_builder_is_one_of_them_and_never_their_root(enter, owner, outside):
    done = enter(f"0 {FIRST} 65536", owner)
    assert (done.returncode, done.stdout.split()) == (0, ["1000", "100", str(outside)]), done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="it is root's one id")
def test_root_s_own_id_alone_is_refused(enter):
    done = enter("0 0 1")
    assert (done.returncode, done.stdout) == (125, "")
    assert "no-id-for-builder" in done.stderr
