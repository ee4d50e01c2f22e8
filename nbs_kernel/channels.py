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
LINGER_MS = 2000
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
        self.subscribers = 0
        self.ports = {f"{channel}_port": port for channel, port in connection.ports}
        self._context = zmq.Context(io_threads=1)
        self._sockets = {name: self._socket(name, connection, fd) for name, fd in listening.items()}
        self._outbox = Outbox(self._publish_now, self._lose, self._left_out)
        self._late: list[Late] = []
        self._poller = select.poll()
        for socket in self._sockets.values():
            self._poller.register(socket.FD, select.POLLIN)
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

    def poll(
        self, watch: Mapping[int, int], timeout_s: float | None
    ) -> tuple[list[Message], list[int]]:
        """What came, and which of the descriptors of `watch` (with select.POLL… bits) are ready.

        Returns after `timeout_s` at the latest, None: when something is there. It may return
        with nothing.
        """
        self._watch(watch)
        self._send_late()
        messages = self._receive()
        now = time.monotonic()
        if self._outbox.timeout(now) is not None:
            self._outbox.pump(now)
            # Whatever uses a socket may take notice of what came, and then no poll tells it.
            self._welcome()
        if messages:
            timeout_s = 0.0
        for limit in (self._outbox.timeout(now), RETURN_RETRY_S if self._late else None):
            if limit is not None:
                timeout_s = limit if timeout_s is None else min(limit, timeout_s)
        milliseconds = None if timeout_s is None else int(timeout_s * 1000 + 0.999)
        ready = [fd for fd, _ in self._poller.poll(milliseconds) if fd in watch]
        # A socket's descriptor tells only that something changed: the socket has to be asked.
        return messages or self._receive(), ready

    def publish(
        self,
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """To every client, in order. Raises ValueError, TypeError for content that is not JSON."""
        _, frames = self.wire.pack(kind, content, parent, (kind.encode(),), metadata)
        idle = kind == "status" and content.get("execution_state") == "idle"
        parcel = Parcel(frames=frames, counted=kind not in UNCOUNTED, state=idle)
        self._outbox.put(parcel, time.monotonic())

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
        deadline = time.monotonic() + LINGER_MS / 1000
        while self._outbox.full and time.monotonic() < deadline:
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
                    self._welcome_to(first[1:])
                elif first[:1] == b"\x00":
                    self.subscribers -= 1

    def _welcome_to(self, topic: bytes) -> None:
        content = {"subscription": topic.decode("utf-8", "replace")}
        _, frames = self.wire.pack("iopub_welcome", content, {}, (topic,) if topic else ())
        self._outbox.put(Parcel(frames=frames), time.monotonic())

    def _sent(self, name: str, frames: Sequence[bytes]) -> bool:
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

    def _lose(self, *, on: bool) -> None:
        self._sockets["iopub"].setsockopt(zmq.XPUB_NODROP, int(not on))
        if on:
            warn("a client reads nothing: what is published is lost for it")

    def _left_out(self, count: int) -> Parcel:
        text = (
            f"\n[a client read nothing for some time; it has missed up to {count} messages, "
            "among them output]\n"
        )
        content = {"name": "stderr", "text": text}
        _, frames = self.wire.pack("stream", content, {}, (b"stream",))
        return Parcel(frames=frames, counted=True)
