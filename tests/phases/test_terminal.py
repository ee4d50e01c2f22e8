"""The word `phase` in a real terminal: it gives the terminal back, whatever becomes of the phase."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Kept

pytestmark = pytest.mark.terminal
LIMIT_S = 30


class Screen:
    """A terminal in which `nbs shell` runs, seen and typed on by way of tmux."""

    def __init__(self, command: str) -> None:
        self.name = f"nbs-phases-{os.getpid()}"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", command)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self.name, *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def wait_for(self, line: str) -> str:
        """All lines, once one of them begins so."""
        end = time.monotonic() + LIMIT_S
        while True:
            lines = self._tmux("capture-pane", "-p", "-J", "-S", "-").splitlines()
            if any(seen.startswith(line) for seen in lines):
                return "\n".join(lines)
            assert time.monotonic() < end, f"no line {line!r} in:\n" + "\n".join(lines)
            time.sleep(0.05)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.name, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def screen(tmp_path: Path, kept_by_nix: Kept, tool_command) -> Iterator[Screen]:
    argv, environment = tool_command("sandbox.cli.nbs")
    settings = [f"{name}={value}" for name, value in environment.items()]
    words = ["env", *settings, *argv, "shell", "--store", kept_by_nix.store, kept_by_nix.path]
    screen = Screen(shlex.join(words))
    yield screen
    screen.close()


def test_a_phase_fails_is_interrupted_and_passes_and_the_shell_goes_on(screen: Screen):
    screen.wait_for("[hello-1.0 checkPhase] /build/hello$")
    screen.type("phase; mine=1")
    screen.wait_for("* checkPhase ")
    screen.type("phase check; echo status-$?-$mine")
    assert "checkPhase failed: exit status 2" in screen.wait_for("status-2-1")
    screen.type("phase build buildPhase='echo slee''ping; sleep 60'; echo ended-$?")
    screen.wait_for("sleeping")
    screen.press("C-c")
    screen.type("echo go-$((1 + 1))-on")
    screen.wait_for("go-2-on")
    screen.type("phase preCheck='patchShebangs test.sh' && echo passed-$((2 + 2))")
    screen.wait_for("passed-4")
