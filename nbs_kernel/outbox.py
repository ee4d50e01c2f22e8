"""What is published waits here while a client is slow: nothing is lost, until one is stuck.

The socket takes a message for all clients or, while one has too many unread, for none. Then the
message waits and `full` is true, so that whoever makes more of them stops. A client that takes
nothing for `STUCK_S` is given up: messages go to those who can take them. As soon as all can again,
a notice tells that some were left out, and the states that would end a client's waiting are told
once more.
"""

from __future__ import annotations

from collections import deque

from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Lose(Protocol):
        """Leave out those who cannot take a message (on), or refuse it (off)."""

        def __call__(self, *, on: bool) -> None: ...


STUCK_S = 10.0
RETRY_S = 0.02
RECOVERY_S = 0.5
STATES_KEPT = 1000
WINDOW_S = 3.2
WINDOW_BYTES = 2_600_000
WINDOW_MESSAGES = 2500
"""Jupyter's server cuts what goes beyond 3 MB or 3,000 messages in 3 seconds; less here, as
messages may take unequal times to get there."""


class Pace:
    """Holds back what would be more than a Jupyter server passes on in a window of time."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def wait(self, now: float, size: int) -> float:
        """Seconds after which to ask again; 0: a message of so many bytes may go now."""
        while self._sent and self._sent[0][0] <= now - WINDOW_S:
            self._bytes -= self._sent.popleft()[1]
        over = self._bytes + size > WINDOW_BYTES or len(self._sent) >= WINDOW_MESSAGES
        # A message larger than the window goes when nothing else is in it.
        return self._sent[0][0] + WINDOW_S - now if over and self._sent else 0.0

    def count(self, now: float, size: int) -> None:
        """A message of so many bytes went."""
        self._sent.append((now, size))
        self._bytes += size


class Parcel(Value):
    """The frames of one message. `counted`: a server's limits count it. `state`: it says idle."""

    frames: list[bytes]
    counted: bool = False
    state: bool = False

    def size(self) -> int:
        """Bytes, as a server counts them."""
        return sum(map(len, self.frames))


class Outbox:
    """In order, as fast as clients take it.

    `send` gives frames to the socket and says whether it took them; `notice` makes the parcel that
    tells how many were left out.
    """

    def __init__(
        self,
        send: Callable[[list[bytes]], bool],
        lose: Lose,
        notice: Callable[[int], Parcel],
    ) -> None:
        self._send = send
        self._lose = lose
        self._notice = notice
        self._waiting: deque[Parcel] = deque()
        self._pace: Pace | None = None
        self._refused_since: float | None = None
        self._losing = False
        self._lost = 0
        self._states: deque[Parcel] = deque(maxlen=STATES_KEPT)
        self._again = 0.0

    @property
    def full(self) -> bool:
        """Something waits: make no more."""
        return bool(self._waiting)

    def keep_pace(self, on: bool) -> None:
        """Whether to stay below the limits of a Jupyter server, from now on."""
        if on != (self._pace is not None):
            self._pace = Pace() if on else None

    def put(self, parcel: Parcel, now: float) -> None:
        """Publish after all that waits."""
        self._waiting.append(parcel)
        if len(self._waiting) == 1:
            self.pump(now)

    def pump(self, now: float) -> None:
        """Publish what can be."""
        if self._losing and now >= self._again:
            self._try_to_recover(now)
        while self._waiting:
            wait = self._offer(now)
            if wait > 0:
                self._again = now + wait
                return
            self._waiting.popleft()

    def timeout(self, now: float) -> float | None:
        """Seconds after which to pump again; None: not before there is something new."""
        if self._waiting or self._losing:
            return max(0.0, self._again - now)
        return None

    def _offer(self, now: float) -> float:
        """0.0: the first parcel went. Else the seconds to wait."""
        parcel = self._waiting[0]
        if self._pace is not None and parcel.counted:
            wait = self._pace.wait(now, parcel.size())
            if wait > 0:
                return wait
        if not self._send(parcel.frames):
            return self._refused(now)
        self._refused_since = None
        if self._losing:
            self._lost += 1
            if parcel.state:
                self._states.append(parcel)
        if self._pace is not None and parcel.counted:
            self._pace.count(now, parcel.size())
        return 0.0

    def _refused(self, now: float) -> float:
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since >= STUCK_S and not self._losing:
            self._losing = True
            self._lost = 0
            self._lose(on=True)
        return RETRY_S

    def _try_to_recover(self, now: float) -> None:
        self._lose(on=False)
        if self._send(self._notice(self._lost).frames):
            self._losing = False
            self._refused_since = None
            self._waiting.extendleft(reversed(self._states))
            self._states.clear()
        else:
            self._lose(on=True)
            self._again = now + RECOVERY_S
