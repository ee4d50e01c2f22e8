"""What Nix writes with `--log-format internal-json`: one event a line, each behind `@nix `.

Nix: `JSONLogger`, `ActivityType` and `ResultType` in libutil/logging. The numbers have stayed the
same since 2.4. A line that is no event was written by another program, and is to be shown.
"""

from __future__ import annotations

import json

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARK = "@nix "
LONGEST = 1 << 20

_BUILD = 105
_LOG_LINES = (101, 107)
_SET_PHASE = 104
_MOST = 1 << 64


class Event(Value):
    """`kind` says which fields count:

    - "build": the activity `id` builds `derivation`, on `machine` if that is not empty;
    - "start": any other activity, `text` is what it does;
    - "log": a line of a build, in `text`; "phase": the phase it has come to;
    - "stop": the activity has ended;
    - "message": Nix's own words, of one line or more;
    - "other": nothing to be shown.

    `level` is how talkative Nix has to be to say it: 0 errors, 3 what is shown unasked.
    """

    kind: str
    id: int = 0
    text: str = ""
    derivation: str = ""
    machine: str = ""
    level: int = 0


OTHER = Event(kind="other")


def parse_event(line: str) -> Event | None:
    """The event that a line holds; None for a line that is none."""
    message = _message(line) if line.startswith(MARK) else None
    if message is None:
        return None
    action = message.get("action")
    if action == "msg":
        return Event(
            kind="message", text=_text(message.get("msg")), level=_number(message, "level")
        )
    if action == "start":
        return _start(message)
    if action == "result":
        return _result(message)
    return Event(kind="stop", id=_number(message, "id")) if action == "stop" else OTHER


def _message(line: str) -> dict[str, Any] | None:
    try:
        message = json.loads(line[len(MARK) :]) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _start(message: dict[str, Any]) -> Event:
    fields = _fields(message)
    building = message.get("type") == _BUILD
    return Event(
        kind="build" if building else "start",
        id=_number(message, "id"),
        text=_text(message.get("text")),
        derivation=_text(fields[0]) if building and fields else "",
        machine=_text(fields[1]) if building and len(fields) > 1 else "",
        level=_number(message, "level"),
    )


def _result(message: dict[str, Any]) -> Event:
    fields, number = _fields(message), message.get("type")
    kind = "log" if number in _LOG_LINES else "phase" if number == _SET_PHASE else ""
    if not kind or not fields:
        return OTHER
    return Event(kind=kind, id=_number(message, "id"), text=_text(fields[0]))


def _fields(message: dict[str, Any]) -> list[Any]:
    fields = message.get("fields")
    return fields if isinstance(fields, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    return int(value) if isinstance(value, int) and abs(value) < _MOST else 0
