"""Completion and inspection as the kernel answers them, from a shell that may be busy."""

from __future__ import annotations

import time

from nbs_kernel.magics.context import manual
from nbs_kernel.magics.registry import MAGICS
from nbs_kernel.magics.typed import complete_magic, inspect_magic
from nbs_kernel.typed import files
from nbs_kernel.typed.completion import complete
from nbs_kernel.typed.inspection import Inspection, inspect
from nbs_kernel.typed.surroundings import Names, Surroundings, described, names, value_of
from nbs_kernel.typed.words import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbs_kernel.typed.surroundings import Asked

OWN = {"display": manual(MAGICS["display"])}
QUESTIONS = 12
VALUES = 5_000
REST_S = 60.0
"""So long a shell that did not answer is not asked but by the user: cells would wait for it."""


def nothing_kept(kind: str) -> tuple[str, ...]:
    """No names of what is kept, for who has nobody to ask."""
    del kind
    return ()


class Answers:
    """Keeps what the shell said last, for the time that it is too busy to be asked.

    `phase_help` and `kept` are those of `Surroundings`. `begun` is to be set when a shell starts.
    """

    def __init__(
        self, phase_help: str = "", kept: Callable[[str], tuple[str, ...]] = nothing_kept
    ) -> None:
        self.begun: Mapping[str, str] = {}
        self._names = Names()
        self._environment: dict[str, str] = {}
        self._rests_until = 0.0
        self._phase_help = phase_help
        self._kept = kept

    def refresh(self, shell: Asked | None) -> None:
        """Ask an idle shell for what completion needs, so that it works while a cell runs."""
        if shell is None or time.monotonic() < self._rests_until:
            return
        answer = shell.ask(("names",))
        if answer is None:
            self._rests_until = time.monotonic() + REST_S
            return
        self._names = names(answer)
        environment = shell.ask(("environment",))
        if environment is not None:
            self._environment = described(environment)

    def complete(self, shell: Asked | None, code: str, cursor: int) -> dict[str, object]:
        """The content of the complete_reply; `cursor` counts code points."""
        cursor = max(0, min(cursor, len(code)))
        talk = _Talk(shell, self._environment)
        answer = talk.ask(("names",))
        if answer is not None:
            self._names = names(answer)
        around = self._around(shell, talk)
        found = complete_magic(code, cursor, around) or complete(code, cursor, around)
        return found.content()

    def inspect(
        self, shell: Asked | None, code: str, cursor: int, detail_level: int = 0
    ) -> dict[str, object]:
        """The content of the inspect_reply; `cursor` counts code points."""
        cursor = max(0, min(cursor, len(code)))
        magic = inspect_magic(code, cursor)
        if magic:
            return Inspection(text=magic).content()
        around = self._around(shell, _Talk(shell, self._environment))
        return inspect(code, cursor, detail_level, around).content()

    def _around(self, shell: Asked | None, talk: _Talk) -> Surroundings:
        directory = _directory(shell)
        return Surroundings(
            names=self._names,
            directory=directory,
            value=talk.value,
            describe=talk.describe,
            listing=files.entries,
            programs=lambda prefix: files.programs(talk.value("PATH") or "", prefix, directory),
            begun=self.begun,
            phase_help=self._phase_help,
            own=OWN,
            kept=self._kept,
        )


def _directory(shell: Asked | None) -> str:
    return (shell.directory if shell is not None else "") or "/"


class _Talk:
    """The questions of one request. After one that was not answered no other is asked."""

    def __init__(self, shell: Asked | None, environment: dict[str, str]) -> None:
        self._shell = shell
        self._environment = environment
        self._left = QUESTIONS

    def ask(self, question: tuple[str, ...]) -> tuple[str, ...] | None:
        if self._shell is None or self._left <= 0:
            return None
        answer = self._shell.ask(question)
        self._left = 0 if answer is None else self._left - 1
        return answer

    def describe(self, name: str) -> tuple[str, ...] | None:
        return self.ask(("describe", name))

    def value(self, name: str) -> str | None:
        """The value of a variable now, or when the shell was idle last."""
        if not NAME.fullmatch(name):
            return None
        answer = self.describe(name)
        if answer is None:
            return self._environment.get(name)
        value = value_of(described(answer).get("variable", ""))
        if value is not None and (name in self._environment or len(self._environment) < VALUES):
            self._environment[name] = value
        return value
