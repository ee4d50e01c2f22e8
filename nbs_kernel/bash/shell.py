"""One bash that runs cells, one after the other.

Command lines go out over a socket that is bash's standard input, records come back over another,
and each cell has a terminal of its own for its output. The controlling terminal is one more.
`startup.bash` is the other side.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import time

from nbs_kernel.bash import answers, lines, outcomes, parser
from nbs_kernel.bash.asking import Asking
from nbs_kernel.bash.events import (
    Asked,
    Ended,
    Finished,
    Frame,
    InputWanted,
    Outcome,
    Output,
    PhasePassed,
    Syntax,
)
from nbs_kernel.bash.foreground import Foreground, hides_input
from nbs_kernel.bash.messages import Tail, mentions, subject
from nbs_kernel.bash.outcomes import Texts
from nbs_kernel.bash.process import Process, wait
from nbs_kernel.bash.start import ShellFailed, await_start
from nbs_kernel.bash.streams import Streams
from sandbox import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbs_kernel.bash.events import Event
    from nbs_kernel.bash.process import End
    from nbs_kernel.bash.records import Record
    from sandbox import Command

__all__ = ["Shell", "ShellFailed"]

LOOK_S = 0.05
ANSWER_S = 1.0
"""An idle shell answers in milliseconds, but may have to wait for a processor on a busy machine."""

SYNTAX_STATUS = 2
COMPLETE = Syntax(state="complete")


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
        self.busy, self.cell = False, 0
        self._code, self._listens, self._paths = "", False, ("", "")
        self._question = self._run = 0
        self._texts, self._tail = Texts(), Tail()
        self._options, self._traps = "", ("", "")
        self._debugging = self._extglob = self._trapping = False
        self._asking: Asking | None = None
        self._due: list[Event] = []
        self._gone, self._look_at = False, 0.0
        self._leaving = self._silent = False
        self._process = Process(start, command)
        self._streams = Streams(self._process.terminal)
        try:
            started = await_start(self._process)
        except BaseException:
            self._process.close()
            raise
        self.version, self.directory = started.version, started.directory
        if started.said:
            self._due.append(Output(cell=0, stream="stdout", data=started.said))
        self._group = os.tcgetpgrp(self._process.terminal.master) or self._process.pid
        self._foreground = Foreground(self._process, self._group, trapping=False)

    def descriptors(self, *, output: bool = True) -> dict[int, int]:
        """The descriptors to poll for now, each with select.POLLIN or POLLOUT.

        Without `output` what the cell writes waits; its end is told all the same.
        """
        if self._gone:
            return {}
        process = self._process
        streams = self._streams.descriptors() if output else ()
        if self._asking is not None and output:
            streams = (*streams, self._asking.descriptor)
        watched = dict.fromkeys((*streams, process.exit), select.POLLIN)
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
        if descriptor == process.exit:
            yield from self._bury()
        elif descriptor == process.commands.fileno():
            process.flush()
            yield from self._give_due()
        elif descriptor == process.records.fileno():
            yield from self._read_records()
        elif self._asking is not None and descriptor == self._asking.descriptor:
            yield from self._read_questions(self._asking)
        else:
            yield from self._noted(self._streams.read(descriptor, self.cell))

    def _read_records(self) -> Iterator[Event]:
        for record in self._process.read():
            if record.kind == "done" and record.number == self._run and self.busy:
                yield from self._end_cell(record)
            elif record.kind == "passed":
                yield from (PhasePassed(words=words) for words in _calls(record.texts))
            elif record.kind == "leaving":
                self._leaving = True

    def _read_questions(self, asking: Asking) -> Iterator[Event]:
        for asked in asking.read():
            for output in self._streams.drain(asked.cell, self.cell):
                yield from self._noted(output)
            yield asked

    def answer_asked(self, asked: Asked, *, done: bool) -> None:
        """What it asked for was done, or was not: the cell goes on."""
        if self._asking is not None:
            self._asking.answer(asked.number, done=done)

    def _noted(self, output: Output | None) -> Iterator[Event]:
        if output is not None:
            if output.cell == self.cell:
                self._tail.add(output.data)
            yield output

    def tick(self) -> Iterator[Event]:
        """To be called now and then, at least every 100 ms, while a cell runs."""
        if self._gone:
            return
        yield from self._give_due()
        if not self.busy or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        # A shell that has left the cell already is not to be interrupted once more: bash as PID 1
        # ends with SIGSEGV if that happens a few times.
        idle = self._run if self._process.waits_for_commands else 0
        yield from self._read_all_records()
        yield from self._look(idle)

    def _read_all_records(self) -> Iterator[Event]:
        while wait((self._process.records.fileno(),), 0):
            yield from self._read_records()
            if self._process.told_all:
                return

    def _look(self, idle: int) -> Iterator[Event]:
        """Look after the cell; the shell had carried out all command lines of the run `idle`."""
        if not self.busy:
            return
        if idle == self._run:
            # Nothing will tell the end of the cell any more.
            self._silent = True
            self._process.signal(signal.SIGKILL)
            return
        foreground = self._foreground
        if foreground.insist_again():
            self._process.send(lines.done(self._run))
        terminal = foreground.reader(self._streams.of(self.cell))
        if terminal is None:
            return
        if not self._listens:
            foreground.refuse(terminal)
        elif foreground.is_news(terminal):
            # What it has asked comes before that it waits for the answer.
            for output in self._streams.drain(self.cell, self.cell):
                yield from self._noted(output)
            yield InputWanted(cell=self.cell, secret=hides_input(terminal))

    def execute(self, code: str, *, shows: bool = False) -> int:
        """Run a cell; its number. `shows`: from now on cells have the word `display`.

        Raises ValueError for a NUL byte, RuntimeError while one runs, `ShellFailed` (`shell-gone`),
        and `sandbox.Error` (`terminals-exhausted`).
        """
        if self.busy:
            raise RuntimeError("a cell is running")
        if self._gone:
            raise ShellFailed("the shell has ended", reason="shell-gone")
        if "\0" in code:
            raise ValueError("a NUL byte is in the cell, which bash cannot take")
        if shows and self._asking is None:
            self._asking = Asking()
        wrong = self.check(code) if lines.may_close_the_group(code) else COMPLETE
        paths = ("", "") if wrong != COMPLETE else self._open_terminals(self.cell + 1)
        self.cell += 1
        self.busy, self._code, self._extglob, self._paths = True, code, False, paths
        self._listens, self._tail = self._terminal_input, Tail()
        self._look_at = time.monotonic() + LOOK_S
        self._trapping = self._trapping or lines.speaks_of_interrupts(code)
        self._foreground = Foreground(self._process, self._group, trapping=self._trapping)
        if wrong != COMPLETE:
            outcome = _wrong(wrong, self.cell, self.directory)
            self._due.append(Finished(cell=self.cell, outcome=outcome))
            return self.cell
        self._debugging = self._debugging or lines.speaks_of_debug(code)
        self._send_cell()
        return self.cell

    def _open_terminals(self, cell: int) -> tuple[str, str]:
        paths = self._streams.open(cell, split=self._split)
        if self._terminal_input:
            self._process.terminal.make_controlling()
            termios.tcflush(self._process.terminal.slave, termios.TCIFLUSH)
        return paths

    def _send_cell(self) -> None:
        output, error = self._paths
        asking = self._asking
        setting = lines.Setting(
            input=self._process.terminal.path if self._listens else "/dev/null",
            output=output,
            error=error,
            options=self._options,
            traps=self._traps,
            debugging=self._debugging,
            offer=(asking.path, asking.nonce, str(self.cell)) if asking is not None else (),
        )
        self._run += 1
        self._process.send(lines.cell(self._run, self._code, setting, extglob=self._extglob))

    def check(self, code: str) -> Syntax:
        """What bash's own parser says of the code, in a process of its own. Nothing is run."""
        return parser.parse(self._start, self._command, code)

    def ask(self, words: tuple[str, ...], limit_s: float | None = None) -> tuple[str, ...] | None:
        """Ask the shell something, as `answers.read` has it. None if it is busy or does not answer
        within `limit_s`, or else ANSWER_S. Nothing is changed, and nothing of the user's run."""
        if self.busy or self._gone or self._process.has_unsent:
            return None
        self._question += 1
        self._process.send(lines.question(self._question, words))
        until = time.monotonic() + (ANSWER_S if limit_s is None else limit_s)
        while not self._process.told_all and wait(
            (self._process.records.fileno(),), until - time.monotonic()
        ):
            for record in self._process.read():
                if record.kind == "answer" and record.number == self._question:
                    return answers.read(words, record.texts)
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
        self._streams.close()
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def _end_cell(self, record: Record) -> Iterator[Event]:
        count = self._code.count("\n") + 1
        done = outcomes.read(record.texts, self.cell, count, self._texts)
        if done is None:
            return
        self._options, self._traps = done.options, done.traps
        self.directory = done.outcome.directory
        self._debugging = done.traced or lines.speaks_of_debug(self._code)
        outcome = done.outcome
        if outcome.why == "syntax":
            verdict = self._verdict()
            if verdict == COMPLETE and not self._extglob:
                # It may turn on itself what it needs to be read.
                self._extglob = True
                self._send_cell()
                return
            outcome = _wrong(verdict, self.cell, self.directory)
        elif outcome.why == "errexit" and self._foreground.interrupted and not self._trapping:
            # What the interrupt ended has failed.
            outcome = outcome.replace(why="interrupt", status=outcomes.INTERRUPTED)
        if outcome.why == "interrupt" and not outcome.command:
            outcome = outcome.replace(command=self._foreground.ran)
        for output in self._streams.drain(self.cell, self.cell):
            yield from self._noted(output)
        self._streams.release(self.cell)
        self.busy = False
        explained = self._tail.explain(outcome)
        placed = explained.command and explained.frames and explained.frames[0].line
        if explained.why in {"unset", "expansion"} and not placed:
            about = subject(explained.message)
            where = mentions(about, self._code, done.functions)
            explained = explained.replace(mentioned=(about, *where))
        yield Finished(cell=self.cell, outcome=explained)

    def _verdict(self) -> Syntax:
        try:
            return self.check(self._code)
        except (Error, OSError):
            return Syntax(state="invalid")

    def _give_due(self) -> Iterator[Event]:
        due, self._due = self._due, []
        for event in due:
            if isinstance(event, Finished):
                self.busy = False
            yield event

    def _bury(self) -> Iterator[Event]:
        # What it has told last comes before what its end means.
        yield from self._read_records()
        end = self._process.ended()
        if end is None or self._gone:
            return
        self._streams.release(0)
        yield from self._streams.drain(0, self.cell)
        self.close()
        yield Ended(cell=self.cell, status=end.status, why=self._why_ended(end))

    def _why_ended(self, end: End) -> str:
        if self._silent:
            return "silent"
        # A shell that ends itself says so, if the user's traps let it.
        if end.why == "exit" and not self._leaving and "exec" in self._code:
            return "exec"
        return end.why


def _wrong(verdict: Syntax, cell: int, directory: str) -> Outcome:
    frames = (Frame(function="", file="", line=verdict.line, cell=cell),) if verdict.line else ()
    return Outcome(
        status=SYNTAX_STATUS,
        why="syntax",
        message=verdict.message or "bash cannot read this",
        frames=frames,
        directory=directory,
    )


def _calls(texts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Words of several calls, each led by how many there are. Whoever runs code can tell it so."""
    at = 0
    while at < len(texts) and texts[at].isdecimal():
        end = at + 1 + int(texts[at][:9])
        yield texts[at + 1 : end]
        at = end
