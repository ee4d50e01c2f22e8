"""What is said of a kept build at a glance, and that saying it never fails."""

from __future__ import annotations

import os

import pytest

from sandbox.host.places import KeptPlace
from sandbox.host.summary import MOST_ENTRIES, ending_text, size_of, summarise
from sandbox.model.logs import parse_log
from tests.host.made_store import MadeStore, env_vars, store_path

LOG = """\
@nix {{ "action": "setPhase", "phase": "unpackPhase" }}
@nix {{ "action": "setPhase", "phase": "checkPhase" }}
one test failed
{end}
"""


@pytest.fixture
def store(tmp_path):
    return MadeStore(tmp_path / "s")


def place(path, name=""):
    return KeptPlace(
        path=str(path),
        inner=f"{path}/build",
        owner_uid=os.geteuid(),
        mtime_ns=5,
        readable=True,
        layout="pid-build",
        name_hint=name,
    )


def summary_of(store, end):
    drv = store.derive("hello-1.0")
    store.log(drv, LOG.format(end=end.format(drv=drv)))
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("hello-1.0", "b")))
    return summarise(place(kept))


def test_the_log_tells_the_phase_and_the_ending(store):
    found = summary_of(store, "error: builder for '{drv}' failed with exit code 3")
    assert (found.name, found.phase, found.ending) == ("hello-1.0", "checkPhase", "exit 3")
    assert found.derivation.endswith("hello-1.0.drv")
    assert (found.mtime_ns, found.problem) == (5, "")


@pytest.mark.parametrize(
    ("end", "ending"),
    [
        ("error: builder for '{drv}' failed due to signal 9 (Killed)", "killed, out of memory?"),
        ("error: builder for '{drv}' failed due to signal 11 (Segmentation fault)", "signal 11"),
        ("error: building of '{drv}' timed out after 5 seconds", "timeout after 5 s"),
        ("nothing", ""),
    ],
)
def test_each_ending_has_words(end, ending):
    text = LOG.format(end=end.format(drv=store_path("hello-1.0.drv", "d")))
    assert ending_text(parse_log(text)) == ending


def test_no_log_is_no_ending():
    assert ending_text(None) == ""


def test_what_leads_to_no_derivation_keeps_the_directory_s_name(store):
    kept = store.keep("nix-1-1", env_vars=None)
    found = summarise(place(kept, "hello"))
    assert (found.name, found.derivation, found.phase) == ("hello", "", "")


def test_several_that_fit_are_a_problem_and_no_failure(store):
    for letter in "df":
        store.derive("hello", letter)
    found = summarise(place(store.keep("nix-build-hello.drv-1-1", env_vars=None), "hello"))
    assert "may belong to 2 derivations" in found.problem


def test_a_directory_that_has_gone_is_a_problem_and_no_failure(tmp_path):
    found = summarise(place(tmp_path / "gone"))
    assert found.problem.endswith("is not a directory")
    assert (found.size, found.size_exact) == (0, False)


def test_the_size_is_what_the_disk_holds_without_what_links_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"x" * 10_000)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "up").symlink_to("..")
    size, exact = size_of(str(tmp_path))
    assert exact
    assert 10_000 <= size < 1_000_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_directory_makes_the_size_at_least_that(tmp_path):
    (tmp_path / "shut").mkdir(mode=0)
    assert size_of(str(tmp_path))[1] is False


def test_a_huge_tree_is_not_counted_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("sandbox.host.summary.MOST_ENTRIES", 3)
    for name in "abcd":
        (tmp_path / name).touch()
    assert size_of(str(tmp_path))[1] is False
    assert MOST_ENTRIES > 1000
