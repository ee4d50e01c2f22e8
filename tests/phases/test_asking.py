"""The words of a shell that ask the supervisor outside, with one that is slow."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ROOT / "sandbox/phases/snapshots.bash"


class Asking:
    """A bash that asks over its descriptor 60, and this test as who is asked."""

    def __init__(self, command: str) -> None:
        self.answers, theirs = socket.socketpair()
        self.answers.settimeout(30)
        text = f"exec 60<&{theirs.fileno()}; source {WORDS}; {command}"
        self.bash = subprocess.Popen(
            ["bash", "--norc", "-c", text],
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self.number = self.heard().split()[0]

    def heard(self) -> bytes:
        return self.answers.recv(1000)

    def said(self) -> bytes:
        return self.bash.communicate(timeout=30)[0]


@pytest.fixture(params=["bash", "posix"])
def asking(request: pytest.FixtureRequest) -> Iterator[Asking]:
    mode = "set -o posix; " if request.param == "posix" else ""
    made = Asking(f"{mode}snapshot one; echo =$?=")
    yield made
    made.bash.kill()
    made.bash.communicate()
    made.answers.close()


def test_an_answer_that_comes_in_parts_is_shown_whole(asking: Asking) -> None:
    asking.answers.send(asking.number + b"|one: 6 ")
    # Longer than the words wait at a time.
    time.sleep(1.5)
    asking.answers.send(b"files\n" + asking.number + b"=0\n")
    assert asking.said() == b"one: 6 files\n=0=\n"


def test_an_interrupt_is_passed_on_and_the_answer_is_waited_for(asking: Asking) -> None:
    asking.answers.send(asking.number + b"|one: 6 files\n")
    asking.bash.send_signal(signal.SIGINT)
    assert asking.heard() == asking.number + b" cancel\n"
    asking.answers.send(asking.number + b"=130\n")
    assert asking.said() == b"one: 6 files\n=130=\n"
