"""The kernel: one thread, one loop. Requests come, cells run one after another, all is answered.

While a cell runs the loop goes on inside it (`Kernel.step`), so that help, interrupts and shutdown
are answered then; the next cell begins when it has ended.
"""

from __future__ import annotations

import select
import signal
import time
from collections import deque

from nbs_kernel import report
from nbs_kernel.answers import Answers
from nbs_kernel.bash.events import (
    Asked,
    Ended,
    Finished,
    InputWanted,
    Outcome,
    Output,
    PhasePassed,
)
from nbs_kernel.bash.shell import Shell
from nbs_kernel.bash.start import START_S
from nbs_kernel.execution import Cells, Execution, Stop
from nbs_kernel.executor import DONE, Executor
from nbs_kernel.magics.environment import pairs
from nbs_kernel.messages import MalformedError
from nbs_kernel.requests import Handover
from nbs_kernel.settings import Settings, pairs_of, settings_of
from nbs_kernel.signals import Signals
from nbs_kernel.typed.answers import Answers as TypedAnswers
from nbs_kernel.typed.history import History
from sandbox import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from nbs_kernel.bash.events import Event
    from nbs_kernel.channels import Channels
    from nbs_kernel.known import Known
    from nbs_kernel.messages import Message
    from nbs_kernel.outside import Outside
    from nbs_kernel.requests import Enter
    from sandbox import Command

    class Inside(Protocol):
        """What the kernel needs of the sandbox that it is in."""

        @property
        def shell(self) -> Command:
            """The bash of the build."""

        def start(self, command: Command) -> int:
            """Run a command in a pid namespace of its own; its process id."""


TICK_S = 0.1
REFRESH_S = 0.2
QUIET_S, QUIET_OF_MANY_S = 0.002, 0.02
QUIET_BEFORE_MOVE_S = 0.1
DRAINED_AT_MOST_S = 1.0


class Kernel:
    """`serve` it. `inside` is None where there is no sandbox, and `failure` is why."""

    def __init__(
        self,
        channels: Channels,
        inside: Inside | None,
        known: Known,
        outside: Outside,
        handover: Handover,
        failure: Error | None = None,
    ) -> None:
        self.channels = channels
        self.known = known
        self.outside = outside
        self.settings = settings_of(handover.settings)
        self.cells = Cells(self._start_shell)
        self.current: Execution | None = None
        self.ends: dict[int, Outcome | Ended] = {}
        self.queue: deque[Message] = deque()
        self.environment: tuple[tuple[str, str], ...] = ()
        self.history = History(known.history)
        self.typed = TypedAnswers(known.phase_help, outside.list_names)
        self._note = ""
        self._notices = known.notices
        self._inside = inside
        self._failure = failure
        self._handover = handover
        self._answers = Answers(self)
        self._executor = Executor(self, handover.execution_count)
        self._next_tick = 0.0
        self._refresh_at: float | None = None
        self._signals = Signals()
        outside.wait_with(self.step)

    def serve(self) -> int:
        """Answer until the end; the exit status of the process."""
        self._signals.install()
        self.channels.keep_pace(self.settings.limit_bytes > 0)
        try:
            self._begin()
            while True:
                if self._may_begin:
                    self._executor.execute(self.queue.popleft())
                    # Not at once: a cell that follows should not have to wait.
                    self._refresh_at = time.monotonic() + REFRESH_S
                self._step_safely()
        except Stop as stop:
            self._end(stop)
        return 0

    @property
    def _may_begin(self) -> bool:
        """A cell waits, and what came of those before it is not too much yet."""
        return bool(self.queue) and not self.channels.full

    def _begin(self) -> None:
        waiting = []
        for channel, frames in self._handover.requests:
            try:
                waiting.append(self.channels.wire.unpack(channel, frames))
            except MalformedError:
                continue
        try:
            # Before the first answer: it tells the version of bash.
            self.cells.shell()
        except Error as error:
            # The first cell tells it, and tries again.
            report.warn(error.message)
        if not self._handover.moved:
            self.tell("status", {"execution_state": "starting"}, {})
        elif waiting:
            # Clients reconnect on their own; what was published before, they would not get.
            self.channels.hold(self._handover.subscribers)
            for _, frames in self._handover.published:
                self.channels.publish_again(frames)
            self._executor.arrive(waiting.pop(0), self._handover)
        for message in waiting:
            self._receive(message)

    def _end(self, stop: Stop) -> None:
        self.cells.close()
        if stop.handover is None:
            self.channels.close()
            return
        # What comes from now on nobody here answers, but the other kernel.
        unread = self._under_way(QUIET_BEFORE_MOVE_S)
        waiting = tuple((m.channel, m.frames) for m in (*stop.requests, *self.queue, *unread))
        subscribers, held = self.channels.held()
        published = tuple(("iopub", frames) for frames in held)
        # Only then do the sockets belong to the other kernel alone.
        self.channels.close()
        handover = stop.handover.replace(
            requests=waiting, published=published, subscribers=subscribers
        )
        self.outside.hand_over(handover)

    def _under_way(self, quiet_s: float) -> list[Message]:
        """What comes until nothing has for so long."""
        found: list[Message] = []
        began = time.monotonic()
        quiet = began + quiet_s
        while (now := time.monotonic()) < min(quiet, began + DRAINED_AT_MOST_S):
            messages, _ = self.channels.poll({}, quiet - now)
            if messages:
                found += messages
                quiet = time.monotonic() + quiet_s
        return found

    def _step_safely(self) -> None:
        try:
            self.step()
        except Exception as error:  # noqa: BLE001  one bad event must not end the kernel
            report.of_bug(error)
            self.cells.close()

    def step(self) -> None:
        """Wait for something and handle it. Raises `Stop`."""
        watch = {self._signals.descriptor: select.POLLIN}
        is_heard = self.outside.is_asked and not self.channels.full
        asked = self.outside.descriptor if is_heard else -1
        if asked >= 0:
            watch[asked] = select.POLLIN
        # That a cell ends is heard at once, however slowly clients read what it has written.
        watch.update(self.cells.descriptors(output=not self.channels.full))
        messages, ready = self.channels.poll(watch, self._timeout())
        if self._signals.descriptor in ready:
            ready.remove(self._signals.descriptor)
            self._signalled(self._signals.taken())
        for message in messages:
            self._receive(message)
        answered = asked in ready
        if answered:
            ready.remove(asked)
        for event in self.cells.ready(ready):
            self._handle(event)
        self._on_time()
        if answered:
            self.outside.hear()

    def _timeout(self) -> float | None:
        if self._may_begin and self.current is None:
            return 0.0
        moments = self.cells.due()
        if self.cells.busy:
            moments.append(self._next_tick)
        if self.current is None and self._refresh_at is not None:
            moments.append(self._refresh_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _on_time(self) -> None:
        now = time.monotonic()
        if self.current is None and self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self.typed.refresh(self.cells.running)
        if self.cells.busy and now >= self._next_tick:
            self._next_tick = now + TICK_S
            for event in self.cells.tick():
                self._handle(event)
        self.cells.flush(now)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Output):
            self.cells.write(event)
        elif isinstance(event, InputWanted):
            self._executor.ask_for_input(secret=event.secret)
        elif isinstance(event, Asked):
            self._executor.show(event)
        elif isinstance(event, PhasePassed):
            self.outside.note_passed(event.words)
        elif isinstance(event, Finished):
            self.ends[event.cell] = event.outcome
        elif self.current is not None:
            self.ends[event.cell] = event
        else:
            how = report.status_words(event.status)
            self._note = f"[the shell had ended since the last cell ({how}): this is another]\n"
            self.cells.close()

    def _receive(self, message: Message) -> None:
        if message.kind == "execute_request" and not message.flaw:
            self.queue.append(message)
        elif message.kind == "input_reply":
            self._executor.take_input(message)
        else:
            self._answers.answer(message)

    def drain(self) -> None:
        """Take in all requests that are under way to here."""
        # Where some wait already, it is a whole notebook that is being sent.
        for message in self._under_way(QUIET_OF_MANY_S if self.queue else QUIET_S):
            self._receive(message)

    def tell(
        self,
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish to every front end."""
        self.channels.publish(kind, content, parent, metadata)

    def state(self, state: str, request: Message) -> None:
        """Say that the kernel is busy with a request, or no more."""
        self.tell("status", {"execution_state": state}, request.header)

    def _start_shell(self) -> Shell:
        if self._inside is None:
            raise self._failure or _nowhere()
        shell = Shell(
            self._inside.start,
            self._inside.shell,
            split=self.settings.split,
            terminal_input=self.settings.terminal_input,
        )
        self.environment = pairs(shell.ask(("environment",), START_S) or ())
        self.typed.begun = dict(self.environment)
        return shell

    @property
    def is_inside(self) -> bool:
        """There is a sandbox around this kernel."""
        return self._inside is not None

    def remember(self, count: int, code: str) -> None:
        """Make a cell part of the history, of later kernels of this build too."""
        item = self.history.append(count, code)
        if item is not None:
            self.outside.remember(*item)

    def take_note(self) -> bytes:
        """What the user has to know of the shell before the next cell; once."""
        note, self._note = self._note, ""
        return note.encode()

    def take_notices(self) -> bytes:
        """What the user has to know of the build before the first cell; once."""
        notices, self._notices = self._notices, ()
        return "".join(f"[{line}]\n" for line in notices).encode()

    def change(self, settings: Settings) -> None:
        """Other settings, from now on; for the shell from its next cell on."""
        self.settings = settings
        self.channels.keep_pace(settings.limit_bytes > 0)
        shell = self.cells.running
        if shell is not None:
            shell.set_streams(settings.split)
            shell.set_terminal_input(settings.terminal_input)

    def interrupt(self) -> None:
        """What runs has to end; each further call for the same cell insists more."""
        shell = self.cells.running
        if self.current is not None:
            self.current.interrupted = True
            self.current.input_request = ""
        self.outside.interrupt()
        if shell is not None and shell.busy:
            shell.interrupt()

    def move(self, asked: Enter, done: int) -> None:
        """Leave for a kernel in another sandbox. Raises `Error`, or else `Stop`.

        That one goes on with the cell that runs, after so many magic lines of it.
        """
        self.outside.enter(asked, self._say_moving)
        settings = (*pairs_of(self.settings), (DONE, done))
        handover = Handover(
            execution_count=self._executor.count, moved=self.current is not None, settings=settings
        )
        requests = (self.current.request,) if self.current is not None else ()
        raise Stop(handover, requests)

    def _say_moving(self) -> None:
        if self.current is not None:
            now = time.monotonic()
            self.current.output.write("stderr", b"[entering \xe2\x80\xa6]\n", now)
            self.current.output.flush(now)

    def stop(self) -> None:
        """End, after an answer to every execute request. Raises `Stop`."""
        self._executor.abandon()
        raise Stop

    def _signalled(self, numbers: frozenset[int]) -> None:
        if signal.SIGTERM in numbers or signal.SIGHUP in numbers:
            self.stop()
        if signal.SIGINT in numbers:
            self.interrupt()


def _nowhere() -> Error:
    return Error(
        "this kernel is in no sandbox",
        reason="no-sandbox",
        hint="`%enter BUILD` moves it into that of a failed build",
    )
