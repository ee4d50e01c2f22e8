"""Which build a person means: a path, a .drv, a name, or the newest."""

from __future__ import annotations

import os
import pwd

import pytest

from sandbox.errors import Error
from sandbox.host import catalog, places
from sandbox.host.catalog import (
    demo_root,
    find_build,
    is_called,
    kept_builds,
    name_of,
    newest_kept_below,
    survey_nix,
)
from tests.host.made_store import MadeStore, env_vars, output, store_path


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A machine on which nothing was kept but in this store."""
    made = MadeStore(tmp_path / "s")
    own = places._folders

    def only_here(*arguments):
        return (pair for pair in own(*arguments) if pair[0].startswith(str(tmp_path)))

    monkeypatch.setattr(places, "_folders", only_here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return made


@pytest.fixture
def builds(store):
    """hello-1.0 twice, and another; the second hello is the newest."""
    kept = {}
    for at, (letter, name) in enumerate([("a", "hello-1.0"), ("b", "world-2"), ("c", "hello-1.0")]):
        store.derive(name, letter, output(name, letter))
        variables = env_vars(out=store_path(name, letter), name=name)
        kept[letter] = str(store.keep(f"nix-1-{at}", env_vars=variables, at_s=1000 + at))
    return kept


def find(store, build=""):
    return find_build(build, store=str(store.root))


def refused(store, build=""):
    with pytest.raises(Error) as caught:
        find(store, build)
    return caught.value


def test_without_a_variable_for_it_the_demonstration_is_in_the_home_of_the_user_database(
    monkeypatch,
):
    """A kernel that a gateway starts for another server has PATH alone."""
    me = pwd.struct_passwd(("me", "x", os.geteuid(), 1, "", "/home/me", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", {os.geteuid(): me}.__getitem__)
    assert demo_root({}) == "/home/me/.cache/nix-build-shell/demo"
    assert demo_root({"HOME": "/h"}) == "/h/.cache/nix-build-shell/demo"


def test_all_are_listed_newest_first(store, builds):
    assert [p.path for p in kept_builds(os.environ, str(store.root))] == [
        builds["c"],
        builds["b"],
        builds["a"],
    ]


def test_nothing_means_the_newest(store, builds):
    assert find(store) == builds["c"]


def test_a_name_means_the_newest_of_that_name(store, builds):
    assert find(store, "world-2") == builds["b"]
    assert find(store, "hello-1.0") == builds["c"]


def test_a_name_without_its_version_will_do(store, builds):
    assert find(store, "hello") == builds["c"]


def test_a_derivation_means_its_own_build_and_no_other_of_that_name(store, builds):
    for letter in "ac":
        assert find(store, store_path("hello-1.0.drv", letter)) == builds[letter]


def test_a_derivation_s_file_name_will_do(store, builds):
    assert find(store, store_path("hello-1.0.drv", "a").rpartition("/")[2]) == builds["a"]


def test_a_kept_directory_outside_of_its_store_is_found_by_its_derivation(
    store, builds, tmp_path, monkeypatch
):
    """As Nix before 2.30 keeps those of a diverted store: in the temporary directory."""
    moved = tmp_path / "tmp/nix-build-hello-1.0.drv-0"
    moved.parent.mkdir()
    os.rename(builds["a"] + "/build", moved)
    monkeypatch.setenv("TMPDIR", str(moved.parent))
    assert find(store, store_path("hello-1.0.drv", "a")) == str(moved)


def test_a_path_means_itself_even_if_it_is_not_there(store, tmp_path):
    assert find(store, str(tmp_path)) == str(tmp_path)
    assert find(store, "./missing") == "./missing"


def test_a_name_comes_before_a_directory_that_is_called_so_here(
    store, builds, tmp_path, monkeypatch
):
    for name in ("hello", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find(store, "hello") == builds["c"]
    assert find(store, "./hello") == "./hello"
    assert find(store, "other") == "other"
    assert [find(store, path) for path in (".", "..")] == [".", ".."]


def test_a_directory_here_is_found_where_nothing_was_kept(store, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find(store, "other") == "other"


@pytest.mark.parametrize("build", ["nothing", "hell", "hello-1", "hello-1.0.drv", "x\x1b[2J"])
def test_an_unknown_name_lists_the_known_ones(store, builds, build):
    error = refused(store, build)
    assert (error.reason, error.exit_code) == ("build-unknown", 2)
    assert error.evidence == ("kept: hello-1.0, world-2",)
    assert "`nbs ls`" in error.hint


@pytest.mark.parametrize("build", ["", "hello", store_path("hello-1.0.drv", "a")])
def test_where_nothing_was_kept_that_is_what_is_said(store, build):
    error = refused(store, build)
    assert (error.reason, error.exit_code) == ("nothing-kept", 125)
    assert "--keep-failed" in error.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_the_newest_that_can_be_read_is_meant(store, builds):
    os.chmod(builds["c"], 0o755)
    os.chmod(builds["c"] + "/build", 0o311)
    try:
        assert find(store) == builds["b"]
    finally:
        os.chmod(builds["c"] + "/build", 0o755)


@pytest.mark.parametrize(
    ("name", "wanted", "same"),
    [
        ("hello-1.0", "hello-1.0", True),
        ("hello-1.0", "hello", True),
        ("hello-world-1.0", "hello", False),
        ("hello-1.0", "hell", False),
        ("hello", "hello-1.0", False),
        ("", "hello", False),
    ],
)
def test_a_name_is_meant_with_or_without_its_version(name, wanted, same):
    assert is_called(name, wanted) is same


def test_a_place_without_any_name_has_none(store):
    store.keep("nix-1-1", env_vars=None)
    (place,) = kept_builds(os.environ, str(store.root))
    assert name_of(place, str(store.root)) == ""


def test_a_trap_in_the_place_of_env_vars_has_no_name(store):
    outer = store.keep("nix-1-1", env_vars=None)
    os.mkfifo(outer / "build/env-vars")
    (place,) = kept_builds(os.environ, str(store.root))
    assert name_of(place, str(store.root)) == ""


def test_what_the_demonstration_left_is_listed_too(tmp_path, store, monkeypatch):
    root = demo_root(os.environ)
    assert root == f"{tmp_path}/home/.cache/nix-build-shell/demo"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert demo_root(os.environ) == root
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    demo = MadeStore(tmp_path / "cache/nix-build-shell/demo", database=False)
    kept = demo.keep("nix-1-1")
    assert newest_kept_below(demo_root(os.environ)) == str(kept)
    assert [p.path for p in kept_builds(os.environ)] == [str(kept)]


def test_nothing_is_newest_where_nothing_is(tmp_path):
    assert newest_kept_below(str(tmp_path)) == ""


def test_a_survey_tells_a_missing_database_from_one_that_is_read(tmp_path, store):
    environ = {"PATH": "/nowhere", "HOME": str(tmp_path), "NIX_REMOTE": str(store.root)}
    assert survey_nix(environ).database == "read"
    empty = MadeStore(tmp_path / "empty", database=False)
    assert survey_nix({**environ, "NIX_REMOTE": str(empty.root)}).database == "missing"
    broken = MadeStore(tmp_path / "broken", database=False)
    (broken.state / "db").mkdir()
    (broken.state / "db/db.sqlite").write_bytes(b"not a database" * 100)
    assert catalog.survey_nix({**environ, "NIX_REMOTE": str(broken.root)}).database not in (
        "read",
        "missing",
    )
