"""`nbs build`: the user's own build, what is said when it fails, and the way into it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

import sandbox
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DRV = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello-1.0.drv"
FAILED = f"error: builder for '{DRV}' failed"
RECIPES = f"""
let
  pkgs = import {ROOT}/tests/nix/stdenv.nix {{ }};
  failing = name: phase: pkgs.mkDerivation {{ inherit name; dontUnpack = true; buildPhase = phase; }};
in rec {{
  lib = failing "lib-1.0" "echo working; echo 'foo.c:3:1: error: no foo'; exit 3";
  other = failing "other-1.0" "exit 4";
  early = pkgs.mkDerivation {{ name = "early-1.0"; dontUnpack = true; preHook = "exit 3"; }};
  app = pkgs.mkDerivation {{ name = "app-2.0"; inherit lib; dontUnpack = true; buildPhase = "true"; }};
  both = pkgs.mkDerivation {{ name = "both-2.0"; inherit lib other; buildCommand = "true"; }};
  slow = failing "slow-1.0" "echo begun; sleep 100";
  late = failing "late-1.0" "sleep 2; exit 3";
  race = pkgs.mkDerivation {{ name = "race-2.0"; inherit slow late; buildCommand = "true"; }};
  refers = pkgs.mkDerivation {{
    name = "refers-1.0"; buildCommand = "echo $SHELL > $out"; allowedReferences = [ ];
  }};
  fine = pkgs.mkDerivation {{ name = "fine-1.0"; buildCommand = "echo made > $out"; }};
  wrong = pkgs.mkDerivation {{
    name = "wrong-1.0"; outputHashMode = "flat"; outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "right"; buildCommand = "echo wrong > $out";
  }};
  fetched = derivation {{
    name = "fetched"; system = "builtin"; builder = "builtin:fetchurl"; url = "file:///nowhere";
    outputHashMode = "flat"; outputHashAlgo = "sha256"; unpack = false; executable = false;
    outputHash = builtins.hashString "sha256" "right"; preferLocalBuild = true;
  }};
}}
"""


@pytest.fixture
def fake(tmp_path: Path, run_nbs):
    """`nbs build` with a `nix-build` of the test's own, which is a script of sh."""

    def run(script: str, *words: str, options: tuple[str, ...] = ()):
        program = tmp_path / "nix-build"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
        return run_nbs("build", *options, "--", *words, env=path)

    return run


@pytest.fixture
def nix(nix_world, run_nbs, tmp_path: Path):
    """`nbs build … -- nix-build …` of one of the recipes, with a real Nix."""
    recipes = tmp_path / "recipes.nix"
    recipes.write_text(RECIPES)

    def run(attribute: str, *more: str, options: tuple[str, ...] = ()):
        words = ("nix-build", *nix_world.store_arguments, "--no-out-link", str(recipes), "-A")
        return run_nbs("build", *options, "--", *words, attribute, *more, env=nix_world.environment)

    return run


def test_what_nix_writes_comes_through_unchanged(fake):
    written = r"a\nb\r\033[31m\377 c"
    done = fake(f"printf '{written}' >&2; printf 'out\\377' ")
    assert (done.returncode, done.stdout) == (0, b"out\xff")
    assert done.stderr == b"a\nb\r\x1b[31m\xff c"


def test_the_words_go_to_nix_build_with_what_keeps_a_failure(fake):
    done = fake('printf "%s\\n" "$@"', "-A", "a b", "--arg", "x", "1")
    assert done.stdout.decode().splitlines() == ["--keep-failed", "-A", "a b", "--arg", "x", "1"]


def test_the_caller_s_variables_and_input_reach_nix(fake, run_nbs, tmp_path):
    fake('echo "$TMPDIR"; cat')
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": "/tmp/x y"}
    assert run_nbs("build", env=env, input=b"typed").stdout == b"/tmp/x y\ntyped"


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 101", 101), ("kill -TERM $$", 128 + 15)]
)
def test_the_status_is_that_of_the_build(fake, script, status):
    done = fake(script)
    assert (done.returncode, done.stderr) == (status, b"")


def test_what_fails_before_anything_is_built_is_told_by_nix_alone(fake):
    assert (
        fake("echo 'error: undefined variable' >&2; exit 1").stderr
        == b"error: undefined variable\n"
    )


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (f"{FAILED} with exit code 137", "hello-1.0: killed, mostly for want of memory"),
        (f"{FAILED} due to signal 9 (Killed)", "hello-1.0: killed, mostly for want of memory"),
        (f"error: building of '{DRV}!out' timed out after 5 seconds", "hello-1.0: a timeout of Nix ended it"),
        (f"building '{DRV}' on 'ssh://far'...\n{FAILED}", "hello-1.0: built on ssh://far, and kept there"),
        (f"{FAILED} to produce output path", "hello-1.0: its builder ended without an error, but an output is missing"),
        (f"error: a 'x' is required to build '{DRV}', but I am a 'y'", "hello-1.0: this machine cannot build it"),
        (f"{FAILED}\nwarning: The failed build directory was kept on the remote builder", "`nix-build --builders ''"),
        (f"{FAILED}\nnote: build failure may have been caused by lack of free disk space", "no space was left"),
        (f"{FAILED} with exit code 2", "hello-1.0: nothing of it was kept on this machine"),
        ("error: interrupted by the user", "interrupted; what was being built"),
    ],
)  # fmt: skip
def test_each_kind_of_failure_is_told_as_what_it_is(fake, message, told):
    done = fake(f"cat >&2 <<'END'\n{message}\nEND\nexit 100")
    assert done.returncode == 100
    assert told in done.stderr.decode()


def test_a_directory_that_no_build_has_left_is_not_offered(fake):
    done = fake(f'echo "note: keeping build directory \'/etc\'" >&2; echo "{FAILED}" >&2; exit 1')
    assert b"nbs shell" not in done.stderr


def test_without_nix_the_error_says_so(run_nbs):
    done = run_nbs("build", "--", "-A", "x", env={"PATH": "/nowhere"})
    assert done.returncode == 127
    assert b"(command-not-found, 127)" in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-A", "hello"), "option-unknown"),
        (("--version",), "option-unknown"),
        (("--", "nix", "run", ".#x"), "build-command"),
    ],
)
def test_a_wrong_command_line_is_told(run_nbs, words, reason):
    done = run_nbs("build", *words)
    assert done.returncode == 2
    assert f"({reason}, 2)" in done.stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_goes_to_nix_which_decides_how_it_ends(tool_command, tmp_path, number):
    script = (
        f"#!/bin/sh\ntrap 'exit 77' {int(number)}\necho ready >&2\nwhile :; do sleep 0.05; done\n"
    )
    (tmp_path / "nix-build").write_text(script)
    (tmp_path / "nix-build").chmod(0o755)
    argv, environment = tool_command("sandbox.cli.nbs")
    child = subprocess.Popen(
        [*argv, "build"],
        env={**environment, "PATH": f"{tmp_path}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    assert child.stderr.readline() == b"ready\n"
    child.send_signal(number)
    child.stderr.close()
    assert child.wait(30) == 77


def test_a_build_that_succeeds_says_what_nix_says(nix, nix_world):
    done = nix("fine")
    assert done.returncode == 0
    assert done.stdout.decode().strip().endswith("-fine-1.0")
    assert b"nbs" not in done.stderr


def test_a_failed_dependency_is_named_beside_what_was_asked_for(nix):
    done = nix("app")
    said = done.stderr.decode()
    assert done.returncode == 100
    assert "lib-1.0 failed in buildPhase (exit 3); app-2.0, which was asked for, needs it\n" in said
    assert "foo.c:3:1: error: no foo\nenter it with\n  nbs shell --store " in said


WITHOUT_SANDBOX = f"""
(import {ROOT}/tests/nix/stdenv.nix {{ }}).mkDerivation {{
  name = "open-1.0"; __noChroot = true; src = {ROOT}/sandbox/demo/hello;
  buildPhase = "pwd > where; touch $(mktemp); exit 5";
}}
"""


@pytest.mark.namespaces
@pytest.mark.nix
def test_a_build_without_a_sandbox_can_be_entered_in_both_ways_at_its_own_path(
    undiverted_world, run_nbs
):
    words = ("--", "nix-build", "--no-out-link", "-E", WITHOUT_SANDBOX)
    settings = undiverted_world.environment
    done = run_nbs("build", *words, env=settings)
    said = done.stderr.decode().splitlines()
    assert done.returncode == 100
    assert "open-1.0 failed in buildPhase (exit 5)" in said
    ways = [shlex.split(line) for line in said[-2:]]
    assert [way[:3] for way in ways] == [
        ["nbs", "shell", "--unsandboxed"],
        ["nbs", "shell", "--sandboxed"],
    ]
    assert said[-3] == "enter it with"
    printed = run_nbs("build", "--no-enter", *words, env=settings)
    assert shlex.split(printed.stdout.decode())[:3] == ["nbs", "shell", "--unsandboxed"]
    for _, _, *way in ways:
        script = 'pwd; cat where; echo "$PWD"; dirname "$(mktemp)"; ls -d /usr/share'
        entered = run_nbs("shell", *way, "--", "bash", "-c", script, env=settings)
        here, *others = entered.stdout.decode().splitlines()
        assert others[:2] == [here, here], entered.stderr.decode()
        assert here.startswith(others[2] + "/")
        assert others[3:] == (["/usr/share"] if way[0] == "--unsandboxed" else [])
        assert run_nbs("phase", *way, env=settings).returncode == 5
    clean = run_nbs("phase", "--clean", *ways[1][2:], env=settings)
    assert clean.returncode == 5, clean.stdout.decode()


@pytest.mark.namespaces
@pytest.mark.nix
def test_what_shows_the_host_is_put_back_though_its_tmp_is_the_host_s(
    undiverted_world, run_nbs, tmp_path
):
    # A private /tmp would hide the store of this world.
    failure = undiverted_world.fail(WITHOUT_SANDBOX)
    settings = undiverted_world.environment | {"NBS_STATE_HOME": str(tmp_path / "state")}
    script = (
        b"echo 1 > new; snapshot one; echo 2 > new; cd /; restore one; cat $NIX_BUILD_TOP/hello/new"
    )
    done = run_nbs("shell", "--unsandboxed", failure.kept, input=script, env=settings)
    assert done.stdout.decode().splitlines()[1:] == [
        "restored: one; what it replaced is `undone`",
        "1",
    ], done.stderr.decode()


@pytest.mark.namespaces
def test_the_command_that_is_printed_enters(nix, run_nbs, nix_world):
    done = nix("lib", options=("--no-enter", "--inputs", "rw"))
    assert done.returncode == 100
    words = shlex.split(done.stdout.decode())
    assert words[:4] == ["nbs", "shell", "--inputs", "rw"]
    entered = run_nbs(*words[1:], "--", "pwd", env=nix_world.environment)
    assert (entered.returncode, entered.stdout) == (0, b"/build\n")


@pytest.mark.namespaces
def test_the_command_that_is_printed_writes_a_notebook_instead(nix, run_nbs, nix_world, tmp_path):
    done = nix("lib", options=("--no-enter", "--notebook"))
    words = shlex.split(done.stdout.decode())
    assert words[:3] == ["nbs", "notebook", "--store"]
    file = str(tmp_path / "lib.ipynb")
    made = run_nbs(*words[1:], file, "--no-open", env=nix_world.environment)
    assert (made.returncode, made.stdout.decode()) == (0, f"{file}\n")
    with open(file) as written:
        sources = ["".join(cell["source"]) for cell in json.load(written)["cells"]]
    assert sources[0].startswith("# lib-1.0 failed in buildPhase\n")
    assert sources[1].startswith(f"%enter --store {nix_world.root}/store /")


def name_of(kept: str, nix_world) -> str:
    return sandbox.read(kept, store=f"{nix_world.root}/store").kept.name_hint


def test_several_failures_are_listed_where_nobody_can_choose(nix, nix_world):
    done = nix("both", "--keep-going", options=("--no-enter",))
    paths = [shlex.split(line)[-1] for line in done.stdout.decode().splitlines()]
    assert sorted(name_of(path, nix_world) for path in paths) == ["lib-1.0", "other-1.0"]


def test_a_wrong_hash_is_told_with_the_right_one(nix):
    done = nix("wrong")
    assert done.returncode == 102
    assert (
        b"wrong-1.0: its hash is not the one that the recipe says; the hash of what it made is sha256-"
        in done.stderr
    )


def test_what_nix_itself_builds_keeps_nothing(nix):
    done = nix("fetched")
    assert b"fetched: Nix itself is the builder of this" in done.stderr
    assert b"nbs shell" not in done.stderr


def test_without_a_terminal_a_notebook_is_written_about_each_of_several_failures(
    nix_world, tool_command, tmp_path
):
    recipes = tmp_path / "recipes.nix"
    recipes.write_text(RECIPES)
    argv, environment = tool_command("sandbox.cli.nbs")
    words = ("nix-build", *nix_world.store_arguments, "--no-out-link", str(recipes), "-A", "both")
    done = subprocess.run(
        [*argv, "build", "--notebook", "--", *words, "--keep-going"],
        cwd=tmp_path,
        env={**environment, **nix_world.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 100
    assert sorted(done.stdout.decode().split()) == ["lib-1.0.ipynb", "other-1.0.ipynb"]
    for name, ending in (("lib-1.0", "exit 3"), ("other-1.0", "exit 4")):
        first = json.loads((tmp_path / f"{name}.ipynb").read_text())["cells"][0]["source"]
        assert "".join(first).startswith(f"# {name} failed in buildPhase ({ending})\n")
    assert f"`jupyter lab {tmp_path}` opens what was written" in done.stderr.decode()


def test_what_was_stopped_for_the_failure_of_another_is_told_as_that(nix, nix_world):
    done = nix("race", "-j2", options=("--no-enter",))
    said = done.stderr.decode()
    assert "slow-1.0: it did not fail: Nix ended it when another did" in said
    (line,) = done.stdout.decode().splitlines()
    assert name_of(shlex.split(line)[-1], nix_world) == "late-1.0"


def test_an_output_that_nix_does_not_take_is_told_with_why(nix):
    said = nix("refers").stderr.decode()
    assert "but Nix says: output '/nix/store/" in said
    assert "refers-1.0 failed (what it made was not taken)\n" in said
    assert "nbs shell --store" in said
