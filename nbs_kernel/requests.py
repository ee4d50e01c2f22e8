"""What passes between a kernel and its supervisor: docs/reference/supervisor.md, version 1.

One stream socket, a message after the other: four bytes for the length, then JSON. The kernel asks,
and the supervisor answers in order. The supervisor takes nothing of a kernel for granted: what is
too long, no JSON, or no request that is known is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import os

from sandbox import Error, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

VERSION = 1
LENGTH_BYTES = 4
LARGEST_MESSAGE = 64 * 1024 * 1024
LONGEST_NAME = 4096
LONGEST_SOURCE = 65536
READ_AT_ONCE = 65536


class Malformed(ValueError):  # noqa: N818  says what it is
    """What came is no message of this protocol."""


class Enter(Value):
    """Move into the sandbox of another build, or with an empty name into a fresh one of the same.

    `store` and `derivation` as for `nbs shell`, empty where nothing was said of them. `workspace`
    is the name of a kept one to go on in; then the rest is empty. Answered when the newcomer is
    inside; the kernel then hands over and ends.
    """

    build: str
    store: str = ""
    derivation: str = ""
    workspace: str = ""


class Diff(Value):
    """Tell what was changed in the kernel's workspace: all of it, or at `paths`. `stat`: in short.

    Answered with `Shown` or `Refused`.
    """

    stat: bool = False
    since: str = ""
    paths: tuple[str, ...] = ()


class Shown(Value):
    """An answer that is a text to be shown, harmless for a terminal but for colours."""

    text: str


class ListNames(Value):
    """The names of what is kept, for who types: `of` is "builds" or "workspaces".

    Answered with `Names`.
    """

    of: str


class Names(Value):
    """Names, in the order in which a person wants them."""

    found: tuple[str, ...]


class Remember(Value):
    """Keep a line of history for later kernels of this build. Not answered."""

    session: int
    line: int
    source: str


class Handover(Value):
    """What a kernel leaves to the one that takes its place. Not answered.

    `requests` are raw messages that are not answered yet, with their channels; where `moved`, the
    first is the one that asked for the move. `subscribers` is how many clients were listening.
    `settings` are those of the kernel, by name.
    """

    execution_count: int = 0
    moved: bool = False
    requests: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    subscribers: int = 0
    settings: tuple[tuple[str, int], ...] = ()


class Entered(Value):
    """The answer to `Enter`."""


class Refused(Value):
    """The other answer: the fields of an `Error`."""

    message: str
    reason: str
    evidence: tuple[str, ...] = ()
    hint: str = ""

    @classmethod
    def of(cls, error: Error) -> Refused:
        """What was raised outside, to be raised inside."""
        return cls(
            message=error.message, reason=error.reason, evidence=error.evidence, hint=error.hint
        )

    def error(self) -> Error:
        """As it was raised outside."""
        return Error(self.message, reason=self.reason, evidence=self.evidence, hint=self.hint)


class TakeSnapshot(Value):
    """Keep the files as they are, "" for the next number. Answered with `Snapshots`, of one.

    With `kept` it takes the place of one of that name, and of those whose names begin with `cell-`
    only so many stay.
    """

    name: str
    kept: int = 0


class RemoveSnapshot(Value):
    """Answered with `Snapshots`, of those that are left."""

    name: str


class ListSnapshots(Value):
    """Answered with `Snapshots`, the oldest first."""


class Restore(Value):
    """Put the files back to a snapshot, "" for the last one.

    Nobody may be in the build's directory. With `kill` 1 what else runs inside is ended. Answered
    with `Restored`.
    """

    name: str
    kill: int = 0


class Interrupt(Value):
    """Give up what was asked for and is not answered, as far as nothing has changed by it.

    Not answered itself: the other answer tells.
    """


class Snapshots(Value):
    """Name, seconds since 1970, files and bytes of each; -1 for what is not known."""

    found: tuple[tuple[str, int, int, int], ...]


class Restored(Value):
    """The answer to `Restore`: the name of the snapshot."""

    name: str


Asked = TakeSnapshot | RemoveSnapshot | ListSnapshots | Restore
Passed = (
    Enter
    | Diff
    | ListNames
    | Names
    | Remember
    | Handover
    | Entered
    | Shown
    | Refused
    | Asked
    | Interrupt
    | Snapshots
    | Restored
)
KINDS: dict[str, type[Passed]] = {
    kind.__name__: kind
    for kind in (
        Enter,
        Diff,
        ListNames,
        Names,
        Remember,
        Handover,
        Entered,
        Shown,
        Refused,
        TakeSnapshot,
        RemoveSnapshot,
        ListSnapshots,
        Restore,
        Interrupt,
        Snapshots,
        Restored,
    )
}


_NAMED = (TakeSnapshot, RemoveSnapshot, Restore, Restored)


def encode(message: Passed) -> bytes:
    """The bytes that travel."""
    fields = message.fields()
    if isinstance(message, Handover):
        fields["requests"] = [
            [channel, [base64.b64encode(frame).decode() for frame in frames]]
            for channel, frames in message.requests
        ]
    content = {"version": VERSION, "kind": type(message).__name__, **fields}
    body = json.dumps(content).encode()
    if len(body) > LARGEST_MESSAGE:
        raise Malformed(f"a message of {len(body)} bytes is too long")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


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


def _checked(  # noqa: PLR0911  one for each kind
    kind: type[Passed], content: dict[str, Any]
) -> Passed:
    if kind in {Enter, ListNames}:
        return kind(**{name: _text(value, LONGEST_NAME) for name, value in content.items()})
    if kind is Names:
        return Names(found=tuple(_text(name, LONGEST_NAME) for name in content["found"]))
    if kind is Diff:
        paths = tuple(_text(path, LONGEST_NAME) for path in content["paths"])
        return Diff(
            stat=bool(content["stat"]), since=_text(content["since"], LONGEST_NAME), paths=paths
        )
    if kind is Remember:
        source = _text(content.pop("source"), LONGEST_SOURCE)
        return Remember(source=source, **{name: _number(v) for name, v in content.items()})
    if kind in _NAMED:
        name = _text(content.pop("name"), LONGEST_NAME)
        return kind(name=name, **{field: _number(value) for field, value in content.items()})
    if kind is Snapshots:
        return Snapshots(
            found=tuple(
                (_text(n, LONGEST_NAME), _number(t), _number(f), _number(b))
                for n, t, f, b in content["found"]
            )
        )
    if kind is Handover:
        return _handover(content)
    if kind is Refused:
        evidence = tuple(_text(line, LONGEST_SOURCE) for line in content.pop("evidence"))
        texts = {name: _text(value, LONGEST_SOURCE) for name, value in content.items()}
        return Refused(evidence=evidence, **texts)
    return kind(**content)


def _handover(content: dict[str, Any]) -> Handover:
    return Handover(
        execution_count=_number(content["execution_count"]),
        moved=bool(content["moved"]),
        requests=tuple(
            (_text(channel, LONGEST_NAME), tuple(_frame(text) for text in frames))
            for channel, frames in content["requests"]
        ),
        subscribers=_number(content["subscribers"]),
        settings=tuple((_text(n, LONGEST_NAME), _number(v)) for n, v in content["settings"]),
    )


def _frame(text: object) -> bytes:
    try:
        return base64.b64decode(_text(text, LARGEST_MESSAGE), validate=True)
    except binascii.Error as error:
        raise Malformed(str(error)) from None


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise Malformed("a text is none, or too long")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or not -1 <= value <= 2**62:
        raise Malformed("a number is none, or too large")
    return int(value)


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
