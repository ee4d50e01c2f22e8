"""What front ends would show as garbage is taken out of what a cell writes."""

from __future__ import annotations

import pytest

from nbs_kernel.escapes import Escapes
from nbs_kernel.output import CellOutput

WRITTEN = (
    # gcc names its options with links.
    (b"a \x1b]8;;https://gcc.gnu.org/\x07-Wall\x1b]8;;\x07 b\n", b"a -Wall b\n"),
    (b"a \x1b]8;;https://gcc.gnu.org/\x1b\\-Wall\x1b]8;;\x1b\\ b\n", b"a -Wall b\n"),
    (b"\x1b]0;a title \xe2\x82\xac\x07shown", b"shown"),
    (b"\x1b]0;never ended\nthe next line\n", b"\nthe next line\n"),
    (b"\x1b]0;never ended\x1b[31mred\x1b[0m", b"\x1b[31mred\x1b[0m"),
    (b"\x1bPq#0;2\x1b\\\x1b_app\x1b\\\x1b^pm\x1b\\shown", b"shown"),
    (b"ding\x07 dong", b"ding dong"),
    # As `tput sgr0`, `tput sc` and `tput rc` say it.
    (b"\x1b(B\x1b[m\x1b7x\x1b8", b"\x1b[mx"),
    (
        b"\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K 10%\r20%\n",
        b"\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K 10%\r20%\n",
    ),
    ("plain €\t|\n".encode(),) * 2,
)


@pytest.mark.parametrize(("written", "shown"), WRITTEN)
def test_only_what_front_ends_can_show_is_left_wherever_the_bytes_are_cut(written, shown):
    assert Escapes().without(written) == shown
    for cut in range(len(written) + 1):
        escapes = Escapes()
        assert escapes.without(written[:cut]) + escapes.without(written[cut:]) == shown, cut
    escapes = Escapes()
    assert b"".join(escapes.without(bytes([byte])) for byte in written) == shown


def test_a_string_that_never_ends_is_not_kept():
    escapes = Escapes()
    assert escapes.without(b"\x1b]0;" + b"x" * 100_000) == b""
    assert len(escapes._open) == 2
    assert escapes.without(b"x\x07shown") == b"shown"


def test_each_stream_of_a_cell_has_its_own_and_all_is_shown_at_the_end():
    shown = []
    output = CellOutput(lambda stream, text: shown.append((stream, text)), 0, "name")
    output.write("stdout", b"out \x1b]0;ti", 1.0)
    output.write("stderr", b"err\n", 1.0)
    output.write("stdout", b"tle\x07put \x1b", 1.0)
    output.finish(2.0)
    assert shown == [("stdout", "out "), ("stderr", "err\n"), ("stdout", "put ")]
