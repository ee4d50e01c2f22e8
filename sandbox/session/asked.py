"""Words that are said inside a session, and what comes of them outside.

What is inside only says words, over a socket; all that they ask for is done here, where the
workspace's lock is.
"""

from __future__ import annotations

import os
import socket

from sandbox.errors import Error, UsageError
from sandbox.model import envvars
from sandbox.model.printable import one_line
from sandbox.session.living import given_up
from sandbox.session.snapshots import listing, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from sandbox.session.living import Living
    from sandbox.workspace.snapshots import Progress

LONGEST_LINE = 256
LONGEST_TOKEN = 9
CANCEL, PASSED = "cancel", b"passed"
READ_AT_ONCE, LONGEST_UNREAD = 4096, 1 << 18
USAGE = "snapshot [NAME] | snapshot --remove NAME | restore [NAME] [--kill] | snapshots"


class Asked:
    """The session's socket, as its supervisor sees it: lines come in, and are answered.

    One request is carried out at a time, in a forked process, so that the terminal goes on. A line
    is a number and words; each line of the answer begins with the number, then `|` and
    text, at last `=` and a status. The number and `cancel` end what is being done, if nothing has
    changed by it yet; `passed` and the words, quoted by bash, that `phase` has ended well with are
    kept and not answered. Whatever runs inside can say such lines.
    """

    def __init__(self, living: Living) -> None:
        self._living = living
        self._ours, self._theirs = socket.socketpair()
        self.handed = self._theirs.fileno()
        self._unread = b""
        self._worker = self._ended = -1
        self._is_over = False

    def adopt(self, pid: int) -> None:
        """The first process is there, and waits."""
        self._living.adopt(pid)

    def begin(self) -> None:
        """The command has its end: ours is not needed any more."""
        self._theirs.close()

    @property
    def watched(self) -> int:
        """What to wait for until it can be read; -1 if nothing more will come."""
        if self._ended >= 0:
            return self._ended
        return -1 if self._is_over else self._ours.fileno()

    def ready(self) -> None:
        """It can be read."""
        if self._ended >= 0:
            self._bury()
        else:
            self._read()
        while b"\n" in self._unread and self._ended < 0:
            line, _, self._unread = self._unread.partition(b"\n")
            self._start(line)

    def _read(self) -> None:
        try:
            data = self._ours.recv(READ_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._is_over = True
        self._unread += data
        if len(self._unread) > LONGEST_UNREAD:
            # Nobody whom we know speaks so long.
            self._unread = b""

    def _start(self, line: bytes) -> None:
        if _parsed(line)[1] == [CANCEL]:
            # It comes too late.
            return
        _, word, rest = (*line.split(b" ", 2), b"", b"")[:3]
        if word == PASSED:
            self._note(envvars.words(rest))
            return
        self._worker = os.fork()
        if self._worker == 0:
            self._work(line)
        self._ended = os.pidfd_open(self._worker)

    def _note(self, words: tuple[str, ...]) -> None:
        try:
            self._living.note_passed(words)
        except OSError:
            # A full disk. The phase has passed all the same.
            return

    def _work(self, line: bytes) -> Never:
        try:
            token, said, status = answer(self._living, line, self._unless_cancelled(line))
            lines = [f"{token}|{one_line(text)}\n" for text in said]
            self._ours.sendall("".join((*lines, f"{token}={status}\n")).encode(errors="replace"))
        finally:
            os._exit(0)

    def _unless_cancelled(self, line: bytes) -> Progress:
        """To be called now and then by what may be given up: when that is said, or nobody is left.

        It only looks at what comes; the parent reads it.
        """
        word = f"{_parsed(line)[0]} {CANCEL}".encode()
        waiting = self._unread

        def progress(_: int, __: int) -> None:
            try:
                more = self._ours.recv(READ_AT_ONCE, socket.MSG_DONTWAIT | socket.MSG_PEEK)
            except BlockingIOError:
                return
            if not more or word in (waiting + more).split(b"\n"):
                raise given_up()

        return progress

    def _bury(self) -> None:
        os.waitpid(self._worker, 0)
        os.close(self._ended)
        self._worker = self._ended = -1

    def close(self) -> None:
        """Wait for what is being done, and let go. Nobody inside listens any more: what is
        still to be said, to an end that somebody may have sent to itself, is not waited for."""
        self._theirs.close()
        if self._ended >= 0:
            self._ours.shutdown(socket.SHUT_RDWR)
        if self._ended >= 0:
            self._bury()
        self._ours.close()
        self._living.close()


def answer(
    living: Living, line: bytes, progress: Progress | None = None
) -> tuple[str, tuple[str, ...], int]:
    """The request's number, what to say, and a status. Never raises."""
    token, words = _parsed(line)
    try:
        return token, _carry_out(living, words, progress), 0
    except Error as error:
        hint = (f"hint: {error.hint}",) if error.hint else ()
        lines = (f"error: {error.message}", *(f"  {text}" for text in error.evidence), *hint)
        return token, lines, error.exit_code
    except Exception as error:  # noqa: BLE001  the shell inside waits for an answer
        return token, (f"error: {type(error).__name__}: {error}",), 125


def _parsed(line: bytes) -> tuple[str, list[str]]:
    """The number of a request, 0 if it has none, and its words."""
    token, *words = line[:LONGEST_LINE].decode("ascii", "replace").split(" ")
    is_number = token.isdecimal() and len(token) <= LONGEST_TOKEN
    return token if is_number else "0", [word for word in words if word]


def _carry_out(living: Living, words: list[str], progress: Progress | None) -> tuple[str, ...]:
    match words:
        case ["snapshot", "--remove", name]:
            living.remove(name)
            return (f"removed: {name}",)
        case ["snapshot", *names] if _are_few(names):
            return (told(living.snapshot("".join(names), progress=progress)),)
        case ["snapshots"]:
            return listing(living.snapshots())
        case ["restore", *rest]:
            kill = "--kill" in rest
            names = [word for word in rest if word != "--kill"]
            if _are_few(names):
                return living.restore("".join(names), kill=kill, progress=progress).words
        case _:
            pass
    raise UsageError("that is not understood", reason="snapshot-usage", hint=f"`{USAGE}`")


def _are_few(names: list[str]) -> bool:
    """One at most, and no option."""
    return len(names) <= 1 and not any(name.startswith("-") for name in names)
