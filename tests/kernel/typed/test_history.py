"""The history that front ends ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbs_kernel.typed import history
from nbs_kernel.typed.history import History


@pytest.fixture
def two_sessions() -> History:
    made = History([(1, 1, "make"), (1, 2, "ls"), (2, 1, "cd a")])
    made.append(1, "make check", output="ok")
    made.append(2, "ls")
    return made


def asked(made: History, **content: object) -> list[object]:
    found = made.answer(content)["history"]
    assert isinstance(found, list)
    return found


def test_the_tail_crosses_sessions(two_sessions: History) -> None:
    assert asked(two_sessions, hist_access_type="tail", n=3) == [
        [2, 1, "cd a"],
        [3, 1, "make check"],
        [3, 2, "ls"],
    ]
    assert len(asked(two_sessions, hist_access_type="tail", n=100)) == 5


def test_a_range_is_of_one_session_and_ends_before_its_stop(two_sessions: History) -> None:
    assert asked(two_sessions, hist_access_type="range", session=0, start=1, stop=2) == [
        [3, 1, "make check"]
    ]
    assert asked(two_sessions, hist_access_type="range", session=-2, start=2) == [[1, 2, "ls"]]
    assert asked(two_sessions, hist_access_type="range", session=2) == [[2, 1, "cd a"]]
    assert asked(two_sessions, hist_access_type="range", session=9) == []


def test_a_search_matches_whole_cells_by_a_glob(two_sessions: History) -> None:
    assert asked(two_sessions, hist_access_type="search", pattern="make*", n=9) == [
        [1, 1, "make"],
        [3, 1, "make check"],
    ]
    assert asked(two_sessions, hist_access_type="search", pattern="mak") == []
    assert asked(two_sessions, hist_access_type="search", pattern="*", n=1) == [[3, 2, "ls"]]


def test_a_search_can_give_each_text_once_the_latest(two_sessions: History) -> None:
    assert asked(two_sessions, hist_access_type="search", pattern="l?", unique=True) == [
        [3, 2, "ls"]
    ]


def test_outputs_are_given_where_they_are_known(two_sessions: History) -> None:
    assert asked(two_sessions, hist_access_type="tail", n=2, output=True) == [
        [3, 1, ["make check", "ok"]],
        [3, 2, ["ls", None]],
    ]


def test_what_is_to_be_stored_begins_the_next_history() -> None:
    first = History()
    kept = [first.append(number, f"echo {number}") for number in (1, 2)]
    second = History([cell for cell in kept if cell is not None])
    assert second.session == first.session + 1
    assert asked(second, hist_access_type="tail") == [[1, 1, "echo 1"], [1, 2, "echo 2"]]


def test_blank_and_huge_cells_are_not_kept() -> None:
    made = History()
    assert made.append(1, " \n") is None
    assert made.append(1, "x" * (history.LONGEST + 1)) is None
    assert asked(made) == []


def test_the_oldest_cells_are_forgotten_first() -> None:
    made = History()
    for number in range(history.CELLS + 10):
        made.append(number, "x")
    cells = asked(made)
    assert len(cells) == history.CELLS
    assert cells[0] == [1, 10, "x"]


def test_a_hostile_pattern_is_answered() -> None:
    made = History()
    made.append(1, "a" * 20_000)
    assert asked(made, hist_access_type="search", pattern="*a" * 400 + "b") == []


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "hist_access_type",
                "n",
                "session",
                "start",
                "stop",
                "pattern",
                "unique",
                "output",
                "raw",
            ]
        ),
        st.one_of(
            st.none(),
            st.integers(),
            st.booleans(),
            st.text(max_size=8),
            st.lists(st.integers()),
            st.sampled_from(["tail", "range", "search"]),
        ),
    )
)
def test_any_request_is_answered(content: dict[str, object]) -> None:
    made = History([(1, 1, "a"), (1, 2, "b")])
    assert made.answer(content)["status"] == "ok"
