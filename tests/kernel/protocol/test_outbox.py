"""Nothing is lost for a slow client; a stuck one is left behind, and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nbs_kernel.outbox import (
    QUIET_S,
    STUCK_S,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
    WINDOW_S,
    Outbox,
    Parcel,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Client:
    """Takes so many messages, and none when it was left out, until it reads."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got: list[bytes] = []
        self.left_out = False

    def send(self, frames: list[bytes]) -> bool:
        if self.left_out:
            return True
        if self.room <= 0:
            return False
        self.room -= 1
        self.got.append(frames[0])
        return True

    def leave_out(self, frames: list[bytes]) -> None:
        assert self.room == 0, frames
        self.left_out = True

    def read(self, room: int) -> None:
        self.room, self.left_out = room, False


def outbox(client: Client) -> Outbox:
    return Outbox(client.send, client.leave_out, notice)


def notice(count: int, ended: Sequence[Mapping[str, str]]) -> list[Parcel]:
    return [parcel(f"missed {count}"), *(parcel(f"ended {e['msg_id']}") for e in ended)]


def parcel(text: str, *, ends: str = "", counted: bool = False) -> Parcel:
    return Parcel(frames=[text.encode()], ends={"msg_id": ends} if ends else None, counted=counted)


def test_what_a_client_can_take_goes_at_once() -> None:
    client = Client(10)
    box = outbox(client)
    box.put(parcel("a"), 0.0)
    assert client.got == [b"a"]
    assert not box.full
    assert box.timeout(0.0) is None


def test_a_slow_client_gets_all_in_order() -> None:
    client = Client(1)
    box = outbox(client)
    for text in "abc":
        box.put(parcel(text), 0.0)
    assert box.timeout(0.0) is not None
    client.room = 1
    box.pump(STUCK_S - 1)
    client.room = 1
    box.pump(2 * STUCK_S - 2)
    assert client.got == [b"a", b"b", b"c"]
    assert not box.full


def test_one_client_alone_that_reads_nothing_loses_nothing_while_little_waits() -> None:
    client = Client(0)
    box = outbox(client)
    for number in range(1000):
        box.put(parcel(str(number)), float(number))
    assert not box.full
    client.read(2000)
    box.pump(2000.0)
    assert len(client.got) == 1000


def test_much_that_waits_is_too_much() -> None:
    client = Client(0)
    box = outbox(client)
    for number in range(20):
        box.put(parcel("x" * 65536), number / 10)
    assert box.full
    box.pump(STUCK_S + 1)
    assert not box.full


def stuck(client: Client) -> Outbox:
    """Two messages were lost, and nothing happens any more."""
    box = outbox(client)
    box.crowded = True
    box.put(parcel("a"), 0.0)
    box.put(parcel("idle", ends="7"), 0.0)
    box.pump(STUCK_S)
    assert box.timeout(STUCK_S) == pytest.approx(QUIET_S)
    return box


def test_a_stuck_client_holds_nobody_up_and_is_told_when_it_reads_again() -> None:
    client = Client(0)
    box = stuck(client)
    now = STUCK_S + (box.timeout(STUCK_S) or 0)
    box.pump(now)
    assert box.timeout(now) is None
    assert client.got == []
    client.read(10)
    box.stirred()
    box.pump(now + 60)
    assert client.got == [b"missed 2", b"ended 7"]
    box.stirred()
    box.pump(now + 120)
    assert len(client.got) == 2


def test_one_that_is_back_before_things_are_quiet_is_told_then() -> None:
    client = Client(0)
    box = stuck(client)
    client.read(10)
    box.put(parcel("b"), STUCK_S + 0.1)
    box.stirred()
    box.pump(STUCK_S + 0.1 + QUIET_S)
    assert client.got == [b"b", b"missed 3", b"ended 7"]


def test_output_stays_below_the_rate_that_a_server_passes_on() -> None:
    client = Client(10**9)
    box = outbox(client)
    box.keep_pace(on=True)
    moments: list[float] = []
    now = 0.0
    piece = parcel("x" * 65536, counted=True)
    for _ in range(100):
        before = len(client.got)
        box.put(piece, now)
        while (wait := box.timeout(now)) is not None:
            now += wait or 0.001
            box.pump(now)
        moments += [now] * (len(client.got) - before)
    for moment in moments:
        window = [m for m in moments if moment <= m < moment + 3]
        assert len(window) * 65536 <= 3_000_000


def test_many_small_messages_stay_below_the_rate_too() -> None:
    client = Client(10**9)
    box = outbox(client)
    box.keep_pace(on=True)
    for _ in range(WINDOW_MESSAGES + 1):
        box.put(parcel("x", counted=True), 0.0)
    assert len(client.got) == WINDOW_MESSAGES
    box.pump(WINDOW_S)
    assert len(client.got) == WINDOW_MESSAGES + 1


def test_what_a_server_does_not_count_is_not_held_back_for_itself() -> None:
    client = Client(10**9)
    box = outbox(client)
    box.keep_pace(on=True)
    for _ in range(2 * WINDOW_MESSAGES):
        box.put(parcel("status"), 0.0)
    assert box.timeout(0.0) is None


def test_a_message_larger_than_the_window_goes_alone() -> None:
    client = Client(10)
    box = outbox(client)
    box.keep_pace(on=True)
    box.put(parcel("x" * (WINDOW_BYTES + 1), counted=True), 0.0)
    box.put(parcel("y", counted=True), 0.0)
    assert len(client.got) == 1
    box.pump(WINDOW_S)
    assert client.got[1:] == [b"y"]
