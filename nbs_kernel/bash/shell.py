"""One bash that runs cells, one after the other.

Three channels: command lines go out over a socket that is bash's standard input, records come back
over another, and each cell has a terminal of its own for its output. The controlling terminal is one
more. `startup.bash` is the other side.
"""

from __future__ import annotations

import os
import select
import termios
import time

from nbs_kernel.bash import answers, lines, outcomes, parser
from nbs_kernel.bash.events import Ended, Finished, Frame, InputWanted, Outcome, Output
from nbs_kernel.bash.foreground import Foreground, hides_input
from nbs_kernel.bash.messages import Tail
from nbs_kernel.bash.outcomes import Texts
from nbs_kernel.bash.process import Process, wait
from nbs_kernel.bash.terminals import BUFFERED, Terminal
from sandbox import Error, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbs_kernel.bash.events import Event, Syntax
    from nbs_kernel.bash.records import Record
    from sandbox import Command

START_S, ANSWER_S, LOOK_S = 10.0, 0.2, 0.05
SYNTAX_STATUS = 2
SHOWN = 4_000


class ShellFailed(Error):  # noqa: N818  says what happened
    """Bash does not start, or is gone."""


class Stream(Value):
    """A terminal, and whose output it takes."""

    terminal: Terminal
    cell: int
    name: str


class Shell:
    """Started when it is made. Nothing blocks but the start, `check` and `ask`.

    `start` runs a command as the first process of a pid namespace of its own and returns its pid,
    for waitpid(2). With `split` stdout and stderr come apart, and their order is not certain; with
    `terminal_input` programs that read from the terminal are waited for, else they find its end.

    Raises `ShellFailed` (`shell-not-started`), and what `start` raises.
    """

    def __init__(
        self,
        start: Callable[[Command], int],
        command: Command,
        *,
        split: bool = False,
        terminal_input: bool = False,
    ) -> None:
        self._start, self._command = start, command
        self._split, self._terminal_input = split, terminal_input
        self.version = self.directory = ""
        self.busy, self.cell = False, 0
        self._code, self._listens = "", False
        self._question = self._run = 0
        self._streams: dict[int, Stream] = {}
        self._texts, self._tail = Texts(), Tail()
        self._options = self._error_trap = ""
        self._debugging = self._extglob = False
        self._due: list[Event] = []
        self._gone, self._look_at = False, 0.0
        self._process = Process(start, command)
        try:
            self._await_start()
        except BaseException:
            self._process.close()
            raise
        self._group = os.tcgetpgrp(self._process.terminal.master) or self._process.pid
        self._foreground = Foreground(self._process, self._group)

    def _await_start(self) -> None:
        process, said = self._process, b""
        until = time.monotonic() + START_S
        watched = (process.records.fileno(), process.terminal.master, process.exit)
        while ready := wait(watched, until - time.monotonic()):
            if process.terminal.master in ready:
                said = (said + (process.terminal.read() or b""))[-SHOWN:]
            for record in process.read():
                if record.kind == "ready" and len(record.fields) == 2:  # noqa: PLR2004
                    self.version, self.directory = record.fields
                    process.started()
                    if said:
                        self._due.append(Output(cell=0, stream="stdout", data=said))
                    return
            if process.exit in ready:
                raise _not_started("it ended at once", said)
        raise _not_started(f"it is not ready after {START_S:.0f} s", said)

    def descriptors(self) -> dict[int, int]:
        """The descriptors to poll for now, each with select.POLLIN or POLLOUT."""
        if self._gone:
            return {}
        process = self._process
        watched = dict.fromkeys(self._streams, select.POLLIN)
        watched[process.terminal.master] = watched[process.exit] = select.POLLIN
        if not process.told_all:
            watched[process.records.fileno()] = select.POLLIN
        if process.has_unsent or self._due:
            watched[process.commands.fileno()] = select.POLLOUT
        return watched

    def ready(self, descriptor: int) -> Iterator[Event]:
        """What is told by a descriptor that can be read or written."""
        process = self._process
        if self._gone:
            return
        if descriptor in self._streams or descriptor == process.terminal.master:
            yield from self._read(descriptor)
        elif descriptor == process.exit:
            yield from self._bury()
        elif descriptor == process.commands.fileno():
            process.flush()
            yield from self._give_due()
        elif descriptor == process.records.fileno():
            for record in process.read():
                if record.kind == "done" and record.number == self._run and self.busy:
                    yield from self._end_cell(record)

    def tick(self) -> Iterator[Event]:
        """To be called now and then, at least every 100 ms, while a cell runs."""
        if self._gone:
            return
        yield from self._give_due()
        if not self.busy:
            return
        foreground = self._foreground
        foreground.flush()
        if foreground.interrupted and foreground.insist_again():
            self._process.send(lines.done(self._run))
        current = [s.terminal for s in self._streams.values() if s.cell == self.cell]
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        terminal = foreground.reader(tuple(current))
        if terminal is None:
            return
        if not self._listens:
            foreground.refuse(terminal)
        elif foreground.is_news(terminal):
            yield InputWanted(cell=self.cell, secret=hides_input(terminal))

    def execute(self, code: str) -> int:
        """Run a cell; its number. Raises ValueError for a NUL byte, RuntimeError while one runs,
        `ShellFailed` (`shell-gone`), and `sandbox.Error` (`terminals-exhausted`)."""
        if self.busy:
            raise RuntimeError("a cell is running")
        if self._gone:
            raise ShellFailed("the shell has ended", reason="shell-gone")
        if "\0" in code:
            raise ValueError("a NUL byte is in the cell, which bash cannot take")
        wrong = self.check(code) if lines.may_close_the_group(code) else None
        streams = self._open_streams() if wrong is None or wrong.state == "complete" else ()
        self.cell += 1
        self.busy, self._code, self._extglob = True, code, False
        self._listens, self._tail = self._terminal_input, Tail()
        self._look_at = time.monotonic() + LOOK_S
        self._foreground = Foreground(self._process, self._group)
        if wrong is not None and wrong.state != "complete":
            self._finish_soon(_wrong(wrong, self.directory))
            return self.cell
        for name, terminal in streams:
            stream = Stream(terminal=terminal, cell=self.cell, name=name)
            self._streams[terminal.master] = stream
        self._debugging = self._debugging or lines.speaks_of_debug(code)
        self._send_cell()
        return self.cell

    def _open_streams(self) -> tuple[tuple[str, Terminal], ...]:
        names = ("stdout", "stderr") if self._split else ("stdout",)
        opened: list[tuple[str, Terminal]] = []
        try:
            for name in names:
                opened.append((name, Terminal()))
                opened[-1][1].make_output()
        except Error:
            for _, terminal in opened:
                terminal.close()
            raise
        if self._terminal_input:
            self._process.terminal.make_controlling()
            termios.tcflush(self._process.terminal.slave, termios.TCIFLUSH)
        return tuple(opened)

    def _send_cell(self) -> None:
        paths = {s.name: s.terminal.path for s in self._streams.values() if s.cell == self.cell}
        setting = lines.Setting(
            input=self._process.terminal.path if self._listens else "/dev/null",
            output=paths["stdout"],
            error=paths.get("stderr", ""),
            options=self._options,
            error_trap=self._error_trap,
            debugging=self._debugging,
        )
        self._run += 1
        self._process.send(lines.cell(self._run, self._code, setting, extglob=self._extglob))

    def check(self, code: str) -> Syntax:
        """What bash's own parser says of the code, in a process of its own. Nothing is run."""
        return parser.parse(self._start, self._command, code)

    def ask(self, words: tuple[str, ...]) -> tuple[str, ...] | None:
        """Ask the shell something, as `answers.read` has it. None if it is busy or does not answer
        within 200 ms. No state is changed and nothing of the user's is run."""
        if self.busy or self._gone or self._process.has_unsent:
            return None
        self._question += 1
        self._process.send(lines.question(self._question, words))
        until = time.monotonic() + ANSWER_S
        while not self._process.told_all and wait(
            (self._process.records.fileno(),), until - time.monotonic()
        ):
            for record in self._process.read():
                if record.kind == "answer" and record.number == self._question:
                    return answers.read(words, record.fields)
        return None

    def interrupt(self) -> None:
        """Ask the cell to end; what does not heed it is ended with more force each time."""
        if self.busy and not self._gone and not self._due:
            self._foreground.interrupt()
            self._process.send(lines.done(self._run))

    def answer(self, line: str) -> None:
        """Type a line where it is waited for."""
        if self.busy and not self._gone:
            self._foreground.type(line.encode("utf-8", "surrogateescape") + b"\n")

    def end_of_input(self) -> None:
        """There is nothing more to type."""
        if self.busy and not self._gone:
            self._foreground.end_input()

    def set_streams(self, split: bool) -> None:
        """Keep stdout and stderr apart, from the next cell on."""
        self._split = split

    def set_terminal_input(self, on: bool) -> None:
        """Let programs wait for what is typed, from the next cell on."""
        self._terminal_input = on

    def close(self) -> None:
        """End the shell with all that it has started, and close everything."""
        self._gone, self.busy = True, False
        self._process.close()
        for stream in self._streams.values():
            stream.terminal.close()
        self._streams.clear()

    def _read(self, descriptor: int) -> Iterator[Event]:
        """What one terminal has to tell, of one read."""
        stream = self._streams.get(descriptor)
        terminal = stream.terminal if stream else self._process.terminal
        data = terminal.read()
        if data is None and stream:
            del self._streams[descriptor]
            terminal.close()
        if not data:
            return
        cell = stream.cell if stream else self.cell
        if cell == self.cell:
            self._tail.add(data)
        yield Output(cell=cell, stream=stream.name if stream else "stdout", data=data)

    def _drain(self, streams: list[int]) -> Iterator[Event]:
        """All that has been written until now; a job may go on writing without an end."""
        for descriptor in streams:
            size = 0
            while size < BUFFERED and not self._gone:
                told = list(self._read(descriptor)) if self._is_open(descriptor) else []
                yield from told
                size += sum(len(event.data) for event in told if isinstance(event, Output))
                if not told:
                    break

    def _is_open(self, descriptor: int) -> bool:
        return descriptor in self._streams or descriptor == self._process.terminal.master

    def _end_cell(self, record: Record) -> Iterator[Event]:
        count = self._code.count("\n") + 1
        done = outcomes.read(record.fields, self.cell, count, self._texts)
        if done is None:
            return
        self._options = done.options
        self._error_trap, self.directory = done.error_trap, done.outcome.directory
        self._debugging = done.traced or lines.speaks_of_debug(self._code)
        outcome = done.outcome
        if outcome.why == "syntax":
            verdict = self.check(self._code)
            if verdict.state == "complete" and not self._extglob:
                self._extglob = True
                self._send_cell()
                return
            outcome = _wrong(verdict, self.directory)
        current = [d for d, s in self._streams.items() if s.cell == self.cell]
        yield from self._drain([*current, self._process.terminal.master])
        if outcome.why == "expansion":
            outcome = self._tail.explain(outcome)
        for descriptor in current:
            if descriptor in self._streams:
                self._streams[descriptor].terminal.release()
        self.busy = False
        if not self._gone:
            yield Finished(cell=self.cell, outcome=outcome)

    def _finish_soon(self, outcome: Outcome) -> None:
        self._due.append(Finished(cell=self.cell, outcome=outcome))

    def _give_due(self) -> Iterator[Event]:
        due, self._due = self._due, []
        for event in due:
            if isinstance(event, Finished):
                self.busy = False
            yield event

    def _bury(self) -> Iterator[Event]:
        # What it has told last comes before what its end means.
        for record in self._process.read():
            if record.kind == "done" and record.number == self._run and self.busy:
                yield from self._end_cell(record)
        end = self._process.ended()
        if end is None or self._gone:
            return
        for stream in self._streams.values():
            stream.terminal.release()
        yield from self._drain([*self._streams, self._process.terminal.master])
        cell = self.cell
        self.close()
        yield Ended(cell=cell, status=end.status, why=end.why)


def _wrong(verdict: Syntax, directory: str) -> Outcome:
    frames = (Frame(function="", file="", line=verdict.line),) if verdict.line else ()
    return Outcome(
        status=SYNTAX_STATUS,
        why="syntax",
        message=verdict.message or "bash cannot read this",
        frames=frames,
        directory=directory,
    )


def _not_started(what: str, said: bytes) -> ShellFailed:
    words = said.decode("utf-8", "replace").strip().split("\n")[-5:]
    return ShellFailed(
        f"the build's bash does not start: {what}",
        reason="shell-not-started",
        evidence=tuple(line for line in words if line),
    )
