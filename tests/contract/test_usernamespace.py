"""Every build sees the same user and group, whoever built and whoever looks."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.namespaces


def test_user_and_group_are_1000_and_100(output):
    assert output("id", "-u") == "1000\n"
    assert output("id", "-g") == "100\n"


def test_the_user_has_the_name_that_nix_gives_it(output):
    assert output("id", "-un") == "nixbld\n"
    assert output("id", "-gn") == "nixbld\n"


def test_no_other_group_is_left(output):
    assert output("id", "-G") == "100\n"


def test_one_user_is_mapped_to_the_caller(output, unprivileged):
    assert output("cat", "/proc/self/uid_map").split() == ["1000", str(unprivileged), "1"]


def test_one_group_is_mapped(output):
    inside, _, count = output("cat", "/proc/self/gid_map").split()
    assert (inside, count) == ("100", "1")


def test_setting_groups_is_denied(output):
    assert output("cat", "/proc/self/setgroups") == "deny\n"


def test_the_user_namespace_is_a_new_one(output):
    assert output("readlink", "/proc/self/ns/user").strip() != os.readlink("/proc/self/ns/user")


def test_the_build_directory_belongs_to_the_user(output):
    assert output("stat", "-c", "%u:%g", "/build", "/build/env-vars") == "1000:100\n" * 2


def test_no_capability_is_left(shell):
    lines = shell("grep '^Cap[IPEA]' /proc/self/status").splitlines()
    assert {line.split()[1] for line in lines} == {"0" * 16}
