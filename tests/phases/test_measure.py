"""Faithful by measure: a failing phase fails again as it did in the real build, and a repair helps.

Each case in tests/nix/cases names its repair as a recipe would make it, and in the line after that
what a person would type inside.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.nix.world import CASES, HERE, NixWorld, RealFailure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.phases.conftest import Phase

ORDINARY = (
    *("build-command", "check-phase", "compile-error", "configure", "fixed-output", "i686"),
    *("network", "pass-as-file", "raw-builder", "structured-attributes", "content-addressed"),
)
MEETS_WHAT_IT_LEFT = ("odd-files", "several-outputs")
"""Their phases cannot run twice in one directory, so they are run in a clean one."""

INSIDE = tuple(c for c in (*ORDINARY, *MEETS_WHAT_IT_LEFT) if c != "raw-builder")
OLDER = ("build-command", "check-phase", "compile-error", "configure", "network")
OLDER_STDENV = f"import {HERE}/stdenv.nix {{ older = true; }}"
OURS = re.compile(r"^(\w+ failed: exit status \d+$|.* meets what it left when it ran before)")
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


@pytest.mark.parametrize("case", [*ORDINARY, *MEETS_WHAT_IT_LEFT])
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


def test_a_plain_builder_passes_with_what_it_lacked(world, failure, phase: Phase):
    from tests.conftest import _cache

    path = f"PATH={world.build_stdenv(_cache())['coreutils']}/bin"
    words = ("--whole-store", *told_apart(failure("raw-builder")), path)
    done = phase(*words, store=store(world))
    assert done.returncode == 0, done.stdout


def test_every_case_is_measured():
    names = {path.stem for path in CASES.glob("*.nix")}
    # It needs a build without a sandbox.
    assert names - {"no-chroot"} == {*ORDINARY, *MEETS_WHAT_IT_LEFT}
