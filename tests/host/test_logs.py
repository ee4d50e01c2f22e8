"""Logs are found where Nix puts them, and read without trusting their size."""

from __future__ import annotations

import bz2
import os
import shutil

import pytest

from sandbox.errors import EvidenceError
from sandbox.host import logs
from sandbox.host.logs import read_log_file, read_log_of
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.model.logs import parse_log
from tests.nix.world import NixWorld

BASE = f"{'ab' + 'c' * 30}-hello.drv"
DRV = f"/nix/store/{BASE}"


@pytest.fixture
def log_dir(tmp_path):
    (tmp_path / "drvs/ab").mkdir(parents=True)
    return str(tmp_path)


@pytest.mark.parametrize("place", [f"ab/{BASE[2:]}", BASE])
@pytest.mark.parametrize("packed", [True, False])
def test_a_log_is_found_in_both_layouts_packed_or_not(log_dir, tmp_path, place, packed):
    path = tmp_path / "drvs" / (place + ".bz2" * packed)
    path.write_bytes(bz2.compress(b"a\n\xffb") if packed else b"a\n\xffb")
    os.utime(path, ns=(5, 5))
    found = read_log_of(DRV, log_dir)
    assert (found.path, found.mtime_ns, found.text, found.cut) == (
        str(path),
        5,
        "a\n\ufffdb",
        False,
    )


def test_no_log_is_no_error(log_dir):
    assert read_log_of(DRV, log_dir) is None
    assert read_log_of(DRV, "/dev/null") is None


@pytest.mark.parametrize(
    "name", ["/nix/store/../../etc/passwd", "", "hello.drv", f"/nix/store/{BASE}/../x"]
)
def test_what_is_no_derivation_is_not_looked_for(log_dir, name):
    assert read_log_of(name, log_dir) is None


def test_several_streams_in_one_file_are_one_log(tmp_path):
    path = tmp_path / "x.bz2"
    path.write_bytes(
        bz2.compress(b"a") + bz2.compress(b"") + bz2.compress(b"b" * 3_000_000) + bz2.compress(b"c")
    )
    assert read_log_file(str(path)).text == "a" + "b" * 3_000_000 + "c"


def test_a_torn_log_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "x.bz2"
    path.write_bytes(bz2.compress(b"whole") + bz2.compress(os.urandom(100_000))[:50_000])
    assert read_log_file(str(path)).text == "whole"
    path.write_bytes(b"")
    assert read_log_file(str(path)).text == ""


def test_a_file_that_is_not_packed_as_its_name_says_is_named(tmp_path):
    path = tmp_path / "x.bz2"
    path.write_bytes(b"hello, this is text")
    with pytest.raises(EvidenceError) as caught:
        read_log_file(str(path))
    assert caught.value.reason == "log-unreadable"


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_not_a_file_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "x"
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    with pytest.raises(EvidenceError) as caught:
        read_log_file(str(path))
    assert caught.value.reason == "log-unreadable"


@pytest.mark.parametrize("packed", [True, False])
def test_of_a_log_that_is_too_long_the_end_is_kept(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    path = tmp_path / ("x" + ".bz2" * packed)
    data = b"a" * 5_000_000 + b"the end"
    path.write_bytes(bz2.compress(data) if packed else data)
    found = read_log_file(str(path))
    assert found.cut
    assert len(found.text) == 1000
    assert found.text.endswith("the end")


def test_a_log_that_unpacks_to_far_too_much_is_left_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST_UNPACKED_BYTES", 3 << 20)
    path = tmp_path / "x.bz2"
    path.write_bytes(bz2.compress(b"a" * (20 << 20)))
    found = read_log_file(str(path))
    assert len(found.text) <= 4 << 20
    assert found.cut


@pytest.mark.nix
def test_the_log_of_a_real_failure_tells_its_phase_and_its_error(tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "tools/busybox")
    world = NixWorld(tmp_path)
    script = (
        r"""echo '@nix { \"action\": \"setPhase\", \"phase\": \"buildPhase\" }';"""
        r""" echo 'x.c:3:5: error: bad'; echo 'make: *** [Makefile:1: x.o] Error 1'; exit 2"""
    )
    failure = world.fail(
        f'derivation {{ name = "boom"; system = builtins.currentSystem;'
        f' builder = "${{{tmp_path}/tools}}/busybox"; args = [ "sh" "-c" "{script}" ]; }}'
    )
    environ = world.environment
    found = find_locations(environ, read_settings(environ), world.store_arguments[1])
    file = read_log_of(failure.drv, found.log_dir)
    log = parse_log(file.text)
    assert log.failing_phase == "buildPhase"
    assert log.error.text == "x.c:3:5: error: bad"
    shown = parse_log(failure.log)
    assert (shown.ending.kind, shown.ending.code) == ("exit", 2)
    assert shown.error.text.endswith("x.c:3:5: error: bad")
