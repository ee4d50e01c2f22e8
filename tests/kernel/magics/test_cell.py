"""How a cell is taken apart into lines for the kernel and bash."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbs_kernel.magics.cell import bash_part, prepare, take_apart
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.magics.registry import MAGICS


def reason(cell: str) -> str:
    with pytest.raises(MagicError) as caught:
        prepare(cell)
    assert caught.value.hint
    assert caught.value.evidence
    return caught.value.reason


def names(cell: str) -> list[str]:
    return [call.magic.name for call in prepare(cell).calls]


def test_magic_lines_come_first_and_bash_keeps_its_lines() -> None:
    prepared = prepare("%limit 1M\n\n# then\n%streams split\nmake\nfalse")
    assert [call.magic.name for call in prepared.calls] == ["limit", "streams"]
    assert prepared.bash == "\n\n# then\n\nmake\nfalse"


@pytest.mark.parametrize(
    "cell",
    [
        "make\n%limit 1M",
        "%1",
        "%%",
        "%",
        "% limit",
        "%Limit",
        " %limit",
        "%limit!",
        "echo %limit",
        "cat <<E\n%limit\nE",
        "",
        "\n\n",
        "display a.png",
        "make; display a.png",
    ],
)
def test_what_is_not_at_the_start_or_not_a_name_is_left_to_bash(cell: str) -> None:
    prepared = prepare(cell)
    assert (prepared.calls, prepared.bash) == ((), cell)


def test_a_cell_magic_takes_the_rest_at_its_lines() -> None:
    (call,) = prepare("\n%%time\nmake\nls").calls
    assert call.body == "\n\nmake\nls"
    code = call.run(None)  # type: ignore[arg-type]
    assert code is not None
    assert code.text == "\n\nmake\nls"


def test_help_is_asked_for_with_a_question_mark() -> None:
    (call,) = prepare("%limit?").calls
    assert call.asks
    assert names("%%time?\n%time??") == ["time", "time"]


def test_words_are_read_as_a_shell_would() -> None:
    (call,) = prepare("%enter '/tmp/a b'  # the first").calls
    assert call.arguments == ("/tmp/a b",)
    assert prepare("%enter ~/kept").calls[0].arguments == ("~/kept",)


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("%frobnicate", "magic-unknown"),
        ("%limti 5", "magic-unknown"),
        ("%%limit\nx", "magic-not-for-cells"),
        ("%limit 1M 2M", "magic-usage"),
        ("%enter", "magic-usage"),
        ("%enter 'a", "magic-usage"),
        ("%enter a; b", "magic-usage"),
        ("%enter $(touch bad)", "magic-usage"),
        ("%enter $x", "magic-usage"),
        ("%display", "magic-usage"),
        ("%time", "magic-usage"),
        ("%%time\n\n", "magic-usage"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(cell: str, wanted: str) -> None:
    assert reason(cell) == wanted


def test_a_near_miss_is_named() -> None:
    for typed, meant in {"limti": "limit", "stream": "streams", "enterr": "enter"}.items():
        with pytest.raises(MagicError) as caught:
            prepare(f"%{typed}")
        assert f"`%{meant}`" in caught.value.hint


def test_another_kernel_goes_on_where_one_has_left_off() -> None:
    cell = "%limit 1M\n%enter a\n%streams split\nmake"
    assert names(cell) == ["limit", "enter", "streams"]
    rest = prepare(cell, after=2)
    assert [call.magic.name for call in rest.calls] == ["streams"]
    assert rest.bash == "\n\n\nmake"
    assert prepare("%enter a\n%display a.png", after=1).calls[0].magic.name == "display"
    assert prepare("%enter a\n%%time\nmake", after=1).calls[0].body == "\n\nmake"


def test_bash_is_asked_only_whether_its_own_part_is_complete() -> None:
    assert bash_part("%limit 1M") is None
    assert bash_part("display a.png") == "display a.png"
    assert bash_part("%wrong") is None
    assert bash_part("%limit 1M\nif true") == "\nif true"
    assert bash_part("%%time\nif true") == "\nif true"
    assert bash_part("if true") == "if true"
    assert bash_part("") == ""


def test_every_magic_has_a_usage_that_names_it_and_a_summary() -> None:
    for name, magic in MAGICS.items():
        assert magic.usage.split()[0] == f"%{name}"
        assert magic.summary
        assert len(magic.summary) < 80


CELLS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "%limit 1M",
                "%%time",
                "%time ls",
                "%build?",
                "%x",
                "display a",
                "make",
                "",
                "# c",
                "'",
                "%enter a",
                "cat <<E",
                "\r",
            ]
        ),
        st.text(alphabet="%abc ?'\"$\\#\t", max_size=8),
    ),
    max_size=6,
).map("\n".join)


@given(CELLS)
@settings(max_examples=400)
def test_bash_never_moves_to_another_line(cell: str) -> None:
    parts = take_apart(cell)
    texts = [parts.bash, *(line.body for line in parts.lines if line.body is not None)]
    lines = cell.split("\n")
    for text in texts:
        for number, line in enumerate(text.split("\n")):
            assert line in {"", lines[number]}
    bash_part(cell)
    with contextlib.suppress(MagicError):
        prepared = prepare(cell)
        assert prepared.calls or prepared.bash == cell
