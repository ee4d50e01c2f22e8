"""Every build sees the same host name."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.namespaces


def test_the_host_is_called_localhost(output):
    assert output("uname", "-n") == "localhost\n"
    assert output("cat", "/proc/sys/kernel/hostname") == "localhost\n"


def test_the_domain_is_called_none(output):
    assert output("cat", "/proc/sys/kernel/domainname") == "(none)\n"


def test_the_uts_namespace_is_a_new_one(output):
    assert output("readlink", "/proc/self/ns/uts").strip() != os.readlink("/proc/self/ns/uts")


def test_the_host_keeps_its_name(output):
    before = os.uname().nodename
    output("true")
    assert os.uname().nodename == before
