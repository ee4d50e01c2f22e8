"""Each command that the documentation names is one that there is, with options that it has."""

from __future__ import annotations

import re

import pytest

from sandbox.cli import arguments, nbs
from sandbox.session import asked
from tests.documentation.written import ROOT, WORDS, Page, help_of, pages

PLANNED = {"CONTRIBUTING.md": "path"}
"""The verb that a page tells how to add."""
WITH_ACTIONS = ("kernel", "ws")
"""Verbs whose next word says what to do."""
ENTERING = {*arguments.FLAGS, *arguments.WITH_VALUE, arguments.REPEATED}
TAKES_THEM = re.compile(
    r"(?:others?(?: options)?|options) are (?:\w+\s)?those of `n|options of\n?`nix"
)
"""How the help of a verb says that it has the options of entering, too."""
OURS = re.compile(r"(?:^|[\s'\"(])(?<!--kernel )(nbs|nix-build-shell) ([\w./\[-].*)", re.DOTALL)
END = re.compile(r" (?:\|\|?|&&|2?>) ?(?=[\w.$/~])|;| -- |[)'\"`]")
"""What ends the words that are ours: another command, a file, a quote, or `--`."""


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![^\s\[|(])--?[A-Za-z][a-z-]*", text))


def known(verb: str, action: str) -> set[str]:
    """The options that there are for it."""
    text = help_of("nbs", verb) + (help_of("nbs", verb, action) if action else "")
    return options_in(text) | {"--help"} | (ENTERING if TAKES_THEM.search(text) else set())


def invocations(command: str) -> list[list[str]]:
    """The words of each call of a program of ours in a command, without what is another's."""
    bare = command.replace("python3 -m sandbox.cli.nbs", "nbs").replace("\n", " ; ")
    found = []
    while call := OURS.search(bare):
        own, bare = END.split(call[2], maxsplit=1)[0], call[2]
        found.append([call[1], *own.split()])
    return found


def of_ours(page: Page) -> list[list[str]]:
    written = [step.command for step in [*page.steps, *page.spans]]
    return [words for command in written for words in invocations(command)]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_command_that_is_written_is_one_that_there_is(page: Page) -> None:
    for program, *words in of_ours(page):
        if program == "nix-build-shell":
            arguments.parse([word.strip("[]") for word in words], program)
            continue
        verb, *rest = [word.strip("[]…") for word in words]
        if verb.startswith("-") or verb in (PLANNED.get(page.name), "VERB"):
            continue
        assert verb in nbs.VERBS, words
        action = rest[0] if verb in WITH_ACTIONS and rest else ""
        if action:
            assert f"nbs {verb} {action}" in help_of("nbs", verb), words
        assert options_in(" ".join(rest)) <= known(verb, action), words


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_word_of_the_shell_inside_has_the_options_that_it_is_written_with(page: Page) -> None:
    usage = (ROOT / "sandbox/phases/parent.bash").read_text().partition("usage() {")[2]
    there = {"phase": options_in(usage.partition("\n}")[0])}
    for step in [*page.steps, *page.spans]:
        word, *rest = step.command.split() or [""]
        if step.where == "inside" and word in WORDS and word != "tool":
            options = options_in(" ".join(rest))
            assert options <= there.get(word, options_in(asked.USAGE)), step
