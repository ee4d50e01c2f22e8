"""The processes in the foreground of the shell's terminal: interrupts, and what they read."""

from __future__ import annotations

import os
import select
import signal
import termios
import time

from nbs_kernel.bash.terminals import CC, LFLAG, Terminal
from nbs_kernel.bash.waiting import (
    THE_TERMINAL_OF_ITS_SESSION,
    awaited_child_group,
    children,
    command_line,
    is_copy,
    members,
    shields,
    waits_for,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.bash.process import Process

LEAVE = signal.SIGRTMAX
"""What `startup.bash` has a trap for, so that a shell that ignores interrupts can be stopped."""

PATIENCE_S, PATIENCE_AT_MOST_S = 0.2, 2.0
"""So long the shell has for leaving the cell before it is pushed; twice as long the next time."""

YOUNG_S = 0.5

END_OF_INPUT, QUIT = b"\4", b"q"
TRIES_OF_A_LINE, TRIES_OF_A_KEY = 20, 3
FITS = 4_000
"""Less than N_TTY_BUF_SIZE, which is all that a terminal keeps of what is typed."""


class Foreground:
    """What runs in the foreground during one cell.

    `group` is the shell's own process group. `trapping`: the user may have a trap for interrupts,
    which then decides what becomes of the cell.
    """

    def __init__(self, process: Process, group: int, *, trapping: bool) -> None:
        self._process = process
        self._group = group
        self._trapping = trapping
        self._interrupts = 0
        self._interrupted = 0
        self._ran = ""
        self._asked_at = self._push_at = self._patience = 0.0
        self._refused = 0
        self._unsent = b""
        self._asking: Terminal | None = None

    @property
    def interrupted(self) -> bool:
        """The user wants the cell to end."""
        return self._interrupts > 0

    @property
    def ran(self) -> str:
        """The programs that were in the foreground at the first interrupt, empty if none was."""
        return self._ran

    def interrupt(self) -> None:
        """Ask for the end of the cell; each time with more force."""
        self._interrupts += 1
        self._asked_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._patience = PATIENCE_S
        self._push_at = time.monotonic() + PATIENCE_S
        if self._interrupts == 1:
            self._interrupt_once()
            return
        self._trapping = False
        if self._interrupts == 2:  # noqa: PLR2004
            self._insist(signal.SIGTERM, LEAVE)
        else:
            self._insist(signal.SIGKILL, signal.SIGKILL)

    def _current(self) -> int:
        """The group in the foreground, the shell's own if it is not to be known."""
        try:
            group = os.tcgetpgrp(self._process.terminal.master)
        except OSError:
            return self._group
        return group if group > 0 else self._group

    def _interrupt_once(self) -> None:
        group = self._interrupted = self._current()
        if self._process.replaced:
            self._interrupt_replaced()
            return
        others = self._others(group) if group == self._group else []
        if group != self._group and self._interrupts == 1:
            shell = self._process.pid
            self._ran = " | ".join(command_line(p, shell) for p in children(shell, group))
        # The shell first: it leaves the cell when its job ends, however that ends. An interrupt it
        # would forget if the job ends as if nothing was; and one that hits it between the fork of a
        # job and the wait for it makes it wait for that job later, when nobody interrupts the job.
        self._process.signal(signal.SIGINT if self._trapping else LEAVE)
        if group != self._group:
            _signal_group(group, signal.SIGINT)
        for process in others:
            _signal(int(process), signal.SIGINT)

    def _others(self, group: int) -> list[str]:
        """All but the shell. In its own group: substitutions, jobs without job control."""
        return [process for process in members(group) if int(process) != self._process.pid]

    def _interrupt_replaced(self) -> None:
        # The first process of a pid namespace does not get what it has no handler for.
        shielded = shields(str(self._process.pid), signal.SIGINT)
        self._process.signal(signal.SIGINT if shielded else signal.SIGKILL)

    def _insist(self, for_jobs: int, for_shell: int) -> None:
        group = self._interrupted = self._current()
        if self._process.replaced:
            self._process.signal(signal.SIGKILL)
        elif group == self._group:
            self._process.signal(for_shell)
        else:
            self._process.signal(LEAVE)
            _signal_group(group, for_jobs)

    def insist_again(self) -> bool:
        """Repeat an interrupt that was lost; whether there was one.

        It falls between two jobs, or hits a job that has not become its program yet and forgets it.
        """
        if not self._interrupts or self._process.replaced:
            return False
        group = self._current()
        if group != self._interrupted and not self._trapping:
            self._interrupt_once()
            return True
        others = self._others(group)
        deaf = [p for p in others if not shields(p, signal.SIGINT)]
        if deaf and not self._trapping:
            # The cell may not have begun when it was sent.
            self._process.signal(LEAVE)
        for process in deaf:
            _signal(int(process), signal.SIGINT)
        return bool(deaf) or self._push(group, others)

    def _push(self, group: int, others: list[str]) -> bool:
        """Interrupt once more what need not have got it, now and then; whether it was done."""
        if self._trapping or time.monotonic() < self._push_at:
            return False
        again = self._patience > PATIENCE_S
        self._patience = min(2 * self._patience, PATIENCE_AT_MOST_S)
        self._push_at = time.monotonic() + self._patience
        # Looked at first: a shell that has just got a signal waits for nothing.
        awaited = awaited_child_group(self._process.pid)
        self._process.signal(LEAVE)
        for process in others:
            # Until it has handlers of its own, a subshell drops interrupts.
            if is_copy(process, self._process.pid, self._asked_at - YOUNG_S):
                _signal(int(process), signal.SIGINT)
        if again and group == self._group and not others:
            # It has not heeded its trap: it waits for what is not in the foreground, or is lost in
            # an expansion.
            if awaited > 0:
                _signal_group(awaited, signal.SIGINT)
            else:
                self._process.signal(signal.SIGINT)
        return True

    def reader(self, outputs: tuple[Terminal, ...]) -> Terminal | None:
        """The terminal that a process in the foreground waits to read from."""
        own = self._process.terminal
        by_device = {own.device: 0, THE_TERMINAL_OF_ITS_SESSION: 0}
        by_device |= {terminal.device: n for n, terminal in enumerate(outputs, 1)}
        found = waits_for(self._current(), by_device)
        if found is None:
            self._asking = None
            return None
        terminal = (own, *outputs)[found]
        if _has_input(terminal):
            return None
        if self._unsent:
            self._type_line(terminal)
            return None
        return terminal

    def is_news(self, terminal: Terminal) -> bool:
        """The user has not been asked yet for what is read now."""
        news = self._asking is not terminal
        self._asking = terminal
        return news

    def type(self, data: bytes) -> None:
        """Type something, as it is waited for: with EXTPROC a terminal does not stop at a line."""
        self._unsent += data
        self._type_line(self._asking or self._process.terminal)

    def _type_line(self, terminal: Terminal) -> None:
        """Type one line, or as much as surely fits: what is too much a terminal drops."""
        end = self._unsent.find(b"\n") + 1 or len(self._unsent)
        piece = self._unsent[: min(end, FITS)]
        try:
            written = os.write(terminal.master, piece)
        except BlockingIOError:
            return
        except OSError:
            written = len(self._unsent)
        self._unsent = self._unsent[written:]
        self._asking = None

    def end_input(self) -> None:
        """The end of what is typed, for who reads lines."""
        modes = termios.tcgetattr((self._asking or self._process.terminal).slave)
        self.type(_byte(modes[CC][termios.VEOF]))

    def refuse(self, terminal: Terminal) -> None:
        """There is nobody to type anything: tell it in a way that the reader understands."""
        self._refused += 1
        modes = termios.tcgetattr(terminal.slave)
        reads_lines = modes[LFLAG] & termios.ICANON
        self._asking = terminal
        if reads_lines and self._refused <= TRIES_OF_A_LINE:
            self.type(_byte(modes[CC][termios.VEOF]))
        elif not reads_lines and self._refused <= TRIES_OF_A_KEY:
            # A pager takes the first for a command to go on, and ends with the second.
            self.type(QUIT if self._refused == 2 else END_OF_INPUT)  # noqa: PLR2004
        elif self._refused <= 2 * TRIES_OF_A_LINE:
            self._hang_up(signal.SIGHUP)
        else:
            self._hang_up(signal.SIGKILL)

    def _hang_up(self, number: int) -> None:
        group = self._current()
        if group == self._group:
            self._process.signal(signal.SIGINT)
        else:
            _signal_group(group, number)


def hides_input(terminal: Terminal) -> bool:
    """What is typed is not to be seen."""
    modes = termios.tcgetattr(terminal.slave)
    return bool(modes[LFLAG] & termios.ICANON and not modes[LFLAG] & termios.ECHO)


def _byte(character: object) -> bytes:
    return character if isinstance(character, bytes) else b"\4"


def _has_input(terminal: Terminal) -> bool:
    poll = select.poll()
    poll.register(terminal.slave, select.POLLIN)
    return bool(poll.poll(0))


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        return


def _signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except OSError:
        return
