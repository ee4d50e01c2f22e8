"""What a kernel inside asks of its supervisor, which alone can do what only the host can."""

from __future__ import annotations

from nbs_kernel.requests import (
    LONGEST_SOURCE,
    Diff,
    Enter,
    Entered,
    Handover,
    Malformed,
    Reader,
    Refused,
    Remember,
    Shown,
    receive,
    send,
)
from sandbox import Error


class Outside:
    """The kernel's end of the socket."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._reader = Reader()

    def take_over(self) -> Handover:
        """What the kernel before this one left. Waits for it."""
        message = receive(self.descriptor, self._reader)
        return message if isinstance(message, Handover) else Handover()

    def enter(self, build: str, store: str = "", derivation: str = "", workspace: str = "") -> None:
        """Have another kernel made in the sandbox of `build`, "" for the same build as kept.

        With `workspace`, in that kept one instead. When this returns it is inside, and waits for
        `hand_over`. Raises `Error`.
        """
        try:
            send(
                self.descriptor,
                Enter(build=build, store=store, derivation=derivation, workspace=workspace),
            )
            answer = receive(self.descriptor, self._reader)
        except (OSError, Malformed) as error:
            raise _gone(str(error)) from None
        if isinstance(answer, Refused):
            raise answer.error()
        if not isinstance(answer, Entered):
            raise _gone("it gave no answer")

    def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
        """What was changed in the workspace, as a text with colours. Raises `Error`."""
        try:
            send(self.descriptor, Diff(stat=stat, since=since, paths=paths))
            answer = receive(self.descriptor, self._reader)
        except (OSError, Malformed) as error:
            raise _gone(str(error)) from None
        if isinstance(answer, Refused):
            raise answer.error()
        if not isinstance(answer, Shown):
            raise _gone("it gave no answer")
        return answer.text

    def hand_over(self, handover: Handover) -> None:
        """The last word of a kernel whose place is taken."""
        send(self.descriptor, handover)

    def remember(self, session: int, line: int, source: str) -> None:
        """Keep a line of history. What cannot be kept is not worth a word."""
        if len(source) <= LONGEST_SOURCE:
            try:  # noqa: SIM105  contextlib would be an import more
                send(self.descriptor, Remember(session=session, line=line, source=source))
            except OSError:
                pass


def _gone(why: str) -> Error:
    return Error(
        "the kernel's supervisor does not answer",
        reason="supervisor-gone",
        evidence=(why,),
        hint="restart the kernel",
    )
