"""`nbs shell` keeps what was changed; `nbs ws` lists it, removes it, and tells where it is."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.workspace.remove import remove_tree
from tests.conftest import ROOT
from tests.linux.processes import eventually
from tests.linux.test_terminal import OuterShell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

CHANGE = b"echo changed > new; rm notes; echo note > /tmp/note; mkdir /nix/store/out; exit\n"
CHANGED = 2
"""Files of the build's directory: one is new, one is gone."""


class Nbs:
    """`nbs` of one user, with a state of its own."""

    def __init__(self, run: RunTool, user: int | None, state: Path, kept: Kept) -> None:
        self._run = run
        self.user = user
        self.state = state
        self.kept = kept
        self.environment = {"NBS_STATE_HOME": str(state)}

    def __call__(
        self, *argv: str, given: bytes | None = None, **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        return self._run(*argv, as_user=self.user, input=given, env={**self.environment, **more})

    def shell(self, given: bytes, *options: str) -> str:
        """A shell in the build that reads `given`; what it said on stderr."""
        done = self("shell", "--store", self.kept.store, *options, self.kept.path, given=given)
        return done.stderr.decode()

    def resumed(self, *command: str, name: str = "hand-made") -> str:
        done = self("shell", "--ws", name, "--", *command)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("ws", "ls", "--json").stdout)["workspaces"]
        return found

    def reason(self, *argv: str) -> str:
        """The word for what is wrong."""
        last = self(*argv).stderr.decode().splitlines()[-1]
        return last.strip().removeprefix("(").partition(",")[0]


@pytest.fixture
def nbs(
    user: int | None,
    run_nbs: RunTool,
    unprivileged: int,
    open_directory: Path,
    hand_made: Kept,
) -> Iterator[Nbs]:
    state = open_directory / f"state-{user}"
    state.mkdir(mode=0o700)
    path = open_directory / f"hand-made-{user}" / "hand-made"
    shutil.copytree(hand_made.path, path)
    if os.getuid() == 0:
        os.chown(state, 0 if user is None else user, -1)
        for one in (path, *path.rglob("*")):
            os.chown(one, unprivileged, unprivileged)
    yield Nbs(run_nbs, user, state, replace(hand_made, path=str(path)))
    for left in (state, path.parent):
        assert remove_tree(str(left)).left == 0


@pytest.mark.parametrize("options", [(), ("--copy",)], ids=["overlay", "copy"])
def test_what_was_changed_is_kept_and_one_can_go_on(nbs: Nbs, options: tuple[str, ...]) -> None:
    said = nbs.shell(CHANGE, *options)
    assert (
        "kept as hand-made: `nbs shell --ws hand-made` resumes · `nbs diff hand-made` ·"
        " `nbs ws rm hand-made`\n"
    ) in said
    (one,) = nbs.listed()
    assert (one["name"], one["build"]) == ("hand-made", nbs.kept.path)
    assert one["state"] == ("kept, a copy" if options else "kept")
    # What is gone from a copy has left nothing that could be counted.
    assert one["changed"] == (1 if options else CHANGED)
    look = "ls . /tmp; cat new /tmp/note; test -d /nix/store/out && echo out"
    seen = nbs.resumed("bash", "-c", look)
    assert seen == ".:\nenv-vars\nnew\n\n/tmp:\nnote\nchanged\nnote\nout\n"
    nbs.resumed("bash", "-c", "echo again >> new")
    assert nbs.resumed("cat", "new") == "changed\nagain\n"
    assert sorted(os.listdir(nbs.kept.path)) == ["env-vars", "notes"]


def test_a_script_of_a_shell_has_the_words_of_one(nbs: Nbs) -> None:
    script = """
        mkdir sub; cd sub; echo 1 > state; echo 1 > /tmp/state; snapshot one
        echo 2 > state; rm /tmp/state; restore one
        echo "$? $PWD $(<state) $(</tmp/state)"
        sleep 100 & restore one; echo $?; restore failed --kill; ls; snapshots | cut -d" " -f1
    """
    done = nbs("shell", "--store", nbs.kept.store, nbs.kept.path, given=script.encode())
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("snapshot one: ")
    assert lines[1] == "restored: one; what it replaced is `undone`"
    assert lines[2:4] == ["0 /build/sub 1 1", "125"]
    assert lines[4:] == [
        "restored: failed; what it replaced is `undone`",
        *("env-vars", "notes"),
        *("failed", "one", "undone"),
    ]
    assert b"a program still runs inside" in done.stderr


def test_a_shell_that_changed_nothing_leaves_nothing_and_says_nothing(nbs: Nbs) -> None:
    assert nbs.shell(b"cat notes; ls /tmp; exit\n").count("kept") == 0
    assert os.listdir(nbs.state / "ws") == []


@pytest.mark.parametrize("mode", ["755", "0"])
def test_a_mode_of_the_build_s_directory_alone_is_a_change(nbs: Nbs, mode: str) -> None:
    assert "kept as hand-made" in nbs.shell(f"chmod {mode} /build\n".encode())
    assert [one["name"] for one in nbs.listed()] == ["hand-made"]


def test_one_command_leaves_nothing(nbs: Nbs, run_tool: RunTool) -> None:
    words = ("--store", nbs.kept.store, nbs.kept.path)
    for done in (
        nbs("shell", *words, "--", "touch", "new"),
        run_tool(*words, "touch", "new", as_user=nbs.user, env=nbs.environment),
        nbs("phase", *words, "--list"),
    ):
        assert b"kept" not in done.stderr
    assert not (nbs.state / "ws").exists()
    assert os.listdir(nbs.state / "run") == []


def test_who_enters_again_is_told_what_is_kept_and_begins_anew(nbs: Nbs) -> None:
    nbs.shell(CHANGE)
    said = nbs.shell(b"ls; echo other > other; exit\n")
    assert "is kept: `nbs shell --ws hand-made` resumes it\n" in said
    assert "kept as hand-made-2:" in said
    assert nbs.resumed("cat", "new") == "changed\n"
    assert nbs.resumed("ls", name="hand-made-2") == "env-vars\nnotes\nother\n"


@pytest.fixture
def living(
    nbs: Nbs, tool_command: Callable[..., tuple[list[str], dict[str, str]]]
) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that has changed something and waits."""
    command, environment = tool_command("sandbox.cli.nbs", nbs.user)
    who = {} if nbs.user in (None, os.getuid()) else {"user": nbs.user, "group": nbs.user}
    process = subprocess.Popen(
        [*command, "shell", "--store", nbs.kept.store, nbs.kept.path],
        cwd="/",
        env={**environment, **nbs.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **({**who, "extra_groups": ()} if who else {}),
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(CHANGE.replace(b"exit\n", b"echo ready\n"))
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"
    # The tool writes down who is inside when its shell runs already.
    assert eventually(lambda: nbs.listed()[0]["session"])
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_session_that_is_killed_has_lost_nothing(
    nbs: Nbs, living: subprocess.Popen[bytes]
) -> None:
    living.send_signal(signal.SIGKILL)
    living.wait()
    look = "ls; cat new /tmp/note; test -d /nix/store/out && echo out"
    assert nbs.resumed("bash", "-c", look) == "env-vars\nnew\nchanged\nnote\nout\n"
    (one,) = nbs.listed()
    assert (one["state"], one["changed"]) == ("kept", CHANGED)


def test_a_session_whose_shell_is_killed_has_lost_nothing(
    nbs: Nbs, living: subprocess.Popen[bytes]
) -> None:
    os.kill(nbs.listed()[0]["session"], signal.SIGKILL)
    living.wait()
    assert nbs.resumed("cat", "new", "/tmp/note") == "changed\nnote\n"


def test_a_workspace_with_somebody_inside_is_not_entered_or_removed_but_copied(
    nbs: Nbs, living: subprocess.Popen[bytes]
) -> None:
    (one,) = nbs.listed()
    assert one["state"] == f"open, process {one['session']}"
    assert nbs.reason("shell", "--ws", "hand-made") == "workspace-in-use"
    assert nbs.reason("ws", "rm", "hand-made") == "workspace-in-use"
    assert nbs("ws", "prune", "--older-than", "0", "--yes").returncode == 0
    look = "ls; cat new /tmp/note; test -d /nix/store/out && echo out; echo mine > new"
    done = nbs("shell", "--ws", "hand-made", "--fork", "--", "bash", "-c", look)
    assert done.stdout == b"env-vars\nnew\nchanged\nnote\nout\n", done.stderr.decode()
    assert b"a copy of the workspace `hand-made`: hand-made-2\n" in done.stderr
    living.kill()
    living.wait()
    assert nbs.resumed("cat", "new") == "changed\n"
    assert nbs.resumed("cat", "new", name="hand-made-2") == "mine\n"


def test_the_host_sees_the_whole_directory_while_somebody_is_inside(
    nbs: Nbs, living: subprocess.Popen[bytes], unprivileged: int
) -> None:
    path = nbs("ws", "path", "hand-made").stdout.decode().strip()
    assert path == f"/proc/{nbs.listed()[0]['session']}/root/build"
    assert sorted(os.listdir(path)) == ["env-vars", "new"]
    assert os.stat(f"{path}/new").st_uid == os.stat(nbs.kept.path).st_uid
    living.kill()
    living.wait()
    done = nbs("ws", "path", "hand-made")
    path = done.stdout.decode().strip()
    assert path == f"{nbs.state}/ws/hand-made/upper"
    assert sorted(os.listdir(path)) == ["new", "notes"]
    assert b"only what was changed; the whole while" in done.stderr


def test_a_workspace_whose_build_is_gone_says_so_and_its_files_stay(nbs: Nbs) -> None:
    nbs.shell(CHANGE)
    shutil.move(nbs.kept.path, nbs.kept.path + "-away")
    assert nbs.reason("shell", "--ws", "hand-made") == "workspace-build-gone"
    assert nbs.listed()[0]["state"] == "its build is gone"
    os.mkdir(nbs.kept.path, 0o755)
    assert nbs.reason("shell", "--ws", "hand-made") == "workspace-build-gone"
    assert nbs("ws", "path", "hand-made").returncode == 0
    done = nbs("ws", "prune", "--unused", "--yes")
    assert (done.returncode, nbs.listed()) == (0, [])


@pytest.mark.parametrize("instead", ["nothing", "a link", "another directory"])
def test_nothing_is_compared_with_what_came_to_the_place_of_its_build(
    nbs: Nbs, instead: str
) -> None:
    nbs.shell(CHANGE)
    away = nbs.kept.path + "-away"
    shutil.move(nbs.kept.path, away)
    if instead == "a link":
        os.symlink(away, nbs.kept.path)
    elif instead == "another directory":
        shutil.copytree(away, nbs.kept.path)
    assert nbs.reason("diff", "hand-made") == "workspace-build-gone"
    assert nbs.reason("patch", "hand-made") == "workspace-build-gone"


def test_a_copy_is_compared_with_its_snapshots_when_its_build_is_gone(nbs: Nbs) -> None:
    nbs.shell(CHANGE, "--copy")
    assert nbs("snapshot", "first", "--ws", "hand-made").returncode == 0
    shutil.rmtree(nbs.kept.path)
    done = nbs("diff", "hand-made", "--since", "first")
    assert done.stdout == b"# hand-made against the snapshot `first`: same\n"
    assert nbs.reason("diff", "hand-made") == "workspace-build-gone"


def test_a_kept_directory_that_was_touched_is_told_and_can_be_taken_as_it_is(nbs: Nbs) -> None:
    nbs.shell(CHANGE)
    os.utime(nbs.kept.path)
    assert nbs.reason("shell", "--ws", "hand-made") == "workspace-build-changed"
    assert nbs.listed()[0]["state"] == "its build was changed"
    assert b"no workspace fits" in nbs("ws", "prune", "--unused", "--yes").stderr
    done = nbs("shell", "--ws", "hand-made", "--changed", "--", "cat", "new")
    assert done.stdout == b"changed\n", done.stderr.decode()
    assert nbs.resumed("cat", "new") == "changed\n"
    os.utime(nbs.kept.path)
    forked = nbs("shell", "--ws", "hand-made", "--fork", "--changed", "--", "cat", "new")
    assert forked.stdout == b"changed\n", forked.stderr.decode()


def test_a_copy_may_have_its_kept_directory_touched_but_not_replaced(nbs: Nbs) -> None:
    nbs.shell(CHANGE, "--copy")
    os.utime(nbs.kept.path)
    assert nbs.resumed("cat", "new") == "changed\n"
    shutil.copytree(nbs.kept.path, f"{nbs.kept.path}-2")
    shutil.rmtree(nbs.kept.path)
    os.rename(f"{nbs.kept.path}-2", nbs.kept.path)
    assert nbs.reason("shell", "--ws", "hand-made") == "workspace-build-gone"


def test_a_workspace_that_would_see_other_inputs_is_not_entered(nbs: Nbs) -> None:
    nbs.shell(CHANGE)
    with (nbs.state / "ws/hand-made/inputs").open("a") as file:
        file.write("0123-gone\n0124-there\n")
    there = Path(nbs.kept.store, "nix/store/0124-there")
    there.mkdir(exist_ok=True)
    done = nbs("shell", "--ws", "hand-made")
    there.rmdir()
    assert b"(workspace-inputs-changed, 125)" in done.stderr
    assert b"not there any more: 0123-gone" in done.stderr
    assert b"no input any more: 0124-there" in done.stderr


def test_what_was_decided_at_the_beginning_stays(nbs: Nbs) -> None:
    nbs.shell(CHANGE, "--whole-store", "--copy")
    assert dict(nbs.listed()[0]["options"])["--whole-store"] == ""
    assert nbs.resumed("cat", "new") == "changed\n"
    assert nbs.reason("shell", "--ws", "hand-made", "--copy") == "option-value"
    assert nbs.reason("shell", "--copy", "--ws", "hand-made") == "option-value"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("shell", "--ws", "none"), "workspace-unknown"),
        (("shell", "--ws", "../x"), "workspace-unknown"),
        (("shell", "--ws", "x", "build"), "option-value"),
        (("shell", "--fork", "build"), "option-value"),
        (("shell", "--changed", "build"), "option-value"),
        (("shell", "--ws"), "option-value"),
        (("ws", "rm", "none"), "workspace-unknown"),
        (("ws", "path", "none"), "workspace-unknown"),
        (("ws", "rm"), "option-value"),
        (("ws", "prune"), "option-value"),
        (("ws", "prune", "--larger-than", "much"), "option-value"),
        *(
            (("ws", "prune", f"--{option}", value), "option-value")
            for option in ("older-than", "larger-than", "total")
            for value in ("-1", "-0.5", "", " ", "nan", "inf")
        ),
        (("ws", "prune", "--total=-1M"), "option-value"),
        (("ws", "frobnicate"), "verb-unknown"),
        (("ws", "--what"), "option-unknown"),
    ],
)
def test_wrong_words_are_told(nbs: Nbs, words: tuple[str, ...], reason: str) -> None:
    assert nbs.reason(*words) == reason


def age(nbs: Nbs, name: str, days: float) -> None:
    record = nbs.state / "ws" / name / "workspace.json"
    fields = json.loads(record.read_text())
    record.write_text(json.dumps({**fields, "used": time.time() - days * 86400}))


def test_prune_removes_what_fits_and_only_when_it_may(nbs: Nbs) -> None:
    for size in (0, 3000, 0):
        nbs.shell(b"touch new; head -c %dK /dev/zero > data; exit\n" % size)
    age(nbs, "hand-made", 40)
    age(nbs, "hand-made-2", 10)

    def names() -> list[str]:
        return [one["name"] for one in nbs.listed()]

    assert names() == ["hand-made-3", "hand-made-2", "hand-made"]
    done = nbs("ws", "prune", "--older-than", "5", "--larger-than", "2M", "--dry-run")
    assert b"hand-made-2 " in done.stdout
    assert len(done.stdout.splitlines()) == 2
    assert nbs("ws", "prune", "--older-than", "5").returncode == 1
    assert len(names()) == 3
    assert nbs("ws", "prune", "--older-than", "30", "--yes").returncode == 0
    assert names() == ["hand-made-3", "hand-made-2"]
    assert nbs("ws", "prune", "--total", "1M", "--yes").returncode == 0
    assert names() == ["hand-made-3"]
    assert nbs("ws", "prune", "--larger-than", "1G", "--yes").returncode == 0
    assert nbs("ws", "rm", "hand-made-3").returncode == 0
    assert os.listdir(nbs.state / "ws") == []


def test_much_that_is_kept_is_told_and_stays(nbs: Nbs) -> None:
    words = ("shell", "--store", nbs.kept.store, nbs.kept.path)
    script = b"head -c 3M /dev/zero > data; exit\n"
    assert b"take" not in nbs(*words, given=script).stderr
    said = nbs(*words, given=script, NBS_WS_LIMIT="1M").stderr.decode()
    assert "kept workspaces take " in said
    assert "`nbs ws prune --older-than 14`" in said
    assert len(nbs.listed()) == 2


@pytest.mark.terminal
def test_a_person_at_a_terminal_leaves_and_comes_back(
    nbs: Nbs, tool_command: Callable[..., tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    if nbs.user not in (None, os.getuid()):
        pytest.skip("the terminal is that of who runs the tests")
    place_tool(nbs, tool_command, tmp_path)
    screen = OuterShell(tmp_path)
    try:
        screen.type(shlex.join(["./tool", "shell", "--store", nbs.kept.store, nbs.kept.path]))
        screen.type("echo by hand > new; echo written-$((1 + 1))")
        screen.wait_for("written-2")
        screen.type("exit")
        screen.wait_for("kept as hand-made: `nbs shell --ws hand-made` resumes…")
        screen.type("clear; ./tool shell --ws hand-made")
        screen.wait_for("the workspace `hand-made`, last used…")
        screen.type("echo =$(cat new)=")
        screen.wait_for("=by hand=")
    finally:
        screen.close()
    # The terminal is gone with its shell; the tool puts away what they left.
    assert eventually(lambda: is_free(nbs.state / "ws/hand-made/lock"))
    assert nbs.resumed("cat", "new") == "by hand\n"


def place_tool(nbs: Nbs, tool_command: Any, place: Path) -> None:
    """A program `tool` in `place` that is `nbs`, as of who types."""
    argv, environment = tool_command("sandbox.cli.nbs")
    settings = [f"{key}={value}" for key, value in {**environment, **nbs.environment}.items()]
    tool = place / "tool"
    tool.write_text(f'#!/bin/sh\nexec {shlex.join(["env", *settings, *argv])} "$@"\n')
    tool.chmod(0o755)


@pytest.mark.terminal
def test_a_person_who_comes_second_is_asked_whether_a_copy_will_do(
    nbs: Nbs, living: subprocess.Popen[bytes], tool_command: Any, tmp_path: Path
) -> None:
    if nbs.user not in (None, os.getuid()):
        pytest.skip("the terminal is that of who runs the tests")
    place_tool(nbs, tool_command, tmp_path)
    screen = OuterShell(tmp_path)
    try:
        screen.type("./tool shell --ws hand-made")
        screen.wait_for("Enter a copy of it? [y/N]")
        screen.type("")
        screen.wait_for("error: the workspace `hand-made` is in use")
        screen.type("clear; ./tool shell --ws hand-made -- cat new")
        # The question before may still be on the screen: then the answer comes ahead of the second.
        screen.wait_for("Enter a copy of it? [y/N]")
        screen.type("y")
        screen.wait_for_end("a copy of the workspace `hand-made`: hand-made-2")
        screen.wait_for("changed")
    finally:
        screen.close()
    # Its session may be ending still.
    assert eventually(lambda: is_free(nbs.state / "ws/hand-made-2/lock"))
    assert {one["name"] for one in nbs.listed()} == {"hand-made", "hand-made-2"}


def is_free(lock: Path) -> bool:
    """Has nobody the workspace?"""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.skipif(os.getuid() != 0, reason="another user's files are needed")
def test_over_the_files_of_another_user_a_copy_is_kept(
    run_nbs: RunTool, unprivileged: int, open_directory: Path, hand_made: Kept
) -> None:
    path = open_directory / "of-root"
    shutil.copytree(hand_made.path, path)
    state = open_directory / "state-of-root"
    state.mkdir(mode=0o700)
    os.chown(state, unprivileged, -1)
    nbs = Nbs(run_nbs, unprivileged, state, replace(hand_made, path=str(path)))
    nbs.shell(b"echo changed > new; echo more >> notes; exit\n")
    (one,) = nbs.listed()
    assert (one["name"], one["method"], one["changed"]) == ("of-root", "copy", 2)
    assert nbs.resumed("tail", "-n1", "new", "notes", name="of-root").endswith("more\n")
    shutil.rmtree(path)
    assert remove_tree(str(state)).left == 0


def test_nix_keeps_what_a_workspace_needs_until_that_is_removed(
    nix_world: Any, kept_by_nix: Kept, run_nbs: RunTool, open_directory: Path
) -> None:
    state = open_directory / "state-roots"
    environment = {**nix_world.environment, "NBS_STATE_HOME": str(state)}
    words = ("shell", "--store", kept_by_nix.store, kept_by_nix.path)
    done = run_nbs(*words, input=b"echo changed > new; exit\n", env=environment)
    name = os.listdir(state / "ws")[0]
    assert f"kept as {name}: " in done.stderr.decode()
    names = (state / "ws" / name / "inputs").read_text().split()
    inputs = {f"/nix/store/{one}" for one in names}

    def asked(*words: str) -> list[str]:
        found: list[str] = nix_world.run("nix-store", *words).stdout.split("\n")
        return found

    def kept_for_it() -> bool:
        """Other tests may have workspaces with these inputs, too."""
        return any(str(state) in line for line in asked("--gc", "--print-roots"))

    (one,) = json.loads(run_nbs("ws", "ls", "--json", env=environment).stdout)["workspaces"]
    assert inputs
    assert kept_for_it()
    assert not {*inputs, one["derivation"]} & set(asked("--gc", "--print-dead"))
    refused = nix_world.run("nix-store", "--delete", one["derivation"])
    assert "it is still alive" in refused.stderr
    assert one["inputs_protected"]
    assert b"Nix may collect" not in run_nbs("ws", "ls", env=environment).stderr
    assert run_nbs("ws", "rm", name, env=environment).returncode == 0
    assert not kept_for_it()


COLLECTED = """
with import {root}/tests/nix/stdenv.nix {{ }};
mkDerivation {{ name = "collected-1.0"; src = {root}/sandbox/demo/hello; buildPhase = "exit 3"; }}
"""


def test_a_workspace_is_entered_when_nix_has_collected_its_derivation(
    nix_world: Any, run_nbs: RunTool, open_directory: Path
) -> None:
    """As where Nix is asked for nothing, or forgets it: here its links are taken away."""
    failure = nix_world.fail(COLLECTED.format(root=ROOT))
    state = open_directory / "state-collected"
    environment = {**nix_world.environment, "NBS_STATE_HOME": str(state)}
    store = f"{nix_world.root}/store"
    words = ("shell", "--store", store, failure.kept)
    run_nbs(*words, input=b"echo changed > new; exit\n", env=environment)
    shutil.rmtree(state / "ws/collected-1.0/roots")
    assert b"Nix may collect the inputs" in run_nbs("ws", "ls", env=environment).stderr
    assert nix_world.run("nix-store", "--delete", failure.drv).returncode == 0

    look = ("--", "bash", "-c", "cat new; declare -p -x | grep -c NIX_BUILD_TOP")
    for options in ((), ("--fork",)):
        done = run_nbs("shell", "--ws", "collected-1.0", *options, *look, env=environment)
        assert done.stdout == b"changed\n1\n", done.stderr.decode()
    verified = run_nbs("verify", "collected-1.0", env=environment)
    assert b"(patch-empty, 125)" not in verified.stderr, verified.stderr.decode()
    assert b" fails with collected-1.0.patch in buildPhase" in verified.stderr
    assert run_nbs("ws", "rm", "collected-1.0", "collected-1.0-2", env=environment).returncode == 0
