"""A terminal with a shell in it, which is asked one line after another, as a person asks."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING

from tests.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIMIT_S = 60
HOST = re.compile(r"(?:\[(\d+)\])?\$")
"""The prompt of the host's shell, which may tell how the last command ended."""
WAITS = re.compile(r"^(?:\[\d+\])?\$$|^\[[\w.-]+ \w+\] /\S+\$$|^\(gdb\)$|\? \[.+\]$")
"""Prompts: of the host's shell, of a sandbox's, of gdb, and questions."""


class Terminal(Screen):
    """One line is typed when the answer to the one before has come."""

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        *,
        prompt: str = "[$?]$ ",
        columns: int = 200,
        rows: int = 50,
    ) -> None:
        settings = {**environment, "TERM": "tmux-256color", "PAGER": "cat", "PS1": prompt}
        words = [f"{name}={value}" for name, value in settings.items()]
        shell = shlex.join(["env", "-i", *words, "bash", "--noprofile", "--norc", "-i"])
        super().__init__(shell, "-c", str(directory), columns=columns, rows=rows)
        self._wait(more_than=0)

    def ask(self, line: str) -> list[str]:
        """Type a line; what is shown until a prompt or a question comes."""
        before = len(self.shown())
        self.type(line)
        return self._wait(more_than=before)[before:]

    @property
    def is_inside(self) -> bool:
        """Would another than the host's shell read the next line?"""
        return HOST.fullmatch(self.shown()[-1]) is None

    def shown(self) -> list[str]:
        """The lines that are and were there, but for empty ones."""
        return [line for line in self.lines() if line]

    def leave(self) -> None:
        """End what still runs, as a person would."""
        while self.is_inside:
            before = len(self.shown())
            self.press("C-d")
            self._wait(more_than=before)
        self.close()

    def coloured(self) -> list[str]:
        """The lines with what sets their colours."""
        return self._tmux("capture-pane", "-e", "-p", "-J", "-S", "-").rstrip().splitlines()

    def _wait(self, *, more_than: int) -> list[str]:
        end = time.monotonic() + LIMIT_S
        while True:
            lines = self.shown()
            if len(lines) > more_than and WAITS.search(lines[-1]):
                return lines
            assert time.monotonic() < end, "\n".join(lines)
            time.sleep(0.02)
