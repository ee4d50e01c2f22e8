"""Where a cursor stands in shell text, and which words there are."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbs_kernel.typed.quoting import from_ansi
from nbs_kernel.typed.reader import Reader
from nbs_kernel.typed.surroundings import value_of
from tests.kernel.typed.shells import bash

COMMANDS = [
    "X",
    "make && X",
    "make || X",
    "make; X",
    "make | X",
    "make |& X",
    "make & X",
    "(X",
    "( make; X",
    "{ X",
    "echo $(X",
    'echo "$(X',
    'echo "a $(ls "b c") $(X',
    "echo `X",
    'echo "`X',
    "diff <(X",
    "tee >(X",
    "if X",
    "if true; then X",
    "if true; then :; else X",
    "if true; then :; elif X",
    "while X",
    "until X",
    "while true; do X",
    "for i in a b; do X",
    "for i in a b\ndo X",
    "for i; do X",
    "for ((i=0; i<3; i++)); do X",
    "((i++)) && X",
    "case $x in a) X",
    "case $x in (a|b) echo;; *) X",
    "case $x in\n  a)\n    X",
    "echo $(case a in a) X",
    "case a in a) :;; esac; X",
    "f() { X",
    "f () X",
    "function f { X",
    "function f() { X",
    "! X",
    "time X",
    "time -p X",
    "A=1 X",
    "A=1 B='c d' X",
    "A=$(date) X",
    "A+=(1 2) X",
    ">out X",
    "2>&1 X",
    "cat <<E\ntext\nE\nX",
    "cat <<'E'\n$( \" '\nE\nX",
    "cat <<-E\n\ttext\n\tE\nX",
    "cat <<A <<B\na\nA\nb\nB\nX",
    "cat <<E | wc\ntext\nE\nX",
    "echo # it's a comment\nX",
    "echo a#b; X",
    "echo \\\n  done; X",
    "echo 'a\nb'; X",
    "echo $'it\\'s'; X",
    'echo "a \\" b"; X',
    "echo ${a:-b}; X",
    "echo ${a#'}'}; X",
    'echo "${a:-"b c"}"; X',
    "echo $((1 + (2 * 3))); X",
    "echo $[1+2]; X",
    "[[ a < b && c > d ]] && X",
    "[[ a =~ ^(b|c)$ ]] && X",
    "ls *.@(c|h); X",
    "a=(1 2\n3); X",
    "coproc X",
    "é=1; 𝄞; X",
]
ARGUMENTS = [
    "echo X",
    "echo a X",
    "cat < in X",
    "cat 2>/dev/null X",
    "[[ -f X",
    "[[ -f a && X",
    "[[ a < X",
    "a=(X",
    "a=(b\nX",
    "for i in X",
    "echo $(ls X",
    "echo $x X",
    "echo a\\\n X",
    "if test X",
    "cat <<E X",
    "echo 'a;' X",
]


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_can_stand_there(text: str) -> None:
    text = text.replace("X", "wor")
    place = Reader(text).place()
    assert (place.kind, place.text, place.start) == ("command", "wor", len(text) - 3)
    assert Reader(text[:-3]).place().kind == "command"


@pytest.mark.parametrize("text", ARGUMENTS)
def test_an_argument_stands_there(text: str) -> None:
    text = text.replace("X", "wor")
    place = Reader(text).place()
    assert (place.kind, place.text, place.start) == ("argument", "wor", len(text) - 3)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cat >X", "redirection"),
        ("cat 2>>X", "redirection"),
        ("cat &>X", "redirection"),
        ("cat <<<X", "redirection"),
        ("cat >|X", "redirection"),
        ("cat <<X", "delimiter"),
        ("for X", "name"),
        ("function X", "function"),
        ("case a X", "keyword"),
        ("case a in X", "pattern"),
        ("case a in b) c;; X", "pattern"),
        ("out=X", "assignment"),
        ("A=1 out=X", "assignment"),
        ("export out=X", "assignment"),
        ("out[1]+=X", "assignment"),
        ("make out=X", "argument"),
        ("echo $X", "variable"),
        ('echo "a $X', "variable"),
        ("echo ${X", "variable"),
        ("echo ${#X", "variable"),
        ("echo ${!X", "variable"),
        ("echo $((1+X", "variable"),
        ("((X", "variable"),
        ("cat <<E\n$X", "variable"),
        ("echo ${a:-$X", "variable"),
        ("cat <<'E'\n$X", "none"),
        ("cat <<E\n\\$X", "none"),
        ("cat <<E\nX", "none"),
        ("echo # X", "none"),
        ("echo ${a:-X", "none"),
    ],
)
def test_what_is_wanted_at_the_end_of_a_text(text: str, kind: str) -> None:
    assert Reader(text.replace("X", "wor")).place().kind == kind


@pytest.mark.parametrize(
    ("text", "quote", "meant"),
    [
        ("cat a\\ b", "", "a b"),
        ("cat 'a b", "'", "a b"),
        ('cat "a \\"b', '"', 'a "b'),
        ('cat "a \\nb', '"', "a \\nb"),
        ("cat $'a\\tb\\x41", "$'", "a\tbA"),
        ("cat a'b'\"c\"d", "", "abcd"),
        ("cat 'it'\\''s", "'", "it's"),
        ("cat é𝄞", "", "é𝄞"),
        ("cat a\\\nb", "", "ab"),
        ('cat $"a b', '"', "a b"),
    ],
)
def test_a_word_is_read_through_its_quotes(text: str, quote: str, meant: str) -> None:
    place = Reader(text).place()
    assert (place.quote, place.text, place.start) == (quote, meant, 4)


def test_no_quote_is_open_where_one_has_just_been_closed() -> None:
    assert Reader("cat 'a'").place().quote == ""
    assert Reader('cat "a"').place().quote == ""


@given(
    st.text(alphabet=st.sampled_from("a b$'\"`\\(){}[]<>|&;#~=\n\té𝄞:-!*x0EOFdoncase"), max_size=60)
)
@settings(max_examples=600, deadline=None)
def test_any_text_is_read_to_its_end_from_any_cursor(text: str) -> None:
    for cursor in range(len(text) + 1):
        place = Reader(text[:cursor]).place()
        assert 0 <= place.start <= cursor
        for piece in place.pieces:
            assert place.start <= piece.start <= piece.end <= cursor
    reader = Reader(text)
    reader.finish()
    for word in reader.words:
        assert 0 <= word.start <= word.end <= len(text)


PARTS = st.one_of(
    st.sampled_from(["a", "b-c", "é", "\\ ", "\\$", "\\\\", "'a b'", "''", "'$x'", '"a b"', '""']),
    st.sampled_from(
        ['"\\""', '"\\$x"', '"\\a"', "$'\\n'", "$'\\''", "$'\\u20ac\\101'", "a=b", "x#y"]
    ),
    st.text(alphabet="abcdefghijkl/._,+@%:-", min_size=1, max_size=6),
)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("".join), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_words_mean_what_bash_makes_of_them(words: list[str]) -> None:
    line = "printf '%s\\0' " + " ".join(words)
    reader = Reader(line)
    reader.finish()
    found = [word.text for word in reader.words if word.role == "argument"][1:]
    given = bash(line.encode()).split(b"\0")[:-1]
    assert found == [text.decode() for text in given]


ESCAPES = [
    "a",
    "\\n",
    "\\x41",
    "\\xe2\\x82\\xac",
    "\\303\\251",
    "\\u20ac",
    "\\U0001D11E",
    "\\'",
    "\\\\",
    "\\q",
    "\\ca",
    "\\?",
    "\\x",
    "é",
]


@given(st.lists(st.sampled_from(ESCAPES), max_size=8).map("".join))
@settings(max_examples=60, deadline=None)
def test_escapes_mean_what_bash_makes_of_them(text: str) -> None:
    assert os.fsencode(from_ansi(text)) == bash(b"printf %s $'" + text.encode() + b"'")


@given(st.binary(max_size=30).filter(lambda value: b"\0" not in value))
@settings(max_examples=60, deadline=None)
def test_a_value_is_read_from_what_declare_prints(value: bytes) -> None:
    name = "T_" if not value else "T_x"
    printed = bash(b"declare -p " + name.encode(), env={name: os.fsdecode(value)})
    assert os.fsencode(value_of(os.fsdecode(printed)) or "") == value


def test_an_array_has_no_one_value() -> None:
    assert value_of('declare -a a=([0]="x")') is None
    assert value_of("declare -x a") is None
    assert value_of("") is None


@pytest.mark.parametrize(
    "unit",
    [
        "$(",
        '"$(',
        "`",
        "${a:-",
        "((",
        "<<E\n",
        "a=(",
        "case a in ",
        "\\\n",
        "'a' ",
        "{ ",
        "<(",
        "x|",
        "$(`:`",
        "$(#\n",
    ],
)
def test_a_long_text_of_one_hostile_construct_is_read(unit: str) -> None:
    Reader(unit * 30_000).finish()
