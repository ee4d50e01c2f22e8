"""How requests travel between a kernel and its supervisor.

One stream socket, a message after the other: four bytes for the length, then JSON. The supervisor
takes nothing of a kernel for granted: what is too long, no JSON, or no message that is known is
refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import os

from nbs_kernel.requests import Handover, Passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

VERSION = 1
LENGTH_BYTES = 4
LARGEST_MESSAGE = 64 * 1024 * 1024
LONGEST_NAME = 4096
LONGEST_SOURCE = 65536
READ_AT_ONCE = 65536
KINDS: dict[str, type[Passed]] = {kind.__name__: kind for kind in Passed.__args__}
_LONGEST = {
    **dict.fromkeys(("source", "call", "message", "evidence", "hint"), LONGEST_SOURCE),
    "text": LARGEST_MESSAGE,
}
"""Characters of the text in a field of that name, where a name is not the most there can be."""


class Malformed(ValueError):  # noqa: N818  says what it is
    """What came is no message of this protocol."""


def encode(message: Passed) -> bytes:
    """The bytes that travel."""
    fields = message.fields()
    if isinstance(message, Handover):
        fields["requests"] = _as_text(message.requests)
        fields["published"] = _as_text(message.published)
    content = {"version": VERSION, "kind": type(message).__name__, **fields}
    body = json.dumps(content).encode()
    if len(body) > LARGEST_MESSAGE:
        raise Malformed(f"a message of {len(body)} bytes is too long")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def _as_text(messages: tuple[tuple[str, tuple[bytes, ...]], ...]) -> list[list[object]]:
    return [
        [channel, [base64.b64encode(frame).decode() for frame in frames]]
        for channel, frames in messages
    ]


def decode(body: bytes) -> Passed:
    """The message in these bytes, without their length. Raises `Malformed`."""
    try:
        content = json.loads(body)
        if content.pop("version") == VERSION:
            return _checked(KINDS[content.pop("kind")], content)
    except Malformed:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from None
    raise Malformed("it is of another version")


def _checked(kind: type[Passed], content: dict[str, Any]) -> Passed:
    """Each field is of the type that its class says, which alone decides how it is read."""
    types = kind.__annotations__
    read: dict[str, Any] = {
        name: _READ[types[name]](value, _LONGEST.get(name, LONGEST_NAME))
        for name, value in content.items()
    }
    return kind(**read)


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise Malformed("a text is none, or too long")
    return value


def _texts(value: Any, longest: int) -> tuple[str, ...]:
    return tuple(_text(one, longest) for one in _list(value))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed("a list is none")
    return value


def _number(value: object, _: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 2**62:
        raise Malformed("a number is none, or too large")
    return value


def _truth(value: object, _: int) -> bool:
    if not isinstance(value, bool):
        raise Malformed("what is true or false is neither")
    return value


def _pairs(value: Any, longest: int) -> tuple[tuple[str, int], ...]:
    return tuple((_text(name, longest), _number(number)) for name, number in _list(value))


def _snapshots(value: Any, longest: int) -> tuple[tuple[str, int, int, int], ...]:
    return tuple(
        (_text(n, longest), _number(t), _number(f), _number(b)) for n, t, f, b in _list(value)
    )


def _messages(value: Any, longest: int) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    return tuple(
        (_text(channel, longest), tuple(_frame(text) for text in _list(frames)))
        for channel, frames in _list(value)
    )


def _frame(text: object) -> bytes:
    try:
        return base64.b64decode(_text(text, LARGEST_MESSAGE), validate=True)
    except binascii.Error as error:
        raise Malformed(str(error)) from None


_READ: dict[str, Callable[[Any, int], object]] = {
    "str": _text,
    "int": _number,
    "bool": _truth,
    "tuple[str, ...]": _texts,
    "tuple[tuple[str, int], ...]": _pairs,
    "tuple[tuple[str, int, int, int], ...]": _snapshots,
    "tuple[tuple[str, tuple[bytes, ...]], ...]": _messages,
}


class Reader:
    """Takes the bytes as they come, and gives the messages that are whole."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[Passed]:
        """Raises `Malformed`; nothing that comes after can be understood then."""
        self._held += data
        while len(self._held) >= LENGTH_BYTES:
            length = int.from_bytes(self._held[:LENGTH_BYTES], "big")
            if length > LARGEST_MESSAGE:
                raise Malformed(f"a message of {length} bytes is too long")
            end = LENGTH_BYTES + length
            if len(self._held) < end:
                return
            body, self._held = self._held[LENGTH_BYTES:end], self._held[end:]
            yield decode(body)


def send(descriptor: int, message: Passed) -> None:
    """Waits until all is written. Raises OSError when the other side is gone."""
    data = memoryview(encode(message))
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int, reader: Reader) -> Passed | None:
    """The next message; waits for it. None when the other side is gone. Raises `Malformed`."""
    while data := os.read(descriptor, READ_AT_ONCE):
        for message in reader.feed(data):
            return message
    return None
