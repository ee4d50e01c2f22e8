"""`nbs demo`: a real failed build anywhere, without Nix and without root."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess

import pytest

from sandbox.cli import demo
from sandbox.demo import recipe
from sandbox.errors import MachineError, UsageError
from tests.cli.test_refusing_machine import COVERED_PROC, where
from tests.nix.world import CHECK_FAILED
from tests.screen import Screen

pytestmark = pytest.mark.namespaces


@pytest.fixture(scope="module")
def home(open_directory, unprivileged):
    """A home whose demonstration is made once; it belongs to the unprivileged user."""
    path = open_directory / "demo-home"
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, unprivileged, unprivileged)
    return path


@pytest.fixture(scope="module")
def environment(home):
    """What the demonstration's user has of its own; the workspaces are nobody else's either."""
    return {"HOME": str(home), "NBS_STATE_HOME": f"{home}/state"}


@pytest.fixture(scope="module")
def nbs(run_nbs, environment, unprivileged):
    def run(*argv, **more):
        return run_nbs(*argv, as_user=unprivileged, env=environment, **more)

    return run


@pytest.fixture(scope="module")
def run_demo(nbs):
    return functools.partial(nbs, "demo")


@pytest.fixture
def screen(first, tool_command, environment, unprivileged):
    """`nbs demo` in a terminal, as the same user."""
    start, clean = tool_command("sandbox.cli.nbs", unprivileged)
    settings = [f"{name}={value}" for name, value in {**clean, **environment}.items()]
    who = ["setpriv", f"--reuid={unprivileged}", f"--regid={unprivileged}", "--clear-groups"]
    command = [*(who if os.geteuid() == 0 else []), "env", *settings, *start, "demo"]
    shown = Screen(shlex.join(command) + "; echo left; sleep 60")
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def first(run_demo):
    return run_demo("--", "bash", "-c", "pwd; ls -A /build; exit 5")


def kept(home):
    builds = home / ".cache/nix-build-shell/demo/nix/var/nix/builds"
    return sorted(os.listdir(builds))


def test_the_first_time_it_builds_fails_and_enters(first, home):
    error = first.stderr.decode()
    assert first.returncode == 5, error
    assert "making a small store" in error
    assert CHECK_FAILED in error
    assert "is what is left of a failed build" in error
    assert b"env-vars" in first.stdout


def test_the_second_time_it_enters_what_is_left(first, run_demo, home):
    before = kept(home)
    second = run_demo("--", "bash", "-c", "exit 6")
    assert second.returncode == 6
    assert b"making a small store" not in second.stderr
    assert kept(home) == before


def test_again_builds_once_more_and_keeps_both(first, run_demo, home):
    before = kept(home)
    again = run_demo("--again", "--", "true")
    assert again.returncode == 0, again.stderr
    assert len(kept(home)) == len(before) + 1
    assert set(before) < set(kept(home))


def test_the_failure_is_one_like_any_other(first, nbs, home):
    root = f"{home}/.cache/nix-build-shell/demo"
    listed = nbs("ls", "--names", "--store", root)
    assert "hello-1.0" in listed.stdout.decode().split()
    shown = nbs("show", f"{root}/nix/var/nix/builds/{kept(home)[-1]}")
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"checkPhase" in shown.stdout


@pytest.mark.terminal
def test_a_repair_is_kept_and_can_be_shown_and_verified(screen, nbs, code):
    screen.wait_for("[hello-1.0 checkPhase] /build/hello$")
    screen.type("sed -i '1s|.*|#!'$SHELL'|' test.sh; snapshot repaired")
    screen.wait_for("snapshot repaired: …")
    screen.type("echo spoilt > test.sh; restore repaired")
    screen.wait_for("restored: repaired…")
    screen.type("exit")
    shown = screen.wait_for("left")
    assert "kept as hello-1.0: `nbs shell --ws hello-1.0`" in shown
    # A copy for who cannot read the checkout has only the code.
    assert (f"ones: {code}/notebooks" in shown) == (code / "notebooks").is_dir()
    assert nbs("diff", "--names").stdout == b"M hello/test.sh\n"
    verified = nbs("verify")
    assert b"hello-1.0 passes with hello-1.0.patch" in verified.stderr
    assert verified.returncode == 0
    assert b"  nbs shell --ws hello-1.0  " in nbs().stdout
    # No Nix knows of this store, nor has learnt of it by having been asked.
    assert b"Nix may collect" not in nbs("ws", "ls").stderr


def test_what_was_built_runs_and_what_failed_fails_in_the_sandbox(first, run_demo):
    script = "cd /build/hello* && ls -l hello && ./hello; ! ls /usr/bin/env"
    done = run_demo("--", "bash", "-c", script)
    assert done.returncode == 0, done.stderr


def test_what_is_told_to_try_does_what_is_said_of_it(first, run_demo):
    lines = demo.THINGS_TO_TRY.splitlines()
    tries = [line[2:].split("  ")[0] for line in lines if line.startswith("  ")]
    typed = "\n".join([*tries, "exit", ""]).encode()
    done = run_demo(input=typed)
    said = done.stdout + done.stderr
    assert CHECK_FAILED.encode() in said
    assert b"#!/usr/bin/env bash\n" in done.stdout
    assert b"cannot access '/usr': No such file" in said
    assert b"ok: hello says what it should" in said


@pytest.mark.parametrize(
    ("absent", "hint"),
    [
        (["patchelf"], "`sudo apt-get install patchelf`"),
        (["gcc"], "`sudo apt-get install gcc libc6-dev`"),
        (["gcc", "make", "patchelf"], "`sudo apt-get install gcc make patchelf libc6-dev`"),
        (["make", "apt-get"], " patchelf` and your system's gcc and make bring what is needed"),
    ],
)
def test_all_programs_that_are_missing_are_named_with_what_brings_them(
    tmp_path, monkeypatch, absent, hint
):
    find = recipe.find_program
    there = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(
        recipe,
        "find_program",
        lambda name: (
            None if name in absent else there.get(name) or find(name) or f"/usr/bin/{name}"
        ),
    )
    monkeypatch.setattr(recipe.sys, "executable", "/usr/bin/nowhere/python")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PATCHELF", raising=False)
    with pytest.raises(MachineError) as caught:
        demo.command([])
    error = caught.value
    assert error.reason == "demo-tool-missing"
    assert all(f"`{name}`" in error.message for name in absent if name != "apt-get")
    assert hint in error.hint


def test_a_build_that_never_began_is_not_there_to_be_entered(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> int:
        raise MachineError("no namespaces", reason="user-namespaces-forbidden")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(demo.sandbox, "enter", refuse)
    with pytest.raises(MachineError):
        demo.command([])
    assert os.listdir(tmp_path / "nix-build-shell/demo/nix/var/nix/builds") == []


def test_nothing_is_told_to_be_tried_where_nobody_can_enter(
    first, tool_command, environment, unprivileged
):
    start, clean = tool_command("sandbox.cli.nbs", unprivileged)
    who = {"user": unprivileged, "group": unprivileged, "extra_groups": ()}
    done = subprocess.run(
        [*where(COVERED_PROC, unprivileged), *start, "demo"],
        env={**clean, **environment},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **(who if os.geteuid() == 0 else {}),
    )
    assert "(step-failed, 125)" in done.stderr
    assert "things to try" not in done.stderr


def test_an_unknown_option_is_told():
    with pytest.raises(UsageError) as caught:
        demo.command(["--bogus"])
    assert caught.value.reason == "option-unknown"


def test_a_place_that_cannot_be_written_is_told(run_nbs, open_directory, unprivileged):
    blocked = open_directory / "demo-blocked"
    blocked.write_text("no directory")
    done = run_nbs("demo", "--", "true", as_user=unprivileged, env={"XDG_CACHE_HOME": str(blocked)})
    assert done.returncode == 125
    assert b"(demo-directory-refused, 125)" in done.stderr
    assert str(blocked).encode() in done.stderr
