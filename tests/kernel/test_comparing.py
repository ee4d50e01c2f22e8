"""Work that a supervisor has done by a process of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nbs_kernel.comparing import aside
from nbs_kernel.requests import Refused, Shown

LARGE = "a line\n" * 500_000


def test_an_answer_comes_whole() -> None:
    ours, theirs = os.pipe()
    assert aside(lambda: Shown(text=LARGE), (ours,)) == Shown(text=LARGE)
    os.close(ours)
    os.close(theirs)


def children() -> set[str]:
    """The processes that this one has started and not waited for; other tests may have left some."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_work_that_is_stopped_is_refused_and_ended() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"x")

    def work() -> Shown:
        time.sleep(1_000)
        return Shown(text="")

    before = children()
    answer = aside(work, (ours,))
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.evidence) == ("request-stopped", ("it was interrupted",))
    assert children() <= before
    os.close(ours)
    os.close(theirs)


def test_work_that_fails_is_refused() -> None:
    def work() -> Shown:
        os._exit(1)

    answer = aside(work, ())
    assert isinstance(answer, Refused)
