"""The connection file of a kernel, and the sockets that listen where it says."""

from __future__ import annotations

import errno
import json
import os
import socket
import time

from sandbox import Error, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
BACKLOG = 100
PREDECESSOR_S = 5.0
LARGEST_FILE = 65536


class Connection(Value):
    """What a connection file says: "Connection files" in the documentation of jupyter_client.

    `ports` are pairs of a channel and its port: a number, which for `ipc` is the end of a name.
    `key` signs messages; the keys of CurveZMQ are empty where it is not used.
    """

    path: str
    transport: str
    ip: str
    ports: tuple[tuple[str, int], ...]
    key: bytes
    signature_scheme: str
    curve_public: bytes = b""
    curve_secret: bytes = b""

    def endpoint(self, channel: str) -> str:
        """The address of a channel as ZeroMQ writes it."""
        if self.transport == "ipc":
            return f"ipc://{self._socket_path(channel)}"
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"tcp://{ip}:{dict(self.ports)[channel]}"

    def _socket_path(self, channel: str) -> str:
        return f"{self.ip}-{dict(self.ports)[channel]}"

    def listen(self) -> dict[str, int]:
        """Bind every channel and listen: the descriptors by channel.

        Clients that connect from now on wait in the backlog until the kernel takes them. Raises
        `Error` (`connection-refused`) where an address cannot be had.
        """
        listening: dict[str, int] = {}
        for channel, port in self.ports:
            try:
                listening[channel] = self._listener(channel, port)
            except OSError as error:
                for descriptor in listening.values():
                    os.close(descriptor)
                raise Error(
                    f"the kernel cannot listen at {self.endpoint(channel)}",
                    reason="connection-refused",
                    evidence=(f"bind() = {error.strerror or error}",),
                    hint="another kernel may have that port: start this one again",
                ) from None
        return listening

    def _listener(self, channel: str, port: int) -> int:
        with socket.socket(self._family()) as listener:
            if self.transport == "ipc":
                path = self._socket_path(channel)
                _remove_socket(path)
                before = os.umask(0o177)
                try:
                    listener.bind(path)
                finally:
                    os.umask(before)
            else:
                _bind(listener, (self.ip, port))
            listener.listen(BACKLOG)
            return listener.detach()

    def _family(self) -> int:
        if self.transport == "ipc":
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET

    def remove_sockets(self) -> None:
        """Of `ipc`, what `listen` has put into the file system."""
        if self.transport == "ipc":
            for channel in CHANNELS:
                _remove_socket(self._socket_path(channel))


def read_connection(path: str) -> Connection:
    """The connection file at `path`. Raises `Error` (`connection-file`)."""
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read(LARGEST_FILE))
        return _connection(path, data)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from None


def _connection(path: str, data: dict[str, Any]) -> Connection:
    transport = data.get("transport", "tcp")
    if transport not in ("tcp", "ipc"):
        raise ValueError(f"the transport {transport!r} is neither tcp nor ipc")
    ports = tuple((channel, int(data[f"{channel}_port"])) for channel in CHANNELS)
    if any(port <= 0 for _, port in ports):
        raise ValueError("it leaves a port open")
    return Connection(
        path=path,
        transport=transport,
        ip=str(data.get("ip") or ("127.0.0.1" if transport == "tcp" else "kernel-ipc")),
        ports=ports,
        key=str(data.get("key", "")).encode(),
        signature_scheme=str(data.get("signature_scheme") or "hmac-sha256"),
        curve_public=str(data.get("curve_publickey") or "").encode(),
        curve_secret=str(data.get("curve_secretkey") or "").encode(),
    )


def _unusable(path: str, why: str) -> Error:
    return Error(
        f"`{path}` is not a connection file that a kernel can use",
        reason="connection-file",
        evidence=(why,),
        hint="`jupyter console --kernel nbs` makes one and starts the kernel",
        exit_code=2,
    )


def _bind(listener: socket.socket, address: tuple[str, int]) -> None:
    """Raises OSError where another listens there, and goes on to for `PREDECESSOR_S`."""
    # A kernel that is restarted has the same ports as the one before, which, if it was killed,
    # may still be dying: nobody waits for what lives inside.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end = time.monotonic() + PREDECESSOR_S
    while True:
        try:
            return listener.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
        time.sleep(0.02)


def _remove_socket(path: str) -> None:
    try:  # noqa: SIM105  contextlib is not worth its import here
        os.unlink(path)
    except FileNotFoundError:
        pass
