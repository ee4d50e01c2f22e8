"""What a log tells of the variables and directories that phases have left to later ones."""

from __future__ import annotations

from sandbox.model.logs import parse_log
from sandbox.model.logtold import told


def told_by(text: str) -> list[tuple[str, str, str]]:
    return list(told(parse_log(text)))


UNPACKED = "Running phase: unpackPhase\nsource root is hello-1.0\n"
CMAKE = """\
Running phase: configurePhase
cmake flags: -DX=1
-- Build files have been written to: /build/hello-1.0/build
cmake: enabled parallel building
cmake: enabled parallel installing
"""
MESON = """\
Running phase: configurePhase
mesonConfigurePhase flags: --prefix=/x
Build dir: /build/hello-1.0/build
meson: enabled parallel building
"""


def test_the_source_s_root_is_told_when_it_is_unpacked():
    assert told_by(f"{UNPACKED}Running phase: buildPhase\n") == [
        ("unpackPhase", "sourceRoot", "hello-1.0")
    ]
    older = "unpacking sources\nsource root is a b\nbuilding\nsource root is elsewhere\n"
    assert told_by(f"{older}running tests\n") == [("unpackPhase", "sourceRoot", "a b")]


def test_the_hooks_of_cmake_and_meson_tell_where_they_went_and_what_they_set():
    assert told_by(f"{UNPACKED}{CMAKE}Running phase: buildPhase\n")[1:] == [
        ("configurePhase", "PWD", "/build/hello-1.0/build"),
        ("configurePhase", "enableParallelBuilding", "1"),
        ("configurePhase", "enableParallelInstalling", "1"),
    ]
    assert told_by(f"{MESON}Running phase: buildPhase\n") == [
        ("configurePhase", "PWD", "/build/hello-1.0/build"),
        ("configurePhase", "enableParallelBuilding", "1"),
    ]


def test_a_recipe_that_calls_cmake_itself_need_not_have_gone_there():
    own = CMAKE.replace("cmake flags: -DX=1\n", "")
    assert "PWD" not in [name for _, name, _ in told_by(f"{own}Running phase: buildPhase\n")]


def test_the_failing_phase_has_left_nothing_to_later_ones():
    assert told_by(UNPACKED) == told_by(CMAKE) == told_by("") == []
