"""Stays outside: makes the kernel, passes signals on, does for it what only the host can.

Jupyter knows this process as the kernel. It holds the sockets that listen, so that one kernel after
another can serve the same clients, and it is the only one who can remove what a kernel leaves.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

import sandbox
from nbs_kernel.asked import answered, names
from nbs_kernel.child import Kernel
from nbs_kernel.comparing import difference
from nbs_kernel.errand import Errand
from nbs_kernel.exchange import READ_AT_ONCE, Malformed
from nbs_kernel.inside import live
from nbs_kernel.known import Found, find, nowhere, session_in
from nbs_kernel.remembered import Remembered
from nbs_kernel.requests import (
    Diff,
    Enter,
    Entered,
    Handover,
    Interrupt,
    ListNames,
    ListSnapshots,
    Passed,
    Refused,
    Remember,
    RemoveSnapshot,
    Restore,
    Run,
    TakeSnapshot,
    Tried,
)
from nbs_kernel.verb import Verb, command
from sandbox import Error, Inside, Signals
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.connection import Connection
    from sandbox import Session

EVIDENCE = 200


class Supervisor:
    """For the life of one connection file."""

    def __init__(self, connection: Connection, listening: dict[str, int], store: str) -> None:
        self._connection = connection
        self._listening = listening
        self._store = store
        self._signals = Signals()
        self._nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._parent = _parent()
        self._kernel: Kernel | None = None
        self._successor: Kernel | None = None
        self._leaving: list[Kernel] = []

    def run(self, build: str, workspace: str = "") -> int:
        """Serve until the kernel ends; its exit status."""
        self._kernel = self._first(build, workspace)
        self._kernel.tell(Handover())
        try:
            while True:
                status = self._wait(self._kernel)
                if status is not None:
                    return status
        finally:
            for kernel in (self._kernel, self._successor, *self._leaving):
                if kernel is not None:
                    kernel.close()

    def _first(self, build: str, workspace: str) -> Kernel:
        """A kernel in the sandbox of `build`, else one that says why there is none."""
        try:
            return self._make(find(build, self._store, workspace=workspace))
        except Error as error:
            return self._make_outside(error)

    def _make(self, found: Found) -> Kernel:
        known = found.known.replace(history=Remembered(found.known.name).lines())
        session = session_in(found)
        ours, theirs = socket.socketpair()
        connection, listening = self._connection, self._listening

        def life(inside: Inside) -> int:
            # The session has got its name by now.
            there = known.replace(workspace=session.name)
            return live(connection, listening, inside, there, theirs.fileno(), None)

        try:
            residence = sandbox.settle(
                found.sandbox,
                life,
                kept_open=(theirs.fileno(), *listening.values()),
                stdio=(self._nothing, 2, 2),
                session=session,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Kernel(residence, ours.detach(), found, session)

    def _make_outside(self, error: Error) -> Kernel:
        ours, theirs = socket.socketpair()
        connection, listening = self._connection, self._listening

        def life() -> int:
            return live(connection, listening, None, nowhere(error), theirs.fileno(), error)

        kept = (theirs.fileno(), *listening.values())
        residence = sandbox.stay_outside(life, kept_open=kept, stdio=(self._nothing, 2, 2))
        theirs.close()
        return Kernel(residence, ours.detach(), None)

    def _wait(self, kernel: Kernel) -> int | None:
        """Wait for one thing to happen, and act on it. A status when all is over."""
        ready = self._ready(kernel)
        if self._signals.descriptor in ready:
            self._pass_on(self._signals.next())
        if self._parent in ready:
            self._parent = -1
            self._pass_on(signal.SIGTERM)
        if kernel.errand is not None and kernel.errand.descriptor in ready:
            kernel.answer()
        if kernel.descriptor in ready:
            self._hear(kernel)
        self._bury()
        return self._ended(kernel) if kernel.residence.ended in ready else None

    def _ready(self, kernel: Kernel) -> set[int]:
        """The descriptors that can be read, once there is one, or patience is over."""
        watched = [self._signals.descriptor, kernel.residence.ended, *kernel.heard()]
        watched += [one.residence.ended for one in self._leaving]
        if self._parent >= 0:
            watched.append(self._parent)
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        if kernel.is_full and kernel.descriptor in watched:
            poll.register(kernel.descriptor, select.POLLIN | select.POLLOUT)
        events = dict(poll.poll(self._timeout_ms()))
        if events.get(kernel.descriptor, 0) & select.POLLOUT:
            kernel.is_full = False
        return {descriptor for descriptor, what in events.items() if what & ~select.POLLOUT}

    def _timeout_ms(self) -> int | None:
        kernels = [self._kernel, *self._leaving]
        ends = [one.deadline for one in kernels if one is not None and one.deadline]
        return max(0, int((min(ends) - time.monotonic()) * 1000) + 1) if ends else None

    def _bury(self) -> None:
        """End those whose patience is over, and take leave of those that have ended."""
        now = time.monotonic()
        for one in tuple(self._leaving):
            if one.residence.status() is not None or (one.deadline and now >= one.deadline):
                self._leaving.remove(one)
                one.close()
        kernel = self._kernel
        if kernel is not None and kernel.deadline and now >= kernel.deadline:
            kernel.residence.signal(signal.SIGKILL)

    def _ended(self, kernel: Kernel) -> int | None:
        """The kernel is gone: for good, or a successor waits for its place."""
        if self._kernel is not kernel:
            return None
        if self._successor is None:
            return kernel.close()
        self._succeed(Handover())
        return None

    def _succeed(self, handover: Handover) -> None:
        old, new = self._kernel, self._successor
        assert old is not None and new is not None  # noqa: PT018, S101  both are there by now
        old.end_soon()
        self._leaving.append(old)
        self._kernel, self._successor = new, None
        new.tell(handover)

    def _pass_on(self, number: int) -> None:
        kernel = self._kernel
        if kernel is None:
            return
        if number == signal.SIGINT:
            kernel.residence.signal(number)
        else:
            kernel.residence.signal(signal.SIGTERM)
            kernel.end_soon()

    def _hear(self, kernel: Kernel) -> None:
        """What a kernel asks; one that speaks another language is not listened to any more."""
        try:
            data = os.read(kernel.descriptor, READ_AT_ONCE)
            if not data:
                kernel.end_soon()
            for message in kernel.reader.feed(data):
                self._answer(kernel, message)
        except (OSError, Malformed):
            kernel.end_soon()

    def _answer(self, kernel: Kernel, message: Passed) -> None:
        match message:
            case Enter() if self._successor is None and kernel.errand is None:
                kernel.tell(self._enter(kernel, message))
            case Interrupt() | Remember() | Tried():
                _take_note(kernel, message)
            case Handover() if self._successor is not None:
                self._succeed(message)
            case _:
                errand = _errand(kernel, message) if kernel.errand is None else None
                if errand is None:
                    kernel.tell(_not_done(message))
                kernel.errand = errand or kernel.errand

    def _enter(self, kernel: Kernel, asked: Enter) -> Entered | Refused:
        own = None if asked.build or asked.workspace else kernel.found
        if own is not None:
            asked = asked.replace(
                build=own.path,
                store=own.store,
                derivation=own.derivation,
                tools=asked.tools or own.tools,
            )
        try:
            wanted = find(
                asked.build,
                asked.store or self._store,
                asked.derivation,
                asked.workspace,
                _named(asked.tools),
                # Else a cell could name any directory of the caller's, and a derivation with it.
                telling=own is None,
            )
            self._successor = self._make(_told_what_stays(wanted, kernel.session))
        except Error as error:
            return Refused.of(error)
        return Entered()


def _named(tools: tuple[str, ...]) -> tuple[str, ...]:
    """What is asked for from inside names no file: it is found as a command of the caller's is.

    Raises `sandbox.Error`.
    """
    for tool in tools:
        if "/" in tool:
            raise UsageError(
                "a notebook names a tool as its PATH has it, and no path",
                reason="tool-refused",
                evidence=(sandbox.one_line(tool),),
                hint="`NBS_WITH_TOOLS=PATH` of Jupyter's environment takes one",
            )
    return tools


def _take_note(kernel: Kernel, message: Interrupt | Remember | Tried) -> None:
    """Of what is not answered."""
    living, found = kernel.residence.living, kernel.found
    match message:
        case Interrupt() if kernel.errand is not None:
            kernel.errand.give_up()
        case Remember() if found is not None:
            name = found.known.name
            Remembered(name).append(message.session, message.line, message.source)
        case Tried() if living is not None:
            try:
                living.note_passed(message.call)
            except OSError as error:
                sys.stderr.write(f"what `phase` was tried with is not kept: {error}\n")
        case _:
            pass


def _errand(kernel: Kernel, asked: Passed) -> Errand | Verb | None:
    """Somebody to do what is asked for, which may take long; None where it is not done."""
    session, living = kernel.session, kernel.residence.living
    match asked:
        case ListNames():
            return Errand(lambda _: names(asked), harmless=True)
        case Diff() if session is not None:
            return Errand(lambda _: difference(session, asked), harmless=True)
        case TakeSnapshot() | RemoveSnapshot() | ListSnapshots() | Restore() if living is not None:
            return Errand(lambda progress: answered(living, asked, progress))
        case Run() if session is not None:
            words = command(asked, session.name)
            return Verb(words) if words is not None else None
        case _:
            return None


def _not_done(asked: Passed) -> Refused:
    what = [asked.verb, *asked.words] if isinstance(asked, Run) else [type(asked).__name__]
    return Refused(
        message="the supervisor does not do that",
        reason="request-refused",
        evidence=(sandbox.one_line(" ".join(what))[:EVIDENCE],),
    )


def _told_what_stays(found: Found, session: Session | None) -> Found:
    """The newcomer says where the changes are that were made in the kernel before it."""
    if session is None or not session.is_changed():
        return found
    line = f"what was changed until now is kept: `%enter --ws {session.name}` goes back to it"
    return found.replace(known=found.known.replace(banner=(*found.known.banner, line)))


def _parent() -> int:
    """A pidfd of the front end that started us, -1 if none says so: see JPY_PARENT_PID."""
    try:
        parent = int(os.environ.get("JPY_PARENT_PID", ""))
        return os.pidfd_open(parent) if parent == os.getppid() else -1
    except (ValueError, OSError):
        return -1
