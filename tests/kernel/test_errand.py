"""Work that a supervisor has done by a process of its own, while it serves on."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbs_kernel.errand import Errand
from nbs_kernel.requests import Ran, Refused, Said, Shown
from nbs_kernel.verb import Verb
from sandbox import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.requests import Passed

LARGE = "a line\n" * 500_000


def awaited(errand: Errand) -> Passed:
    poll = select.poll()
    poll.register(errand.descriptor, select.POLLIN)
    while poll.poll():
        answer = errand.answer()
        if answer is not None:
            errand.close()
            return answer
    raise AssertionError


def children() -> set[str]:
    """The processes that this one has started and not waited for; other tests may have left some."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_an_answer_comes_whole() -> None:
    assert awaited(Errand(lambda _: Shown(text=LARGE))) == Shown(text=LARGE)


def until_given_up(progress: Callable[[int, int], None]) -> Passed:
    try:
        while True:
            progress(0, 0)
    except Error as error:
        return Refused.of(error)


@pytest.mark.parametrize("harmless", [False, True], ids=["asked to end", "killed"])
def test_work_that_is_given_up_is_refused_and_ends(harmless: bool) -> None:
    before = children()
    work = _asleep if harmless else until_given_up
    errand = Errand(work, harmless=harmless)
    errand.give_up()
    answer = awaited(errand)
    assert isinstance(answer, Refused)
    assert answer.reason == "request-stopped"
    assert "it was interrupted" in (answer.message + " ".join(answer.evidence))
    assert children() <= before


def _asleep(_: Callable[[int, int], None]) -> Passed:
    time.sleep(1_000)
    return Shown(text="")


def test_work_that_is_past_giving_up_is_waited_for() -> None:
    ours, theirs = os.pipe()

    def work(_: Callable[[int, int], None]) -> Passed:
        os.read(ours, 1)
        return Shown(text="done")

    errand = Errand(work)
    errand.give_up()
    os.write(theirs, b"x")
    assert awaited(errand) == Shown(text="done")
    os.close(ours)
    os.close(theirs)


def test_work_that_fails_is_refused() -> None:
    def work(_: Callable[[int, int], None]) -> Passed:
        os._exit(1)

    answer = awaited(Errand(work))
    assert isinstance(answer, Refused)
    assert answer.evidence == ("it ended without a word",)


def test_a_command_says_what_it_says_and_how_it_ended() -> None:
    before = children()
    verb = Verb(["patch", "--help"])
    said = ""
    while not isinstance(answer := verb.answer(), Ran):
        assert isinstance(answer, Said)
        said += answer.text
    verb.close()
    assert said.startswith("usage: nbs patch")
    assert answer == Ran(status=0)
    assert children() <= before


def test_a_command_ends_when_it_is_given_up_or_closed() -> None:
    before = children()
    for end in (Verb.give_up, Verb.close):
        verb = Verb(["patch", "--help"])
        end(verb)
        if end is Verb.give_up:
            while not isinstance(verb.answer(), Ran):
                pass
            verb.close()
    assert children() <= before
