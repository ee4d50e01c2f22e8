"""A real terminal for a command, seen and typed on by way of tmux."""

from __future__ import annotations

import itertools
import os
import subprocess
import time

LIMIT_S = 30
_numbers = itertools.count()


class Screen:
    """A terminal of so many columns and rows in which a command of the shell runs.

    It has a tmux server of its own, whose name was never used before: a server that is being ended
    still answers for a moment, and takes what comes next with it.
    """

    def __init__(
        self,
        command: str,
        *options: str,
        columns: int = 120,
        rows: int = 40,
        config: str = "/dev/null",
    ) -> None:
        self.name = f"nbs-{os.getpid()}-{next(_numbers)}"
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux("-f", config, "new-session", "-d", *size, *options, command)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self.name, *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def type(self, text: str) -> None:
        """A line of text, and Enter."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def lines(self) -> list[str]:
        """What is and was on the screen; a line that the terminal had to break is one."""
        return [
            line.rstrip() for line in self._tmux("capture-pane", "-p", "-J", "-S", "-").splitlines()
        ]

    def wait_for(self, line: str) -> str:
        """Until there is such a line but for spaces, or one that begins so, if it ends with `…`.

        What is and was on the screen then.
        """
        end = time.monotonic() + LIMIT_S
        while not self.shows(line):
            assert time.monotonic() < end, f"no line {line!r} in:\n" + "\n".join(self.lines())
            time.sleep(0.02)
        return "\n".join(self.lines())

    def wait_for_end(self, ending: str) -> None:
        """Until there is a line that ends so."""
        end = time.monotonic() + LIMIT_S
        while not any(line.endswith(ending) for line in self.lines()):
            assert time.monotonic() < end, f"no end {ending!r} in:\n" + "\n".join(self.lines())
            time.sleep(0.02)

    def shows(self, line: str) -> bool:
        if line.endswith("…"):
            return any(seen.startswith(line[:-1]) for seen in self.lines())
        return line in (seen.strip() for seen in self.lines())

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.name, "kill-server"], capture_output=True, check=False)
