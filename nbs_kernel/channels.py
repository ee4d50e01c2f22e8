"""The five sockets of a kernel, one poll for them and for plain descriptors. Alone imports zmq.

The sockets adopt descriptors that listen already (`ZMQ_USE_FD`): made outside, served inside. All
is sent without waiting: what is published goes through an `Outbox`; a reply to a peer that is about
to come back, as after a change of sandboxes, waits for it `RETURN_S`.
"""

from __future__ import annotations

import select
import time

import zmq

from nbs_kernel.messages import MalformedError, Message, Wire
from nbs_kernel.outbox import Outbox, Parcel
from nbs_kernel.report import warn
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from nbs_kernel.connection import Connection

REQUESTS = ("control", "shell", "stdin")
UNREAD_MESSAGES = 50
"""So many may wait for a client in the socket; of 64 KiB each they are 3 MiB."""
RETURN_S = 5.0
RETURN_RETRY_S = 0.02
LINGER_MS = 1000
HELD_BYTES = 16 << 20
"""Well below what a message to the supervisor may have."""
LARGEST_MESSAGE = 1 << 29
AT_ONCE = 200
UNCOUNTED = frozenset({"status", "execute_input"})


class Late(Value):
    """A message to a peer that is not there now, tried until `deadline`."""

    channel: str
    frames: list[bytes]
    deadline: float


class Channels:
    """Raises zmq.ZMQError where a socket cannot be had, ValueError for an unknown scheme."""

    def __init__(self, connection: Connection, listening: Mapping[str, int]) -> None:
        self.wire = Wire(connection.key, connection.signature_scheme)
        self.subscribers = self._expected = 0
        self._held_until = 0.0
        self.ports = {f"{channel}_port": port for channel, port in connection.ports}
        self._context = zmq.Context(io_threads=1)
        self._sockets = {name: self._socket(name, connection, fd) for name, fd in listening.items()}
        self._outbox = Outbox(self._publish_now, self._leave_out, self._notice)
        self._late: list[Late] = []
        self._poller = select.poll()
        self._descriptors = {name: int(socket.FD) for name, socket in self._sockets.items()}
        for own in self._descriptors.values():
            self._poller.register(own, select.POLLIN)
        self._own = frozenset(self._descriptors.values())
        self._used = True
        self._watched: dict[int, int] = {}

    def _socket(self, name: str, connection: Connection, descriptor: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.XPUB if name == "iopub" else zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, LINGER_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        socket.setsockopt(zmq.RCVHWM, 0)
        if name == "iopub":
            socket.setsockopt(zmq.SNDHWM, UNREAD_MESSAGES)
            socket.setsockopt(zmq.XPUB_NODROP, 1)
            # Every client is counted and welcomed, not only the first.
            socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        else:
            socket.setsockopt(zmq.SNDHWM, 0)
            # A client that reconnects keeps its identity and is not taken for a stranger.
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if connection.curve_secret:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, connection.curve_public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, connection.curve_secret)
        socket.setsockopt(zmq.IPV6, int(connection.transport == "tcp" and ":" in connection.ip))
        socket.setsockopt(zmq.USE_FD, descriptor)
        socket.bind(connection.endpoint(name))
        return socket

    @property
    def full(self) -> bool:
        """A client is slow: nothing more that could wait should be published."""
        return self._outbox.full

    def keep_pace(self, on: bool) -> None:
        """Stay below the rates at which a Jupyter server cuts output, or not."""
        self._outbox.keep_pace(on)

    def hold(self, subscribers: int) -> None:
        """Publish nothing until so many clients listen, or one, after RETURN_S.

        A client subscribes again when it looks for messages, and not before. What is published to
        nobody is lost, so until then it waits, unless it becomes too much.
        """
        if self.subscribers < subscribers:
            self._expected, self._held_until = subscribers, time.monotonic() + RETURN_S
            self._outbox.hold(self._held_until)

    def _hold_on(self, now: float) -> None:
        if not self._expected or now < self._held_until:
            return
        if self.subscribers or self.full:
            self._go_on()
        else:
            self._held_until = now + RETURN_S
            self._outbox.hold(self._held_until)

    def _go_on(self) -> None:
        self._expected = 0
        self._outbox.hold(0.0)

    def held(self) -> tuple[int, tuple[tuple[bytes, ...], ...]]:
        """How many clients listen, or are waited for, and what is held back from these.

        It is not published here any more. What is more than HELD_BYTES is left out.
        """
        parcels = self._outbox.taken() if self._expected else ()
        if sum(parcel.size() for parcel in parcels) > HELD_BYTES:
            parcels = ()
        return max(self.subscribers, self._expected), tuple(tuple(p.frames) for p in parcels)

    def publish_again(self, frames: tuple[bytes, ...]) -> None:
        """To every client: what a kernel before this one has held back."""
        self._put(Parcel(frames=list(frames), counted=True))

    def poll(
        self, watch: Mapping[int, int], timeout_s: float | None
    ) -> tuple[list[Message], list[int]]:
        """What came, and which of the descriptors of `watch` (with select.POLL… bits) are ready.

        Returns after `timeout_s` at the latest, None: when something is there. It may return
        with nothing.
        """
        self._watch(watch)
        self._send_late()
        now = time.monotonic()
        self._hold_on(now)
        if self._outbox.timeout(now) is not None:
            self._outbox.pump(now)
        # Whoever uses a socket takes notice of what came, and then no poll tells it any more.
        messages = self._receive() if self._used else []
        polled = [fd for fd, _ in self._poller.poll(self._milliseconds(messages, timeout_s))]
        # A socket's descriptor tells only that something changed: the socket has to be asked.
        if not self._own.isdisjoint(polled):
            messages = messages or self._receive()
            if self._descriptors["iopub"] in polled:
                self._outbox.stirred()
        return messages, [fd for fd in polled if fd in watch]

    def _milliseconds(self, messages: list[Message], timeout_s: float | None) -> int | None:
        if messages:
            return 0
        limits = (
            timeout_s,
            self._outbox.timeout(time.monotonic()),
            RETURN_RETRY_S if self._late else None,
        )
        known = [limit for limit in limits if limit is not None]
        return int(min(known) * 1000 + 0.999) if known else None

    def publish(
        self,
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """To every client, in order. Raises ValueError, TypeError for content that is not JSON."""
        if not self.subscribers:
            self._welcome()  # the first thing that a client gets
        _, frames = self.wire.pack(kind, content, parent, (kind.encode(),), metadata)
        idle = kind == "status" and content.get("execution_state") == "idle"
        parcel = Parcel(frames=frames, counted=kind not in UNCOUNTED, ends=parent if idle else None)
        self._put(parcel)

    def _put(self, parcel: Parcel) -> None:
        now = time.monotonic()
        self._hold_on(now)
        self._outbox.put(parcel, now)

    def reply(
        self,
        request: Message,
        kind: str,
        content: Mapping[str, Any],
        channel: str = "",
    ) -> str:
        """To the one who sent `request`, on its channel or another; the id of the message."""
        name = channel or request.channel
        msg_id, frames = self.wire.pack(kind, content, request.header, request.identities)
        if not self._sent(name, frames):
            deadline = time.monotonic() + RETURN_S
            self._late.append(Late(channel=name, frames=frames, deadline=deadline))
        return msg_id

    def close(self) -> None:
        """Stop listening; what clients have not taken after LINGER_MS is lost."""
        self._go_on()
        deadline = time.monotonic() + LINGER_MS / 1000
        while self._outbox.timeout(0.0) is not None and time.monotonic() < deadline:
            self._outbox.pump(time.monotonic())
            time.sleep(0.005)
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    def _watch(self, watch: Mapping[int, int]) -> None:
        if watch == self._watched:
            return
        for descriptor in self._watched.keys() - watch.keys():
            self._poller.unregister(descriptor)
        for descriptor, events in watch.items():
            self._poller.register(descriptor, events)
        self._watched = dict(watch)

    def _receive(self) -> list[Message]:
        self._used = False
        self._echo()
        self._welcome()
        messages = []
        for name in REQUESTS:
            for frames in self._frames(name):
                try:
                    messages.append(self.wire.unpack(name, frames))
                except MalformedError as error:
                    warn(f"a message on {name} is left unanswered: {error}")
        return messages

    def _frames(self, name: str) -> list[list[bytes]]:
        socket = self._sockets[name]
        frames: list[list[bytes]] = []
        while len(frames) < AT_ONCE and int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            try:
                frames.append(socket.recv_multipart(zmq.DONTWAIT))
            except zmq.Again:
                break
        # There may be more, of which no poll would tell.
        self._used = self._used or len(frames) == AT_ONCE
        return frames

    def _echo(self) -> None:
        while came := self._frames("hb"):
            for frames in came:
                self._sent("hb", frames)

    def _welcome(self) -> None:
        """Subscriptions: 1 (or 0 for the end of one) and the topic."""
        while came := self._frames("iopub"):
            for first in (frames[0] for frames in came):
                if first[:1] == b"\x01":
                    self.subscribers += 1
                    if self.subscribers >= self._expected:
                        self._go_on()
                    self._welcome_to(first[1:])
                elif first[:1] == b"\x00":
                    self.subscribers -= 1
                self._outbox.crowded = self.subscribers > 1

    def _welcome_to(self, topic: bytes) -> None:
        content = {"subscription": topic.decode("utf-8", "replace")}
        _, frames = self.wire.pack("iopub_welcome", content, {}, (topic,) if topic else ())
        self._outbox.put(Parcel(frames=frames), time.monotonic())

    def _sent(self, name: str, frames: Sequence[bytes]) -> bool:
        self._used = True
        try:
            self._sockets[name].send_multipart(frames, zmq.DONTWAIT)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def _send_late(self) -> None:
        if self._late:
            now = time.monotonic()
            self._late = [
                r for r in self._late if not self._sent(r.channel, r.frames) and now < r.deadline
            ]

    def _publish_now(self, frames: list[bytes]) -> bool:
        return self._sent("iopub", frames)

    def _leave_out(self, frames: list[bytes]) -> None:
        """To all but those who cannot take it, who from now on get nothing until they read."""
        warn("a client reads nothing: what is published is lost for it")
        socket = self._sockets["iopub"]
        socket.setsockopt(zmq.XPUB_NODROP, 0)
        self._sent("iopub", frames)
        socket.setsockopt(zmq.XPUB_NODROP, 1)

    def _notice(self, count: int, ended: Sequence[Mapping[str, Any]]) -> list[Parcel]:
        text = (
            f"\n[a client read nothing for some time; it has missed up to {count} messages, "
            "among them output]\n"
        )
        _, frames = self.wire.pack("stream", {"name": "stderr", "text": text}, {}, (b"stream",))
        parcels = [Parcel(frames=frames, counted=True)]
        for parent in ended:
            # A new message: clients refuse one that they have seen.
            idle = {"execution_state": "idle"}
            parcels.append(Parcel(frames=self.wire.pack("status", idle, parent, (b"status",))[1]))
        return parcels
