"""The processes in the foreground of the shell's terminal: interrupts, and what they read."""

from __future__ import annotations

import fcntl
import os
import signal
import termios

from nbs_kernel.bash.terminals import CC, LFLAG, TIOCSIG, Terminal
from nbs_kernel.bash.waiting import THE_TERMINAL_OF_ITS_SESSION, catches, waits_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.bash.process import Process

LEAVE = signal.SIGRTMAX
"""What `startup.bash` has a trap for, so that a shell that ignores interrupts can be stopped."""

END_OF_INPUT, QUIT = b"\4", b"q"
TRIES_OF_A_LINE, TRIES_OF_A_KEY = 20, 3
FIONREAD = termios.FIONREAD


class Foreground:
    """What runs in the foreground during one cell.

    `group` is the shell's own process group.
    """

    def __init__(self, process: Process, group: int) -> None:
        self._process = process
        self._group = group
        self._interrupts = 0
        self._interrupted = 0
        self._refused = 0
        self._unsent = b""
        self._asking: Terminal | None = None

    @property
    def interrupted(self) -> bool:
        """The user wants the cell to end."""
        return self._interrupts > 0

    def interrupt(self) -> None:
        """Ask for the end of the cell; each time with more force."""
        self._interrupts += 1
        if self._interrupts == 1:
            self._interrupt_once()
        elif self._interrupts == 2:  # noqa: PLR2004
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
        # The shell first: it looks for an interrupt when the job ends that gets one too.
        if group != self._group:
            self._process.signal(signal.SIGINT)
        try:
            fcntl.ioctl(self._process.terminal.master, TIOCSIG, signal.SIGINT)
        except OSError:
            self._process.signal(signal.SIGINT)
        if self._process.replaced and not catches(self._process.pid, signal.SIGINT):
            # The first process of a pid namespace does not get what it has no handler for.
            self._process.signal(signal.SIGKILL)

    def _insist(self, for_jobs: int, for_shell: int) -> None:
        group = self._interrupted = self._current()
        if group == self._group:
            replaced = self._process.replaced
            self._process.signal(signal.SIGKILL if replaced else for_shell)
            return
        self._process.signal(signal.SIGINT)
        _signal_group(group, for_jobs)

    def insist_again(self) -> bool:
        """After an interrupt: repeat it if it fell between two jobs; whether it was."""
        group = self._current()
        if self._interrupts and group != self._interrupted:
            self._interrupt_once()
            return True
        return False

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
        return None if self._unsent or _has_input(terminal) else terminal

    def is_news(self, terminal: Terminal) -> bool:
        """The user has not been asked yet for what is read now."""
        news = self._asking is not terminal
        self._asking = terminal
        return news

    def type(self, data: bytes) -> None:
        """Type something where it is waited for."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Type what did not fit into the terminal yet."""
        terminal = self._asking or self._process.terminal
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(terminal.master, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
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
    waiting = fcntl.ioctl(terminal.slave, FIONREAD, b"\0\0\0\0")
    return any(waiting)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        return
