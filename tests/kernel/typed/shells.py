"""Shells to ask: one that answers from a table, and the real bash to compare with."""

from __future__ import annotations

import subprocess


class Told:
    """A shell that knows what it is told, counts the questions, and may be busy."""

    def __init__(self, directory: str = "/", *, busy: bool = False, **known: str) -> None:
        self.directory = directory
        self.busy = busy
        self.functions = "buildPhase\nbuildLocal\nrunHook\ngenericBuild"
        self.aliases = "ll"
        self.described: dict[str, tuple[str, ...]] = {}
        self.environment: dict[str, str] = dict(known)
        self.asked: list[tuple[str, ...]] = []

    def ask(self, question: tuple[str, ...]) -> tuple[str, ...] | None:
        self.asked.append(question)
        if self.busy:
            return None
        if question == ("names",):
            variables = "\n".join(self.environment)
            return (self.functions, variables, self.aliases, "", "")
        if question == ("environment",):
            return tuple(text for pair in self.environment.items() for text in pair)
        name = question[1]
        if name in self.environment:
            return ("variable", f'declare -x {name}="{self.environment[name]}"')
        return self.described.get(name, ())


def bash(script: bytes, *, cwd: str | None = None, env: dict[str, str] | None = None) -> bytes:
    """What a bash without any start-up file prints, in a locale of UTF-8."""
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", **(env or {})}
    run = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=cwd, env=environment, capture_output=True, check=True
    )
    return run.stdout
