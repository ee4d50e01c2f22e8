"""Pseudo-terminals of the root that this process is in.

A cell writes to one of its own, so that what its jobs write later is known to be theirs. Reading
one until EAGAIN gives all that has been written before: n_tty_read() waits for the work that moves
the bytes. So no mark has to be written between the output of a cell and its end.
"""

from __future__ import annotations

import fcntl
import os
import termios

from sandbox import Error

TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER = 0x80045430, 0x40045431, 0x5441
EXTPROC = 0o200000
IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6
CHUNK = 65536
BUFFERED = 256 * 1024
"""More than a terminal holds back at any time (64 KiB, a page for each writer, and N_TTY_BUF)."""


class Terminal:
    """Both ends. `path` is the name of the end that programs use, `device` its number."""

    def __init__(self) -> None:
        try:
            self.master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise no_terminal(error) from error
        self.slave = -1
        try:
            fcntl.ioctl(self.master, TIOCSPTLCK, b"\0\0\0\0")
            told = fcntl.ioctl(self.master, TIOCGPTN, b"\0\0\0\0")
            self.path = f"/dev/pts/{int.from_bytes(told, 'little')}"
            self.slave = fcntl.ioctl(
                self.master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
            )
            self.device = os.fstat(self.slave).st_rdev
            os.set_blocking(self.master, False)
        except OSError as error:
            self.close()
            raise no_terminal(error) from error

    def make_output(self) -> None:
        """Raw, as Nix makes the one of a build's log; reading from it is at its end at once."""
        modes = termios.tcgetattr(self.slave)
        modes[IFLAG] = 0
        modes[OFLAG] &= ~termios.OPOST
        modes[CFLAG] = modes[CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        modes[LFLAG] = 0
        modes[CC][termios.VMIN] = modes[CC][termios.VTIME] = 0
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def make_private(self) -> None:
        """Raw, and whoever reads waits until there is something."""
        self.make_output()
        modes = termios.tcgetattr(self.slave)
        modes[CC][termios.VMIN] = 1
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def make_controlling(self) -> None:
        """As a login has it, but what is typed is not shown, even where ECHO is on.

        With EXTPROC the other side does the echo. So ECHO tells whether a program wants to hide
        what is typed.
        """
        modes = termios.tcgetattr(self.slave)
        modes[OFLAG] &= ~termios.OPOST
        modes[LFLAG] |= EXTPROC
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def read(self) -> bytes | None:
        """What there is, at most `CHUNK`; empty if there is nothing now, None at the end."""
        try:
            return os.read(self.master, CHUNK) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def release(self) -> None:
        """Let go of the programs' end: reading ends when the last program has."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def close(self) -> None:
        """Let go of both ends."""
        self.release()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def no_terminal(error: OSError) -> Error:
    """The error for a person."""
    return Error(
        "there is no pseudo-terminal left for a cell's output",
        reason="terminals-exhausted",
        evidence=(f"/dev/ptmx: {error.strerror}",),
        hint="end background jobs, or `%restart`",
    )
