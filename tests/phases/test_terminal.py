"""The word `phase` in a real terminal: it gives the terminal back, whatever becomes of the phase."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Kept

pytestmark = pytest.mark.terminal


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
    screen.wait_for("* checkPhase …")
    screen.type("phase check; echo status-$?-$mine")
    assert "checkPhase failed: exit status 2" in screen.wait_for("status-2-1")
    screen.type("phase build buildPhase='echo slee''ping; sleep 60'; echo ended-$?")
    screen.wait_for("sleeping")
    screen.press("C-c")
    screen.type("echo go-$((1 + 1))-on")
    screen.wait_for("go-2-on")
    screen.type("phase preCheck='patchShebangs test.sh' && echo passed-$((2 + 2))")
    screen.wait_for("passed-4")
