"""`nbs log`: the log of a failed build, its phases, its first error, and the files it points to."""

from __future__ import annotations

import json

import pytest

from tests.host.made_store import MadeStore, env_vars, output, store_path

EVIL = "\x1b[2J\x1b]0;owned\x07"
LOG = f"""\
begins
Running phase: configurePhase
@nix {{ "action": "setPhase", "phase": "configurePhase" }}
See `config.log' for more
Running phase: buildPhase
@nix {{ "action": "setPhase", "phase": "buildPhase" }}
a{EVIL}b
hello.c:3: error: expected ';'
also in hello/mine.log
"""


@pytest.fixture
def store(tmp_path):
    return MadeStore(tmp_path / "s")


@pytest.fixture
def log(store, run_nbs):
    """`nbs log` of a hello that failed in its build phase, and left files."""
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"))
    variables = env_vars(out=store_path("hello-1.0", "a"), name="hello-1.0", NIX_BUILD_TOP="/build")
    kept = store.keep("nix-1-2", env_vars=variables)
    for name in ("mine.log", "config.log", "sub/config.log"):
        path = kept / "build/hello" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {name} {EVIL}\n")
    (kept / "build/hello/linked.log").symlink_to("/etc/passwd")
    store.log(drv, LOG)

    def run(*words: str):
        return run_nbs("log", str(kept), "--store", str(store.root), *words)

    def write(name: str, text: str) -> None:
        (kept / "build/hello" / name).write_text(text)

    run.drv = drv
    run.write = write
    return run


def test_the_whole_log_is_printed_without_what_moves_a_terminal(log):
    done = log()
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [
        "begins",
        "Running phase: configurePhase",
        "See `config.log' for more",
        "Running phase: buildPhase",
        "ab",
        "hello.c:3: error: expected ';'",
        "also in hello/mine.log",
    ]


LONG = f"ld: {'0' * 50_000} lastarg"


@pytest.mark.parametrize("words", [(), ("--phase", "build"), ("--file", "mine.log")])
def test_the_longest_line_is_printed_to_its_end(store, log, words):
    store.log(log.drv, f"{LOG}{LONG}\n")
    log.write("mine.log", LONG)
    assert LONG in log(*words).stdout.decode().splitlines()


def test_programs_get_the_longest_line_to_its_end_and_errors_are_cut_with_a_mark(store, log):
    store.log(log.drv, f"{LOG}error: {LONG}\n")
    told = json.loads(log("--json").stdout)
    assert told["pieces"][0]["lines"][-1] == f"error: {LONG}"
    assert told["cut"] is False
    assert told["error"]["context"][-1].endswith("0… (50019 characters)")


@pytest.mark.parametrize("name", ["configurePhase", "configure"])
def test_a_phase_alone_is_printed(log, name):
    assert (
        log("--phase", name).stdout == b"Running phase: configurePhase\nSee `config.log' for more\n"
    )


def test_a_phase_that_the_log_has_not_is_told_with_those_it_has(log):
    done = log("--phase", "check")
    assert done.returncode == 2
    assert b"it has configurePhase, buildPhase" in done.stderr
    assert b"(phase-unknown, 2)" in done.stderr


def test_the_first_error_is_printed_with_what_stands_around_it(log):
    said = log("--errors").stdout.decode()
    assert said.startswith(
        "line 6 of 7 in buildPhase:\n  ab\n> hello.c:3: error: expected ';'\n  also"
    )
    assert "/build/hello/mine.log\n" in said


def test_a_phase_without_an_error_shows_its_end(log):
    done = log("--errors", "--phase", "configure")
    assert done.stdout.startswith(b"Running phase: configurePhase\nSee `config.log'")
    assert b"no line of it looks like an error" in done.stderr


def test_the_files_are_listed_with_their_paths_in_the_sandbox(log):
    paths = [line.split()[-1] for line in log("--file").stdout.decode().splitlines()]
    assert paths == [
        "/build/hello/config.log",
        "/build/hello/sub/config.log",
        "/build/hello/mine.log",
    ]


@pytest.mark.parametrize("name", ["mine.log", "hello/mine.log", "/build/hello/mine.log"])
def test_a_file_is_printed_by_any_end_of_its_path(log, name):
    done = log("--file", name)
    assert (done.stdout, done.stderr) == (b"of mine.log\n", b"/build/hello/mine.log\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("config.log", "log-file-unclear"),
        ("linked.log", "log-file-unknown"),
        ("../../etc/passwd", "log-file-unknown"),
        ("/etc/passwd", "log-file-unknown"),
    ],
)
def test_no_other_file_is_printed(log, name, reason):
    done = log("--file", name)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"({reason}, 2)" in done.stderr.decode()


def test_programs_get_all_of_it(log):
    data = json.loads(log("--json").stdout)
    assert data["schema"] == "nix-build-shell.log/1"
    assert (data["derivation"], data["failing_phase"]) == (log.drv, "buildPhase")
    assert [phase["name"] for phase in data["phases"]] == ["configurePhase", "buildPhase"]
    assert data["error"]["line"] == 6
    assert len(data["pieces"][0]["lines"]) == 7
    assert [one["relative"] for one in data["files"]][-1] == "hello/mine.log"


def test_programs_get_a_phase_alone_if_they_ask_for_it(log):
    (piece,) = json.loads(log("--json", "--phase", "build").stdout)["pieces"]
    assert (piece["phase"], piece["first"]) == ("buildPhase", 4)


def test_a_derivation_of_which_nothing_is_kept_has_a_log_all_the_same(store, run_nbs):
    drv = store.derive("gone-1", "c", output("gone-1", "c"))
    store.log(drv, "x\n")
    done = run_nbs("log", drv, "--store", str(store.root))
    assert (done.returncode, done.stdout) == (0, b"x\n")


def test_a_build_without_a_log_is_told(store, run_nbs):
    drv = store.derive("gone-1", "c", output("gone-1", "c"))
    done = run_nbs("log", drv, "--store", str(store.root))
    assert done.returncode == 125
    assert b"(log-missing, 125)" in done.stderr
