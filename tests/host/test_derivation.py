"""The derivation of a kept directory is found by what is in it, and never guessed."""

from __future__ import annotations

import os

import pytest

from sandbox.errors import DerivationSyntaxError, EvidenceError
from sandbox.host import case
from sandbox.host.builddir import read_kept_directory
from sandbox.host.database import open_database
from sandbox.host.derivation import Finder, log_time, read_derivation
from sandbox.model.aterm import Output
from tests.host.made_store import MadeStore, env_vars, fixed, output, scratch, store_path


@pytest.fixture(params=["database", "scan"])
def store(request, tmp_path):
    """The same store, with Nix's database and without one."""
    return MadeStore(tmp_path / "s", database=request.param == "database")


def find(store, kept):
    directory = read_kept_directory(str(kept), "/nix/store")
    database = open_database(store.locations.state_dir)
    try:
        return Finder(directory, store.locations, database).find()
    finally:
        if database is not None:
            database.close()


def unclear(store, kept):
    with pytest.raises(EvidenceError) as caught:
        find(store, kept)
    assert caught.value.reason == "derivation-unclear"
    return caught.value


def test_it_is_the_one_whose_output_env_vars_names(store):
    drv = store.derive("hello-1.0", "d", output("hello-1.0", "b"))
    store.derive("hello-1.0", "c", output("hello-1.0", "a"))
    found = find(store, store.keep("nix-1-1", env_vars=env_vars(out=store_path("hello-1.0", "b"))))
    assert (found.path, found.how) == (drv, "its output is `out` in env-vars")


def test_a_build_that_its_directory_does_not_name_has_the_name_of_its_derivation(store):
    """As with structured attributes and Nix 2.34: there is no `name` in env-vars."""
    store.derive("hello-1.0", "d", output("hello-1.0", "b"))
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("hello-1.0", "b")))
    found = case.read(str(kept), store=str(store.root), whole=True)
    assert found.kept.name_hint == "hello-1.0"


@pytest.mark.parametrize("name", ["dev", "lib"])
def test_an_output_with_a_name_of_its_own_leads_to_it_too(store, name):
    path = store_path(f"hello-1.0-{name}", "b")
    drv = store.derive("hello-1.0", "d", Output(name=name, path=path))
    assert find(store, store.keep("nix-1-1", env_vars=env_vars(out=path))).path == drv


def test_an_output_that_the_database_does_not_list_is_found_in_the_derivations(store):
    drv = store.derive("hello-1.0", "d", output("hello-1.0", "b"), listed=False)
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("hello-1.0", "b")))
    assert find(store, kept).path == drv


def test_a_floating_output_is_found_by_the_path_it_is_built_at(store):
    drv = store.derive("hello-1.0", "d", Output(name="out", hash_algo="r:sha256"))
    store.derive("hello-1.0", "c", Output(name="out", hash_algo="r:sha256"))
    assert find(store, store.keep("nix-1-1", env_vars=env_vars(out=scratch(drv)))).path == drv


def test_several_fixed_output_derivations_of_one_path_are_all_named(store):
    drvs = [store.derive("src", letter, fixed("src")) for letter in "df"]
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("src", "b")))
    error = unclear(store, kept)
    assert list(error.evidence) == drvs
    assert error.hint == f"say which: `nix-build-shell --derivation {drvs[0]} {kept}`"


def test_of_several_the_one_whose_log_alone_is_not_older_is_it(store):
    drvs = [store.derive("src", letter, fixed("src")) for letter in "df"]
    store.log(drvs[0], at_s=100)
    store.log(drvs[1], at_s=1_030)
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("src", "b")), at_s=1_000)
    found = find(store, kept)
    assert found.path == drvs[1]
    assert found.how.endswith("no other has been built since")


@pytest.mark.parametrize("text", [None, env_vars(out=store_path("src", "b"))])
def test_one_that_was_built_once_more_later_may_be_it_as_well(store, text):
    """Its log is of the last attempt; the other was tried in between."""
    drvs = [store.derive("src", letter, fixed("src")) for letter in "df"]
    store.log(drvs[0], at_s=100_000)
    store.log(drvs[1], at_s=1_030)
    kept = store.keep("nix-build-src.drv-0", env_vars=text, at_s=1_000)
    assert list(unclear(store, kept).evidence) == drvs


def test_two_logs_of_that_time_are_still_two(store):
    for letter in "df":
        store.log(store.derive("src", letter, fixed("src")), at_s=1_000)
    unclear(store, store.keep("nix-1-1", env_vars=env_vars(out=store_path("src", "b"))))


def test_a_directory_outside_of_its_store_brings_the_store_s_name_into_the_hint(tmp_path):
    store = MadeStore(tmp_path / "s")
    drvs = [store.derive("src", letter, fixed("src")) for letter in "df"]
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("src", "b")))
    kept = kept.rename(tmp_path / "moved")
    options = f"--store {store.root} --derivation {drvs[0]}"
    assert unclear(store, kept).hint == f"say which: `nix-build-shell {options} {kept}`"


def test_a_path_with_blanks_in_it_is_quoted_in_the_hint(tmp_path):
    store = MadeStore(tmp_path / "a b$(c)")
    drvs = [store.derive("src", letter, fixed("src")) for letter in "df"]
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("src", "b")))
    assert (
        unclear(store, kept).hint == f"say which: `nix-build-shell --derivation {drvs[0]} '{kept}'`"
    )


def test_an_out_that_nobody_makes_leads_nowhere(store):
    """The name does not count then: env-vars is of another derivation of that name."""
    store.derive("hello-1.0", "d", output("hello-1.0", "a"))
    kept = store.keep(
        "nix-build-hello-1.0.drv-0", env_vars=env_vars(out=store_path("hello-1.0", "b"))
    )
    assert find(store, kept) is None


def test_what_is_no_derivation_is_told_where_nothing_else_is_one(store):
    drv = store.derive("hello-1.0", "d", output("hello-1.0", "b"))
    with open(f"{store.root}{drv}", "w") as file:
        file.write("Derive(")
    kept = store.keep("nix-1-1", env_vars=env_vars(out=store_path("hello-1.0", "b")))
    found = case.read(str(kept), store=str(store.root), whole=True).nix
    assert found.derivation is None
    assert found.derivation_refused.startswith(f"`{drv}` is not a derivation: ")


@pytest.mark.parametrize(
    "out", ["/etc/passwd", "/nix/store/../../etc", "/nix/store/x", "a\x1b[2J", "/nix/store"]
)
def test_an_out_that_is_no_store_path_leads_nowhere(store, out):
    store.derive("hello-1.0", "d")
    assert find(store, store.keep("nix-1-1", env_vars=env_vars(out=out))) is None


def test_without_env_vars_the_directory_s_name_says_where_to_look(store):
    drv = store.derive("hello-1.0")
    store.derive("hello-1.0.1", "c", output("x"))
    found = find(store, store.keep("nix-build-hello-1.0.drv-0", env_vars=None))
    assert (found.path, found.how) == (drv, "the only one of that name that failed")


def test_outputs_of_which_none_is_called_out_are_in_env_vars_too(store):
    def derive(letter, bin_letter):
        outputs = [output("x-bin", bin_letter, "bin"), output("x-dev", "c", "dev")]
        return store.derive("x", letter, *outputs)

    drvs = [derive("d", "a"), derive("f", "b")]
    kept = store.keep("nix-build-x.drv-0", env_vars=env_vars(bin=store_path("x-bin", "b")))
    found = find(store, kept)
    assert (found.path, found.how) == (drvs[1], "its outputs are in env-vars")
    os.unlink(f"{store.root}{drvs[1]}")
    assert find(store, kept) is None


@pytest.mark.parametrize("structured", [True, False])
def test_env_vars_that_names_no_output_is_no_reason_with_structured_attributes(store, structured):
    drv = store.derive("x", "d", output("x-bin", "a", "bin"))
    text = env_vars(PATH=f"{store_path('coreutils', '9')}/bin")
    kept = store.keep("nix-build-x.drv-0", env_vars=text)
    if structured:
        (kept / "build/.attrs.json").touch()
    found = find(store, kept)
    assert (found.path if found else None) == (drv if structured else None)


def test_one_of_that_name_that_was_built_has_not_failed(tmp_path):
    store = MadeStore(tmp_path / "s")
    store.derive("hello-1.0", "c", output("hello-1.0", "a"))
    store.add("hello-1.0", "a")
    drv = store.derive("hello-1.0", "d", output("hello-1.0", "b"))
    assert find(store, store.keep("nix-build-hello-1.0.drv-0", env_vars=None)).path == drv


def test_without_any_name_the_log_of_that_time_leads_to_it(store):
    drv = store.derive("hello-1.0")
    other = store.derive("other", "c", output("other", "a"))
    store.log(drv, at_s=1_060)
    store.log(other, at_s=9_000)
    found = find(store, store.keep("nix-77-5", env_vars=None, at_s=1_000))
    assert (found.path, found.how) == (drv, "the only one that failed then")


def test_a_directory_that_only_changed_at_that_time_leads_nowhere(store, tmp_path):
    drv = store.derive("hello-1.0")
    store.log(drv, at_s=1_000)
    directory = tmp_path / "tmp"
    directory.mkdir()
    os.utime(directory, (1_000, 1_000))
    assert find(store, directory) is None


def test_without_any_name_or_log_nothing_is_guessed(store):
    store.derive("hello-1.0")
    assert find(store, store.keep("nix-77-5", env_vars=None)) is None


def test_two_of_one_name_without_logs_are_unclear(store):
    drvs = [store.derive("hello", letter, output("hello", letter)) for letter in "df"]
    error = unclear(store, store.keep("nix-build-hello.drv-0", env_vars=None))
    assert list(error.evidence) == drvs


def test_a_file_that_only_is_called_drv_is_no_candidate(store):
    drv = store.derive("hello-1.0")
    store.add("hello-1.0.drv", "c", content="Derive(")
    assert find(store, store.keep("nix-build-hello-1.0.drv-0", env_vars=None)).path == drv


def test_a_store_that_is_not_there_has_no_derivations(tmp_path):
    store = MadeStore(tmp_path / "s", database=False)
    kept = store.keep("nix-build-hello.drv-0", env_vars=None)
    (tmp_path / "s/nix/store").rmdir()
    assert find(store, kept) is None


def test_a_derivation_is_read_through_the_store_s_real_place(store):
    drv = store.derive("hello-1.0", name="hello-1.0")
    assert read_derivation(drv, store.locations).get("name") == "hello-1.0"
    assert read_derivation(f"{store.root}{drv}", store.locations).get("name") == "hello-1.0"


@pytest.mark.parametrize(
    "content", [b"", b"Derive(", b"#!/bin/sh\n", b"\xff" * 9, b'Derive([("out"']
)
def test_a_derivation_that_is_none_says_where_it_ends_to_be_one(store, content):
    path = store.root / "nix/store/x.drv"
    path.write_bytes(content)
    with pytest.raises(DerivationSyntaxError) as caught:
        read_derivation(str(path), store.locations)
    assert caught.value.reason == "derivation-syntax"
    assert caught.value.message.startswith(f"`{path}` is not a derivation: ")
    assert 0 <= caught.value.offset <= len(content)


@pytest.mark.parametrize("kind", ["missing", "directory", "link", "fifo"])
def test_a_derivation_that_is_no_file_is_told_as_such(tmp_path, kind):
    path = tmp_path / "x.drv"
    make = {"directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}
    make |= {"link": lambda: path.symlink_to("/etc/passwd"), "missing": lambda: None}
    make[kind]()
    with pytest.raises(EvidenceError) as caught:
        read_derivation(str(path), MadeStore(tmp_path / "s").locations)
    assert caught.value.reason == "derivation-missing"
    assert f"`{path}`" in caught.value.message


def test_a_log_s_time_is_that_of_the_compressed_one_too(store):
    drv = store.derive("hello")
    assert log_time(drv, store.locations.log_dir) == 0
    store.log(drv, at_s=7)
    assert log_time(drv, store.locations.log_dir) == 7_000_000_000
    base = drv.rpartition("/")[2]
    path = f"{store.locations.log_dir}/drvs/{base[:2]}/{base[2:]}"
    os.rename(path, path + ".bz2")
    assert log_time(drv, store.locations.log_dir) == 7_000_000_000
