"""What of a cell's output is shown, when, and in how many messages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nbs_kernel.output import GATHER_BYTES, GATHER_S, NOTE_S, CellOutput
from nbs_kernel.question import HOLD_S

if TYPE_CHECKING:
    from pathlib import Path


class Shown:
    def __init__(self, tmp_path: Path, limit: int = 0) -> None:
        self.messages: list[tuple[str, str]] = []
        self.output = CellOutput(self.publish, limit, "cell-1", str(tmp_path), "hello-1.0")

    def publish(self, stream: str, text: str) -> None:
        self.messages.append((stream, text))

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.messages)

    def write(self, data: bytes, now: float = 0.0, stream: str = "stdout") -> None:
        self.output.write(stream, data, now)


def test_the_first_output_after_a_pause_is_due_at_once(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.write(b"a", 10.0)
    assert shown.output.due == 10.0
    shown.output.publish_due(10.0)
    shown.write(b"b", 10.01)
    assert shown.output.due == pytest.approx(10.0 + GATHER_S)
    assert shown.messages == [("stdout", "a")]


def test_much_output_is_published_without_waiting(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    for _ in range(16):
        shown.write(b"x" * (GATHER_BYTES // 16))
    assert [len(text) for _, text in shown.messages] == [GATHER_BYTES]


def test_a_character_that_comes_in_two_parts_is_whole(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    data = "größe €\n".encode()
    for at in range(len(data)):
        shown.write(data[at : at + 1], float(at))
        shown.output.publish_due(float(at))
    assert shown.text == "größe €\n"


def test_bytes_that_are_no_text_are_replaced_and_half_a_character_at_the_end_too(
    tmp_path: Path,
) -> None:
    shown = Shown(tmp_path)
    shown.write(b"a\xff\x00b\xc3")
    shown.output.finish(0.0)
    assert shown.text == "a\N{REPLACEMENT CHARACTER}\x00b\N{REPLACEMENT CHARACTER}"


def test_two_streams_keep_their_order(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    for stream, data in (("stdout", b"1"), ("stderr", b"2"), ("stdout", b"3")):
        shown.write(data, stream=stream)
    shown.output.finish(0.0)
    assert shown.messages == [("stdout", "1"), ("stderr", "2"), ("stdout", "3")]


def test_streams_that_change_all_the_time_do_not_make_a_message_each(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    for _ in range(1000):
        shown.write(b"o")
        shown.write(b"e", stream="stderr")
    shown.output.finish(0.0)
    assert shown.messages == [("stdout", "o" * 1000), ("stderr", "e" * 1000)]


def test_output_up_to_the_limit_is_shown_and_makes_no_file(tmp_path: Path) -> None:
    shown = Shown(tmp_path, limit=2000)
    shown.write(b"x" * 1000)
    shown.output.finish(0.0)
    assert shown.text == "x" * 1000
    assert os.listdir(tmp_path) == []


def lines(count: int) -> bytes:
    return b"".join(b"line %06d\n" % number for number in range(count))


@pytest.mark.parametrize("step", [7, 100, 65536])
def test_of_more_the_beginning_and_the_end_are_shown_and_all_is_in_a_file(
    tmp_path: Path, step: int
) -> None:
    shown = Shown(tmp_path, limit=2400)
    data = lines(10_000)
    for at in range(0, len(data), step):
        shown.write(data[at : at + step])
    shown.output.finish(0.0)
    assert (tmp_path / "cell-1.log").read_bytes() == data
    assert shown.text.startswith("line 000000\nline 000001\n")
    assert shown.text.endswith("line 009998\nline 009999\n")
    log = f"{tmp_path}/cell-1.log"
    notes = [line for line in shown.text.split("\n") if line.startswith("[")]
    assert len(notes) == 1
    assert notes[0].startswith("[117.")
    assert notes[0].endswith(
        f" kB left out here; all of it is in {log}; outside: `nbs cp hello-1.0:{log} .`]"
    )
    assert len(shown.text) < 2600 + len(notes[0])
    of_cell = [line for line in shown.text.split("\n") if line and "[" not in line]
    assert all(line.startswith("line 0") and len(line) == 11 for line in of_cell if step == 65536)


def test_a_cell_that_goes_on_beyond_its_limit_has_that_said_before_its_end(tmp_path: Path) -> None:
    shown = Shown(tmp_path, limit=2400)
    shown.write(lines(10_000), 10.0)
    shown.output.publish_due(10.0)
    assert shown.output.due == 10.0 + NOTE_S
    assert "[" not in shown.text
    shown.output.publish_due(10.0 + NOTE_S)
    assert f"[more than 1.2 kB of output: all of it is in {tmp_path}/cell-1.log; " in shown.text
    assert shown.output.due is None
    shown.output.finish(20.0)
    assert shown.text.count("[") == 2


def test_a_little_more_than_the_limit_of_the_beginning_loses_nothing(tmp_path: Path) -> None:
    shown = Shown(tmp_path, limit=2400)
    data = lines(150)
    shown.write(data)
    shown.output.finish(0.0)
    own = "".join(text for stream, text in shown.messages if stream == "stdout")
    assert own.encode() == data
    assert shown.text == own


def test_a_file_that_is_there_is_never_overwritten_nor_a_link_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / "cell-1.log").symlink_to(target)
    shown = Shown(tmp_path, limit=100)
    shown.write(lines(100))
    shown.output.finish(0.0)
    assert target.read_text() == "kept"
    assert (tmp_path / "cell-1-2.log").read_bytes() == lines(100)


def test_a_directory_that_takes_no_file_is_told_and_stops_nothing(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "missing", limit=100)
    shown.write(lines(100))
    shown.output.finish(0.0)
    assert "there is no file with all of it: No such file or directory" in shown.text
    assert shown.text.endswith("line 000099\n")


def test_what_a_job_writes_after_the_cell_is_shown_within_the_limit(tmp_path: Path) -> None:
    shown = Shown(tmp_path, limit=2400)
    shown.write(b"cell\n")
    shown.output.finish(0.0)
    shown.write(b"job\n", 1.0)
    shown.output.publish_due(1.0)
    assert shown.text == "cell\njob\n"
    shown.write(lines(1000), 2.0)
    shown.write(lines(1000), 3.0)
    shown.output.publish_due(3.0)
    assert shown.text.count("[") == 1
    whole = "cell\njob\n" + (lines(1000) + lines(1000)).decode()
    kept = (tmp_path / "cell-1.log").read_text()
    own = shown.text[: shown.text.index("[")]
    assert own + kept == whole


def test_memory_stays_small_however_small_the_pieces(tmp_path: Path) -> None:
    shown = Shown(tmp_path, limit=20_000)
    for _ in range(100_000):
        shown.write(b"x")
    assert len(shown.output._tail) < 10
    shown.output.close()


def test_a_line_without_its_end_is_held_back_for_a_moment_where_it_may_be_a_question(
    tmp_path: Path,
) -> None:
    shown = Shown(tmp_path)
    shown.output.expect_questions()
    shown.write(b"one\nna", 10.0)
    shown.output.publish_due(10.0)
    assert shown.text == "one\n"
    shown.write("me é? ".encode(), 10.1)
    assert shown.output.due == 10.0 + HOLD_S
    assert shown.output.take_question(10.2) == "name é? "
    shown.write(b"two", 10.3)
    shown.output.publish_due(10.3 + HOLD_S)
    assert shown.text == "one\ntwo"
    assert shown.output.take_question(11.0) == ""


def test_what_is_held_back_keeps_its_place(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.output.expect_questions()
    shown.write(b"out")
    shown.write(b"err", stream="stderr")
    shown.write(b"x" * 2000, stream="stderr")
    shown.write(b"last")
    shown.output.finish(0.0)
    assert shown.messages == [("stdout", "out"), ("stderr", "err" + "x" * 2000), ("stdout", "last")]


def test_a_question_can_be_read(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.output.expect_questions()
    shown.write(b"\x1b[1;32mname\x1b[0m\x07? \xff")
    assert shown.output.take_question(0.0) == "name? \N{REPLACEMENT CHARACTER}"
