"""`nbs build` on a real terminal: the log, the choice, the shell where it failed, the interrupt."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_build import RECIPES
from tests.linux.test_terminal import OuterShell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.namespaces, pytest.mark.nix, pytest.mark.terminal]


class Terminal(OuterShell):
    """A terminal where `./nbs` is this program, and the environment that of the tests' Nix."""

    def __init__(self, directory: Path, tool_command, nix_world, first_in_path: str = "") -> None:
        super().__init__(directory)
        argv, environment = tool_command("sandbox.cli.nbs")
        environment = {**nix_world.environment, **environment}
        path = f"{first_in_path}:" if first_in_path else ""
        environment |= {
            "TERM": "tmux-256color",
            "NIX_CONF_DIR": str(nix_world.conf),
            "TMPDIR": str(nix_world.tmp),
            "PATH": path + environment["PATH"],
        }
        settings = [f"{name}={value}" for name, value in environment.items()]
        tool = directory / "nbs"
        tool.write_text(f'#!/bin/sh\nexec {shlex.join(["env", "-i", *settings, *argv])} "$@"\n')
        tool.chmod(0o755)
        (directory / "recipes.nix").write_text(RECIPES)
        self.store = f"{nix_world.root}/store"

    def build(self, words: str) -> None:
        """A line that builds, and then tells the status."""
        self.type(f"./nbs build -- {words}; echo status-$?")

    def nix_build(self, attribute: str, more: str = "") -> None:
        self.build(f"--store {self.store} --no-out-link recipes.nix -A {attribute} {more}")


@pytest.fixture
def terminal(tmp_path: Path, tool_command, nix_world) -> Iterator[Terminal]:
    screen = Terminal(tmp_path, tool_command, nix_world)
    yield screen
    screen.close()


IN_LIB = "[lib-1.0 buildPhase] /build$"


def test_a_failure_leads_to_a_shell_where_it_failed(terminal):
    terminal.nix_build("app")
    terminal.wait_for(IN_LIB)
    shown = terminal.lines()
    assert "foo.c:3:1: error: no foo" in shown
    said = shown[next(n for n, line in enumerate(shown) if line.startswith("lib-1.0 failed")) :]
    banner = said[: [line.startswith("[lib-1.0") for line in said].index(True)]
    assert (
        banner[0] == "lib-1.0 failed in buildPhase (exit 3); app-2.0, which was asked for, needs it"
    )
    assert len([line for line in banner if line]) <= 5
    terminal.press("Up", "Enter")
    terminal.type("pwd; exit 7")
    terminal.wait_for("/build")
    terminal.wait_for("status-7")
    assert terminal.lines().count("working") == 2


def test_a_failure_of_the_set_up_leads_to_a_shell_as_well(terminal):
    terminal.nix_build("early")
    terminal.wait_for("[early-1.0] /build$")
    assert any("the set-up of this build ends here" in line for line in terminal.lines())
    terminal.type("phase builder; exit $((4 + $?))")
    terminal.wait_for("status-7")


def test_a_failure_leads_to_a_notebook_if_one_is_asked_for(terminal, tmp_path):
    terminal.type(
        f"./nbs build --notebook -- --store {terminal.store} --no-out-link recipes.nix -A app"
    )
    # What is done with it then is for Jupyter, which may be there or not.
    terminal.wait_for("lib-1.0.ipynb")
    text = (tmp_path / "lib-1.0.ipynb").read_text()
    assert f"%enter --store {terminal.store} " in text
    assert "# lib-1.0 failed in buildPhase (exit 3)" in text
    assert "- needed by: app-2.0" in text
    assert "lib-1.0 failed in buildPhase (exit 3); app-2.0, which was asked for, needs it" in (
        terminal.lines()
    )


def test_of_several_failures_one_is_chosen(terminal):
    terminal.nix_build("both", "--keep-going -j1")
    terminal.wait_for("Enter which one? [1, or q for none]")
    numbers = {
        line[5:].split(" ")[0]: line[2]
        for line in terminal.lines()
        if line[:5] in ("  1  ", "  2  ")
    }
    assert set(numbers) == {"lib-1.0", "other-1.0"}
    terminal.type("9")
    terminal.type(numbers["other-1.0"])
    terminal.wait_for("[other-1.0 buildPhase] /build$")
    terminal.type("exit")
    terminal.wait_for("status-0")


def test_of_several_failures_there_can_be_a_notebook_about_each(terminal, tmp_path):
    words = f"--store {terminal.store} --no-out-link recipes.nix -A both --keep-going -j1"
    terminal.type(f"./nbs build --notebook -- {words}; echo status-$?")
    terminal.wait_for("A notebook about which one? [1, a for one about each, q for none]")
    terminal.type("a")
    terminal.wait_for("status-100")
    assert (tmp_path / "lib-1.0.ipynb").exists()
    assert (tmp_path / "other-1.0.ipynb").exists()


def test_none_of_several_failures_may_be_chosen(terminal):
    terminal.nix_build("both", "--keep-going -j1")
    terminal.wait_for("Enter which one? [1, or q for none]")
    terminal.type("q")
    terminal.wait_for("status-100")
    assert len([line for line in terminal.lines() if line.startswith("  nbs shell --store")]) == 2


def test_an_interrupt_ends_the_build_and_enters_nothing(terminal):
    terminal.nix_build("slow")
    terminal.wait_for("begun")
    terminal.wait_for("slow-1.0 buildPhase 0:…")
    terminal.press("C-c")
    terminal.wait_for("status-1")
    shown = terminal.lines()
    assert "slow-1.0 failed in buildPhase (interrupted)" in shown
    assert not [line for line in shown if line.startswith("slow-1.0 buildPhase 0:")]


def test_nix_build_of_the_new_command_line_is_entered_as_well(terminal):
    features = "--extra-experimental-features nix-command"
    terminal.build(f"nix {features} build --no-link --store {terminal.store} -f recipes.nix lib")
    terminal.wait_for(IN_LIB)
    terminal.type("exit 3")
    terminal.wait_for("status-3")


def test_a_directory_of_the_newer_layout_is_entered(tmp_path, tool_command, nix_world):
    failure = nix_world.fail(f"({RECIPES}).lib")
    inner = f"{nix_world.root}/store/nix/var/nix/builds/nix-{os.getpid()}-{time.time_ns() % 2**32}/build"
    shutil.copytree(failure.kept, inner)
    os.chmod(os.path.dirname(inner), 0o755)
    error = (
        f'error: Cannot build "{failure.drv}".\\n       Reason: builder failed with exit code 3.'
    )
    note = f'note: keeping build directory "{inner}"'
    events = "".join(
        "@nix " + '{"action":"msg","level":0,"msg":"' + text.replace('"', '\\"') + '"}\n'
        for text in (note, error)
    )
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "nix-build").write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{events}END\nexit 1\n")
    (bin_ / "nix-build").chmod(0o755)
    screen = Terminal(tmp_path, tool_command, nix_world, str(bin_))
    try:
        screen.build("-A lib")
        screen.wait_for(IN_LIB)
        assert "lib-1.0 failed in buildPhase (exit 3)" in screen.lines()
        screen.type("exit")
        screen.wait_for("status-0")
    finally:
        screen.close()
        shutil.rmtree(os.path.dirname(inner))


def test_what_nix_writes_on_stdout_stands_in_the_place_of_the_line(
    tmp_path, tool_command, nix_world
):
    """Nix writes the result while the line with the phase is still there."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    build = '{"action":"start","id":1,"type":105,"fields":["/nix/store/x-slow.drv","",1,1]}'
    begun = '{"action":"result","id":1,"type":104,"fields":["buildPhase"]}'
    (bin_ / "nix-build").write_text(
        f"""#!/bin/sh
case "$*" in *--version*) exec {shutil.which("nix-build")} --version ;; esac
printf '@nix %s\\n' '{build}' '{begun}' >&2
until [ -e {tmp_path}/go ]; do sleep 0.02; done
echo /nix/store/x-slow
"""
    )
    (bin_ / "nix-build").chmod(0o755)
    screen = Terminal(tmp_path, tool_command, nix_world, str(bin_))
    try:
        screen.type("./nbs build -- slow.nix; echo status-$?")
        screen.wait_for("slow buildPhase …")
        (tmp_path / "go").touch()
        screen.wait_for("status-0")
        assert screen.shows("/nix/store/x-slow")
    finally:
        screen.close()
