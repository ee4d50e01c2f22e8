"""A log is of the last attempt: where a directory is of an earlier one, that is told."""

from __future__ import annotations

import json
import os

import pytest

from tests.host.made_store import MadeStore, env_vars, output, store_path

LOG = """\
@nix { "action": "setPhase", "phase": "buildPhase" }
foo.c:1:1: error: no foo
"""
LATER = "of a later attempt"
SECOND_NS = 10**9


@pytest.fixture
def nbs(tmp_path, run_nbs):
    """A verb about a kept hello, whose log ended so many seconds after the directory was left."""
    store = MadeStore(tmp_path / "s")
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"))
    variables = env_vars(out=store_path("hello-1.0", "a"), name="hello-1.0", NIX_BUILD_TOP="/build")
    kept = store.keep("nix-1-2", env_vars=variables)
    left = max(path.stat().st_ctime_ns for path in (kept, kept / "build"))

    def run(seconds: int, verb: str, *words: str, log: str = LOG):
        store.log(drv, log)
        base = drv.rpartition("/")[2]
        path = f"{store.locations.log_dir}/drvs/{base[:2]}/{base[2:]}"
        os.utime(path, ns=(left + seconds * SECOND_NS,) * 2)
        build = () if verb == "ls" else (str(kept),)
        done = run_nbs(verb, *words, *build, "--store", str(store.root))
        assert done.returncode == 0
        return done.stdout.decode(), done.stderr.decode()

    return run


@pytest.mark.parametrize("verb", ["show", "log"])
@pytest.mark.parametrize(("seconds", "told"), [(1, True), (0, False), (-1, False)])
def test_a_log_that_ended_after_the_directory_was_left_is_told_as_another_s(
    nbs, verb, seconds, told
):
    printed, said = nbs(seconds, verb)
    assert (LATER in printed + said) == told
    assert "no foo" in printed


@pytest.mark.parametrize(("seconds", "phase"), [(1, "buildPhase ? "), (-1, "buildPhase  ")])
def test_the_list_marks_what_may_be_true_of_another_directory(nbs, seconds, phase):
    printed, _ = nbs(seconds, "ls")
    assert [line for line in printed.splitlines() if phase in line and "nix-1-2" in line]


@pytest.mark.parametrize(("log", "marked"), [(LOG, True), ("no phases here\n", False)])
def test_a_mark_is_explained_where_there_is_one(nbs, log, marked):
    printed, said = nbs(1, "ls", log=log)
    assert (" ? " in printed, LATER in said) == (marked, marked)


@pytest.mark.parametrize("seconds", [1, -1])
def test_programs_are_told_as_well(nbs, seconds):
    def document(verb):
        return json.loads(nbs(seconds, verb, "--json")[0])

    (listed,) = (one for one in document("ls")["builds"] if one["path"].endswith("/nix-1-2"))
    told = document("show")["log"], document("log"), listed
    assert [one["of_later_attempt"] for one in told] == [seconds > 0] * 3
