"""Jupyter messages as values, and as the frames that travel.

The wire format of the Jupyter messaging protocol 5: identities, a delimiter, the HMAC of the next
four frames, then header, parent header, metadata and content in JSON. `jupyter_client.session` is
not used: to import it takes four times as long as everything else a kernel needs, most of it
asyncio, tornado and traitlets, none of which a kernel in a sandbox has a use for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time

from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

PROTOCOL = "5.5"
DELIMITER = b"<IDS|MSG>"
PARTS = 4
SIGNATURES_KEPT = 8192
"""Of so many messages the signatures are remembered: one that comes twice is a replay."""


class MalformedError(ValueError):
    """What came is no message, or none of somebody who knows the key: nothing can be answered."""


class BadRequestError(ValueError):
    """A request asks for what makes no sense; the answer says so."""


class Message(Value):
    """A message that came, on `channel`, from the peer with these identities.

    `flaw` says what is wrong with one that can be answered, but not be understood; its content is
    empty then. `frames` are all that came, as they came.
    """

    channel: str
    identities: tuple[bytes, ...]
    header: dict[str, Any]
    parent: dict[str, Any]
    content: dict[str, Any]
    metadata: dict[str, Any]
    flaw: str
    frames: tuple[bytes, ...]

    @property
    def kind(self) -> str:
        """The type of the message: `execute_request` and so on."""
        kind: str = self.header["msg_type"]
        return kind


class Wire:
    """Packs and unpacks messages, signed with the key of one connection file.

    Raises ValueError for a signature scheme that is not `hmac-` and a hash.
    """

    def __init__(self, key: bytes, scheme: str) -> None:
        kind, _, digest = scheme.partition("-")
        if key and (kind != "hmac" or digest not in hashlib.algorithms_available):
            raise ValueError(f"the signature scheme `{scheme}` is not known")
        self._keyed = hmac.new(key, digestmod=digest) if key else None
        self._session = os.urandom(16).hex()
        self._sent = 0
        self._seen: dict[bytes, None] = {}

    def pack(
        self,
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        prefix: Sequence[bytes] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> tuple[str, list[bytes]]:
        """The id of a new message, and its frames: `prefix` (identities or a topic) first.

        Raises ValueError or TypeError for content that JSON cannot hold.
        """
        self._sent += 1
        header = {
            "msg_id": f"{self._session}_{self._sent}",
            "msg_type": kind,
            "username": "nbs",
            "session": self._session,
            "date": _date(time.time()),
            "version": PROTOCOL,
        }
        parts = [_dump(header), _dump(parent), _dump(metadata or {}), _dump(content)]
        return header["msg_id"], [*prefix, DELIMITER, self._sign(parts), *parts]

    def unpack(self, channel: str, frames: Sequence[bytes]) -> Message:
        """The message in these frames. Raises `MalformedError`."""
        if DELIMITER not in frames:
            raise MalformedError("there is no delimiter in it")
        at = frames.index(DELIMITER)
        parts = frames[at + 2 : at + 2 + PARTS]
        if len(parts) < PARTS:
            raise MalformedError("it has too few parts")
        self._verify(frames[at + 1], parts)
        header = _header(parts[0])
        flaw = ""
        loaded: list[dict[str, Any]] = []
        for name, part in zip(("parent header", "metadata", "content"), parts[1:], strict=True):
            value = _load(part)
            if value is None:
                flaw = flaw or f"the {name} of the message is not a JSON object"
            loaded.append(value or {})
        return Message(
            channel=channel,
            identities=tuple(frames[:at]),
            header=header,
            parent=loaded[0],
            metadata=loaded[1],
            content=loaded[2],
            flaw=flaw,
            frames=tuple(frames),
        )

    def _verify(self, signature: bytes, parts: Sequence[bytes]) -> None:
        if self._keyed is None:
            return
        if not hmac.compare_digest(signature, self._sign(parts)):
            raise MalformedError("its signature is wrong")
        if signature in self._seen:
            raise MalformedError("it came before")
        self._seen[signature] = None
        if len(self._seen) > SIGNATURES_KEPT:
            del self._seen[next(iter(self._seen))]

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        if self._keyed is None:
            return b""
        digest = self._keyed.copy()
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()


def _header(part: bytes) -> dict[str, Any]:
    header = _load(part)
    if header is None or not all(isinstance(header.get(f), str) for f in ("msg_id", "msg_type")):
        raise MalformedError("its header names no id and type")
    return header


def _load(part: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(part.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _dump(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        # A code point that is half of a pair: only the escaped form can hold it.
        return json.dumps(value, allow_nan=False).encode()


def _date(now: float) -> str:
    moment = time.gmtime(now)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{int(now % 1 * 1e6):06d}Z"
