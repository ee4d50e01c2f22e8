"""Nix's events are read, whatever else stands on a line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.nixevents import LONGEST, Event, parse_event

DRV = "/nix/store/aaaa-hello-1.0.drv"


def line(**message: object) -> str:
    return "@nix " + json.dumps(message)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (
            {"action": "start", "fields": [DRV, "", 1, 1], "id": 7, "level": 3, "text": "building", "type": 105},
            Event(kind="build", id=7, derivation=DRV, level=3, text="building"),
        ),
        (
            {"action": "start", "fields": [DRV, "ssh://far", 1, 1], "id": 7, "level": 3, "type": 105},
            Event(kind="build", id=7, derivation=DRV, machine="ssh://far", level=3),
        ),
        (
            {"action": "start", "id": 8, "level": 6, "text": "querying info", "type": 0},
            Event(kind="start", id=8, text="querying info", level=6),
        ),
        (
            {"action": "result", "fields": ["a line"], "id": 7, "type": 101},
            Event(kind="log", id=7, text="a line"),
        ),
        (
            {"action": "result", "fields": ["a line"], "id": 7, "type": 107},
            Event(kind="log", id=7, text="a line"),
        ),
        (
            {"action": "result", "fields": ["buildPhase"], "id": 7, "type": 104},
            Event(kind="phase", id=7, text="buildPhase"),
        ),
        ({"action": "result", "fields": [0, 1, 0, 0], "id": 7, "type": 105}, Event(kind="other")),
        ({"action": "stop", "id": 7}, Event(kind="stop", id=7)),
        ({"action": "msg", "level": 0, "msg": "error: x"}, Event(kind="message", text="error: x")),
        ({"action": "of the future"}, Event(kind="other")),
        ({"action": "result", "type": 101}, Event(kind="other")),
        ({"action": "msg", "msg": 3, "level": "x"}, Event(kind="message")),
    ],
)  # fmt: skip
def test_an_event_is_what_nix_wrote(message, event):
    assert parse_event(line(**message)) == event


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "@nix",
        "@nix {",
        "@nix []",
        "@nix 3",
        " @nix {}",
        "@nix " + "[" * 9000,
        "@nix " + " " * LONGEST,
    ],
)
def test_any_other_line_is_none(text):
    assert parse_event(text) is None


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab\x1b\n{", max_size=5)
    | st.just([]) | st.just([[1]]) | st.just({}) | st.just({"action": "msg"})
)  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["start", "result", "stop", "msg"]) | JSON,
        "fields": st.lists(JSON, max_size=3) | JSON,
        "type": st.sampled_from([101, 104, 105, 107]) | JSON,
        "id": JSON,
        "level": JSON,
        "text": JSON,
        "msg": JSON,
    },
)


@given(MESSAGES)
def test_every_message_is_an_event_whose_fields_are_of_their_type(message):
    event = parse_event(line(**message))
    assert event is not None
    assert {name: type(value) for name, value in event.fields().items()} == {
        name: int if name in ("id", "level") else str for name in event.fields()
    }
