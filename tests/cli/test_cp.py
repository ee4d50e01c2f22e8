"""`nbs cp`: files out of a sandbox and into it, with the right owners, and no way out."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

LIVE = """
import sys, sandbox
from sandbox import Request
store, name = sys.argv[1:3]
kept = sandbox.find_workspace(name)
case = sandbox.read(kept.build, store=store)
described = sandbox.describe(case, Request(command=tuple(sys.argv[3:])))
with sandbox.resumed_session(name) as session:
    sys.exit(sandbox.enter(described, session=session))
"""


class Case:
    """A kept directory of the caller's own, a directory of theirs, and `nbs cp` run by them."""

    def __init__(self, run, start, store: str, place: Path, user: int, who: int | None) -> None:
        self.kept = place / "kept"
        self.own = place / "own"
        self.state = place / "state"
        self.store = store
        self.user = user
        self.who = who
        self._run = run
        self._start = start

    def cp(self, *words: str, **more: object):
        env = {"NBS_STATE_HOME": str(self.state)}
        return self._run("cp", "--store", self.store, *words, as_user=self.who, env=env, **more)

    def text(self, path: str) -> bytes:
        done = self.cp(path, "-")
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def live(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        return self._start(LIVE, self.store, name, *command, state=str(self.state))


@pytest.fixture
def case(
    user: int | None,
    hand_made: Kept,
    run_nbs: RunTool,
    tool_command,
    unprivileged: int,
    open_directory: Path,
) -> Iterator[Case]:
    caller = os.getuid() if user is None else user
    place = Path(tempfile.mkdtemp(prefix="cp-", dir=open_directory))
    place.chmod(0o755)
    for name in ("own", "state"):
        (place / name).mkdir(mode=0o700)
        os.chown(place / name, caller, caller) if os.getuid() == 0 else None
    shutil.copytree(hand_made.path, place / "kept", symlinks=True)
    fill(place / "kept")
    if os.getuid() == 0:
        # As build users of a daemon have it, also where root looks.
        for path in (place / "kept", *(place / "kept").rglob("*")):
            os.chown(path, unprivileged, unprivileged, follow_symlinks=False)
    builder = unprivileged

    def start(text: str, *words: str, state: str) -> subprocess.Popen[bytes]:
        argv, environment = tool_command("sandbox", user)
        as_user = (
            {"user": user, "group": user, "extra_groups": ()} if user and os.getuid() == 0 else {}
        )
        return subprocess.Popen(
            [argv[0], "-c", text, *words],
            env={**environment, "NBS_STATE_HOME": state},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            **as_user,
        )

    yield Case(run_nbs, start, hand_made.store, place, builder, user)
    subprocess.run(["chmod", "-R", "u+rwX", str(place)], check=False)
    shutil.rmtree(place, ignore_errors=True)


def fill(kept: Path) -> None:
    (kept / "src").mkdir()
    (kept / "src/main.c").write_text("int main;\n")
    (kept / "src/run").write_text("#!/bin/sh\n")
    (kept / "src/run").chmod(0o6755)
    (kept / "src/a\nname").write_text("newline\n")
    (kept / "passwd").symlink_to("/etc/passwd")
    (kept / "up").symlink_to("../../../../../../../../etc/passwd")
    (kept / "magic").symlink_to("/proc/self/root/etc/passwd")
    (kept / "src/out").symlink_to("/etc")
    os.mkfifo(kept / "fifo")


def test_a_file_of_a_failure_comes_out(case: Case) -> None:
    done = case.cp(f"{case.kept}:src/main.c", f"{case.own}/")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    copy = case.own / "main.c"
    assert copy.read_text() == "int main;\n"
    assert copy.stat().st_uid == (os.getuid() if case.who is None else case.user)
    assert not list((case.state).glob("ws/*")), "a failure is read where it lies"
    assert not list((case.state).glob("run/*"))


def test_a_full_disk_behind_standard_output_is_told(case: Case, full_disk: int) -> None:
    done = case.cp(f"{case.kept}:src/main.c", "-", stdout=full_disk)
    assert done.returncode == 125
    assert done.stderr.startswith(b"error: standard output cannot be written\n  No space left")
    assert done.stderr.endswith(b"(stdout-unwritable, 125)\n")


def test_a_path_is_the_sandbox_s(case: Case) -> None:
    assert case.text(f"{case.kept}:notes") == case.text(f"{case.kept}:/build/notes")
    assert b"Nix build user" in case.text(f"{case.kept}:/etc/passwd")
    listed = case.cp(f"{case.kept}:/nix/store", f"{case.own}/store")
    assert listed.returncode in (0, 1)
    assert any("bash" in path.name for path in (case.own / "store").iterdir()) or listed.stderr


def test_an_input_comes_out_with_its_modes(case: Case, hand_made: Kept) -> None:
    path = hand_made.packages["bash"]
    assert case.cp(f"{case.kept}:{path}", f"{case.own}/bash").returncode == 0
    assert (case.own / "bash/bin/bash").stat().st_mode & 0o111


def test_a_directory_comes_out_with_links_as_links_and_no_set_id_bits(case: Case) -> None:
    assert case.cp(f"{case.kept}:src", str(case.own)).returncode == 0
    copy = case.own / "src"
    assert (copy / "a\nname").read_text() == "newline\n"
    assert os.readlink(copy / "out") == "/etc"
    assert stat.S_IMODE((copy / "run").stat().st_mode) == 0o755


@pytest.mark.parametrize("link", ["passwd", "up"])
def test_a_link_means_what_it_means_in_the_sandbox(case: Case, link: str) -> None:
    assert b"Nix build user" in case.text(f"{case.kept}:{link}")
    assert case.text(f"{case.kept}:src/out/passwd") == case.text(f"{case.kept}:/etc/passwd")


def test_a_magic_link_of_proc_leads_nowhere(case: Case) -> None:
    done = case.cp(f"{case.kept}:magic", "-")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"(copy-refused, 125)" in done.stderr


def test_what_is_no_file_is_left_out_by_name(case: Case) -> None:
    done = case.cp(f"{case.kept}:/build", f"{case.own}/all")
    assert done.returncode == 1
    assert done.stderr == b"left out: fifo: it is a fifo\n"
    assert (case.own / "all/src/main.c").exists()
    named = case.cp(f"{case.kept}:fifo", str(case.own))
    assert (named.returncode, b"it is a fifo" in named.stderr) == (125, True)


def test_what_is_not_there_is_told(case: Case) -> None:
    done = case.cp(f"{case.kept}:nothing", str(case.own))
    assert (done.returncode, b"(copy-missing, 125)" in done.stderr) == (125, True)
    done = case.cp(f"{case.own}/nothing", f"{case.kept}:x")
    assert (done.returncode, b"(copy-missing, 125)" in done.stderr) == (125, True)


def test_writing_makes_a_workspace_and_leaves_the_evidence_alone(case: Case) -> None:
    before = sorted(p.name for p in case.kept.rglob("*"))
    done = case.cp("-", f"{case.kept}:src/main.c", input=b"fixed\n")
    assert done.returncode == 0, done.stderr.decode()
    (name,) = (path.name for path in case.state.glob("ws/*"))
    assert (
        done.stderr.decode() == f"made the workspace `{name}`: `nbs shell --ws {name}` enters it\n"
    )
    assert (case.kept / "src/main.c").read_text() == "int main;\n"
    assert sorted(p.name for p in case.kept.rglob("*")) == before
    assert case.text(f"{name}:src/main.c") == b"fixed\n"
    assert case.text(f"{name}:notes") == case.text(f"{case.kept}:notes")
    (made,) = case.state.glob("ws/*/upper/src/main.c")
    assert made.stat().st_uid == case.user
    again = case.cp("-", f"{case.kept}:more", input=b"more")
    assert f"into the workspace `{name}`".encode() in again.stderr
    assert case.text(f"{name}:more") == b"more"


def test_a_workspace_into_which_nothing_came_is_not_kept(case: Case, hand_made: Kept) -> None:
    bash = hand_made.packages["bash"]
    done = case.cp("-", f"{case.kept}:{bash}/bin/bash", input=b"mine")
    assert (done.returncode, b"(copy-failed, 125)" in done.stderr) == (125, True)
    assert not list(case.state.glob("ws/*"))


@pytest.mark.parametrize("target", ["/dev/shm/x", "src/shm/x", "/proc/x", "/etc/x", "/x"])
def test_nothing_is_copied_to_where_it_would_not_stay(case: Case, target: str) -> None:
    (case.kept / "src/shm").symlink_to("/dev/shm")
    done = case.cp("-", f"{case.kept}:{target}", input=b"mine")
    assert (done.returncode, b"(copy-failed, 125)" in done.stderr) == (125, True)
    assert b"only the build's directory, /tmp and outputs stay" in done.stderr
    assert not list(case.state.glob("ws/*"))


def test_tmp_and_outputs_of_a_workspace_stay_in_it(case: Case) -> None:
    tree = case.own / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("text")
    (tree / "link").symlink_to("/etc/passwd")
    if case.who is not None and os.getuid() == 0:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, case.who, case.who, follow_symlinks=False)
    assert case.cp(str(tree), f"{case.kept}:/tmp").returncode == 0
    (name,) = (path.name for path in case.state.glob("ws/*"))
    assert case.text(f"{name}:/tmp/tree/sub/file") == b"text"
    assert case.cp("-", f"{name}:/nix/store/output", input=b"made").returncode == 0
    assert case.text(f"{name}:/nix/store/output") == b"made"
    assert b"Nix build user" in case.text(f"{name}:/tmp/tree/link")


def test_what_lives_in_a_session_sees_what_comes_and_is_seen(case: Case, hand_made: Kept) -> None:
    assert case.cp("-", f"{case.kept}:first", input=b"1").returncode == 0
    (name,) = (path.name for path in case.state.glob("ws/*"))
    script = "echo two > /tmp/second; ln -s /etc/passwd link; echo ready; read _; cat third; stat -c %u third"
    living = case.live(name, "bash", "-c", script)
    assert living.stdin is not None
    assert living.stdout is not None
    try:
        assert living.stdout.readline() == b"ready\n"
        assert case.text(f"{name}:/tmp/second") == b"two\n"
        assert b"Nix build user" in case.text(f"{name}:link")
        assert case.cp("-", f"{name}:third", input=b"three\n").returncode == 0
        refused = case.cp("-", f"{name}:{hand_made.packages['bash']}/x", input=b"x")
        assert b"(copy-failed, 125)" in refused.stderr
        refused = case.cp("-", f"{name}:/dev/shm/x", input=b"x")
        assert b"/tmp and outputs stay" in refused.stderr
        assert living.communicate(b"\n", timeout=30)[0] == b"three\n1000\n"
        assert living.returncode == 0
    finally:
        living.kill()
        living.communicate()
    assert case.text(f"{name}:third") == b"three\n"


def test_a_host_s_device_is_not_replaced(case: Case) -> None:
    done = case.cp(f"{case.kept}:notes", "/dev/null")
    assert done.returncode == 125
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_newest_failure_needs_no_name(case: Case) -> None:
    done = case.cp(":nothing-like-this", str(case.own))
    assert done.returncode == 125
    assert b"copy-sides" not in done.stderr


@pytest.mark.parametrize("words", [("a", "b"), ("x:a", "y:b"), ("-", "-")])
def test_one_side_and_only_one_is_a_sandbox(run_nbs: RunTool, words: tuple[str, str]) -> None:
    done = run_nbs("cp", *words)
    assert (done.returncode, b"(copy-sides, 2)" in done.stderr) == (2, True)


def test_a_word_is_a_path_of_the_host_where_it_looks_like_one(tmp_path: Path) -> None:
    from sandbox.cli.cp import side

    assert side("./a:b").build is None
    assert side("a/b:c").build is None
    assert side("hello:a:b").path == "a:b"
    assert side(":a").build == ""
    (tmp_path / "kept:1").mkdir()
    (tmp_path / "file:1").write_text("")
    assert side(f"{tmp_path}/kept:1:/build/x").path == "/build/x"
    assert side(f"{tmp_path}/file:1").build is None
    assert sys.modules["sandbox.cli.cp"]
