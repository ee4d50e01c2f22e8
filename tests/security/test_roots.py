"""Nix is asked to keep inputs in its own store, and in no other that somebody prepared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.session.roots import ask
from tests.workspace.made_kept import make, record

if TYPE_CHECKING:
    from pathlib import Path

DERIVATION = f"/nix/store/{'1' * 32}-hello.drv"
INPUTS = frozenset({"0" * 32 + "-bash"})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Is a Nix started for a workspace of the store that lies there?"""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("nix-store", "nix-instantiate"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    path = make(tmp_path / "ws")

    def asked(store: Path) -> bool:
        kept = record(
            tmp_path, path=path, store=str(store), store_dir="/nix/store", derivation=DERIVATION
        )
        processes = ask(kept, INPUTS)
        return bool(processes) and not any(process.wait() for process in processes)

    return asked


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("nix/store", "nix/var/nix/db"):
        (tmp_path / "x" / name).mkdir(parents=True)
    return tmp_path / "x"


def test_nix_is_asked_of_a_store_that_has_a_database(asked, store):
    assert asked(store)
    (store / "nix/var/nix/db").rmdir()
    assert not asked(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has what is another user's")
def test_nix_is_not_asked_of_a_store_that_is_another_user_s(asked, store):
    os.chown(store / "nix/var/nix", 12345, -1)
    assert not asked(store)
