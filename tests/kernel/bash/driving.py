"""A loop around the driver, as the kernel's is."""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbs_kernel.bash.events import Ended, Finished, InputWanted, Output
from nbs_kernel.bash.shell import Shell
from nbs_kernel.bash.waiting import name_of
from sandbox import Command
from tests.kernel import local

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbs_kernel.bash.events import Event, Outcome

OPTIONS = ("--noprofile", "--noediting", "--rcfile", "/dev/fd/9", "-i")
LIMIT_S = 60
LOOK_S = 0.02
PATH = "/usr/local/bin:/usr/bin:/bin"


def until_there(name: str) -> str:
    """Commands of a cell that wait until the test has made a file of that name."""
    return f"until [[ -e {name} ]]; do sleep {LOOK_S}; done"


@dataclass
class Ran:
    """What a cell has told until its end."""

    cell: int
    events: list[Event] = field(default_factory=list)

    @property
    def end(self) -> Event:
        return self.events[-1]

    @property
    def outcome(self) -> Outcome:
        assert isinstance(self.end, Finished), self.end
        return self.end.outcome

    @property
    def ended(self) -> Ended:
        assert isinstance(self.end, Ended), self.end
        return self.end

    @property
    def output(self) -> bytes:
        return output_of(self.events, self.cell)

    def of(self, stream: str) -> bytes:
        found = [e.data for e in self.events if isinstance(e, Output) and e.stream == stream]
        return b"".join(found)

    def output_of(self, cell: int) -> bytes:
        """What an earlier cell's jobs have written meanwhile."""
        return output_of(self.events, cell)


def output_of(events: list[Event], cell: int) -> bytes:
    return b"".join(e.data for e in events if isinstance(e, Output) and e.cell == cell)


class Driver:
    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def run(self, code: str, limit_s: float = LIMIT_S) -> Ran:
        ran = self.begin(code)
        return self.go_on(ran, limit_s=limit_s)

    def begin(self, code: str, *, shows: bool = False) -> Ran:
        return Ran(self.shell.execute(code, shows=shows))

    def go_on(
        self, ran: Ran, until: Callable[[Ran], bool] = lambda _: False, limit_s: float = LIMIT_S
    ) -> Ran:
        """Until the end of the cell, or until something else is true."""
        last = time.monotonic() + limit_s
        while time.monotonic() < last:
            for event in self.step():
                ran.events.append(event)
            if ran.events and isinstance(ran.events[-1], Finished | Ended):
                return ran
            if until(ran):
                return ran
        raise TimeoutError(f"the cell is still running, after {ran.events[-5:]}")

    def begin_until(self, code: str, text: bytes) -> Ran:
        """Begin a cell and wait until it has written some text."""
        return self.go_on(self.begin(code), lambda ran: text in ran.output)

    def go_on_until_it_runs(self, ran: Ran, program: str) -> Ran:
        """Until the job in the foreground has become this program: before, it is bash itself."""
        master = self.shell._process.terminal.master
        return self.go_on(ran, lambda _: name_of(os.tcgetpgrp(master)) == program)

    def go_on_until_input(self, ran: Ran) -> InputWanted:
        self.go_on(ran, lambda ran: bool(ran.events) and isinstance(ran.events[-1], InputWanted))
        wanted = ran.events[-1]
        assert isinstance(wanted, InputWanted), wanted
        return wanted

    def step(self, timeout_s: float = 0.05) -> list[Event]:
        poll = select.poll()
        for descriptor, events in self.shell.descriptors().items():
            poll.register(descriptor, events)
        found: list[Event] = []
        for descriptor, _ in poll.poll(timeout_s * 1000):
            if descriptor in self.shell.descriptors():
                found += self.shell.ready(descriptor)
        if self.shell.busy:
            found += self.shell.tick()
        return found

    def idle_until_the_end(self) -> Ended:
        """The end of a shell that is about to end."""
        events = self.idle_until(lambda found: any(isinstance(e, Ended) for e in found))
        (end,) = (event for event in events if isinstance(event, Ended))
        return end

    def idle_until(
        self, true: Callable[[list[Event]], bool], limit_s: float = LIMIT_S
    ) -> list[Event]:
        """What is told while no cell runs."""
        found: list[Event] = []
        last = time.monotonic() + limit_s
        while not true(found):
            assert time.monotonic() < last, found
            found += self.step()
        return found


class Drivers:
    def __init__(self, bash: str, directory: Path) -> None:
        self.bash = bash
        self.directory = directory
        self._made: list[Shell] = []

    def command(self, **environment: str) -> Command:
        given = {"PATH": PATH, "HOME": str(self.directory), "LC_ALL": "C.UTF-8", **environment}
        return Command(
            argv=(self.bash, *OPTIONS),
            environment=tuple(given.items()),
            directories=(str(self.directory),),
        )

    def start(
        self, *, split: bool = False, terminal_input: bool = False, **environment: str
    ) -> Driver:
        shell = Shell(
            local.start,
            self.command(**environment),
            split=split,
            terminal_input=terminal_input,
        )
        self._made.append(shell)
        return Driver(shell)

    def close(self) -> None:
        for shell in self._made:
            shell.close()
