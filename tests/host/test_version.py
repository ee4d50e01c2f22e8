"""Which Nix is here is known by its path or, once asked, without asking again."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from sandbox.host.version import find_profile, find_program, installed_profile
from sandbox.model.profile import LAYOUT_DEFAULTS, Profile
from tests.model.made import KEPT


@pytest.fixture
def environ(tmp_path):
    return {"PATH": f"{tmp_path}/bin", "HOME": f"{tmp_path}/home"}


def install(path, answer="nix-store (Nix) 2.8.0", status=0):
    """A program that notes how often it was asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho x >> '{path}.asked'\necho '{answer}'\nexit {status}\n")
    path.chmod(0o755)
    return path


def times_asked(path):
    asked = path.with_name(path.name + ".asked")
    return len(asked.read_text().split()) if asked.exists() else 0


@pytest.mark.parametrize(
    ("answer", "profile"),
    [
        ("nix-store (Nix) 2.18.1", Profile(version=(2, 18, 1))),
        ("nix-store (Lix, like Nix) 2.94.0", Profile(flavour="lix", version=(2, 94, 0))),
        ("nix-store (Nix) 2.25.0pre20240910_abc", Profile(version=(2, 25, 0))),
    ],
)
def test_it_is_asked_once(tmp_path, environ, answer, profile):
    program = install(tmp_path / "bin/nix-store", answer)
    assert [installed_profile(environ) for _ in range(3)] == [profile] * 3
    assert times_asked(program) == 1


def test_a_new_program_is_asked_again(tmp_path, environ):
    program = install(tmp_path / "bin/nix-store")
    installed_profile(environ)
    install(program, "nix-store (Nix) 2.31.2")
    assert installed_profile(environ) == Profile(version=(2, 31, 2))


def test_one_in_a_store_tells_by_its_path_and_is_not_asked(tmp_path, environ):
    program = install(tmp_path / f"store/{'a' * 32}-nix-2.24.9/bin/nix-store")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nix-store").symlink_to(program)
    assert installed_profile(environ) == Profile(version=(2, 24, 9))
    assert times_asked(program) == 0


@pytest.mark.parametrize("answer", ["", "what?", "\x1b[2J"])
def test_an_answer_without_a_version_is_none_and_is_not_kept(tmp_path, environ, answer):
    program = install(tmp_path / "bin/nix-store", answer)
    assert [installed_profile(environ) for _ in range(2)] == [None, None]
    assert times_asked(program) == 2


def test_a_file_that_does_not_run_is_no_nix(tmp_path, environ):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nix-store").write_bytes(b"\x7fELF no")
    (tmp_path / "bin/nix-store").chmod(0o755)
    assert installed_profile(environ) is None


def test_a_home_that_cannot_be_written_only_costs_time(tmp_path, environ):
    install(tmp_path / "bin/nix-store")
    assert installed_profile({**environ, "HOME": "/proc/nowhere"}) == Profile(version=(2, 8, 0))


def test_a_full_disk_gets_no_half_of_a_note(tmp_path, environ):
    install(tmp_path / "bin/nix-store")
    (tmp_path / "home").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        installed_profile(environ)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path / "home/.cache/nix-build-shell") == []


def test_a_caller_that_waits_for_no_child_gets_the_answer(tmp_path, environ):
    install(tmp_path / "bin/nix-store")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert installed_profile(environ) == Profile(version=(2, 8, 0))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_relative_place_on_the_path_is_passed_over(tmp_path, environ, monkeypatch):
    program = install(tmp_path / "bin/nix-store")
    monkeypatch.chdir(tmp_path)
    installed_profile({**environ, "PATH": "bin:."})
    assert times_asked(program) == 0


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe", b"x" * 10000, b"other identity\nnix 1.1"])
def test_a_note_that_is_damaged_is_made_anew(tmp_path, environ, rubbish):
    install(tmp_path / "bin/nix-store")
    installed_profile(environ)
    (note,) = (tmp_path / "home/.cache/nix-build-shell").iterdir()
    note.write_bytes(rubbish)
    assert installed_profile(environ) == Profile(version=(2, 8, 0))
    assert note.read_text().endswith("2.8.0\n")
    assert os.listdir(note.parent) == [note.name]


def test_what_was_asked_for_comes_first(tmp_path, environ):
    install(tmp_path / "bin/nix-store")
    found = find_profile(KEPT, environ, "lix-2.94")
    assert found == (Profile(flavour="lix", version=(2, 94, 0)), "asked for")


def test_the_installed_nix_counts_if_it_makes_such_directories(tmp_path, environ):
    install(tmp_path / "bin/nix-store")
    flat = KEPT.replace(layout="flat")
    assert find_profile(flat, environ) == (Profile(version=(2, 8, 0)), "the installed Nix")


@pytest.mark.parametrize("layout", LAYOUT_DEFAULTS)
def test_else_the_layout_stands_for_a_nix(tmp_path, environ, layout):
    install(
        tmp_path / "bin/nix-store", "nix (Nix) 2.8.0" if layout != "flat" else "nix (Nix) 2.34.0"
    )
    profile, why = find_profile(KEPT.replace(layout=layout), environ)
    assert (profile, why) == (LAYOUT_DEFAULTS[layout], "the kept directory's layout")


def test_nix_is_found_where_it_is_installed_for_all_whatever_the_path(tmp_path, monkeypatch):
    program = install(tmp_path / "profile/bin/nix-store")
    monkeypatch.setattr("sandbox.host.version.INSTALLED_FOR_ALL", (str(program.parent),))
    assert find_program("nix-store", {"PATH": "/nowhere"}) == str(program)
    first = install(tmp_path / "bin/nix-store")
    assert find_program("nix-store", {"PATH": str(first.parent)}) == str(first)
    assert not find_program("nix-none", {})
