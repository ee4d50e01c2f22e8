"""What a kernel inside asks of its supervisor, which alone can do what only the host can."""

from __future__ import annotations

import os
import re
import select

from nbs_kernel.exchange import LONGEST_SOURCE, READ_AT_ONCE, Malformed, Reader, receive, send
from nbs_kernel.requests import (
    Diff,
    Enter,
    Entered,
    Handover,
    Interrupt,
    ListNames,
    ListSnapshots,
    Names,
    Ran,
    Refused,
    Remember,
    RemoveSnapshot,
    Restore,
    Restored,
    Run,
    Said,
    Shown,
    Snapshots,
    TakeSnapshot,
    Tried,
)
from sandbox import Error, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.requests import Passed


SILENT_S = 1.0
"""What takes longer is told to be under way."""


class Outside:
    """The kernel's end of the socket.

    `is_asked`: an answer is waited for; whoever waits can go on with all else meanwhile, see
    `wait_with`.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_asked = False
        self._reader = Reader()
        self._answers: list[Passed] = []
        self._wait: Callable[[], None] = self.hear

    def wait_with(self, step: Callable[[], None]) -> None:
        """Call `step` until there is an answer: it calls `hear` when `descriptor` can be read."""
        self._wait = step

    def hear(self) -> None:
        """Take in what comes. Raises `Error` where nothing more will."""
        try:
            data = os.read(self.descriptor, READ_AT_ONCE)
            self._answers += self._reader.feed(data)
        except (OSError, Malformed) as error:
            raise _gone(str(error)) from None
        if not data:
            raise _gone("it gave no answer")

    def interrupt(self) -> None:
        """What was asked for is not wanted any more; the answer comes all the same."""
        if self.is_asked:
            self._tell(Interrupt())

    def take_over(self) -> Handover:
        """What the kernel before this one left. Waits for it."""
        message = receive(self.descriptor, self._reader)
        return message if isinstance(message, Handover) else Handover()

    def enter(self, asked: Enter, tell: Callable[[], None] = lambda: None) -> None:
        """Have another kernel made in the sandbox that is asked for.

        When this returns it is inside, and waits for `hand_over`. `tell` is called once if that
        takes longer than `SILENT_S`. Raises `Error`.
        """
        begun = [tell]

        def wait() -> None:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            if begun and not poll.poll(SILENT_S * 1000):
                begun.pop()()
            self.hear()

        # What comes meanwhile is the other kernel's: with the end of this one it would be lost.
        answer = self._ask(asked, wait)
        if not isinstance(answer, Entered):
            raise _gone("it gave no answer")

    def list_names(self, kind: str) -> tuple[str, ...]:
        """The names of "builds", "workspaces" or "snapshots"; none while something is asked for.

        It is for somebody who types: what cannot be had now is left out without a word.
        """
        if self.is_asked:
            return ()
        asked = ListSnapshots() if kind == "snapshots" else ListNames(of=kind)
        try:
            answer = self._ask(asked, self.hear)
        except Error:
            return ()
        if isinstance(answer, Snapshots):
            return tuple(name for name, *_ in answer.found)
        return answer.found if isinstance(answer, Names) else ()

    def take_snapshot(self, name: str, kept: int = 0) -> Snapshot:
        """Keep the files as they are. Raises `Error`."""
        return self._snapshots(TakeSnapshot(name=name, kept=kept))[0]

    def remove_snapshot(self, name: str) -> None:
        """Raises `Error`."""
        self._snapshots(RemoveSnapshot(name=name))

    def list_snapshots(self) -> tuple[Snapshot, ...]:
        """The oldest first, without `failed`. Raises `Error`."""
        return self._snapshots(ListSnapshots())

    def restore(self, name: str, *, kill: bool) -> tuple[str, ...]:
        """Put the files back; what to say of it. Raises `Error`."""
        answer = self._ask(Restore(name=name, kill=int(kill)))
        if not isinstance(answer, Restored):
            raise _gone("it gave no answer")
        return answer.words

    def _snapshots(self, asked: Passed) -> tuple[Snapshot, ...]:
        answer = self._ask(asked)
        if not isinstance(answer, Snapshots):
            raise _gone("it gave no answer")
        return tuple(
            Snapshot(name=name, created=float(created), files=files, bytes=size)
            for name, created, files, size in answer.found
        )

    def _ask(
        self,
        asked: Passed,
        wait: Callable[[], None] | None = None,
        said: Callable[[str], None] = lambda _: None,
    ) -> Passed:
        try:
            send(self.descriptor, asked)
        except OSError as error:
            raise _gone(str(error)) from None
        self.is_asked = True
        try:
            answer = self._next(wait or self._wait)
            while isinstance(answer, Said):
                said(answer.text)
                answer = self._next(wait or self._wait)
        finally:
            self.is_asked = False
        if isinstance(answer, Refused):
            raise in_a_notebook(answer.error())
        return answer

    def _next(self, wait: Callable[[], None]) -> Passed:
        while not self._answers:
            wait()
        return self._answers.pop(0)

    def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
        """What was changed in the workspace, as a text with colours. Raises `Error`."""
        answer = self._ask(Diff(stat=stat, since=since, paths=paths))
        if not isinstance(answer, Shown):
            raise _gone("it gave no answer")
        return answer.text

    def run(self, verb: str, words: tuple[str, ...], said: Callable[[str], None]) -> int:
        """Run one of nbs's commands on the workspace: its exit status. Raises `Error`.

        `said` is called with what it says, as it comes.
        """
        answer = self._ask(Run(verb=verb, words=words), said=said)
        if not isinstance(answer, Ran):
            raise _gone("it gave no answer")
        return answer.status

    def hand_over(self, handover: Handover) -> None:
        """The last word of a kernel whose place is taken."""
        send(self.descriptor, handover)

    def remember(self, session: int, line: int, source: str) -> None:
        """Keep a line of history. What cannot be kept is not worth a word."""
        if len(source) <= LONGEST_SOURCE:
            self._tell(Remember(session=session, line=line, source=source))

    def note_passed(self, words: tuple[str, ...]) -> None:
        """The word `phase` has ended well, called with these words."""
        if sum(map(len, words)) <= LONGEST_SOURCE:
            self._tell(Tried(call=words))

    def _tell(self, message: Passed) -> None:
        """What is not answered. That nobody is there is noticed by who waits for an answer."""
        try:  # noqa: SIM105  contextlib would be an import more
            send(self.descriptor, message)
        except OSError:
            pass


def in_a_notebook(error: Error) -> Error:
    """The same error; where its hint is a command for which there is a magic one, that."""
    hint = _WHOLE.sub(r"`%\1`", _ENTERED.sub(r"`%enter --ws \1`", error.hint))
    return type(error)(
        error.message,
        reason=error.reason,
        evidence=error.evidence,
        hint=hint,
        exit_code=error.exit_code,
    )


# What is only possible outside stays as it is: `nbs restore` where somebody is inside.
_WHOLE = re.compile(r"`nbs (snapshots|snapshot(?: --remove \S+)?|diff)(?: \S+)?`")
_ENTERED = re.compile(r"`nbs shell --ws (\S+)`")


def _gone(why: str) -> Error:
    return Error(
        "the kernel's supervisor does not answer",
        reason="supervisor-gone",
        evidence=(why,),
        hint="restart the kernel",
    )
