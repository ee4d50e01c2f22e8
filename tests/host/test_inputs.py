"""What a build saw of the store: exactly its closure, or an error that says how to get it back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import sandbox
from sandbox.errors import EvidenceError
from sandbox.host.builddir import read_kept_directory
from sandbox.host.database import open_database
from sandbox.host.derivation import read_derivation
from sandbox.host.inputs import WHOLE_STORE, find_inputs, roots_of
from tests.host.made_store import MadeStore, env_vars, output, store_path

STDENV = Path(__file__).parents[1] / "nix/stdenv.nix"


@pytest.fixture(params=["database", "references"])
def store(request, tmp_path, monkeypatch):
    """The same store, with Nix's database and, without one or any Nix, by its files alone."""
    monkeypatch.setenv("PATH", "/nowhere")
    return MadeStore(tmp_path / "s", database=request.param == "database")


@pytest.fixture
def kept(store):
    return read_kept_directory(str(store.keep("nix-build-hello-1.0.drv-0")), "/nix/store")


def roots(store, drv):
    with_database = open_database(store.locations.state_dir)
    try:
        return roots_of(read_derivation(drv, store.locations), store.locations, with_database)
    finally:
        if with_database is not None:
            with_database.close()


def found(store, kept, *paths):
    database = open_database(store.locations.state_dir)
    try:
        return find_inputs(paths, kept, store.locations, database)
    finally:
        if database is not None:
            database.close()


def paths_of(inputs):
    return set(inputs.objects.paths)


def test_sources_and_the_outputs_that_are_asked_for_are_the_roots(store):
    outputs = (output("lib", "a"), output("lib-dev", "c", "dev"), output("lib-doc", "f", "doc"))
    lib = store.derive("lib", "1", *outputs)
    source = store.add("source", "2")
    drv = store.derive("hello", "d", sources=(source,), inputs=((lib, ("out", "dev")),))
    assert set(roots(store, drv)) == {source, store_path("lib", "a"), store_path("lib-dev", "c")}


def test_the_derivations_themselves_are_no_inputs(store):
    lib = store.derive("lib", "1", output("lib", "a"))
    assert lib not in roots(store, store.derive("hello", "d", inputs=((lib, ("out",)),)))


def test_an_input_derivation_that_is_gone_names_no_root(store):
    drv = store.derive("hello", "d", inputs=((store_path("gone.drv", "9"), ("out",)),))
    assert roots(store, drv) == ()


def test_the_closure_is_what_the_roots_refer_to(store, kept):
    c = store.add("c", "3")
    b = store.add("b", "2", references=(c,))
    a = store.add("a", "1", references=(b,))
    store.add("unrelated", "4")
    inputs = found(store, kept, a)
    assert paths_of(inputs) == {a, b, c}
    assert (inputs.missing, inputs.source) == (
        (),
        "references" if store.connection is None else "database",
    )


def test_a_root_that_is_gone_is_named_with_what_brings_it_back(store, kept):
    a = store.add("a", "1")
    gone = store_path("zlib-1.3.1", "9")
    with pytest.raises(EvidenceError) as caught:
        found(store, kept, a, gone)
    error = caught.value
    assert (error.reason, error.exit_code) == ("inputs-missing", 125)
    assert error.message == "one of the inputs of `hello-1.0` is no longer in the store"
    assert error.evidence == (gone,)
    realise = f"nix-store --store {store.root} --realise {gone}"
    assert error.hint == f"`{realise}` brings them back, if a binary cache has them"


def test_of_many_that_are_gone_the_first_are_named(store, kept):
    gone = [store_path(f"x{n:02}", "9") for n in range(13)]
    with pytest.raises(EvidenceError) as caught:
        found(store, kept, *gone)
    assert caught.value.message.startswith("13 of the inputs of `hello-1.0` are no longer")
    assert len(caught.value.evidence) == 11
    assert caught.value.evidence[-1] == "… and 3 more"


def test_a_path_that_the_database_has_and_the_disk_does_not_is_missing(tmp_path):
    store = MadeStore(tmp_path / "s")
    kept = read_kept_directory(str(store.keep("nix-build-x.drv-0")), "/nix/store")
    b = store.add("b", "2")
    a = store.add("a", "1", references=(b,))
    os.unlink(f"{store.root}{b}")
    with pytest.raises(EvidenceError) as caught:
        found(store, kept, a)
    assert caught.value.evidence == (b,)


def test_without_a_derivation_what_env_vars_names_and_is_gone_is_told(store):
    there, gone = store.add("zlib", "3"), store_path("openssl-3.0", "9")
    out, dev = store_path("hello-1.0", "b"), store_path("hello-1.0-dev", "c")
    shell = store.add_shell()
    text = env_vars(
        SHELL=f"{shell}/bin/bash",
        PATH=f"{there}/bin:{gone}/bin:{out}/bin",
        out=out,
        dev=dev,
        note=f"as in {there}.",
        drv=store_path("old.drv", "8"),
    )
    kept = store.keep("nix-build-hello-1.0.drv-0", env_vars=text)
    found = sandbox.read(str(kept), store=str(store.root))
    described = sandbox.describe(found, sandbox.Request(command=("make",)))
    told = [line for line in sandbox.cautions(found, described) if line.startswith("inputs: ")]
    assert told == [f"inputs: env-vars names what is no longer in the store: {gone}"]


def test_nothing_to_start_from_says_so_and_offers_the_whole_store(store, kept):
    for given in ((), ("/etc/passwd",), ("/nix/store/../../etc",)):
        with pytest.raises(EvidenceError) as caught:
            found(store, kept, *given)
        assert caught.value.reason == "inputs-unknown"
        assert caught.value.hint.startswith(f"`nix-build-shell --whole-store {kept.outer}`")


def test_what_no_variable_names_in_this_store_is_asked_for_in_another(store):
    """As where `--store` was left out: the whole store would not have the build's shell either."""
    text = env_vars(SHELL=store_path("bash/bin/bash", "8"), PATH=store_path("coreutils/bin", "9"))
    kept = store.keep("nix-build-hello-1.0.drv-0", env_vars=text)
    with pytest.raises(EvidenceError) as caught:
        sandbox.read(str(kept), store=str(store.root))
    assert caught.value.reason == "inputs-unknown"
    seen = f"nothing that env-vars names is in {store.root}/nix/store"
    assert caught.value.evidence == (f"its derivation was not found, and {seen}",)
    assert f"`nix-build-shell --store STORE {kept}`" in caught.value.hint


def test_names_that_no_store_has_never_come_out_of_a_database(tmp_path):
    store = MadeStore(tmp_path / "s")
    kept = read_kept_directory(str(store.keep("nix-build-x.drv-0")), "/nix/store")
    a = store.add("a", "1")
    for evil in ("/nix/store/../../etc/passwd", "/etc/passwd", "/nix/store/x"):
        store._register(evil)
        store._register(a, (evil,))
    assert paths_of(found(store, kept, a)) == {a}


def test_the_machine_s_own_store_needs_no_naming(store, kept):
    gone = store_path("zlib-1.3.1", "9")
    with pytest.raises(EvidenceError) as caught:
        find_inputs((gone,), kept, store.locations.replace(root=""), None)
    hint = f"`nix-store --realise {gone}` brings them back, if a binary cache has them"
    assert caught.value.hint == hint


def collected(store, kept, number):
    """What is said where so many inputs, of two outputs each, are gone; and their derivations."""
    letters = "0123456789abcdfghijkl"[:number]
    shell = store.add_shell("bash", "z")
    drvs = [
        store.derive(f"l{n}", n, output(f"l{n}", n), output(f"l{n}-dev", n, "dev")) for n in letters
    ]
    wanted = tuple((drv, ("out", "dev")) for drv in drvs)
    drv = store.derive("hello-1.0", "d", sources=(shell,), inputs=wanted)
    with pytest.raises(EvidenceError) as caught:
        sandbox.read(str(kept.outer), store=str(store.root), derivation=drv)
    assert caught.value.reason == "inputs-missing"
    return caught.value.hint, drv, drvs


def test_outputs_of_the_inputs_come_back_by_what_makes_them_each_once(store, kept):
    hint, _, drvs = collected(store, kept, 2)
    nix_store = f"nix-store --store {store.root}"
    assert hint == f"`{nix_store} --realise {' '.join(drvs)}` brings them back"


def test_many_come_back_by_one_command_that_names_the_build(store, kept):
    hint, drv, _ = collected(store, kept, 11)
    nix_store = f"nix-store --store {store.root}"
    query = f"{nix_store} --query --references {drv}"
    assert hint == f"`{nix_store} --realise $({query})` brings them back"


@pytest.mark.parametrize("number", [1, 11])
def test_what_brings_inputs_back_that_no_cache_has_does_so(nix_world, run_tool, number):
    failed = nix_world.fail(
        f"""
        with import {STDENV} {{ }};
        mkDerivation {{
          name = "bereft-1.0";
          needed = map (n: mkDerivation {{
            name = "needed-${{toString n}}"; buildCommand = "echo ${{toString n}} > $out";
          }}) (builtins.genList (n: n) {number});
          buildCommand = "false";
        }}"""
    )
    enter = ("--store", f"{nix_world.root}/store", failed.kept, "bash", "-c", "cat $needed")
    inputs = run_tool(*enter[:-1], "echo $needed").stdout.decode().split()
    nix_world.output("nix-store", "--delete", *inputs)
    hint = run_tool(*enter).stderr.decode().partition("hint: `")[2].partition("`")[0]
    subprocess.run(hint, shell=True, env=nix_world.environment, capture_output=True, check=True)
    assert run_tool(*enter).stdout.decode().split() == [str(n) for n in range(number)]


def test_the_whole_store_lists_nothing():
    assert (WHOLE_STORE.objects.paths, WHOLE_STORE.source) == ((), "whole-store")
