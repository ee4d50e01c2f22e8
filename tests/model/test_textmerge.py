"""A change of one text carried to another: what fits is in it, what does not is told."""

from __future__ import annotations

import doctest

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.model import textmerge
from sandbox.model.textmerge import Carried, carry

FEW = settings(max_examples=150, deadline=None, database=None)
LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"c\r\n", b"}\n"]), max_size=25)
TEXTS = st.builds(
    lambda lines, end: b"".join(lines) + end, LINES, st.sampled_from([b"", b"end", b"\r", b"}"])
)


def test_the_examples_hold() -> None:
    assert doctest.testmod(textmerge).failed == 0


@FEW
@given(TEXTS, TEXTS)
def test_on_what_it_was_made_of_a_change_gives_what_it_gave(old: bytes, new: bytes) -> None:
    assert carry(old, old, new) == Carried(content=new)


@FEW
@given(TEXTS, TEXTS)
def test_no_change_leaves_the_base_as_it_is(base: bytes, old: bytes) -> None:
    assert carry(base, old, old) == Carried(content=base)


@FEW
@given(TEXTS, TEXTS, TEXTS)
def test_what_fits_does_so_from_either_side(base: bytes, old: bytes, new: bytes) -> None:
    here, there = carry(base, old, new), carry(new, old, base)
    assert bool(here.left_out) == bool(there.left_out)
    if not here.left_out:
        assert here.content == there.content


@FEW
@given(TEXTS, TEXTS)
def test_what_is_in_the_base_already_is_told_and_the_base_stays(old: bytes, new: bytes) -> None:
    carried = carry(new, old, new)
    assert carried.content == new
    assert bool(carried.left_out) == (old != new)


@FEW
@given(TEXTS, TEXTS, TEXTS)
def test_lines_are_only_those_of_the_three_texts(base: bytes, old: bytes, new: bytes) -> None:
    known = {line for text in (base, old, new) for line in text.split(b"\n")}
    assert set(carry(base, old, new).content.split(b"\n")) <= known


@st.composite
def edited_apart(draw):
    """A text of lines that are all different, and edits of it, every second of which is ours."""
    count = draw(st.integers(4, 60))
    cuts = sorted(draw(st.sets(st.integers(0, count - 1), max_size=12)))
    edits = []
    end = -1
    for number, start in enumerate(cuts):
        if start <= end:
            continue
        length = draw(st.integers(0, 3))
        put = draw(st.integers(0 if length else 1, 3))
        end = min(start + length, count)
        edits.append((start, end, [b"new %d %d\n" % (number, one) for one in range(put)]))
    return [b"line %d\n" % one for one in range(count)], edits


@FEW
@given(edited_apart())
def test_edits_with_a_line_between_them_do_not_meet(drawn) -> None:
    lines, edits = drawn
    old = b"".join(lines)
    base, new, both = (_with(lines, these) for these in (edits[::2], edits[1::2], edits))
    assert carry(base, old, new) == Carried(content=both)


def _with(lines, edits) -> bytes:
    made = list(lines)
    for start, end, put in reversed(edits):
        made[start:end] = put
    return b"".join(made)


def test_the_line_that_both_have_changed_stays_as_in_the_base() -> None:
    old = b"one\nreturn SUCCESS\nthree\nfour\nfive\n"
    base = old.replace(b"return SUCCESS", b"return 0;")
    new = old.replace(b"SUCCESS", b"SUCCESS;").replace(b"five", b"six")
    assert carry(base, old, new) == Carried(
        content=b"one\nreturn 0;\nthree\nfour\nsix\n", left_out=((2, 3),)
    )


def test_lines_beside_each_other_do_not_meet_but_nothing_is_put_between_them() -> None:
    carried = carry(b"A\nb\nc\n", b"a\nb\nc\n", b"a\nB\nc\n")
    assert carried == Carried(content=b"A\nB\nc\n")
    put = carry(b"A\nb\nc\n", b"a\nb\nc\n", b"a\nnew\nb\nc\n")
    assert put == Carried(content=b"A\nb\nc\n", left_out=((2, 3),))


def test_a_last_line_without_an_end_stays_the_last() -> None:
    assert carry(b"x\na\nb", b"a\nb", b"a\nb\n") == Carried(content=b"x\na\nb\n")
    assert carry(b"a\nb\n", b"a\nb", b"a\nb\nc").left_out
