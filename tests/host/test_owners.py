"""Who else could exchange what lies at a path."""

from __future__ import annotations

import os

import pytest

from sandbox.host.owners import is_ours


@pytest.fixture
def place(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    return tmp_path


def test_what_root_and_the_caller_own_is_ours(place):
    assert is_ours("/")
    assert is_ours(f"{place}/a/b")
    assert is_ours(f"{place}/a//b/../b/.")


def test_what_is_not_there_is_not(place):
    assert not is_ours(f"{place}/a/c")
    (place / "round").symlink_to("round")
    assert not is_ours(f"{place}/round")


def test_a_directory_that_all_may_write_to_is_not_unless_it_is_sticky(place):
    (place / "a").chmod(0o777)
    assert not is_ours(f"{place}/a/b")
    (place / "a").chmod(0o1777)
    assert is_ours(f"{place}/a/b")


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give something away")
@pytest.mark.parametrize("theirs", ["a/b", "a", "link", "inner"])
def test_one_that_is_another_user_s_on_the_way_is_enough(place, theirs):
    (place / "inner").symlink_to(place / "a")
    (place / "link").symlink_to("inner/b")
    assert is_ours(f"{place}/link")
    os.chown(place / theirs, 12345, -1, follow_symlinks=False)
    assert not is_ours(f"{place}/link")
