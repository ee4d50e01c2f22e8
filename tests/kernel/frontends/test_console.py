"""`jupyter console` in a real terminal, with the keys that a person presses."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernel.frontends.conftest import require, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.conftest import Home

pytestmark = [pytest.mark.terminal, pytest.mark.usefixtures("leaves_nothing")]
COLUMNS, LINES = 120, 50
_numbers = itertools.count()


class Console:
    """A terminal of tmux, which runs `jupyter console --kernel nbs`, or another command."""

    command = (sys.executable, "-m", "jupyter_console", "--kernel", "nbs")

    def __init__(self, home: Home, *arguments: str, **environment: str) -> None:
        self.home = home
        # A server of its own: what happens to it happens to nobody else. And a name of its own: a
        # server that is being ended still answers for a moment.
        name = f"{home.path}/tmux-{os.getpid()}-{next(_numbers)}"
        self.tmux = ["tmux", "-S", name, "-f", "/dev/null"]
        given = {**home.environment, **environment, "TERM": "screen-256color"}
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        line = f"cd {shlex.quote(str(home.path))}; exec {shlex.join([*self.command, *arguments])}"
        subprocess.run([*self.tmux, "new-session", "-d", *size, line], env=given, check=True)
        self.prompt(1)

    def screen(self) -> str:
        shown = subprocess.run(
            [*self.tmux, "capture-pane", "-p"], capture_output=True, text=True, check=False
        )
        return shown.stdout

    def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        until(lambda: text in self.screen(), f"{text!r} on\n{self.screen()}")

    def prompt(self, number: int) -> None:
        """Wait for an empty prompt, the last thing on the screen."""

        def there() -> bool:
            lines = [line.rstrip() for line in self.screen().splitlines() if line.strip()]
            return bool(lines) and lines[-1] == f"In [{number}]:"

        until(there, f"the prompt {number}")

    def keys(self, *keys: str) -> None:
        """Press keys, named as tmux names them."""
        subprocess.run([*self.tmux, "send-keys", *keys], check=True)

    def write(self, text: str) -> None:
        """Type a text as it is."""
        subprocess.run([*self.tmux, "send-keys", "-l", "--", text], check=True)

    def enter(self, code: str) -> None:
        """Type a line and run it."""
        self.write(code)
        self.sees(code)
        self.keys("Enter")

    def is_open(self) -> bool:
        """Does the program in the terminal still run?"""
        asked = subprocess.run([*self.tmux, "has-session"], capture_output=True, check=False)
        return asked.returncode == 0

    def process(self) -> int:
        """The console's own process."""
        shown = [*self.tmux, "display-message", "-p", "#{pane_pid}"]
        return int(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)

    def close(self) -> None:
        subprocess.run([*self.tmux, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def console(home: Home) -> Iterator[Console]:
    require(modules=("jupyter_console",))
    made = Console(home)
    yield made
    made.close()


def test_a_person_works_in_the_console(console):
    console.sees("hello-1.0")
    console.enter("echo $((6 * 7)) in $PWD")
    console.sees("42 in /build/hello")
    console.prompt(2)
    # What is not complete yet waits for the rest of it.
    console.enter("for word in one two; do")
    console.write("echo =$word=")
    console.keys("Enter")
    console.write("done")
    console.keys("Enter", "Enter")
    console.sees("=two=")
    console.prompt(3)
    console.write("cat Makef")
    console.keys("Tab")
    console.sees("cat Makefile")
    console.keys("C-u")
    console.enter("(exit 7)")
    console.sees("7")
    console.prompt(4)
    console.enter("echo begun; sleep 1000")
    console.sees("\nbegun")
    console.keys("C-c")
    console.prompt(5)
    console.enter("exit")


def test_ctrl_d_ends_the_console_and_the_kernel(console):
    console.keys("C-d")
    until(lambda: not console.is_open() or "[y]/n" in console.screen(), "it asks, or ends")
    if console.is_open():
        console.write("y")
        console.keys("Enter")
    until(lambda: not console.is_open(), "the console has ended")


def test_the_build_can_be_named_on_the_command_line(home, failed_builds):
    console = Console(home, failed_builds[1], NBS_BUILD="/nothing/here")
    try:
        console.enter("echo $name")
        console.sees("\nhello-1.0")
    finally:
        console.close()


def test_a_cell_that_asks_gets_what_the_person_types(console):
    console.enter("%stdin on")
    console.prompt(2)
    console.enter("read -p 'who? ' who; echo hallo $who")
    console.sees("\nwho?")
    console.write("Ada")
    console.keys("Enter")
    console.sees("\nhallo Ada")
    console.prompt(3)
