"""There is no network but the loopback."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.namespaces


def test_lo_is_the_only_interface(output):
    lines = output("cat", "/proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]


def test_lo_is_up(output):
    assert "<LOOPBACK,UP,LOWER_UP>" in output("ip", "link", "show", "lo")


def test_lo_has_both_loopback_addresses_and_no_other(output):
    words = output("ip", "-oneline", "address", "show").split()
    addresses = [words[i + 1] for i, word in enumerate(words) if word in ("inet", "inet6")]
    assert addresses == ["127.0.0.1/8", "::1/128"]


def test_a_connection_over_lo_works(shell):
    # Refused by the kernel's own answer, not unreachable: so packets travel.
    answer = shell("(exec 3<>/dev/tcp/127.0.0.1/9) 2>&1 || true")
    assert "Connection refused" in answer


def test_nothing_else_can_be_reached(shell):
    answer = shell("(exec 3<>/dev/tcp/192.0.2.1/80) 2>&1 || true")
    assert "Network is unreachable" in answer


def test_the_net_namespace_is_a_new_one(output):
    assert output("readlink", "/proc/self/ns/net").strip() != os.readlink("/proc/self/ns/net")
