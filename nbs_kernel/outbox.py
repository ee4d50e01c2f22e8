"""What is published waits here while a client is slow: nothing is lost, until one is stuck.

The socket takes a message for all clients or, while one has too many unread, for none. Then the
message waits, and when much does `full` is true, so that whoever makes more of them stops. A client
that takes nothing for `STUCK_S`, while it keeps others waiting or much waits, is left out until it
reads again, which ZeroMQ tells nobody. So a notice, with
the states that would end a client's waiting, goes out as soon as nothing else does, for one that is
back by then; and once more when the socket stirs without anybody having sent anything.
"""

from __future__ import annotations

from collections import deque

from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

STUCK_S = 10.0
RETRY_S, RETRY_LATER_S = 0.02, 0.5
QUIET_S = 0.2
WAITING_BYTES = 1 << 20
ENDS_KEPT = 1000
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
    """The frames of one message. `counted`: a server's limits count it.

    `ends` is what the message ends, if it says that the kernel is idle: the header of a request.
    """

    frames: list[bytes]
    counted: bool = False
    ends: Mapping[str, Any] | None = None

    def size(self) -> int:
        """Bytes, as a server counts them."""
        return sum(map(len, self.frames))


class Outbox:
    """In order, as fast as clients take it.

    `send` gives frames to the socket and says whether it took them, `leave_out` gives them to those
    alone who can take them; `notice` makes the parcels that tell how many were missed, and again
    that requests have ended. `crowded`: there is more than one client.
    """

    def __init__(
        self,
        send: Callable[[list[bytes]], bool],
        leave_out: Callable[[list[bytes]], None],
        notice: Callable[[int, tuple[Mapping[str, Any], ...]], list[Parcel]],
    ) -> None:
        self._send = send
        self._leave_out = leave_out
        self._notice = notice
        self._waiting: deque[Parcel] = deque()
        self._size = 0
        self.crowded = False
        self._pace: Pace | None = None
        self._refused_since: float | None = None
        self._again = 0.0
        self._sent_at = 0.0
        self._held_until = 0.0
        self._behind = self._told = self._stirred = False
        self._lost = 0
        self._ended: deque[Mapping[str, Any]] = deque(maxlen=ENDS_KEPT)

    @property
    def full(self) -> bool:
        """Much waits: make no more."""
        return self._size > WAITING_BYTES

    def keep_pace(self, on: bool) -> None:
        """Whether to stay below the limits of a Jupyter server, from now on."""
        if on != (self._pace is not None):
            self._pace = Pace() if on else None

    def put(self, parcel: Parcel, now: float) -> None:
        """Publish after all that waits."""
        self._waiting.append(parcel)
        self._size += parcel.size()
        if len(self._waiting) == 1:
            self.pump(now)

    def hold(self, until: float) -> None:
        """Publish nothing before; 0.0: go on."""
        self._held_until = self._again = until

    def taken(self) -> tuple[Parcel, ...]:
        """All that waits, which nobody here publishes any more."""
        waiting = tuple(self._waiting)
        self._waiting.clear()
        self._size = 0
        return waiting

    def pump(self, now: float) -> None:
        """Publish what can be."""
        if now < self._held_until:
            self._again = self._held_until
            return
        self._held_until = 0.0
        while self._waiting:
            wait = self._offer(now)
            if wait > 0:
                self._again = now + wait
                return
            self._size -= self._waiting.popleft().size()
        if self._news and now >= self._sent_at + QUIET_S:
            self._tell(now)

    @property
    def _news(self) -> bool:
        return self._behind and (self._stirred or not self._told)

    def stirred(self) -> None:
        """The socket has something to tell, but no message: perhaps a client reads again."""
        self._stirred = self._told

    def timeout(self, now: float) -> float | None:
        """Seconds after which to pump again; None: not before there is something new."""
        if self._waiting:
            return max(0.0, self._again - now)
        if self._news:
            return max(0.0, self._sent_at + QUIET_S - now)
        return None

    def _offer(self, now: float) -> float:
        """0.0: the first parcel went. Else the seconds to wait."""
        parcel = self._waiting[0]
        if self._pace is not None and parcel.counted:
            wait = self._pace.wait(now, parcel.size())
            if wait > 0:
                return wait
        if self._send(parcel.frames):
            self._refused_since = None
        elif (wait := self._patience(now)) > 0:
            return wait
        else:
            self._leave_out(parcel.frames)
            self._behind, self._told, self._stirred = True, False, False
            self._refused_since = None
        self._gone(parcel, now)
        return 0.0

    def _patience(self, now: float) -> float:
        """Seconds after which to offer again what was refused; 0.0: somebody is stuck."""
        if self._refused_since is None:
            self._refused_since = now
        if now < self._refused_since + 1:
            return RETRY_S
        stuck = now >= self._refused_since + STUCK_S and (self.crowded or self.full)
        return 0.0 if stuck else RETRY_LATER_S

    def _gone(self, parcel: Parcel, now: float) -> None:
        self._sent_at = now
        if self._behind:
            self._lost += 1
            if parcel.ends is not None:
                self._ended.append(parcel.ends)
        if self._pace is not None and parcel.counted:
            self._pace.count(now, parcel.size())

    def _tell(self, now: float) -> None:
        self._sent_at = now
        for parcel in self._notice(self._lost, tuple(self._ended)):
            if not self._send(parcel.frames):
                # Somebody is slow, and will be told when that is over.
                return
        if self._stirred:
            self._behind = self._told = self._stirred = False
            self._lost = 0
            self._ended.clear()
        else:
            self._told = True
