"""A log is cut by its phases, and the files that it points to are found in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.logcuts import error_in, is_named, named_files, phases_called, pieces
from sandbox.model.logs import parse_log

PHASE = 'Running phase: {0}\n@nix {{ "action": "setPhase", "phase": "{0}" }}\n'
LOG = parse_log(
    "first\n"
    + PHASE.format("buildPhase")
    + "a.c:1:1: error: one\nb\n"
    + PHASE.format("checkPhase")
    + "c\nd.c:2:2: error: two\n"
)


def test_a_phase_is_cut_with_the_line_that_announces_it():
    (piece,) = pieces(LOG, "buildPhase")
    assert piece.first == 2
    assert piece.lines == ("Running phase: buildPhase", "a.c:1:1: error: one", "b")


def test_the_last_phase_goes_to_the_end():
    (piece,) = pieces(LOG, "checkPhase")
    assert piece.lines == ("Running phase: checkPhase", "c", "d.c:2:2: error: two")


def test_without_a_name_the_log_is_one_piece():
    (piece,) = pieces(LOG)
    assert piece.lines == LOG.lines


def test_a_phase_may_be_called_by_the_beginning_of_its_name():
    assert phases_called(LOG, "check") == phases_called(LOG, "checkPhase")
    assert phases_called(LOG, "install") == ()


def test_the_error_is_that_of_the_phase_that_is_asked_for():
    assert [error_in(LOG, name).text for name in ("", "build")] == [
        "d.c:2:2: error: two",
        "a.c:1:1: error: one",
    ]
    assert error_in(LOG, "install") is None


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("See `config.log' for more details", ("config.log",)),
        ('See also "/build/x/CMakeFiles/CMakeError.log".', ("/build/x/CMakeFiles/CMakeError.log",)),
        (
            "A full log can be found at /build/m/meson-logs/meson-log.txt",
            ("/build/m/meson-logs/meson-log.txt",),
        ),
        ("Full log written to /build/m/testlog.txt", ("/build/m/testlog.txt",)),
        ("See ./test-suite.log", ("./test-suite.log",)),
        (
            "The output is in CMakeFiles/CMakeConfigureLog.yaml.",
            ("CMakeFiles/CMakeConfigureLog.yaml",),
        ),
        ("tail mine.log, then yours.log", ("mine.log", "yours.log")),
        ("import logging.logger; catalog", ()),
        ("x.logs", ()),
    ],
)
def test_files_are_those_that_tools_name(line, names):
    assert named_files((line,)) == names


def test_a_file_is_named_by_the_end_of_its_path_or_by_all_of_it():
    assert is_named("x/config.log", "config.log", "/build")
    assert is_named("x/sub/config.log", "../sub/config.log", "/build")
    assert not is_named("x/config.log", "sub/config.log", "/build")
    assert is_named("x/config.log", "/build/x/config.log", "/build")
    assert not is_named("x/config.log", "/etc/x/config.log", "/build")


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20))
def test_any_log_can_be_cut_and_searched(lines, name):
    log = parse_log("\n".join(lines))
    assert all(set(piece.lines) <= set(log.lines) for piece in pieces(log, name))
    for named in named_files(log.lines):
        is_named("a/b", named, "/build")
