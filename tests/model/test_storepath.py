"""Store paths: recognised as Nix recognises them, computed as Nix computes them."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.model import storepath

BASH = "3n58xw4373jp0ljirf06d8077j15pc4j-bash-5.2"


@given(st.binary(max_size=64))
def test_base_32_keeps_every_bit(data: bytes) -> None:
    number = 0
    for digit in storepath.nix32(data):
        number = number * 32 + storepath.NIX32.index(digit)
    assert number.to_bytes(len(data), "little") == data


@given(st.binary(min_size=20, max_size=20))
def test_a_hash_of_its_own_size_is_not_changed(data: bytes) -> None:
    assert storepath.compress(data) == data


def test_a_longer_hash_is_folded_over_itself() -> None:
    assert storepath.compress(bytes(range(32))) == bytes(
        i ^ (i + 20 if i < 12 else 0) for i in range(20)
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/nix/store/{BASH}", True),
        (f"/nix/store/{BASH}/bin", False),
        (f"/gnu/store/{BASH}", False),
        (BASH, False),
        ("/nix/store/.links", False),
        (f"/nix/store/{BASH}\n", False),
        (f"/nix/store/{BASH.replace('n', 'e', 1)}", False),
        (f"/nix/store/{BASH[:33]}", False),
        (f"/nix/store/{BASH[:33]}..", False),
        (f"/nix/store/{BASH[:33]}.hidden", True),
        (f"/nix/store/{BASH[:33]}{'n' * 211}", True),
        (f"/nix/store/{BASH[:33]}{'n' * 212}", False),
    ],
)
def test_only_what_nix_would_take_is_a_store_path(path: str, expected: bool) -> None:
    assert storepath.is_store_path(path, "/nix/store") is expected


def test_a_path_is_split_into_hash_and_name() -> None:
    assert storepath.split(f"/nix/store/{BASH}") == (BASH[:32], "bash-5.2")
    assert storepath.split(BASH) == (BASH[:32], "bash-5.2")
    with pytest.raises(EvidenceError) as caught:
        storepath.split("/etc/passwd")
    assert caught.value.reason == "not-a-store-path"


def test_a_path_inside_leads_to_the_store_path_it_is_in() -> None:
    assert (
        storepath.store_path_of(f"/nix/store/{BASH}/bin/sh", "/nix/store") == f"/nix/store/{BASH}"
    )
    assert storepath.store_path_of(f"/nix/store/../{BASH}", "/nix/store") is None
    assert storepath.store_path_of("/nix/store", "/nix/store") is None


def test_references_are_found_wherever_they_stand() -> None:
    text = f'PATH="/nix/store/{BASH}/bin:/nix/store/{BASH}-dev/bin" -L/nix/store/{BASH}:/nix/store/short-x'
    assert storepath.references(text.encode(), "/nix/store") == {
        f"/nix/store/{BASH}",
        f"/nix/store/{BASH}-dev",
    }


@given(
    st.lists(st.sampled_from([b"/nix/store/", BASH.encode(), b"/", b":", b".", b"-", b"\xff"])).map(
        b"".join
    )
)
def test_whatever_is_found_is_a_store_path(data: bytes) -> None:
    for path in storepath.references(data, "/nix/store"):
        assert storepath.is_store_path(path, "/nix/store")
        assert path.encode() in data


@pytest.mark.nix
def test_nix_computes_the_same_paths(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    expression = f'[ (builtins.placeholder "dev") (builtins.toFile "a" "content") (derivation {{ name = "f"; system = "s"; builder = "/b"; outputHash = "{digest}"; outputHashAlgo = "sha256"; outputHashMode = "recursive"; }}).outPath (builtins.hashString "sha256" "x") ]'
    environ = {**os.environ, "USER": "probe"}  # Nix insists on a name, which not every id has
    command = [
        "nix-instantiate",
        "--store",
        str(tmp_path / "store"),
        "--eval",
        "--strict",
        "-E",
        expression,
    ]
    answer = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    placeholder, text, fixed, _ = (word.strip('"') for word in answer.strip(" []\n").split())
    assert storepath.placeholder("dev") == placeholder
    assert storepath.make_store_path("text", f"sha256:{digest}", "a", "/nix/store") == text
    assert storepath.make_store_path("source", f"sha256:{digest}", "f", "/nix/store") == fixed
