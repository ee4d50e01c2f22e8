"""What passes between kernel and supervisor, and what of it is refused."""

from __future__ import annotations

import itertools
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbs_kernel.exchange import LONGEST_NAME, Malformed, Reader, decode, encode, receive, send
from nbs_kernel.outside import Outside, in_a_notebook
from nbs_kernel.requests import (
    Diff,
    Enter,
    Entered,
    Handover,
    Interrupt,
    ListNames,
    ListSnapshots,
    Names,
    Ran,
    Refused,
    Remember,
    RemoveSnapshot,
    Restore,
    Restored,
    Run,
    Said,
    Shown,
    Snapshots,
    TakeSnapshot,
    Tried,
)
from nbs_kernel.verb import command
from sandbox import Error

NUMBERS = st.integers(0, 2**40)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
FRAMES = st.lists(st.binary(max_size=50), max_size=3).map(tuple)
MESSAGES = st.one_of(
    st.builds(Enter, build=TEXTS, store=TEXTS, derivation=TEXTS),
    st.builds(Remember, session=NUMBERS, line=NUMBERS, source=TEXTS),
    st.builds(Entered),
    st.builds(Run, verb=TEXTS, words=st.lists(TEXTS).map(tuple)),
    st.builds(Said, text=TEXTS),
    st.builds(Ran, status=NUMBERS),
    st.builds(ListNames, of=TEXTS),
    st.builds(Names, found=st.lists(TEXTS).map(tuple)),
    st.builds(Diff, stat=st.booleans(), since=TEXTS, paths=st.lists(TEXTS).map(tuple)),
    st.builds(Shown, text=TEXTS),
    st.builds(TakeSnapshot, name=TEXTS, kept=NUMBERS),
    st.builds(RemoveSnapshot, name=TEXTS),
    st.builds(ListSnapshots),
    st.builds(Interrupt),
    st.builds(Tried, call=st.lists(TEXTS).map(tuple)),
    st.builds(Restore, name=TEXTS, kill=NUMBERS),
    st.builds(Restored, words=st.lists(TEXTS).map(tuple)),
    st.builds(
        Snapshots,
        found=st.lists(st.tuples(TEXTS, NUMBERS, NUMBERS, NUMBERS), max_size=3).map(tuple),
    ),
    st.builds(
        Refused, message=TEXTS, reason=TEXTS, hint=TEXTS, evidence=st.lists(TEXTS).map(tuple)
    ),
    st.builds(
        Handover,
        execution_count=NUMBERS,
        moved=st.booleans(),
        requests=st.lists(st.tuples(TEXTS, FRAMES), max_size=3).map(tuple),
        published=st.lists(st.tuples(TEXTS, FRAMES), max_size=3).map(tuple),
        subscribers=NUMBERS,
        settings=st.lists(st.tuples(TEXTS, NUMBERS), max_size=3).map(tuple),
    ),
)


@given(MESSAGES)
def test_a_message_comes_out_as_it_went_in(message):
    assert decode(encode(message)[4:]) == message


@given(st.lists(MESSAGES, max_size=4), st.data())
def test_messages_do_not_depend_on_how_their_bytes_are_cut(messages, data):
    whole = b"".join(map(encode, messages))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))
    places = sorted({0, *cuts, len(whole)})
    reader = Reader()
    pieces = [whole[a:b] for a, b in itertools.pairwise(places)]
    assert [m for piece in pieces for m in reader.feed(piece)] == messages


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused_and_raise_nothing_else(data):
    try:
        decode(data)
    except Malformed:
        return
    pytest.fail("random bytes were a message")


@pytest.mark.parametrize(
    "content",
    [
        {"version": 2, "kind": "Entered"},
        {"kind": "Entered"},
        {"version": 1, "kind": "os.system"},
        {"version": 1, "kind": "Enter"},
        {"version": 1, "kind": "Enter", "build": 1},
        {"version": 1, "kind": "Enter", "build": "x", "more": 1},
        {"version": 1, "kind": "Enter", "build": "x", "more": "x"},
        {"version": 1, "kind": "Enter", "build": "x", "store": 1},
        {"version": 1, "kind": "Enter", "build": "x", "store": "x" * (LONGEST_NAME + 1)},
        {"version": 1, "kind": "Enter", "build": "x" * (LONGEST_NAME + 1)},
        {"version": 1, "kind": "Remember", "session": "1", "line": 1, "source": "x"},
        {"version": 1, "kind": "Handover", "requests": 3},
        {"version": 1, "kind": "Diff", "paths": "abc"},
        {"version": 1, "kind": "Diff", "stat": 1},
        {"version": 1, "kind": "TakeSnapshot", "name": "x", "kept": True},
        {"version": 1, "kind": "ListNames", "of": ["builds"]},
        {"version": 1, "kind": "Names", "found": [1]},
        [1],
        None,
    ],
)
def test_a_message_of_another_form_is_refused(content):
    with pytest.raises(Malformed):
        decode(json.dumps(content).encode())


def test_bytes_that_are_no_text_come_out_as_they_went_in():
    text = b"\xff\xfe \xc3".decode("utf-8", "surrogateescape")
    assert decode(encode(Said(text=text))[4:]) == Said(text=text)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("shell", ()),
        ("patch", ("-o", "/tmp/x")),
        ("patch", ("--output=/tmp/x",)),
        ("patch", ("/etc",)),
        ("patch", ("--since", "--all")),
        ("patch", ("--since",)),
        ("verify", ("--real", "--yes")),
        ("verify", ("--patch", "/etc/passwd")),
        ("verify", ("--until",)),
        ("verify", ("--store", "/x")),
    ],
)
def test_a_kernel_has_no_other_command_run_and_names_nothing_of_the_host(verb, words):
    assert command(Run(verb=verb, words=words), "hello-1.0") is None


def test_a_command_is_run_on_the_kernels_own_workspace():
    asked = Run(verb="patch", words=("--all", "--exclude", "*.log", "--exclude", "x"))
    expected = ["patch", "--all", "--exclude", "*.log", "--exclude", "x", "hello-1.0"]
    assert command(asked, "hello-1.0") == expected


def test_a_length_beyond_the_limit_is_refused_before_anything_is_held():
    with pytest.raises(Malformed):
        list(Reader().feed(b"\xff\xff\xff\xff"))


def test_a_refusal_comes_inside_as_the_error_that_it_was_outside():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours.fileno(), Refused(message="no", reason="build-unknown", hint="`nbs ls`"))
        with pytest.raises(Error) as caught:
            Outside(theirs.fileno()).enter(Enter(build="x"))
        assert (caught.value.message, caught.value.reason) == ("no", "build-unknown")
        assert receive(ours.fileno(), Reader()) == Enter(build="x")


def test_a_move_that_takes_longer_than_a_moment_is_told_to_be_under_way(monkeypatch):
    ours, theirs = socket.socketpair()
    told = []

    def tell():
        told.append("entering")
        send(ours.fileno(), Entered())

    with ours, theirs:
        outside = Outside(theirs.fileno())
        send(ours.fileno(), Entered())
        outside.enter(Enter(build="x"), tell=tell)
        assert told == []
        monkeypatch.setattr("nbs_kernel.outside.SILENT_S", 0.01)
        outside.enter(Enter(build="x"), tell=tell)
        assert told == ["entering"]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("`nbs snapshots` lists them", "`%snapshots` lists them"),
        ("`nbs snapshot --remove one` removes it", "`%snapshot --remove one` removes it"),
        ("`nbs diff hello-1.0` shows what was", "`%diff` shows what was"),
        ("`nbs shell --ws a` enters it as it is", "`%enter --ws a` enters it as it is"),
        ("`nbs shell --ws a --fork` enters a copy", "`nbs shell --ws a --fork` enters a copy"),
        ("leave the shell, then `nbs restore a`", "leave the shell, then `nbs restore a`"),
        ("`nbs ws ls` lists them", "`nbs ws ls` lists them"),
    ],
)
def test_a_hint_names_the_magic_command_where_there_is_one(told, shown):
    refused = Refused(message="no", reason="snapshot-unknown", hint=told)
    assert in_a_notebook(refused.error()).hint == shown


def test_a_supervisor_that_is_gone_is_told_and_no_reason_to_end():
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        outside = Outside(theirs.fileno())
        outside.remember(1, 1, "make")
        with pytest.raises(Error) as caught:
            outside.enter(Enter(build="x"))
        assert caught.value.reason == "supervisor-gone"
        assert outside.take_over() == Handover()
