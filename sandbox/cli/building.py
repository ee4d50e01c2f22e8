"""Running the user's own build: Nix as a child, its messages shown as they come, and heard.

What Nix writes on stdout, and what it reads, is the caller's own. Its stderr comes through here: on
a terminal as events, of which the log and a line with the phase and the time are made; else each
byte as it is. Where that line is drawn and stdout is a terminal too, it comes through here as well:
it would be written behind the line.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import sandbox
from sandbox.cli import speak
from sandbox.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

STDOUT, STDERR = 1, 2
CHUNK = 65536
TICK_S = 1.0
LONGEST_LINE = 1 << 20
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EVENTS_SINCE = (2, 4, 0)


def run(asked: sandbox.NixCommand) -> tuple[int, sandbox.Report]:
    """Run the build to its end: its exit status, 128 + N if signal N ended it, and what was heard.

    Raises `CommandError` (`command-not-found`, `command-not-runnable`).
    """
    with_events = shows_events(asked)
    command = asked.as_events() if with_events else asked
    output = Screen(quiet=asked.quiet) if with_events else Pipe()
    child = _start(command.argv, both=with_events and sys.stdout.isatty())
    before = {number: signal.getsignal(number) for number in PASSED_ON}

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    for number in PASSED_ON:
        if before[number] != signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        for stream, data in _pieces(child):
            (output.write if stream == STDERR else output.beside)(data)
        status = child.wait()
    finally:
        output.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return (status if status >= 0 else 128 - status), output.listener.report()


def shows_events(asked: sandbox.NixCommand) -> bool:
    """On a terminal that can draw a line again, with a Nix that has them, unless told otherwise."""
    if asked.own_format or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return False
    profile = sandbox.installed_profile(os.environ)
    return profile is not None and profile.version >= EVENTS_SINCE


def _start(argv: tuple[str, ...], *, both: bool) -> subprocess.Popen[bytes]:
    try:
        stdout = subprocess.PIPE if both else None
        return subprocess.Popen(argv, stdout=stdout, stderr=subprocess.PIPE)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise CommandError(
            f"`{argv[0]}` is not there" if missing else f"`{argv[0]}` cannot be run",
            reason="command-not-found" if missing else "command-not-runnable",
            evidence=(error.strerror or str(error),),
            hint="Nix has to be on PATH: `command -v nix-build`",
            exit_code=127 if missing else 126,
        ) from None


def _pieces(child: subprocess.Popen[bytes]) -> Iterator[tuple[int, bytes]]:
    """What the child writes, piece by piece, with the number of its stream: stdout, if it was asked
    for, and stderr, of which an empty piece comes each time that nothing has come.

    Ends with the child: what it has left running may hold the pipes open.
    """
    pipes = {STDERR: child.stderr, STDOUT: child.stdout}
    streams = {pipe.fileno(): number for number, pipe in pipes.items() if pipe}
    ended = os.pidfd_open(child.pid)
    poll = select.poll()
    for descriptor in (*streams, ended):
        poll.register(descriptor, select.POLLIN)
    try:
        while streams:
            ready = {descriptor for descriptor, _ in poll.poll(TICK_S * 1000)}
            for descriptor in [one for one in streams if one in ready]:
                data = os.read(descriptor, CHUNK)
                if data:
                    yield streams[descriptor], data
                else:
                    poll.unregister(descriptor)
                    del streams[descriptor]
            if ready == {ended}:
                return
            if not ready:
                yield STDERR, b""
    finally:
        os.close(ended)
        for pipe in (child.stderr, child.stdout):
            if pipe:
                pipe.close()


class Lines:
    """Bytes, in pieces of any length → whole lines as text. What is too long for one is cut off."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LONGEST_LINE]
        return [line.decode("utf-8", "replace") for line in lines]

    def rest(self) -> list[str]:
        """The last line, if it had no end."""
        return self.feed(b"\n") if self._rest else []


class Pipe:
    """Each byte goes on as it is; the lines are heard."""

    def __init__(self) -> None:
        self.listener = sandbox.Listener()
        self._lines = Lines()

    def write(self, data: bytes) -> None:
        _write_all(data)
        self._hear(self._lines.feed(data))

    def beside(self, data: bytes) -> None:
        _write_all(data, STDOUT)

    def close(self) -> None:
        self._hear(self._lines.rest())

    def _hear(self, lines: list[str]) -> None:
        for line in lines:
            event = sandbox.parse_event(line)
            if event is None:
                self.listener.hear(line)
            else:
                hear(event, self.listener)


class Screen:
    """The log, and below it one line that is drawn again and again."""

    def __init__(
        self, *, quiet: bool, now: Callable[[], float] = time.monotonic, descriptor: int = 2
    ) -> None:
        self.listener = sandbox.Listener()
        self._progress = sandbox.Progress(with_log=not quiet, colours=speak.has_colour(sys.stderr))
        self._lines = Lines()
        self._now = now
        self._descriptor = descriptor
        self._drawn = ""

    def write(self, data: bytes) -> None:
        shown: list[str] = []
        for line in self._lines.feed(data):
            shown += self._take(line)
        self._draw(shown)

    def beside(self, data: bytes) -> None:
        """What goes to stdout, which is the same terminal: in the place of the line."""
        self._draw([], last=True)
        _write_all(data, STDOUT)

    def close(self) -> None:
        shown = [text for line in self._lines.rest() for text in self._take(line)]
        self._draw(shown, last=True)

    def _take(self, line: str) -> tuple[str, ...]:
        event = sandbox.parse_event(line)
        if event is None:
            # Of git, ssh or curl: shown, but not heard as Nix's own.
            return (self._progress.plain(line),)
        hear(event, self.listener)
        return self._progress.take(event, self._now())

    def _draw(self, lines: list[str], *, last: bool = False) -> None:
        status = "" if last else self._progress.status(self._now())[: _columns() - 1]
        if not lines and status == self._drawn:
            return
        text = "".join(f"{line}\n" for line in lines)
        erase = "\r\x1b[K" if self._drawn else ""
        dim = speak.painted(status, speak.DIM, sys.stderr)
        self._drawn = status
        _write_all((erase + text + dim).encode("utf-8", "replace"), self._descriptor)


def hear(event: sandbox.Event, listener: sandbox.Listener) -> None:
    """Nix's own messages, and what it builds where. The log of a build is not Nix's word."""
    if event.kind == "message":
        listener.hear(event.text)
    elif event.kind == "build":
        listener.builds(event.derivation, event.machine, event.id)
    elif event.kind == "stop":
        listener.stops(event.id)


def _columns() -> int:
    try:
        return max(os.get_terminal_size(2).columns, 20)
    except OSError:
        return 80


def _write_all(data: bytes, descriptor: int = 2) -> None:
    """A reader of our messages that has gone is no reason to end the build."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select((), (descriptor,), ())
        except OSError:
            return
