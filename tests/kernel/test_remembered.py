"""The history of a build outlives its kernels."""

from __future__ import annotations

import os

import pytest

from nbs_kernel import remembered
from nbs_kernel.remembered import Remembered


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path))
    return tmp_path


def test_what_was_run_is_there_again():
    Remembered("hello-1.0").append(1, 1, "make")
    Remembered("hello-1.0").append(1, 2, "make\n\tcheck é")
    assert Remembered("hello-1.0").lines() == ((1, 1, "make"), (1, 2, "make\n\tcheck é"))


def test_each_build_has_its_own():
    Remembered("a").append(1, 1, "ls")
    assert Remembered("b").lines() == ()


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "\n", "é" * 500])
def test_a_name_leads_nowhere_else(state, name):
    Remembered(name).append(1, 1, "ls")
    assert len(os.listdir(state / "history")) == 1
    assert os.listdir(state) == ["history"]


def test_what_is_no_history_is_left_out(state):
    Remembered("x").append(1, 1, "ls")
    with open(state / "history" / "x.jsonl", "ab") as file:
        file.write(b'\xff\n{}\n[1]\n[1,2,"ok"]\n[1,')
    assert Remembered("x").lines() == ((1, 1, "ls"), (1, 2, "ok"))


def test_a_link_in_its_place_is_not_followed(state, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "file"
    other.write_text("mine")
    (state / "history").mkdir()
    (state / "history" / "x.jsonl").symlink_to(other)
    Remembered("x").append(1, 1, "ls")
    assert Remembered("x").lines() == ()
    assert other.read_text() == "mine"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_what_another_has_made_for_it_is_not_used(state):
    (state / "history").mkdir()
    os.chown(state / "history", 12345, -1)
    Remembered("x").append(1, 1, "ls")
    assert Remembered("x").lines() == ()
    assert os.listdir(state / "history") == []


def test_it_does_not_grow_without_end(state, monkeypatch):
    monkeypatch.setattr(remembered, "LARGEST", 2000)
    monkeypatch.setattr(remembered, "KEPT", 1000)
    for line in range(100):
        Remembered("x").append(1, line, "x" * 30)
    kept = Remembered("x").lines()
    assert (state / "history" / "x.jsonl").stat().st_size <= 1000
    assert kept[-1] == (1, 99, "x" * 30)
