"""The driver's pure part: bytes to records, records to outcomes, texts to command lines."""

from __future__ import annotations

import itertools
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbs_kernel.bash import answers, lines, outcomes, records, syntax
from nbs_kernel.bash.events import Frame, Outcome
from nbs_kernel.bash.messages import Tail, mentions, subject
from nbs_kernel.bash.outcomes import Text, Texts
from nbs_kernel.bash.records import Record, Records

NONCE = "0123456789abcdef"
FIELD = st.binary(max_size=30).filter(lambda field: b"\0" not in field and b"@" not in field)
WRITTEN = st.builds(
    lambda kind, number, fields: (kind, number, tuple(fields)),
    st.sampled_from(["done", "answer", "ready"]),
    st.integers(0, 10**11),
    st.lists(FIELD, max_size=5),
)
LIKE_OURS = st.sampled_from(
    [
        b"@",
        b"@" + NONCE.encode(),
        b"@fedcba9876543210 done 1 1\0x\0",
        b"\0",
        b"@0123456789abcdef done 1\0",
        b"done 1 9\0",
    ]
)


def encoded(kind: str, number: int, fields: tuple[bytes, ...]) -> bytes:
    head = f"@{NONCE} {kind} {number} {len(fields)}".encode()
    return b"".join(part + b"\0" for part in (head, *fields))


def decoded(kind: str, number: int, fields: tuple[bytes, ...]) -> Record:
    texts = tuple(field.decode("utf-8", "surrogateescape") for field in fields)
    return Record(kind=kind, number=number, texts=texts)


def fed(data: bytes, cuts: list[int]) -> list[Record]:
    reader = Records(NONCE)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [r for start, end in itertools.pairwise(edges) for r in reader.feed(data[start:end])]


@given(st.lists(WRITTEN, max_size=6), st.lists(st.integers(0, 10**6), max_size=20))
def test_records_are_read_whatever_pieces_they_come_in(written, cuts):
    data = b"".join(encoded(*record) for record in written)
    assert fed(data, cuts) == [decoded(*record) for record in written]


@given(
    st.lists(st.binary(max_size=50) | LIKE_OURS, max_size=12),
    st.lists(st.integers(0, 10**6), max_size=30),
)
def test_any_split_of_any_bytes_gives_the_same_records(pieces, cuts):
    data = b"".join(pieces)
    assert fed(data, cuts) == fed(data, []) == fed(data, list(range(len(data))))


@given(
    st.lists(
        st.binary(max_size=50) | LIKE_OURS.filter(lambda piece: NONCE.encode() not in piece),
        max_size=12,
    )
)
def test_what_has_no_head_of_ours_is_no_record(pieces):
    assert fed(b"".join(pieces), []) == []


@given(WRITTEN, st.integers(0, 10**6), WRITTEN)
def test_a_record_that_was_cut_short_is_given_up_for_the_next(first, cut, second):
    cut_short = encoded(*first)
    cut_short = cut_short[: cut % len(cut_short)]
    assert fed(cut_short + encoded(*second), [])[-1] == decoded(*second)


def test_long_fields_are_cut_and_many_are_not_kept():
    data = encoded("done", 1, (b"x" * (records.FIELD_LIMIT + 10), b"y"))
    (record,) = fed(data, [])
    assert (len(record.texts[0]), record.texts[1]) == (records.FIELD_LIMIT, "y")
    head = f"@{NONCE} answer 1 99999\0".encode()
    (record,) = fed(head + b"x\0" * 99_999, [])
    assert len(record.texts) == records.FIELDS_LIMIT
    large = encoded("answer", 1, (b"x" * records.FIELD_LIMIT,) * 40)
    (record,) = fed(large, [])
    assert sum(map(len, record.texts)) <= records.RECORD_LIMIT + records.FIELD_LIMIT


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
@settings(max_examples=60, deadline=None)
def test_bash_reads_what_is_quoted_as_it_was(text):
    quoted = lines.quote(text)
    assert quoted.isascii()
    assert quoted.isprintable()
    assert "!" not in quoted
    run = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert run.stdout == text.encode()


def test_nul_is_not_quoted():
    with pytest.raises(ValueError, match="NUL"):
        lines.quote("a\0")


SETTING = lines.Setting(output="/dev/pts/7")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200))
def test_a_cell_is_two_command_lines_whatever_it_is(code):
    sent = lines.cell(5, code, SETTING).decode("ascii")
    first, rest = sent.split("\n", 1)
    assert first.endswith("; \\__nbs_done 5 inline")
    assert rest.startswith("\\__nbs_done 5 '' '")
    assert set(rest.removeprefix("\\__nbs_done 5 '' '")) <= {"\n", "'"}
    assert rest.count("\n") == code.count("\n") + 1


@given(
    st.text(max_size=40) | st.sampled_from(["", "-", "1", "nan"]),
    st.lists(st.text(max_size=20), max_size=12),
)
def test_any_record_gives_an_outcome_or_none(text, fields):
    texts = Texts()
    done = outcomes.read((text, *fields), 3, 10, texts)
    assert done is None or isinstance(done.outcome, Outcome)
    many = (text, *(fields * 10))[: outcomes.FIELDS]
    done = outcomes.read(many, 3, 10, texts)
    assert done is None or 0 <= done.outcome.status <= 255


def test_lines_of_functions_are_those_of_their_cells():
    texts = Texts()
    texts.add(Text(cell=1, base=10, lines=5))
    calls = ("inner\x1elib\x1e", "main\x1e/lib.sh\x1e", "2\x1e3\x1e31\x1e")
    definitions = "inner 12 main\nlib 40 /lib.sh"
    traps = ("trap -- '__nbs_err' ERR", "trap -- 'mine' EXIT\n")
    fields = (
        "1",
        "errexit",
        "false",
        "2\x1e1\x1e",
        *calls,
        definitions,
        "30",
        "/",
        "e",
        "",
        *traps,
        "",
    )
    done = outcomes.read(fields, 2, 4, texts)
    assert done.outcome.frames == (
        Frame(function="inner", file="", line=3, cell=1),
        Frame(function="lib", file="/lib.sh", line=42),
        Frame(function="", file="", line=1, cell=2),
    )
    assert done.outcome.statuses == (2, 1)
    assert (done.options, done.traced) == ("e", False)
    assert done.traps == ("", "trap -- 'mine' EXIT")


def test_lines_in_a_file_that_is_sourced_are_the_file_s():
    calls = ("f\x1esource\x1e", "/lib.sh\x1e/run.sh\x1e", "7\x1e3\x1e31\x1e")
    fields = ("1", "", "false", "\x1e", *calls, "f 5 /lib.sh", "30", "/", "", "", "", "", "")
    done = outcomes.read(fields, 2, 4, Texts())
    assert done.outcome.statuses == ()
    assert done.traps == ("-", "-")
    assert [f.line for f in done.outcome.frames] == [7, 3, 1]


@given(st.text(max_size=60), st.integers(-20, 260), st.text(max_size=200))
def test_any_message_of_the_parser_gives_a_verdict(code, status, messages):
    assert syntax.verdict(code, status, messages).state in {"complete", "incomplete", "invalid"}


@given(
    st.tuples(st.text(max_size=9), st.text(max_size=9)), st.lists(st.text(max_size=30), max_size=8)
)
def test_any_answer_is_read_or_none(question, fields):
    for asked in (question, ("names",), ("environment",), ("describe", "x")):
        answer = answers.read(asked, tuple(fields))
        assert answer is None or all(isinstance(text, str) for text in answer)


WORDS = st.sampled_from(
    [
        "bash: x: unbound variable\n",
        "checkPhase failed: exit status 1\n  make\n",
        "bash: 1/0: ",
        "(",
    ]
)


@given(
    st.lists(st.binary(max_size=3000) | WORDS.map(str.encode), max_size=8),
    st.sampled_from(["expansion", "fatal", "errexit", ""]),
    st.text(max_size=20) | WORDS,
)
def test_the_last_words_are_kept_in_bounds(pieces, why, text):
    tail = Tail()
    for piece in pieces:
        tail.add(piece)
    frames = (Frame(function="f", file="", line=1), Frame(function="", file="", line=2))
    explained = tail.explain(Outcome(status=1, why=why, command=text, frames=frames))
    assert explained.why != "fatal"
    assert explained.frames[1:] == frames[1:]
    assert len(tail._bytes) <= 4096
    where, names = mentions(subject(explained.message), text, text)
    assert all(0 < line <= text.count("\n") + 1 for line in where)
    assert all(name in text for name in names)


@pytest.mark.parametrize(
    ("code", "may"),
    [
        ("echo }", True),
        ("echo ${x}", False),
        ("f() {\n  :\n}", True),
        ("x;}", True),
        ("a}", False),
        ("", False),
    ],
)
def test_a_brace_that_may_end_the_group_is_seen(code, may):
    assert lines.may_close_the_group(code) is may
