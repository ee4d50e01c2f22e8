"""A terminal of the sandbox's own, relayed to the caller's.

The command never holds a descriptor of the caller's terminal: with one it could type into the
caller's shell (TIOCSTI) or change its modes for good. It gets a pseudo-terminal of the sandbox's
private devpts instead, as its controlling terminal; the supervisor copies bytes between the two.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
import termios
import time

from sandbox.linux import launch, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.linux.launch import Service
    from sandbox.model.plan import Plan

WATCHED = (*launch.SIGNALS_PASSED_ON, syscalls.SIGWINCH)
TIOCGPTN, TIOCSPTLCK = 0x80045430, 0x40045431
CHUNK = 65536
IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6
LATER_S = 0.1
"""How long a program may take to show that it did not mean to survive an interrupt."""
LOOK_FOR_KEYS_MS = 200
KEYS_BY_LINE = (
    termios.ISIG | termios.ICANON | termios.ECHO | termios.ECHOE | termios.ECHOK | termios.IEXTEN
)


class Terminal:
    """The two ends. `descriptors` are those of 0, 1, 2 that are terminals of the caller.

    Made by the supervisor before the sandbox, so that the command's process inherits the socket
    over which it hands out the master end.
    """

    def __init__(self) -> None:
        self.descriptors = tuple(fd for fd in (0, 1, 2) if os.isatty(fd))
        self.control = 0 in self.descriptors
        self._saved = termios.tcgetattr(self.descriptors[0])
        self._size = _window_size(self.descriptors[0])
        self._outside, self._inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.kept_open = (self._inside.fileno(),)
        self.master = -1
        self._is_raw = False

    def connect(self) -> None:
        """In the command's process: open the inner terminal and put it in place of the caller's."""
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")
        number = int.from_bytes(fcntl.ioctl(master, TIOCGPTN, b"\0\0\0\0"), "little")
        slave = os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        termios.tcsetattr(slave, termios.TCSANOW, self._modes())
        fcntl.ioctl(slave, termios.TIOCSWINSZ, self._size)
        rights = array.array("i", [master])
        self._inside.sendmsg([b"m"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.setsid()
        if self.control:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in self.descriptors:
            os.dup2(slave, descriptor)

    def _modes(self) -> list[Any]:
        """The caller's; without the caller's keyboard, nothing that would change the output."""
        modes = list(self._saved)
        if not self.control:
            modes[OFLAG] &= ~termios.OPOST
        elif self.in_background():
            # Those of the shell's own line editor, which reads keys there.
            modes[IFLAG] |= termios.ICRNL
            modes[OFLAG] |= termios.OPOST | termios.ONLCR
            modes[LFLAG] |= KEYS_BY_LINE
        return modes

    def adopt(self) -> None:
        """In the supervisor, once the command runs: take the master end."""
        _, ancillary, _, _ = self._outside.recvmsg(1, socket.CMSG_SPACE(4))
        self.master = array.array("i", ancillary[0][2])[0]
        os.set_blocking(self.master, False)

    def close(self) -> None:
        """Let go of both ends."""
        self._outside.close()
        self._inside.close()
        if self.master >= 0:
            os.close(self.master)

    def in_background(self) -> bool:
        """Do keys go to another job of the caller's shell? Who changes modes then is stopped.

        tcgetpgrp(3). A terminal that does not control this process has no jobs.
        """
        try:
            return self.control and os.tcgetpgrp(0) != os.getpgrp()
        except OSError:
            return False

    def raw(self) -> None:
        """Every key goes inside; the inner terminal gives keys their meaning. See cfmakeraw(3)."""
        self._saved = termios.tcgetattr(0)
        modes = list(self._saved)
        modes[IFLAG] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        modes[OFLAG] &= ~termios.OPOST
        modes[LFLAG] &= ~(
            termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
        )
        modes[CFLAG] = (modes[CFLAG] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        modes[CC] = list(modes[CC])
        modes[CC][termios.VMIN], modes[CC][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSADRAIN, modes)
        self._is_raw = True

    def restore(self) -> None:
        """The caller's terminal as it was, if it is still there."""
        if self._is_raw:
            self._is_raw = False
            try:  # noqa: SIM105  contextlib is not worth its import here
                termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
            except termios.error:
                pass

    def resize(self) -> None:
        """The caller's window has another size: tell the inner terminal, and so its programs."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, _window_size(self.descriptors[0]))


def _window_size(descriptor: int) -> bytes:
    return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8)


class Relay:
    """Copies bytes both ways until the command has ended; hands on what the kernel could not."""

    def __init__(self, terminal: Terminal, command: int, service: Service) -> None:
        self.terminal = terminal
        self.service = service
        self.command = command
        self.to_inside = self.to_outside = b""
        self.output = _writable(next(fd for fd in (1, 2, 0) if fd in terminal.descriptors))
        self.has_output = True
        self.has_ended = False
        self.reading_input = self.in_background = False
        self.ended_by = 0
        self.look_again_at = 0.0
        self.interrupted_with = 0

    def run(self) -> int:
        """The command's exit status, or 128 + the signal's number."""
        signals = syscalls.signalfd(WATCHED)
        ended = os.pidfd_open(self.command)
        self._take_keys()
        try:
            while True:
                status = self._turn(signals, ended)
                if status is not None:
                    self.has_ended = True
                    self._drain(signals)
                    return launch.status_after(status, self.ended_by)
        finally:
            self.terminal.restore()
            for descriptor in (signals, ended, self.output):
                os.close(descriptor)

    def _turn(  # noqa: C901  one case a descriptor
        self, signals: int, ended: int
    ) -> int | None:
        if self.in_background:
            self._take_keys()
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        poll.register(ended, select.POLLIN)
        master = self.terminal.master
        wanted = select.POLLOUT if self.to_inside else 0
        if self.to_outside:
            poll.register(self.output, select.POLLOUT)
        else:
            wanted |= select.POLLIN
        if wanted:
            poll.register(master, wanted)
        if self.reading_input and len(self.to_inside) < CHUNK:
            poll.register(0, select.POLLIN)
        asked = self._watch(poll)
        ready = dict(poll.poll(self._patience_ms()))
        if self.look_again_at and time.monotonic() >= self.look_again_at:
            self._look_again()
        if ready.get(self.output):
            self._show()
        elif ready.get(master, 0) & (select.POLLIN | select.POLLHUP):
            self._copy_out()
        if ready.get(0):
            self._copy_in()
        if ready.get(asked):
            self.service.ready()
        if self.to_inside:
            self._push()
        if ready.get(signals):
            self._signal(syscalls.next_signal(signals))
        return launch.reap(self.command) if ready.get(ended) else None

    def _watch(self, poll: select.poll) -> int:
        """Listen to what is inside; -1 if nobody may ask for anything."""
        asked = self.service.watched
        if asked >= 0:
            poll.register(asked, select.POLLIN)
        return asked

    def _take_keys(self) -> None:
        """Read the caller's keyboard, if it is ours. Nothing tells a job that runs in the
        background that it is fetched from there."""
        self.in_background = self.terminal.in_background()
        self.reading_input = self.terminal.control and not self.in_background
        if self.reading_input:
            self.terminal.raw()
            self.terminal.resize()

    def _patience_ms(self) -> int | None:
        if not self.look_again_at:
            return LOOK_FOR_KEYS_MS if self.in_background else None
        return max(0, int((self.look_again_at - time.monotonic()) * 1000) + 1)

    def _copy_out(self) -> bool:
        try:
            data = os.read(self.terminal.master, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            # EIO: no process holds the other end now. One may open it again, so this is no end,
            # but nothing can be read at once either.
            time.sleep(0.005)
            return False
        self.to_outside = data
        self._show()
        return bool(data)

    def _show(self) -> None:
        """Write what the caller's terminal takes now; it may be stopped for long, or be gone."""
        if not self.has_output:
            self.to_outside = b""
        try:
            while self.to_outside:
                self.to_outside = self.to_outside[os.write(self.output, self.to_outside) :]
        except BlockingIOError:
            pass
        except OSError:
            # The terminal was hung up: its kernel's signal for that may not have reached us.
            self.has_output, self.to_outside = False, b""
            self._deliver(syscalls.SIGHUP)

    def _drain(self, signals: int) -> None:
        """The command has ended: show what it wrote; wait for no terminal if we shall end too."""
        while True:
            while not self.to_outside:
                if not self._copy_out():
                    return
            if self.ended_by:
                return
            poll = select.poll()
            poll.register(self.output, select.POLLOUT)
            poll.register(signals, select.POLLIN)
            told = dict(poll.poll()).get(signals)
            if told and syscalls.next_signal(signals) != syscalls.SIGWINCH:
                return
            self._show()

    def _copy_in(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except OSError:
            # The terminal was hung up.
            data = b""
        if not data:
            self.reading_input = False
            return
        # First: a shell whose program alone was interrupted would go on with the next one.
        self._keys(data, ((termios.VINTR, syscalls.SIGINT), (termios.VQUIT, syscalls.SIGQUIT)))
        self.to_inside += data
        self._push()
        self._keys(data, ((termios.VSUSP, syscalls.SIGTSTP),))

    def _push(self) -> None:
        try:
            self.to_inside = self.to_inside[os.write(self.terminal.master, self.to_inside) :]
        except BlockingIOError:
            pass
        except OSError:
            self.to_inside = b""

    def _keys(self, data: bytes, keys: tuple[tuple[int, int], ...]) -> None:
        """Ctrl-C, Ctrl-\\ and Ctrl-Z have no effect on a PID 1 that does not handle them."""
        modes = termios.tcgetattr(self.terminal.master)
        if not modes[LFLAG] & termios.ISIG or not self._in_foreground():
            return
        for character, number in keys:
            if modes[CC][character] in data and modes[CC][character] != b"\0":
                self._insist(number)

    def _in_foreground(self) -> bool:
        """Is the command's own process group the one that the keyboard's signals go to?"""
        try:
            group = fcntl.ioctl(self.terminal.master, termios.TIOCGPGRP, b"\0" * 4)
        except OSError:
            return False
        return int.from_bytes(group, "little") == self.command

    def _insist(self, number: int) -> None:
        if launch.would_be_lost(self.command, number):
            self._end_or_stop(number)
        elif number == syscalls.SIGINT:
            # A shell that waits for a child catches the interrupt, then sends it to itself with the
            # default action, which PID 1 does not have: a moment later it is no longer caught.
            self.interrupted_with, self.look_again_at = number, time.monotonic() + LATER_S

    def _look_again(self) -> None:
        self.look_again_at = 0.0
        if launch.would_be_lost(self.command, self.interrupted_with):
            self._end_or_stop(self.interrupted_with)

    def _end_or_stop(self, number: int) -> None:
        if number == syscalls.SIGTSTP:
            self._stop()
        else:
            os.kill(self.command, syscalls.SIGKILL)
            self.ended_by = number

    def _stop(self) -> None:
        """Stop the command, then this process, as a shell's job; go on when the shell says so."""
        os.killpg(self.command, syscalls.SIGSTOP)
        self.terminal.restore()
        os.kill(os.getpid(), syscalls.SIGSTOP)
        self._take_keys()
        os.killpg(self.command, syscalls.SIGCONT)

    def _signal(self, number: int) -> None:
        if number == syscalls.SIGWINCH:
            self.terminal.resize()
        else:
            self._deliver(number)

    def _deliver(self, number: int) -> None:
        if not self.has_ended:
            self.ended_by = launch.deliver(self.command, number) or self.ended_by


def _writable(descriptor: int) -> int:
    """The same terminal opened anew, so as not to wait for it; else the descriptor once more.

    O_NONBLOCK belongs to what was opened, which the caller's other programs share.
    """
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        # Of a terminal that is another user's, as after su(1).
        return os.dup(descriptor)


def run(
    plan: Plan,
    meanwhile: Callable[[], None],
    started: Callable[[int], None] = lambda _: None,
    asked: Service | None = None,
) -> int:
    """Start the plan's command on a terminal of its own and relay until it ends; its exit status.

    `meanwhile` as in `launch.Terms`; `started` is then told the command's PID. What is inside may
    ask `asked` for something.
    """
    terminal = Terminal()
    service = asked or launch.Nothing()
    try:
        terms = launch.Terms(
            meanwhile=meanwhile,
            connect=terminal.connect,
            kept_open=terminal.kept_open,
            handed=service.handed,
            adopted=service.adopt,
            watched=WATCHED,
        )
        command = launch.start(plan, terms)
        service.begin()
        terminal.adopt()
        started(command)
        return Relay(terminal, command, service).run()
    finally:
        terminal.close()
