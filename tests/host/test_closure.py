"""The closure is found without a database, and each path is described without following it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from sandbox.errors import EvidenceError
from sandbox.host import closure
from sandbox.host.closure import closure_by_nix, closure_by_references, hashes_in, kinds, references
from sandbox.host.nixconf import NixLocations, find_locations, read_settings
from sandbox.model.facts import StoreObjects
from sandbox.model.storepath import NIX32
from tests.nix.world import NixWorld

A, B, C, D = (f"{letter * 32}-{letter}" for letter in "abcd")


def logical(*names):
    return {f"/nix/store/{name}" for name in names}


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "nix/store"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def locations(store):
    return NixLocations(
        real_store_dir=str(store), state_dir=f"{store}/var", root=str(store.parent.parent)
    )


def test_each_path_is_described_and_the_missing_are_told_apart(store, locations):
    (store / A).mkdir()
    (store / B).write_text("")
    (store / C).symlink_to("/nix/store/gone")
    os.mkfifo(store / D)
    paths = [f"/nix/store/{name}" for name in (C, A, "gone", B, D)]
    assert kinds(paths, locations) == (
        StoreObjects(
            directories=(paths[1],), files=(paths[3],), links=((paths[0], "/nix/store/gone"),)
        ),
        (paths[2], paths[4]),
    )


def test_references_are_followed_through_files_links_and_names(store, locations):
    (store / A / "bin").mkdir(parents=True)
    (store / A / "bin/run").write_bytes(b"\0\xff/nix/store/" + B.encode() + b"/bin\0")
    (store / B).symlink_to(f"/nix/store/{C}/x")
    (store / C / f"{D[:32]}.cache").mkdir(parents=True)
    (store / D).write_text("nothing")
    assert closure_by_references(logical(A), locations) == logical(A, B, C, D)
    assert closure_by_references(logical(C), locations) == logical(C, D)


def test_roots_that_are_not_there_and_what_is_no_object_are_left_out(store, locations):
    (store / A).write_text(f"{B[:32]} {C[:32]} {D[:32]}")
    (store / f"{B}.lock").write_text("")
    (store / f"{C}.drv.chroot").mkdir()
    (store / ".links").mkdir()
    gone = {f"/nix/store/{D}", "/nix/store/.links", "/elsewhere", "/nix/store/../etc"}
    assert closure_by_references(logical(A) | gone, locations) == logical(A)


def test_a_link_out_of_the_store_is_not_followed(store, locations, tmp_path):
    (tmp_path / "secret").write_text(B)
    (store / A).mkdir()
    (store / A / "link").symlink_to(tmp_path / "secret")
    (store / A / "folder").symlink_to(tmp_path)
    os.mkfifo(store / A / "fifo")
    (store / B).write_text("")
    assert closure_by_references(logical(A), locations) == logical(A)


@pytest.mark.parametrize("offset", range(0, 40, 3))
def test_a_hash_across_two_pieces_is_found(store, monkeypatch, offset):
    monkeypatch.setattr(closure, "CHUNK_BYTES", 64)
    (store / A).write_bytes(b"." * (100 + offset) + B.encode() + b"." * 100)
    assert references(f"{store}/{A}", [B[:32].encode(), C[:32].encode()]) == {B[:32].encode()}


def test_a_hash_within_a_longer_run_of_its_letters_is_found():
    wanted = frozenset([b"0123456789abcdfghijklmnpqrsvwxyz"])
    assert hashes_in(b"xyz" + next(iter(wanted)) + b"xyz-e", wanted) == wanted
    assert hashes_in(next(iter(wanted))[:31] + b"e", wanted) == set()
    assert len(NIX32) == 32


def test_a_store_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EvidenceError) as caught:
        closure_by_references(logical(A), NixLocations(real_store_dir=f"{tmp_path}/gone"))
    assert caught.value.reason == "store-unreadable"


@pytest.fixture
def own(locations):
    """The same as the machine's own store, with a database."""
    os.makedirs(f"{locations.state_dir}/db")
    return locations.replace(root="")


def answering(place, script="exit 0") -> str:
    program = place / "nix-store"
    program.write_text(
        f'#!/bin/sh\necho asked >>{place}/asked\nfor word; do echo "$word"; done\n{script}\n'
    )
    program.chmod(0o755)
    return str(program)


def test_nix_is_not_asked_where_it_would_have_to_make_a_store(locations, tmp_path):
    program = answering(tmp_path)
    machine = locations.replace(root="")
    assert closure_by_nix(logical(A), machine, os.environ, nix_store=program) is None
    assert not (tmp_path / "asked").exists()


def test_nix_is_not_asked_about_a_store_that_is_not_the_machine_s(own, locations, tmp_path):
    program = answering(tmp_path)
    assert closure_by_nix(logical(A), locations, os.environ, nix_store=program) is None
    assert not (tmp_path / "asked").exists()
    assert closure_by_nix(logical(A), own, os.environ, nix_store=program) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has what is another user's")
@pytest.mark.parametrize("theirs", ["nix/store", "nix/store/var", "nix"])
def test_nix_is_not_asked_about_what_is_another_user_s(own, tmp_path, theirs):
    program = answering(tmp_path)
    os.chown(tmp_path / theirs, 12345, -1)
    assert closure_by_nix(logical(A), own, os.environ, nix_store=program) is None
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("script", ["exit 1", "sleep 60", None])
def test_a_nix_that_does_not_answer_is_no_answer(own, tmp_path, script):
    program = "/nowhere/nix-store" if script is None else answering(tmp_path, script)
    assert closure_by_nix(logical(A), own, {}, nix_store=program, timeout_s=0.3) is None


def test_nix_is_asked_about_paths_of_the_store_alone_and_hears_nothing_else(own, tmp_path):
    program = answering(tmp_path, f"env >{tmp_path}/env")
    roots = logical(A) | {"--delete", "/etc/passwd"}
    environ = {"LD_PRELOAD": "/x.so", "HOME": "/h"}
    answer = closure_by_nix(roots, own, environ, nix_store=program)
    assert {word for word in answer if word.startswith("/")} == logical(A)
    assert "--delete" not in answer
    assert "LD_PRELOAD" not in (tmp_path / "env").read_text()


@pytest.mark.nix
def test_the_references_of_a_real_store_are_those_that_nix_has(tmp_path):
    world = NixWorld(tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "tools/busybox")
    made = world.build(_DERIVATION.replace("TOOLS", str(tmp_path / "tools")))
    expected = set(world.output("nix-store", "-qR", made).split())
    environ = world.environment
    locations = find_locations(environ, read_settings(environ), world.store_arguments[1])
    assert locations.real_store_dir == str(world.store)
    assert len(expected) == 3
    assert closure_by_references([made], locations) == expected
    there, missing = kinds(sorted(expected), locations)
    assert there.files
    assert there.directories
    assert missing == ()


@pytest.mark.nix
def test_nix_says_of_its_own_store_what_is_valid_in_it(tmp_path):
    world = NixWorld(tmp_path)
    environ = {
        **world.environment,
        "NIX_STORE_DIR": f"{tmp_path}/own",
        "NIX_STATE_DIR": f"{tmp_path}/state",
    }
    (tmp_path / "source").write_text("text")
    add = ["nix-store", "--add", str(tmp_path / "source")]
    done = subprocess.run(add, env=environ, capture_output=True, text=True, check=True)
    locations = find_locations(environ, read_settings(environ))
    assert closure_by_nix([done.stdout.strip()], locations, environ) == {done.stdout.strip()}


_DERIVATION = """
let tools = TOOLS; make = name: script: derivation {
  inherit name; system = builtins.currentSystem; builder = "${tools}/busybox"; args = [ "sh" "-c" script ];
}; in make "outer" "echo ${make "inner" "echo ${tools} > $out"} > $out"
"""
