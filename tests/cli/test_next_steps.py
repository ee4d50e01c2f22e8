"""`nbs` alone: what it tells a person to do next, whatever the machine is like."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

import sandbox
from sandbox.cli import next_steps
from sandbox.host import places
from tests.host.made_store import MadeStore, env_vars, output, store_path

FAILED = """\
@nix {{ "action": "setPhase", "phase": "checkPhase" }}
error: builder for '{drv}' failed with exit code 2
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that allows everything, has no Nix, and keeps failures in the demonstration's store."""
    folders = places._folders

    def only_here(*arguments):
        return (pair for pair in folders(*arguments) if pair[0].startswith(str(tmp_path)))

    monkeypatch.setattr(places, "_folders", only_here)
    monkeypatch.setattr(sandbox.probe, "try_sandbox", lambda: None)
    for name in ("XDG_CACHE_HOME", "NIX_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path / "etc"))
    monkeypatch.setenv("PATH", "/nowhere")
    return MadeStore(tmp_path / ".cache/nix-build-shell/demo")


def fail(machine, name, number, *, logged=True):
    """A build of this name that failed, after those with a lower number."""
    letter = "abcdf"[number]
    drv = machine.derive(name, letter, output(name, letter))
    variables = env_vars(out=store_path(name, letter), name=name, NIX_BUILD_TOP="/build")
    if logged:
        machine.log(drv, FAILED.format(drv=drv))
    return machine.keep(f"nix-1-{number}", env_vars=variables, at_s=1000 + number)


def commands():
    """The lines that can be pasted."""
    lines = [line for line in next_steps.text().splitlines() if line.startswith("  ")]
    return [line.strip().split("  ")[0] for line in lines]


def test_where_nothing_failed_it_tells_how_to_begin(machine):
    assert next_steps.text().startswith("No failed build was kept on this machine.\n")
    assert commands() == ["nbs demo"]


def test_where_there_is_nix_it_tells_how_to_build_with_it(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/nix-build")
    assert commands() == ["nbs build -- -A hello", "nbs demo"]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nix.conf").write_text("experimental-features = nix-command flakes\n")
    flake = "nbs build -- nix build .#hello"
    assert commands() == ["nbs build -- -A hello", flake, "nbs demo"]


def test_one_failure_is_told_by_name_phase_and_end(machine):
    fail(machine, "hello-1.0", 0)
    assert next_steps.text().startswith("hello-1.0 failed in checkPhase (exit 2), ")
    assert commands() == ["nbs shell", "nbs phase", "nbs log --errors", "nbs notebook"]


def test_a_failure_without_a_log_has_no_phase_to_run_again(machine):
    fail(machine, "hello-1.0", 0, logged=False)
    assert next_steps.text().startswith("hello-1.0 failed, ")
    assert commands() == ["nbs shell", "nbs notebook"]


def test_of_several_the_newest_is_told_and_the_others_counted(machine):
    for number, name in enumerate(("hello-1.0", "world-2", "third-3")):
        fail(machine, name, number)
    said = next_steps.text().splitlines()
    assert said[0].startswith("third-3 failed")
    assert said[1] == "2 more were kept."
    assert commands()[-1] == "nbs ls"


def test_what_is_closed_to_the_caller_is_entered_by_root(machine, monkeypatch):
    fail(machine, "hello-1.0", 0)
    closed = [place.replace(readable=False) for place in sandbox.kept_builds(os.environ)]
    monkeypatch.setattr(sandbox, "kept_builds", lambda *_: closed)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert commands() == [f"sudo {sys.executable} -m sandbox.cli.nbs shell"]


def test_a_hostile_name_does_not_reach_the_terminal_as_it_is(machine, monkeypatch):
    fail(machine, "hello-1.0", 0)
    (place,) = sandbox.kept_builds(os.environ)
    evil = sandbox.summarise(place).replace(name="\x1b[2J", phase="\x07Phase")
    monkeypatch.setattr(sandbox, "summarise", lambda *_: evil)
    assert not {"\x1b", "\x07"} & set(next_steps.text())
