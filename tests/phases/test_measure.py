"""Faithful by measure: a failing phase fails again as it did in the real build, and a repair helps.

Each case in tests/nix/cases names its repair as a recipe would make it, and in the line after that
what a person would type inside.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

import sandbox
from tests.conftest import ROOT
from tests.nix.world import CASES, HERE, NixWorld, RealFailure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.phases.conftest import Phase

ORDINARY = (
    *("build-command", "check-phase", "compile-error", "configure", "fixed-output", "i686"),
    *("network", "pass-as-file", "raw-builder", "structured-attributes", "content-addressed"),
    "handed-on",
    "own-builder",
)
MEETS_WHAT_IT_LEFT = ("odd-files", "several-outputs")
"""Their phases cannot run twice in one directory, so they are run in a clean one."""

CALLS_WHAT_WAS_DEFINED = ("functions",)
"""Their phases call functions of earlier ones, and are not begun without those."""

INSIDE = tuple(
    case
    for case in (*ORDINARY, *MEETS_WHAT_IT_LEFT, *CALLS_WHAT_WAS_DEFINED)
    if case != "raw-builder"
)
OLDER = (
    "compile-error",
    "configure",
    "handed-on",
    "network",
    "pass-as-file",
    "structured-attributes",
)
OLDER_STDENV = f"import {HERE}/stdenv.nix {{ older = true; }}"
OURS = re.compile(
    r"^(\w+ failed: exit status \d+$|.* meets what it left when it ran before|env-vars is not there)"
)
SAID_BY_NIX = re.compile(
    r"^(note: keeping build directory|error: |this derivation|  /nix/store"
    # What Nix 2.34 says of an error in lines of its own.
    r"|       (Reason: builder failed|Output paths:$|  /nix/store))"
)


@pytest.fixture(scope="module")
def world(open_directory: Path) -> Iterator[NixWorld]:
    """A Nix of these tests' own, that can build content-addressed derivations."""
    from tests.conftest import _cache, _require

    _require("nix")
    _require("namespaces")
    world = NixWorld(open_directory / "nix-phases", experimental=("ca-derivations",))
    world.build_stdenv(_cache())
    yield world
    world.remove()


@pytest.fixture(scope="module")
def failure(world: NixWorld):
    """A real failed build of each case, made once."""
    made: dict[tuple[str, ...], RealFailure] = {}

    def failure(case: str, *arguments: str) -> RealFailure:
        if (case, *arguments) not in made:
            made[case, *arguments] = world.fail(case, *arguments)
        return made[case, *arguments]

    return failure


@pytest.fixture(scope="module")
def older(world: NixWorld) -> tuple[str, ...]:
    """The arguments that build a case with a stdenv of before 2023."""
    world.build_older_stdenv()
    return ("--arg", "pkgs", OLDER_STDENV)


def store(world: NixWorld) -> str:
    return f"{world.root}/store"


def log_of(failure: RealFailure) -> list[str]:
    """What the builder printed, as lines."""
    begun = failure.log.rpartition("building '")[2].partition("\n")[2]
    return [normal(line) for line in begun.splitlines() if not SAID_BY_NIX.match(line)]


def normal(line: str) -> str:
    """A line without what depends on the script that runs the phases: it is another one here.

    bash 5.2 complains of its own books after a failure in what a function evaluates, and names the
    line of the outermost script.
    """
    return re.sub(r"^.*: (?=pop_var_context: )", "", line)


def output_of(text: str) -> list[str]:
    """What a phase printed, without what is said about it."""
    lines = text.splitlines()
    ended = [n for n, line in enumerate(lines) if OURS.match(line) and "failed" in line]
    return [normal(line) for line in lines[: ended[0] if ended else None] if not OURS.match(line)]


def told_apart(failure: RealFailure) -> tuple[str, ...]:
    """The kept directory, and the derivation where nothing in the directory leads to it.

    A raw builder leaves no env-vars, and a later Nix no name: the time alone does not tell it from
    what failed in the same second.
    """
    left = os.path.exists(f"{failure.kept}/env-vars")
    return (failure.kept,) if left else ("--derivation", failure.drv, failure.kept)


def status_of(failure: RealFailure) -> int:
    told = re.search(r"failed with exit code (\d+)", failure.log)
    assert told, failure.log
    return int(told[1])


def same_end(printed: str, failure: RealFailure) -> bool:
    """Is all that was printed the end of the build's log?"""
    lines, log = output_of(printed), log_of(failure)
    assert lines == log[len(log) - len(lines) :], (lines, log)
    return True


@pytest.mark.parametrize("case", ORDINARY)
def test_a_failing_phase_fails_again_with_the_last_lines_of_the_log(
    case, world, failure, phase: Phase
):
    done = phase(*told_apart(failure(case)), store=store(world))
    assert done.returncode == status_of(failure(case)), done.stdout
    assert same_end(done.stdout, failure(case))


@pytest.mark.parametrize("case", CALLS_WHAT_WAS_DEFINED)
def test_a_phase_is_not_begun_without_the_functions_of_an_earlier_one(
    case, world, failure, phase: Phase
):
    done = phase(failure(case).kept, store=store(world))
    assert done.returncode == 125
    assert "`listPackages` is a function that buildPhase defines" in done.stdout
    assert "(functions-unknown, 125)" in done.stdout
    assert output_of(done.stdout) == done.stdout.splitlines(), "nothing was run"


@pytest.mark.parametrize("case", [*ORDINARY, *MEETS_WHAT_IT_LEFT, *CALLS_WHAT_WAS_DEFINED])
def test_a_build_begun_anew_fails_with_the_whole_log(case, world, failure, phase: Phase):
    done = phase("--clean", *told_apart(failure(case)), store=store(world))
    assert done.returncode == status_of(failure(case)), done.stdout
    assert output_of(done.stdout) == log_of(failure(case))


@pytest.mark.parametrize("case", OLDER)
def test_a_set_up_of_before_2023_fails_again_the_same(case, world, failure, older, phase: Phase):
    found = failure(case, *older)
    done = phase(found.kept, store=store(world))
    assert done.returncode == status_of(found), done.stdout
    assert same_end(done.stdout, found)
    done = phase("--clean", found.kept, store=store(world))
    assert (done.returncode, output_of(done.stdout)) == (status_of(found), log_of(found))


def inside(case: str) -> str:
    """What a person types to repair the case: the line `# Inside:` of its file."""
    told = re.search(r"^# Inside: (.*)$", (CASES / f"{case}.nix").read_text(), re.MULTILINE)
    assert told, case
    return told[1]


@pytest.mark.parametrize("case", INSIDE)
def test_a_repair_inside_makes_the_phase_pass(case, world, failure, phase: Phase):
    typed = f"{inside(case)}\nexit $?\n"
    done = phase(failure(case).kept, store=store(world), verb="shell", typed=typed)
    assert done.returncode == 0, done.stdout
    assert "failed: " not in done.stdout


@pytest.mark.parametrize("case", OLDER)
def test_a_repair_makes_a_phase_of_before_2023_pass(case, world, failure, older, phase: Phase):
    typed = f"{inside(case)}\nexit $?\n"
    done = phase(failure(case, *older).kept, store=store(world), verb="shell", typed=typed)
    assert done.returncode == 0, done.stdout
    assert "@nix" not in done.stdout
    assert "installing" not in done.stdout, "one phase is run, and no other"


def test_without_env_vars_the_log_tells_where_a_phase_began_and_what_it_was_left(
    world, failure, phase: Phase, open_directory: Path
):
    found = failure("handed-on")
    closed = open_directory / "handed-on/nix-build-handed-on-1.0.drv-0"
    shutil.copytree(found.kept, closed, symlinks=True)
    (closed / "env-vars").unlink()
    words = ("--derivation", found.drv, str(closed))
    done = phase(*words, store=store(world))
    assert "env-vars is not there: checkPhase begins in hello\n" in done.stdout
    assert done.returncode == status_of(found)
    assert same_end(done.stdout, found)
    done = phase(*words, store=store(world), verb="shell", typed="pwd\n")
    assert "/build/hello" in done.stdout.splitlines()


@pytest.fixture
def unset(failure) -> RealFailure:
    """A build whose phases have unset what Nix, and what the set-up, exports."""
    return failure(f"""(import {HERE}/stdenv.nix {{ }}).mkDerivation {{ name = "unset-1.0";
      dontUnpack = true; doCheck = true; FOO = "from the recipe"; SOURCE_DATE_EPOCH = "1";
      TEXT = "\\ndeclare -x FOO=\\"in a text\\""; preConfigure = "unset FOO SOURCE_DATE_EPOCH";
      checkPhase = ''echo "''${{FOO-unset}}, ''${{SOURCE_DATE_EPOCH-unset}}"; test -n "''${{FOO-}}"'';
    }}""")


def test_what_a_phase_has_unset_is_not_given_back_to_a_later_one(world, unset, phase: Phase):
    done = phase(unset.kept, store=store(world))
    assert (done.returncode, output_of(done.stdout)[-1]) == (1, "unset, unset")
    assert same_end(done.stdout, unset)
    done = phase(unset.kept, "FOO=mine", store=store(world))
    assert (done.returncode, output_of(done.stdout)[-1]) == (0, "mine, unset")


def test_what_an_env_vars_that_was_cut_short_does_not_have_is_not_taken_for_unset(
    world, unset, phase: Phase, open_directory: Path
):
    cut = open_directory / "cut-short/nix-build-unset-1.0.drv-0"
    shutil.copytree(unset.kept, cut, symlinks=True)
    whole = (cut / "env-vars").read_bytes()
    for size in (len(whole) - 4, whole.index(b"declare -x SHLVL") - 1):
        (cut / "env-vars").write_bytes(whole[:size])
        done = phase("--derivation", unset.drv, str(cut), store=store(world))
        assert "from the recipe, " in done.stdout


def test_what_a_phase_has_changed_of_the_shell_itself_a_clean_run_alone_has(
    world, failure, phase: Phase
):
    recipe = """{ name = "shell-1.0"; dontUnpack = true; doCheck = true;
      preConfigure = "set +o pipefail; shopt -s globstar; umask 077; ulimit -n 100";
      checkPhase = "shopt -po pipefail || :; shopt -p globstar || :; umask; ulimit -n; false"; }"""
    found = failure(f"(import {HERE}/stdenv.nix {{ }}).mkDerivation {recipe}")
    changed = ["set +o pipefail", "shopt -s globstar", "0077", "100"]
    assert output_of(phase("--clean", found.kept, store=store(world)).stdout)[-4:] == changed
    lines = output_of(phase(found.kept, store=store(world)).stdout)[-4:]
    assert lines[:3] == ["set -o pipefail", "shopt -u globstar", "0022"]
    assert lines[3] != "100"


def test_a_phase_whose_directory_is_gone_is_told_where_it_begins(world, failure, phase: Phase):
    recipe = """{ name = "gone-1.0"; dontUnpack = true; doCheck = true;
      postBuild = "mkdir inner; cd inner"; checkPhase = "cd ..; rmdir inner; false"; }"""
    found = failure(f"(import {HERE}/stdenv.nix {{ }}).mkDerivation {recipe}")
    done = phase(found.kept, "checkPhase=pwd; pwd -P; echo $PWD", store=store(world))
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [
        *("/build", "/build", "/build"),
        "/build/inner is gone: checkPhase begins in /build instead",
        "Running phase: checkPhase",
    ]


def test_a_phase_can_go_back_to_where_the_build_was_before(world, failure, phase: Phase):
    recipe = f"""{{ name = "back-1.0"; src = {ROOT}/sandbox/demo/hello; doCheck = true;
      checkPhase = "pwd; cd -; false"; }}"""
    found = failure(f"(import {HERE}/stdenv.nix {{ }}).mkDerivation {recipe}")
    assert "/build/hello\n/build\n" in found.log
    assert "/build/hello\n/build\n" in phase(found.kept, store=store(world)).stdout


def test_a_phase_that_passes_without_what_it_failed_by_is_told_of(world, failure, phase: Phase):
    recipe = """{ name = "left-1.0"; dontUnpack = true; doCheck = true;
      buildPhase = "broken=1"; checkPhase = "[[ ! $broken ]]"; }"""
    found = failure(f"(import {HERE}/stdenv.nix {{ }}).mkDerivation {recipe}")
    done = phase(found.kept, store=store(world))
    assert done.returncode == 0
    assert "not known here: broken (of buildPhase)" in done.stdout
    assert "checkPhase has passed here, and failed in the build: " in done.stdout
    assert phase("--clean", found.kept, store=store(world)).returncode == status_of(found)


ENDED_WELL = {
    "no-output": 'dontUnpack = true; installPhase = "echo nothing";',
    "no-reference": """dontUnpack = true; installPhase = "echo $stdenv >$out";
        allowedReferences = [ ];""",
    "another-hash": f"""dontUnpack = true; installPhase = "echo made >$out";
        outputHash = "{"0" * 52}"; outputHashAlgo = "sha256";""",
    "another-hash-of-a-command": f"""buildCommand = "echo made >$out";
        outputHash = "{"0" * 52}"; outputHashAlgo = "sha256";""",
}


def ended_well(failure, name: str) -> RealFailure:
    mine = f'{{ name = "{name}-1.0"; {ENDED_WELL[name]} }}'
    return failure(f"(import {HERE}/stdenv.nix {{ }}).mkDerivation {mine}")


@pytest.mark.parametrize("name", ENDED_WELL)
def test_of_a_builder_that_ended_well_nothing_is_said_to_have_failed(
    name, world, failure, phase: Phase
):
    found = ended_well(failure, name)
    done = phase("--derivation", found.drv, found.kept, store=store(world))
    assert done.returncode == 0
    assert "has passed here, and the log names nothing in it that failed: " in done.stdout
    assert "failed in the build" not in done.stdout
    why = "one of another hash than" if "hash" in name else "a reference in it that"
    assert f"Nix may not have taken what was made (no output, or {why} the " in done.stdout


def test_an_output_that_was_not_made_is_told_where_the_build_ends(world, failure, phase: Phase):
    found = ended_well(failure, "no-output")
    case = sandbox.read(found.kept, store=store(world), derivation=found.drv)
    path = dict(case.nix.outputs)["out"]
    entering = ("--derivation", found.drv, found.kept)
    made_none = f"nothing is at {path}: without that output Nix lets the build fail\n"
    for words in (("--clean",), ("--clean", "builder"), ("--from", "install")):
        assert made_none in phase(*entering, *words, store=store(world)).stdout
    unsure = f"nothing is at {path}: no phase before has made that output, or it was not kept\n"
    assert unsure in phase(*entering, store=store(world)).stdout
    for words in (("install",), ("--clean", "installPhase=touch $out")):
        assert "nothing is at" not in phase(*entering, *words, store=store(world)).stdout


HOOK = """builtins.toFile "hook.sh" ''
  FLAGS="''${FLAGS-} -of-the-hook"; export FLAGS
  if [[ ''${useMine-} ]]; then buildPhase='echo mine; false'; fi
  byFunction() { local n=08; echo "next: $((n + 1))"; echo behind; }
  if [[ ''${byFunction-} ]]; then buildPhase=byFunction; fi
''"""


def hooked(attributes: str) -> str:
    """An expression of a build that a hook of an input has its part in."""
    recipe = f"""{{ name = "hooked-1.0"; dontUnpack = true; nativeBuildInputs = [ ({HOOK}) ];
      {attributes} }}"""
    return f"(import {HERE}/stdenv.nix {{ }}).mkDerivation {recipe}"


@pytest.mark.parametrize(
    "attributes", ['byFunction = "1";', 'n = "08"; buildPhase = "x=$((n + 1)); echo behind";']
)
def test_an_error_in_an_expression_ends_a_phase_as_it_ends_the_build(
    attributes, world, failure, phase: Phase
):
    found = failure(hooked(attributes))
    for words in ((), ("--clean",)):
        done = phase(*words, found.kept, store=store(world))
        assert done.returncode == status_of(found) == 1, done.stdout
        assert "value too great for base" in done.stdout
        assert "behind" not in output_of(done.stdout)
        assert "has passed" not in done.stdout


@pytest.mark.parametrize("structured", ["", "__structuredAttrs = true;"])
def test_what_the_set_up_adds_to_a_variable_is_added_to_the_caller_s_as_well(
    structured, world, failure, phase: Phase
):
    recipe = f'{structured} FLAGS = "-given"; useMine = ""; buildPhase = "echo $FLAGS; false";'
    found = failure(hooked(recipe))
    assert "-given -of-the-hook" in found.log
    for words in ((), ("--clean",)):
        done = phase(*words, found.kept, "FLAGS=-mine", store=store(world))
        assert "-mine -of-the-hook" in output_of(done.stdout), done.stdout
    done = phase("--clean", found.kept, "useMine=1", store=store(world))
    assert output_of(done.stdout)[-1] == "mine"


def test_a_variable_takes_the_place_of_a_list(world, failure, phase: Phase):
    words = ("buildPhase=declare -p makeFlags", "makeFlags=C=3")
    done = phase(failure("structured-attributes").kept, *words, store=store(world))
    assert output_of(done.stdout)[1:] == ['declare -x makeFlags="C=3"']


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("build-command", "phase buildCommand"),
        ("raw-builder", "phase builder"),
        ("own-builder", "phase builder"),
    ],
)
def test_what_failed_without_phases_is_run_again_by_a_name_as_well(case, line, world, failure):
    *_, derivation, kept = ("", *told_apart(failure(case)))
    case = sandbox.read(kept, store=store(world), derivation=derivation, start=True)
    assert sandbox.phase_again(case, sandbox.readable_log(case)) == line


def test_a_phase_without_what_the_builder_s_own_script_defines_is_said_to_be_so(
    world, failure, phase: Phase
):
    kept = failure("own-builder").kept
    said = "the builder runs a script of its own, and what that defines is not known here"
    assert said in phase(kept, "buildPhase", store=store(world)).stdout
    assert said not in phase(kept, "builder", store=store(world)).stdout
    listed = phase(kept, "--list", store=store(world)).stdout.splitlines()
    assert [line.split()[1] for line in listed if line.startswith("*")] == ["builder"]


def test_a_build_without_a_sandbox_fails_again(undiverted_world: NixWorld, run_nbs):
    found = undiverted_world.fail("no-chroot")
    settings = {n: v for n, v in undiverted_world.environment.items() if n.startswith("NIX_")}
    done = run_nbs("phase", "--unsandboxed", found.kept, env=settings)
    said = done.stderr.decode().splitlines()
    assert done.returncode == status_of(found)
    assert done.stdout.decode().splitlines()[-1] == log_of(found)[0]
    assert said[1:3] == [log_of(found)[1], "buildCommand failed: exit status 1"]


def test_a_plain_builder_passes_with_what_it_lacked(world, failure, phase: Phase):
    from tests.conftest import _cache

    path = f"PATH={world.build_stdenv(_cache())['coreutils']}/bin"
    words = ("--whole-store", *told_apart(failure("raw-builder")), path)
    done = phase(*words, store=store(world))
    assert done.returncode == 0, done.stdout


def test_every_case_is_measured():
    names = {path.stem for path in CASES.glob("*.nix")}
    # It needs a build without a sandbox, and is measured by itself.
    assert names - {"no-chroot"} == {*ORDINARY, *MEETS_WHAT_IT_LEFT, *CALLS_WHAT_WAS_DEFINED}
