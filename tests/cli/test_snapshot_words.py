"""The words `snapshot`, `restore` and `snapshots`, typed into a shell in a real terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.linux.processes import eventually
from tests.screen import Screen
from tests.workspace.made_kept import holding, is_waited_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.terminal
PROMPT = "[hello-1.0 checkPhase] /build/hello$"


@pytest.fixture(params=["overlay", "copy"])
def screen(
    request: pytest.FixtureRequest, tmp_path: Path, kept_by_nix: Kept, tool_command
) -> Iterator[Screen]:
    argv, environment = tool_command("sandbox.cli.nbs")
    settings = [f"{name}={value}" for name, value in environment.items()]
    settings.append(f"NBS_STATE_HOME={tmp_path / 'state'}")
    options = ["--copy"] if request.param == "copy" else []
    words = ["shell", *options, "--store", kept_by_nix.store, kept_by_nix.path]
    shown = Screen(shlex.join(["env", *settings, *argv, *words]) + "; echo left; sleep 60")
    yield shown
    shown.close()


def test_files_come_back_and_the_shell_stays_as_it_was(screen: Screen) -> None:
    screen.wait_for(PROMPT)
    screen.type("mine=1; echo good >state; mkdir sub; cd sub; echo note >/tmp/note; snapshot good")
    screen.wait_for("snapshot good: …")
    screen.type("echo bad >../state; rm ../hello.c /tmp/note; restore good")
    screen.wait_for("restored: good…")
    screen.type("echo $mine-$(<../state)-${PWD#/build/}-$(ls .. | grep -c hello.c)-$(</tmp/note)")
    screen.wait_for("1-good-hello/sub-1-note")
    screen.type("snapshots")
    screen.wait_for("good …")
    screen.wait_for("undone …")
    screen.type("exit")
    assert "kept as hello-1.0: `nbs shell --ws hello-1.0`" in screen.wait_for("left")


def test_a_job_is_not_left_behind_with_old_files(screen: Screen) -> None:
    screen.wait_for(PROMPT)
    screen.type("snapshot first; sleep 1000 &")
    screen.wait_for("snapshot first: …")
    # Until it is sleep, the process is called as the shell that forked it.
    screen.type("until read -r name </proc/$!/comm && [ $name = sleep ]; do :; done")
    screen.type("restore first; echo refused-$?")
    text = screen.wait_for("refused-125")
    assert "a program still runs inside" in text
    assert "sleep (process" in text
    screen.type("restore first --kill; echo done-$?")
    screen.wait_for("done-0")


def test_an_interrupt_takes_the_shell_nowhere_and_what_waits_is_given_up(
    screen: Screen, tmp_path: Path
) -> None:
    screen.wait_for(PROMPT)
    screen.type("trap 'echo mine' INT; mkdir sub; cd sub; echo 1 > state; snapshot one")
    screen.wait_for("snapshot one: …")
    workspace = tmp_path / "state/ws/hello-1.0"
    with holding(workspace):
        screen.type("echo 2 > state; restore one; echo =$?-$PWD-$(<state)=")
        # Before that, the interrupt would be the shell's own.
        assert eventually(lambda: is_waited_for(workspace))
        screen.press("C-c")
        screen.wait_for("=130-/build/hello/sub-2=")
    assert screen.shows("error: it was interrupted: nothing has changed")
    screen.press("C-c")
    screen.wait_for_end("mine")
    screen.type("restore one; echo =$?-$PWD-$(<state)=")
    screen.wait_for("=0-/build/hello/sub-1=")
    screen.type("exec 3> open; restore one; echo =$?-$PWD=")
    screen.wait_for("=125-/build/hello/sub=")
    assert screen.shows("bash (process 1) has /build/hello/sub/open as 3")


def test_from_another_terminal_it_is_made_but_not_restored(
    screen: Screen, run_nbs: RunTool, tmp_path: Path
) -> None:
    screen.wait_for(PROMPT)
    screen.type("echo here >state; echo ready-$((1 + 1))")
    screen.wait_for("ready-2")
    environment = {"NBS_STATE_HOME": str(tmp_path / "state")}
    made = run_nbs("snapshot", "outside", env=environment)
    assert made.returncode == 0, made.stderr
    refused = run_nbs("restore", "outside", env=environment)
    assert refused.returncode != 0
    assert b"`restore outside`" in refused.stderr
