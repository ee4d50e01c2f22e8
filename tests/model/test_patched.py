"""A derivation with one more patch, and why a build may not look at it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.patched import (
    PatchFile,
    archive,
    has_patches,
    store_name,
    strip_of,
    why_not,
    with_patch,
)
from sandbox.model.storepath import is_store_path
from tests.model.made import derivation

PATH = "/nix/store/00000000000000000000000000000000-fix.patch"
# What `nix-store --add fix.patch` says of a file with the content above.
ADDED_BY_NIX = "/nix/store/bbc323ba7vpv2qddda3zf1daml80xc84-fix.patch"


def structured(**attributes):
    return derivation(__json=json.dumps(attributes))


def attributes_of(changed):
    return json.loads(changed.get("__json"))


def test_a_patch_is_the_last_of_patches() -> None:
    changed = with_patch(derivation(patches="/a /b", name="x"), PATH)
    assert changed.get("patches") == f"/a /b {PATH}"
    assert changed.get("name") == "x"


def test_a_build_without_patches_gets_a_list_of_one() -> None:
    assert with_patch(derivation(name="x"), PATH).get("patches") == PATH
    assert attributes_of(with_patch(structured(name="x"), PATH))["patches"] == [PATH]


@pytest.mark.parametrize(
    ("old", "new"), [(["/a"], ["/a", PATH]), (None, [PATH]), ("/a", f"/a {PATH}")]
)
def test_structured_attributes_keep_the_kind_of_their_patches(old, new) -> None:
    assert attributes_of(with_patch(structured(patches=old, n=1.5), PATH)) == {
        "patches": new,
        "n": 1.5,
    }


def test_the_environment_stays_in_order() -> None:
    changed = with_patch(derivation(a="1", z="2"), PATH)
    assert list(changed.env) == sorted(changed.env)


def test_the_path_is_the_one_that_nix_gives_a_file() -> None:
    patch = PatchFile(name="fix.patch", content=b"--- a/x\n+++ b/x\n")
    assert patch.path("/nix/store") == ADDED_BY_NIX


def test_an_archive_is_made_of_pieces_of_eight_bytes() -> None:
    for length in range(20):
        assert len(archive(b"x" * length)) % 8 == 0


@given(st.text())
def test_any_file_name_becomes_one_that_nix_allows(name) -> None:
    made = PatchFile(name=store_name(name), content=b"").path("/nix/store")
    assert is_store_path(made, "/nix/store")
    assert not store_name(name).startswith(".")


def test_a_long_file_name_keeps_its_ending() -> None:
    assert store_name("a" * 300 + ".patch.xz").endswith(".patch.xz")


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({}, ""),
        ({"patchPhase": "for p in $patches; do patch < $p; done"}, ""),
        ({"phases": "unpackPhase patchPhase"}, ""),
        ({"stdenv": ""}, "stdenv"),
        ({"buildCommand": "make"}, "buildCommand"),
        ({"dontPatch": "1"}, "dontPatch"),
        ({"dontUnpack": "1"}, "dontUnpack"),
        ({"phases": "buildPhase"}, "phases"),
        ({"patchPhase": "sed -i s/a/b/ x"}, "patchPhase"),
    ],
)
def test_what_would_not_apply_a_patch_is_told_by_name(attributes, why) -> None:
    plain = {"stdenv": "/nix/store/s", **attributes}
    for made in (derivation(**plain), structured(**plain)):
        assert why in why_not(made)
        assert bool(why_not(made)) == bool(why)


def test_without_a_derivation_nothing_can_be_said() -> None:
    assert "derivation" in why_not(None)


@pytest.mark.parametrize(
    ("flags", "strip", "said"),
    [
        (None, 1, ""),
        ("", 1, ""),
        ("-p0", 0, ""),
        ("-p 2 --fuzz=3", 2, ""),
        ("-p1 --strip=0", 0, ""),
        ("-F3", 1, "without -p"),
        ("-p1 -R", 1, "taken back"),
    ],
)
def test_what_is_taken_away_of_names_is_as_patch_flags_say(flags, strip, said) -> None:
    for one in (derivation(patchFlags=flags or ""), structured(patchFlags=(flags or "").split())):
        found, more = strip_of(one)
        assert found == strip
        assert said in more
        assert bool(said) == bool(more)


def test_patches_that_there_are_already_are_seen() -> None:
    assert has_patches(derivation(patches="/a"))
    assert has_patches(structured(patches=["/a"]))
    assert not has_patches(derivation(patches=""))
    assert not has_patches(structured(name="x"))
