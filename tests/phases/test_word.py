"""The word `phase`: what it lists, its options, what it leaves alone, what it says when it is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from tests.nix.world import NO_INTERPRETER

if TYPE_CHECKING:
    from tests.conftest import Kept, RunTool
    from tests.phases.conftest import Phase

REPAIR = "preCheck=patchShebangs test.sh"


@pytest.fixture
def run(kept_by_nix: Kept, run_nbs: RunTool, unprivileged: int):
    """`nbs phase` over a build that failed in its check phase, as a user without rights."""

    def run(*words: str):
        return run_nbs(
            "phase", "--store", kept_by_nix.store, kept_by_nix.path, *words, as_user=unprivileged
        )

    return run


@pytest.fixture
def type_in(kept_by_nix: Kept, phase: Phase, unprivileged: int):
    """Lines typed into the shell of that build; what it answers, its own prompts left out."""

    def type_in(*lines: str) -> str:
        done = phase(
            kept_by_nix.path, store=kept_by_nix.store, as_user=unprivileged, verb="shell",
            typed="\n".join(lines) + "\n",
        )  # fmt: skip
        return done.stdout

    return type_in


def test_without_a_name_the_failing_phase_is_run_outside(run):
    done = run()
    assert done.returncode == 2
    assert b"Running phase: checkPhase\n" in done.stdout
    assert b"@nix" not in done.stderr


def test_the_failing_command_is_told_with_its_place_and_status(run, kept_by_nix: Kept):
    told = run().stderr.decode().splitlines()[-3:]
    assert told[0] == "checkPhase failed: exit status 2"
    assert told[1].startswith("  make ")
    place = re.fullmatch(r"  at (/nix/store/[a-z0-9]{32}-stdenv/setup):(\d+), in runMake", told[2])
    assert place, told[2]
    setup = Path(f"{kept_by_nix.store}{place[1]}").read_text().splitlines()
    assert setup[int(place[2]) - 1].strip() == told[1].strip()


def test_a_command_of_a_recipe_s_text_is_told_with_its_line_in_the_variable(run):
    told = run("build", "buildPhase=echo begin\n\nfalse here\n").stderr.decode()
    assert told.splitlines()[-3:] == [
        "buildPhase failed: exit status 1",
        "  false here",
        "  at line 3 of the variable buildPhase",
    ]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("( cd /; ( false inner ) )", "false inner"),
        ("letters=$(echo a; false inner)", "false inner"),
        ("command exit 1", "it was left with an exit status"),
        ("local x=$(false early); false late", "false late"),
    ],
)
def test_the_innermost_failure_is_the_one_told(run, text, command):
    done = run("build", f"buildPhase={text}")
    assert done.returncode == 1
    told = done.stderr.decode().splitlines()
    assert told[told.index("buildPhase failed: exit status 1") + 1] == f"  {command}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("true | false | cat", ["  cat", "  in a pipeline with the exit statuses 0 1 0"]),
        ("IFS=0; a=$(false | cat)", ["  cat", "  in a pipeline with the exit statuses 1 0"]),
        ("true | false", ["  false"]),
        ("false | cat || ((0))", ["  ((0))"]),
    ],
)
def test_of_a_pipeline_that_ends_well_it_is_told_which_part_failed(run, text, told):
    """Bash names the last part alone."""
    said = run("build", f"buildPhase={text}").stderr.decode().splitlines()
    first = said.index("buildPhase failed: exit status 1") + 1
    assert said[first:] == [*told, "  at line 1 of the variable buildPhase"]


def test_what_fails_without_errexit_is_not_the_failure_in_whatever_case_a_text_matches(run):
    text = "shopt -s nocasematch; set +e; false early; set -e; false late"
    told = run("build", f"buildPhase={text}").stderr.decode().splitlines()
    assert told[told.index("buildPhase failed: exit status 1") + 1] == "  false late"


def test_what_a_build_does_when_it_fails_is_done(run):
    hooks = ("failureHook=echo first", "failureHooks=echo second")
    done = run("build", "buildPhase=false", *hooks)
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (1, [b"first", b"second"])
    done = run("build", "buildPhase=exit 3", "succeedOnFailure=1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        b"build failed with exit code 3 (ignored)",
    )
    assert b"buildPhase failed: exit status 3" in done.stderr


def test_what_a_build_does_in_the_end_is_done_behind_its_last_phase(run):
    assert run("build", "buildPhase=:", "exitHook=echo over").stdout.splitlines()[1:] == []
    assert run("dist", "exitHook=echo over").stdout == b"over\n"


@pytest.mark.parametrize(
    "text",
    ["trap 'true; exit' EXIT; false", "( trap 'true; exit' EXIT; false ); echo not reached"],
)
def test_an_exit_in_a_trap_has_the_status_from_before_the_trap(run, text):
    done = run("build", f"buildPhase={text}")
    assert (done.returncode, b"not reached" in done.stdout) == (1, False)


BUILD = "buildPhase=greet() { echo greeted; }; guest=me; export CITY=here"


def test_what_an_earlier_phase_has_set_is_told_to_be_unknown(run):
    done = run("check", BUILD, 'checkPhase=echo "<$guest>"')
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, b"<>")
    assert (
        b"not known here: guest (of buildPhase); outside, `nbs phase --clean --store /"
        in done.stderr
    )
    done = run("check", BUILD, 'checkPhase=guest=you; echo "<$guest>"')
    assert done.stderr == b"", "the phase has its own"


def test_without_a_function_of_an_earlier_phase_none_is_begun(run):
    words = ("check", BUILD, "checkPhase=runHook preCheck; greet || true")
    done = run(*words)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"error: `greet` is a function that buildPhase defines" in done.stderr
    done = run(*words, "preCheck=greet() { echo mine; }")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, b"mine")


def test_a_variable_is_set_as_a_recipe_could_have_set_it(run):
    done = run(REPAIR)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ok: hello says" in done.stdout


def test_the_list_marks_the_failing_phase_and_says_what_each_is(run):
    done = run("--list", "buildPhase=make", "preInstall=true")
    lines = {line[2:].split()[0]: line for line in done.stdout.decode().splitlines()}
    assert done.returncode == 0
    assert lines["checkPhase"].startswith("* checkPhase           function")
    assert lines["buildPhase"].startswith("  buildPhase           variable")
    assert "preInstall is a variable" in lines["installPhase"]
    assert "left out: doDist is not set" in lines["distPhase"]
    assert "source-stdenv.sh" in lines["builder"]


def test_what_the_set_up_prints_is_not_in_the_list(run):
    done = run("--list", "postHook=echo of the set-up")
    assert done.stdout.startswith(b"  unpackPhase ")
    assert done.stderr == b"of the set-up\n"


def test_a_range_runs_in_order_until_one_fails(run):
    done = run("--from", "build", "--until=install")
    headers = [line for line in done.stdout.splitlines() if line.startswith(b"Running phase")]
    assert done.returncode == 2
    assert headers == [b"Running phase: buildPhase", b"Running phase: checkPhase"]


def test_a_range_goes_on_when_none_fails(run):
    done = run("--until", "installPhase", REPAIR)
    headers = [line for line in done.stdout.splitlines() if line.startswith(b"Running phase")]
    assert (done.returncode, headers) == (
        0,
        [b"Running phase: checkPhase", b"Running phase: installPhase"],
    )


def test_a_clean_run_begins_with_an_empty_directory(run):
    done = run("--clean", "check", REPAIR)
    assert done.returncode == 0
    assert done.stdout.startswith(b"Running phase: unpackPhase")
    assert b"installPhase" not in done.stdout


def test_a_phase_that_the_build_leaves_out_says_so(run):
    done = run("installCheck")
    assert (done.returncode, done.stdout) == (0, b"")
    assert (
        done.stderr
        == b"installCheckPhase was left out, as the build does: doInstallCheck is not set\n"
    )


def test_one_job_means_one_everywhere(run):
    shown = 'buildPhase=echo "$NIX_BUILD_CORES ${enableParallelBuilding-none}"'
    assert b"1 none\n" in run("build", "-j1", "enableParallelBuilding=1", shown).stdout


def test_a_trace_stays_out_of_what_the_phase_redirects(run):
    text = "{ echo to-stderr >&2; } 2>log; wc -l <log"
    done = run("build", "--trace", f"buildPhase={text}")
    assert done.stdout.splitlines()[-1] == b"1"
    lines = done.stderr.decode().splitlines()
    assert [line for line in lines if re.fullmatch(r"\+ setup:\d+ \w+: echo to-stderr", line)]


def test_a_trace_shows_what_the_phase_does_and_nothing_of_ours(run):
    text = "set +e; false; set -e; (false) || echo on; false late"
    done = run("build", "--trace", f"buildPhase={text}")
    trace, _, told = done.stderr.decode().partition("buildPhase failed: exit status 1\n")
    assert told.splitlines()[0] == "  false late"
    assert trace.splitlines()[-1].endswith(": false late")
    assert not [line for line in trace.splitlines() if "__nbs" in line or "+ :" in line]
    done = run("build", "--trace", "buildPhase=echo on")
    assert "__nbs" not in done.stderr.decode()
    assert "set +x" not in done.stderr.decode()


def test_libraries_are_told_in_short(run):
    told = run("build", "--debug-libs", "buildPhase=make -B").stderr.decode()
    assert "  libc.so.6: /nix/store/" in told
    assert ", wanted by gcc" in told or "wanted by /" in told
    assert len(told.splitlines()) < 60


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--nonsense",), "option-unknown"),
        (("-j",), "option-value"),
        (("-j", "many", "check"), "option-value"),
        (("--list", "check"), "option-value"),
        (("--from", "check", "build"), "option-value"),
        (("--from", "check", "--until", "build"), "option-value"),
        (("a-b=1",), "option-value"),
        (("nonsense",), "phase-unknown"),
        (("my-phase",), "phase-unknown"),
        (("/tmp",), "phase-unknown"),
        (("x y",), "phase-unknown"),
    ],
)
def test_wrong_words_are_told_with_a_reason(run, words, reason):
    done = run(*words)
    assert done.returncode == 2
    assert f"({reason}, 2)" in done.stderr.decode()


@pytest.mark.parametrize(
    ("words", "who", "where"),
    [
        (("build", "preBuild=exit 0"), "buildPhase", "at line 1 of the variable preBuild"),
        (
            ("--clean", "build", "preBuild=exit 0"),
            "buildPhase",
            "at line 1 of the variable preBuild",
        ),
        (("build", "postHook=exit 0"), "the set-up", "at line 1 of the variable postHook"),
    ],
)
def test_what_ends_the_build_well_before_its_end_is_told_as_what_failed(run, words, who, where):
    done = run(*words)
    told = done.stderr.decode()
    assert done.returncode == 1
    assert f"{who} ended the build with exit status 0, and no phase behind it ran\n" in told
    assert f"\n  exit 0\n  {where}\nnothing is at /nix/store/" in told


def test_a_build_may_end_in_a_phase_once_its_outputs_are_there(run):
    done = run("install", "installPhase=mkdir $out; exit 0")
    assert done.returncode == 0, done.stderr
    assert b"installPhase ended the build with exit status 0" in done.stderr
    assert b"nothing is at" not in done.stderr


def test_a_set_up_that_fails_is_told_with_its_place(run):
    done = run("build", "postHook=exit 7")
    assert done.returncode == 7
    assert done.stderr.decode().splitlines()[:3] == [
        "the set-up failed: exit status 7",
        "  exit 7",
        "  at line 1 of the variable postHook",
    ]


def test_the_builder_can_be_run_as_a_whole(run):
    done = run("--clean", "builder")
    assert done.returncode == 2
    assert b"Running phase: unpackPhase" in done.stdout
    assert b"Running phase: checkPhase" in done.stdout


def test_the_shell_has_the_word_and_outlives_a_failing_phase(type_in):
    told = type_in("variable=mine", "phase check", 'echo "status $? $variable"')
    assert "checkPhase failed: exit status 2" in told
    assert "status 2 mine" in told


def test_a_phase_does_not_see_what_the_shell_exports_unless_told_so(type_in):
    told = type_in(
        "export preCheck='echo from the shell; cd /'",
        "phase check",
        "cd /tmp",
        "phase --here check",
    )
    assert told.count("from the shell\n") == 1


def test_what_the_shell_exports_is_taken_in_whatever_case_it_matches(type_in):
    told = type_in(
        "shopt -s nocasematch; export pwd=taken",
        "phase --here build buildPhase='echo \"pwd: ${pwd-}\"'",
    )
    assert "pwd: taken\n" in told


def test_neither_options_nor_functions_of_the_shell_reach_a_phase(type_in):
    told = type_in(
        "exec() { echo no; }; make() { echo no; }; export -f make; alias exec=no",
        "set -f -u -o posix; shopt -s failglob; IFS=h; readonly name",
        "trap 'echo no' DEBUG ERR EXIT",
        "phase check; builtin echo is $?",
        "trap - EXIT",
    )
    assert "Running phase: checkPhase" in told
    assert NO_INTERPRETER.search(told)
    assert "is 2" in told


def test_the_environment_of_a_phase_is_that_of_the_build(type_in):
    told = type_in(
        "phase build buildPhase='env > /build/seen'",
        "sed -n 's/^declare -x \\([A-Za-z_0-9]*\\)=.*/\\1/p' /build/env-vars | sort > /build/a",
        "sed -n 's/^\\([A-Za-z_0-9]*\\)=.*/\\1/p' /build/seen | sort > /build/b",
        "diff /build/a /build/b | sed -n 's/^[<>]/diff: &/p'",
    )
    different = {line for line in told.splitlines() if line.startswith("diff: ")}
    assert different == {"diff: > _", "diff: > buildPhase"}


def test_env_vars_stays_as_it_was_kept(type_in):
    told = type_in(
        'echo "sum: $(cksum </build/env-vars)"',
        "phase check",
        'echo "sum: $(cksum </build/env-vars)"',
    )
    sums = [line for line in told.splitlines() if line.startswith("sum: ")]
    assert len(sums) == 2
    assert len(set(sums)) == 1


def test_nothing_of_it_is_left_behind(type_in):
    told = type_in("phase check --debug-libs", 'echo "left: $(ls -A /tmp) $(compgen -v __nbs)."')
    assert "left:  ." in told.splitlines()


def test_without_stdenv_there_are_no_phases(hand_made: Kept, run_nbs: RunTool, unprivileged: int):
    words = ("phase", "--store", hand_made.store, hand_made.path)
    done = run_nbs(*words, as_user=unprivileged)
    assert (done.returncode, b"(no-phases, 125)" in done.stderr) == (125, True)
    done = run_nbs(*words, "builder", as_user=unprivileged)
    assert (done.returncode, b"(builder-unknown, 125)" in done.stderr) == (125, True)
    done = run_nbs(*words, "--clean", as_user=unprivileged)
    assert (done.returncode, b"(environment-unknown, 125)" in done.stderr) == (125, True)


@pytest.fixture(scope="module")
def closed(kept_by_nix: Kept, open_directory: Path, unprivileged: int) -> Path:
    """The same build with an env-vars that only its builder can read, as nixpkgs makes it."""
    path = open_directory / "phases-without-env-vars/nix-build-hello-1.0.drv-0"
    path.parent.mkdir()
    path.parent.chmod(0o755)
    shutil.copytree(kept_by_nix.path, path, symlinks=True)
    for entry in (path, *path.rglob("*")):
        os.chown(entry, unprivileged, unprivileged, follow_symlinks=False)
    (path / "env-vars").chmod(0)
    return path


def test_without_env_vars_a_phase_begins_in_the_one_directory_there_is(
    closed: Path, kept_by_nix: Kept, run_nbs: RunTool, unprivileged: int
):
    # Other tests have builds of this name in that store.
    derivation = sandbox.read(kept_by_nix.path, store=kept_by_nix.store).nix.derivation_path
    entering = ("--store", kept_by_nix.store, "--derivation", derivation)
    words = ("phase", *entering, str(closed), "check")
    done = run_nbs(*words, as_user=unprivileged)
    assert done.returncode == 2, done.stderr
    assert b"env-vars is not there: checkPhase begins in hello\n" in done.stderr
    assert NO_INTERPRETER.search(done.stderr.decode())
    assert run_nbs(*words, REPAIR, as_user=unprivileged).returncode == 0


def test_a_library_that_is_not_there_is_told_first_with_who_wants_it(run):
    text = """
        echo 'int f() { return 0; }' >f.c; echo 'int f(); int main() { return f(); }' >main.c
        gcc -shared -fPIC -Wl,-soname,libgreet.so.1 -o libgreet.so.1 f.c
        gcc -o greet main.c ./libgreet.so.1; rm libgreet.so.1
        ./greet
    """
    done = run("build", "--debug-libs", f"buildPhase={text}")
    told = done.stderr.decode().splitlines()
    first = told[told.index("libraries:") + 1]
    assert done.returncode == 127
    assert first.startswith("  libgreet.so.1: not found, wanted by ./greet; looked for as /")


def test_a_trace_goes_to_a_file_of_the_caller_s(tmp_path, kept_by_nix, run_nbs):
    file = tmp_path / "trace"
    done = run_nbs(
        "phase", "--store", kept_by_nix.store, kept_by_nix.path, "build", f"--trace={file}",
        "buildPhase=echo hello; false late",
    )  # fmt: skip
    assert done.returncode == 1
    assert "+ " not in done.stderr.decode()
    assert "false late\n" in file.read_text()


def test_a_trace_goes_to_a_descriptor_of_the_caller_s(kept_by_nix, tool_command, tmp_path):
    command, environment = tool_command("sandbox.cli.nbs")
    words = [*command, "phase", "--store", kept_by_nix.store, kept_by_nix.path, "build"]
    script = f'exec "$@" --trace-fd 7 7>{tmp_path}/trace'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words, "buildPhase=echo hello"],
        env=environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert "echo hello\n" in (tmp_path / "trace").read_text()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--trace-fd", "99"), "option-value"),
        (("--trace-fd", "x"), "option-value"),
        (("--trace=/nowhere/file",), "trace-refused"),
    ],
)
def test_a_trace_that_can_go_nowhere_is_told(run, words, reason):
    done = run(*words)
    assert (done.returncode, f"({reason}, 2)" in done.stderr.decode()) == (2, True)


def test_a_descriptor_of_the_shell_can_take_the_trace(type_in):
    told = type_in(
        "phase --trace-fd 5 build buildPhase='echo hello' 5>trace; grep -c 'recipeText: echo' trace",
        "phase --trace-fd 6 build",
    )
    assert "\n1\n" in told
    assert "no descriptor `6` is open to be written" in told


@pytest.mark.parametrize(
    ("text", "command", "place"),
    [
        ("echo a\n\nexit 3\n", "exit 3", "line 3 of the variable buildPhase"),
        ("stop() {\n  exit 4\n}\nstop", "exit 4", "line 2 of the variable buildPhase"),
        ("(exit 0); false || exit", "exit", "line 1 of the variable buildPhase"),
    ],
)
def test_an_exit_is_told_with_its_line(run, text, command, place):
    done = run("build", f"buildPhase={text}")
    told = done.stderr.decode().splitlines()[-3:]
    assert told == [
        f"buildPhase failed: exit status {done.returncode}",
        f"  {command}",
        f"  at {place}",
    ]


def test_inside_a_clean_run_has_a_directory_of_its_own(type_in):
    told = type_in(
        "touch mine",
        "phase --clean check preCheck='patchShebangs test.sh; pwd'; echo status-$?",
        "cd /build; ls .clean-1/hello/hello; ls hello/mine; ls .clean-1/hello/mine",
        "phase --clean patch; echo status-$?; ls -d .clean-2/hello",
    )
    assert "in /build/.clean-1, where there is nothing yet; outside, `nbs phase --clean " in told
    assert re.search(r"in /build/\.clean-2, where .*[^`]* patch` does it in /build\n", told)
    assert "\n/build/.clean-1/hello\n" in told
    assert told.count("\nstatus-0\n") == 2
    assert "\n.clean-1/hello/hello\n" in told
    assert "\nhello/mine\n" in told
    assert "\n.clean-1/hello/mine\n" not in told


def test_what_cannot_run_twice_offers_a_clean_run(run):
    told = run("unpack").stderr.decode()
    assert "`phase --clean unpackPhase`, inside, in a directory beside" in told
    assert "outside, `nbs phase --clean --store /" in told


def test_of_a_range_the_first_phase_that_cannot_run_twice_is_told_and_all_of_it_is_offered(run):
    for words, first, last in (
        (("--all",), "unpackPhase", "checkPhase"),
        (("--all", "dontUnpack=1"), "patchPhase", "checkPhase"),
        (("--from", "configure", "--until", "install"), "configurePhase", "installPhase"),
        (("check", "configure"), "configurePhase", "checkPhase"),
    ):
        told = run(*words).stderr.decode()
        assert told.count(" meets what it left ") == 1
        assert f"{first} meets what it left when it ran before; outside, `nbs phase " in told
        assert f" {last}` begins with nothing; `phase --clean {last}`, inside" in told


def test_a_phase_that_is_left_out_meets_nothing(run):
    assert b"meets what it left" not in run("configure", "dontConfigure=1").stderr


@pytest.mark.parametrize("signal", [9, 11])
def test_of_a_phase_that_a_signal_ends_the_signal_is_told_and_nothing_else(run, signal):
    done = run("build", f"buildPhase=kill -{signal} $BASHPID")
    assert done.returncode == 128 + signal
    assert done.stderr.decode() == f"the phase was ended by signal {signal}\n"
