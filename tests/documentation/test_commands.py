"""Each command line of the documentation does what its page says.

A page is followed by somebody on a machine where `hello` has failed (`machine.py`): what it has in
blocks from top to bottom, then what stands in its sentences with more than a program and a verb.
What a block shows as the answer has to be shown (`likeness.py`).
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.documentation.conftest import once
from tests.documentation.likeness import missing
from tests.documentation.machine import Machine, share
from tests.documentation.told_apart import BEFORE, ENDS, UNTRIED
from tests.documentation.written import Page, Step, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.documentation.conftest import Demonstrated
    from tests.documentation.machine import Shared
    from tests.nix.world import NixWorld

WRITTEN = {step.command for page in pages() for step in page.commands}
NOT_HERE = {command for commands in UNTRIED.values() for command in commands}
TRIED = [page for page in pages() if any(step.command not in NOT_HERE for step in page.commands)]
CHANGED = """\
nbs shell hello <<'end'
sed -i 's,./test.sh,bash ./test.sh,' Makefile
mkdir -p /build/src && echo >/build/src/main.c
echo of the workspace >/tmp/log
end
"""
"""Makes the workspace that pages take for granted."""
OF_A_WORKSPACE = re.compile(r"hello-1\.0(?![-.])|nbs (diff|patch|verify|ws|snapshots?|restore)\b")
REASON = re.compile(r"^ +\([a-z-]+, (\d+)\)$")
"""The last line of an error has the exit status."""
SHOWN = {step.command for page in pages() for step in page.commands if step.shown}
"""What some page shows the answer of, and is tried there."""
_worked: set[str] = set()
"""What did so on an earlier page."""


@pytest.fixture(scope="module")
def shared(nix_world: NixWorld, demonstrated: Demonstrated, open_directory: Path) -> Shared:
    place = open_directory / "documentation"
    place.mkdir()
    return share(nix_world, place, demonstrated.cache)


@pytest.fixture
def machine(shared: Shared, open_directory: Path, page: Page) -> Iterator[Machine]:
    """That of who reads the page: what it presupposes is there."""
    place = open_directory / re.sub(r"\W+", "-", f"reader of {page.name}")
    made = Machine(shared, place, newest(page.name))
    if not begins_anew(page):
        prepare(made, page)
    for command in BEFORE.get(page.name, ()):
        status, lines = made.run(command)
        assert status == 0, lines
    yield made
    made.close()
    shutil.rmtree(place, ignore_errors=True)


def begins_anew(page: Page) -> bool:
    """Does it show from the start what somebody does in a terminal?"""
    return any(step.where != "script" for step in page.steps)


def prepare(machine: Machine, page: Page) -> None:
    """The one workspace that commands of the page take for granted, if any does."""
    commands = [step.command for step in page.commands if step.command not in NOT_HERE]
    if any(OF_A_WORKSPACE.search(command) for command in commands):
        status, lines = machine.run(CHANGED)
        assert status == 0, lines


def newest(page: str) -> str:
    """Which hello the page is about."""
    if page.endswith(("--help", ".1")):
        return "configured"
    return "unfinished" if page == "docs/how-to/patch.md" else "hello"


def problem(step: Step, status: int, lines: list[str]) -> str:
    """What is not as the page says, with what was seen instead; "" if nothing is."""
    refused = [told for line in step.shown if (told := REASON.search(line))]
    wanted = int(refused[-1][1]) if refused else ENDS.get(step.command, 0)
    line = missing(step.shown, lines)
    if status == wanted and not line:
        return ""
    told = f"there is no {line!r}" if line else f"the status is {status}, not {wanted}"
    return "\n".join([f"{step.command}: {told}", *lines[-40:]])


@once
@pytest.mark.namespaces
@pytest.mark.nix
@pytest.mark.terminal
@pytest.mark.parametrize("page", TRIED, ids=lambda page: page.name)
def test_what_a_page_tells_to_type_does_what_it_says(page: Page, machine: Machine) -> None:
    for step in page.typed:
        follow(machine, step)
    if begins_anew(page) and page.said:
        machine.forget()
        prepare(machine, page)
    for step in page.said:
        follow(machine, step)


def follow(machine: Machine, step: Step) -> None:
    """Type it, unless it is on the list or did what it says on another page."""
    elsewhere = step.where == "script" and step.command in _worked | SHOWN
    if step.command not in NOT_HERE and not elsewhere:
        status, lines = machine.follow(step)
        assert problem(step, status, lines) == ""
        _worked.add(step.command)


def test_what_is_told_apart_stands_on_a_page() -> None:
    assert not [command for command in (*NOT_HERE, *ENDS) if command not in WRITTEN]
    assert not [name for name in BEFORE if name not in {page.name for page in pages()}]
