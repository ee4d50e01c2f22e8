"""On a terminal: the log as it comes, and one line that tells the phase and the time so far."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.nixevents import Event
from sandbox.model.progress import Progress, build_name, shown_on_terminal

HELLO, WORLD = "/nix/store/aaaa-hello-1.0.drv", "/nix/store/bbbb-world-2.drv"


def begins(number: int, derivation: str) -> Event:
    return Event(
        kind="build", id=number, derivation=derivation, level=3, text=f"building '{derivation}'"
    )


def test_a_build_that_begins_is_told_as_nix_tells_it():
    assert Progress().take(begins(1, HELLO), 0) == (f"building '{HELLO}'...",)


def test_what_nix_tells_only_when_asked_to_talk_is_not_shown():
    assert Progress().take(Event(kind="start", text="querying", level=6), 0) == ()


def test_the_status_has_the_phase_and_both_times():
    progress = Progress()
    assert progress.status(0) == ""
    progress.take(begins(1, HELLO), 10)
    assert progress.status(13.9) == "hello-1.0 0:03"
    progress.take(Event(kind="phase", id=1, text="checkPhase"), 20)
    assert progress.status(85) == "hello-1.0 checkPhase 1:05, in all 1:15"
    progress.take(Event(kind="stop", id=1), 90)
    assert progress.status(91) == ""


def test_lines_of_several_builds_are_told_apart_as_long_as_they_mix():
    progress = Progress()
    log = Event(kind="log", id=1, text="x")
    progress.take(begins(1, HELLO), 0)
    assert progress.take(log, 0) == ("x",)
    progress.take(begins(2, WORLD), 0)
    assert progress.take(log, 0) == ("hello-1.0> x",)
    assert progress.status(1) == "2 builds: world-2 0:01, hello-1.0 0:01"
    progress.take(Event(kind="stop", id=2), 0)
    assert progress.take(log, 0) == ("x",)
    assert progress.status(1) == "hello-1.0 0:01; 1 done"


def test_a_message_keeps_its_lines():
    event = Event(kind="message", text="error: a\n       b")
    assert Progress().take(event, 0) == ("error: a", "       b")


def test_the_log_is_left_out_where_it_is_not_wanted():
    assert Progress(with_log=False).take(Event(kind="log", text="x"), 0) == ()


def test_colours_stay_and_nothing_else_that_moves_a_terminal():
    line = "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;owned\x07\x9b2J\tx"
    assert (
        shown_on_terminal(line, colours=True)
        == "\x1b[31mred\x1b[0m \N{REPLACEMENT CHARACTER}2J\tx\x1b[0m"
    )
    assert shown_on_terminal(line, colours=False) == "red \N{REPLACEMENT CHARACTER}2J\tx"


def test_of_a_line_that_is_drawn_again_the_last_state_is_shown():
    assert shown_on_terminal("10%\r50%\r100%\r", colours=True) == "100%"


@given(st.text(st.characters() | st.sampled_from("\x1b[]m;0\r\n\x07"), max_size=60), st.booleans())
def test_no_text_does_more_than_colour(text, colours):
    shown = shown_on_terminal(text, colours=colours)
    rest = shown
    while "\x1b[" in rest:
        before, _, behind = rest.partition("\x1b[")
        number, _, behind = behind.partition("m")
        assert colours
        assert not number.strip("0123456789;")
        rest = before + behind
    assert rest.replace("\t", "").isprintable()


@given(st.text(max_size=30))
def test_a_name_is_found_in_any_path(path):
    assert "/" not in build_name(path)
