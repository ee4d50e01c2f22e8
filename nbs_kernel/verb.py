"""One of nbs's own commands, run for a kernel on the workspace that it is in.

It takes minutes, and what it says is told as it comes. A kernel chooses the command and its options
from a short list; what they name lies in its own workspace, and never on the host.
"""

from __future__ import annotations

import os
import select
import signal
import sys

import sandbox
from nbs_kernel.requests import Ran, Run, Said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.requests import Passed

VERBS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "patch": (frozenset(["--all", "--quick"]), frozenset(["--exclude", "--since"])),
    "verify": (frozenset(["--to-end"]), frozenset(["--until"])),
}
"""The commands, and of each the options without and with a value that a kernel may give it."""

_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from sandbox.cli import nbs; nbs.main()"
"""The commands of the very `sandbox` that is imported here."""

SAID_AT_ONCE = 16384
"""Written out as JSON it fits into what the socket of a kernel that reads has room for."""


def command(asked: Run, workspace: str) -> list[str] | None:
    """The words of the command for that workspace; None for what a kernel may not ask for."""
    flags, with_value = VERBS.get(asked.verb, (frozenset(), frozenset()))
    if asked.verb not in VERBS:
        return None
    words = list(asked.words)
    taken: list[str] = []
    while words:
        word = words.pop(0)
        if word in with_value and words and not words[0].startswith("-"):
            taken += [word, words.pop(0)]
        elif word in flags:
            taken.append(word)
        else:
            return None
    return [asked.verb, *taken, workspace]


class Verb:
    """A command that runs; `descriptor` can be read when it has something to say, or has ended.

    It ends with the supervisor, and holds nothing that is open there.
    """

    def __init__(self, words: list[str]) -> None:
        self.descriptor, output = os.pipe2(os.O_CLOEXEC)
        self._given_up = False
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        place = os.path.dirname(os.path.dirname(os.path.abspath(sandbox.__file__)))
        argv = [sys.executable, "-P", "-c", _START, place, *words]

        def life() -> int:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execv(argv[0], argv)  # noqa: S606

        try:
            self._process = sandbox.stay_outside(life, stdio=(nothing, output, output))
        finally:
            os.close(output)
            os.close(nothing)

    def answer(self) -> Passed:
        """What it has said, or how it has ended."""
        data = os.read(self.descriptor, SAID_AT_ONCE)
        if data:
            return Said(text=data.decode("utf-8", "surrogateescape"))
        poll = select.poll()
        poll.register(self._process.ended, select.POLLIN)
        poll.poll()
        return Ran(status=self._process.status() or 0)

    def give_up(self) -> None:
        """Have it end: the first time it may clean up."""
        self._process.signal(signal.SIGKILL if self._given_up else signal.SIGTERM)
        self._given_up = True

    def close(self) -> None:
        """Let go of it; it ends if it has not."""
        self._process.close()
        os.close(self.descriptor)
