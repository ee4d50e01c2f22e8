"""The process of a bash and the channels to it; nothing of cells."""

from __future__ import annotations

import os
import select
import signal
import socket

from nbs_kernel.bash import lines
from nbs_kernel.bash.records import Records
from nbs_kernel.bash.terminals import CHUNK, Terminal
from nbs_kernel.bash.waiting import name_of, reads, stat_fields
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbs_kernel.bash.records import Record
    from sandbox import Command

COMMANDS, OUTPUT, MESSAGES, STARTUP, RECORDS = 0, 1, 2, 9, 62
SIGNALLED = 128
PF_EXITING = 4


def _part(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return file.read()


_STARTUP = _part("questions.bash") + _part("display.bash") + _part("startup.bash")


class End(Value):
    """How the process ended: `status` is 128 + the signal's number where a signal did it."""

    status: int
    why: str


class Process:
    """A bash that has been started.

    `commands` and `records` are our ends of the sockets, `terminal` is its controlling terminal,
    `exit` is ready to be read when the process has ended.
    """

    def __init__(self, start: Callable[[Command], int], command: Command) -> None:
        """Raises what `start` raises, and `sandbox.Error` (`terminals-exhausted`)."""
        nonce = os.urandom(8).hex()
        self._records = Records(nonce)
        self._unsent = bytearray()
        self.terminal = Terminal()
        self.commands, commands = socket.socketpair()
        self.records, records = socket.socketpair()
        startup = os.memfd_create("startup")
        self.pid = self.exit = -1
        self._name = ""
        self._commands_inode = os.fstat(commands.fileno()).st_ino
        self.replaced = self.told_all = False
        try:
            self.terminal.make_controlling()
            of_the_build = command.startup.encode(errors="surrogateescape")
            os.write(startup, of_the_build + lines.startup(_STARTUP, nonce))
            terminal = self.terminal.slave
            given = (
                (COMMANDS, commands.fileno()),
                (OUTPUT, terminal),
                (MESSAGES, terminal),
                (STARTUP, startup),
                (RECORDS, records.fileno()),
            )
            self.pid = start(command.replace(descriptors=given, terminal=MESSAGES))
            self.exit = os.pidfd_open(self.pid)
        except BaseException:
            self.close()
            raise
        finally:
            commands.close()
            records.close()
            os.close(startup)
        for ours in (self.commands, self.records):
            ours.setblocking(False)  # noqa: FBT003  as socket has it

    @property
    def has_unsent(self) -> bool:
        """There are command lines that did not fit into the socket yet."""
        return bool(self._unsent)

    @property
    def waits_for_commands(self) -> bool:
        """It has carried out all command lines, and reads the next one."""
        return not self._unsent and reads(self.pid, COMMANDS, self._commands_inode)

    def send(self, data: bytes) -> None:
        """Send command lines, as far as they fit; the rest when `flush` is called."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send what did not fit."""
        try:
            while self._unsent:
                sent = self.commands.send(memoryview(self._unsent)[: 4 * CHUNK])
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError:
            # Nobody reads any more: the end of the process is told elsewhere.
            self._unsent.clear()

    def read(self) -> Iterator[Record]:
        """The records that have come, of one read."""
        try:
            data = self.records.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            yield from self._records.feed(data)
        elif not self.told_all:
            self.told_all = True
            self.replaced = self._runs_something_else()

    def _runs_something_else(self) -> bool:
        """The channels are closed, but the process is not about to end: another program has it."""
        fields = stat_fields(str(self.pid))
        return len(fields) > 6 and fields[0] not in "ZX" and not int(fields[6]) & PF_EXITING  # noqa: PLR2004

    def started(self) -> None:
        """Bash runs: from now on another name is another program's."""
        self._name = name_of(self.pid)

    def ended(self) -> End | None:
        """How it ended, once it has."""
        name = name_of(self.pid)
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.pid, 0
        if pid == 0:
            return None
        self.pid = -1
        code = os.waitstatus_to_exitcode(status)
        why = "exit" if code >= 0 else "killed"
        if self.replaced or name != self._name:
            why = "exec"
        return End(status=code if code >= 0 else SIGNALLED - code, why=why)

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        if self.pid > 0:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def close(self) -> None:
        """Kill it, wait for it, and close all that is open."""
        if self.pid > 0:
            self.signal(signal.SIGKILL)
            _reap(self.pid)
            self.pid = -1
        if self.exit >= 0:
            os.close(self.exit)
            self.exit = -1
        self.commands.close()
        self.records.close()
        self.terminal.close()


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def wait(descriptors: tuple[int, ...], timeout_s: float) -> list[int]:
    """Those of the descriptors that can be read, or are at their end, within so many seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(max(0, timeout_s) * 1000)]
