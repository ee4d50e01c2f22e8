"""A description hides nothing: whatever decides something is in the text, the data and the calls."""

from __future__ import annotations

import json
import re

import pytest

from sandbox.linux.record import calls_of
from sandbox.model import render
from sandbox.model.seccomp import Filter, FilterRule
from sandbox.model.spec import (
    CALLER,
    Bind,
    BuildDirectory,
    Directory,
    File,
    Filesystem,
    IdMap,
    Inputs,
    Note,
    Output,
    Process,
    Sandbox,
    Symlink,
)
from sandbox.model.value import Value
from tests.model.made import described, planned

RULE = "made"
FULL = Sandbox(
    name="hello",
    profile="nix-2.8",
    namespaces=("user", "mnt", "pid", "net", "uts"),
    uid_map=IdMap(inside=1000, outside=30001),
    gid_map=IdMap(inside=100, outside=30000),
    host_name="localhost",
    domain_name="(none)",
    entries=(
        Directory(path="/", mode=0o750, uid=1, gid=2, rule=RULE),
        Directory(path="/nix", mode=0o755, rule=RULE),
        Directory(path="/nix/store", mode=0o1775, uid=1, gid=2, rule=RULE),
        File(path="/hosts", content="127.0.0.1", rule=RULE),
        Symlink(path="/fd", target="/proc/self/fd", rule=RULE),
        Bind(path="/null", source="/dev/null", kind="file", rule=RULE),
        Bind(path="/shown", source="/HOST/shown", kind="directory", read_only=True, rule=RULE),
        Bind(path="/sh", source="/nix/sh", kind="file", within=True, read_only=True, rule=RULE),
        Inputs(
            path="/nix/store",
            source="/HOST/store",
            directories=("a", "b"),
            files=("c",),
            links=(("l", "target"),),
            rule=RULE,
        ),
        Output(path="/nix/store/out", source="/HOST/out", uid=1, gid=2, rule=RULE),
        BuildDirectory(
            path="/build",
            source="/HOST/kept",
            method="overlay",
            files=((".attrs", "x"),),
            uid=1,
            gid=2,
            rule=RULE,
        ),
        Filesystem(path="/proc", fstype="proc", rule=RULE),
        Filesystem(path="/shm", fstype="tmpfs", options="size=1", rule=RULE),
    ),
    process=Process(
        argv=("sh", "-c", "x"),
        program="/bin/sh",
        environment=(("A", "1"), ("B", "2")),
        directories=("/build/x", "/build"),
        uid=1000,
        gid=100,
        filter=Filter(
            rules=(FilterRule(call="chmod", errno=1, argument=1, mask=0o6000),), unknown_from=457
        ),
        open_files_ceiling=1024,
        startup_file="PS1=",
    ),
    environment_source="env-vars",
    notes=(Note(subject="owners", text="the caller's"),),
)
"""At least one of everything, and no field at a value that hides it."""

WORDS = {
    "kind": ("file", "directory"),
    "method": ("overlay", "copy", "empty"),
    "places": ("disk", "memory", "store"),
    "fstype": ("proc", "tmpfs"),
    "call": ("chmod", "fchmod"),
}
"""Fields that know a few words alone."""
NAMESPACES = ("ipc", "cgroup")


def neighbours(value, name=""):
    """Values that differ from `value` in one place, with the way to that place."""
    match value:
        case Value():
            for field, held in value.fields().items():
                for way, other in neighbours(held, field):
                    yield f"{type(value).__name__}.{field}{way}", value.replace(**{field: other})
        case tuple():
            yield from neighbours_of_tuple(value, name)
        case bool():
            yield "", not value
        case int():
            yield "", value + 1
        case str():
            words = NAMESPACES if name == "namespaces" else WORDS.get(name, (value + "x",))
            yield from (("", other) for other in words if other != value)
        case None:
            yield "", 7


def neighbours_of_tuple(value, name):
    for index, item in enumerate(value):
        place = "." if isinstance(item, Value) else f"[{index}]"
        for way, other in neighbours(item, name if isinstance(item, str) else ""):
            yield place + way, (*value[:index], other, *value[index + 1 :])
    if value and name:
        yield "[-]", value[:-1]


def is_possible(way, sandbox):
    """Not all of them are sandboxes: a plan needs a store with a directory, and an argv."""
    stores = [e.path for e in sandbox.entries if isinstance(e, Inputs)]
    places = {e.path for e in sandbox.entries if isinstance(e, Directory)}
    whole = all(
        not (e.directories or e.files)
        for e in sandbox.entries
        if isinstance(e, Inputs) and e.places == "store"
    )
    return bool(stores) and set(stores) <= places and whole


CHANGES = [
    (way, changed)
    for way, changed in neighbours(FULL)
    if is_possible(way, changed) and changed != FULL
]

EXPLAINS = re.compile(r"Sandbox.(name|profile|environment_source|notes.*)|.*[.]rule")
"""What is there for people: it changes no step."""

OUTSIDE = (
    *("Directory.", "File.", "Symlink.", "Output.", "Inputs.links", "BuildDirectory.files"),
    *("BuildDirectory.uid", "BuildDirectory.gid", "Sandbox.entries[-]"),
)
"""Made before the sandbox is, without a call inside."""

NOT_IN_STRACE = (
    *(
        "Process.environment",
        "Process.startup_file",
        "Process.directories",
        "Filter.",
        "FilterRule.",
    ),
    "Bind.kind",
)
"""strace prints how many variables and instructions there are; it sees the first directory alone,
that let itself be entered; and what kind of place a bind mount needs is decided outside."""


def ids(changes):
    return [way for way, _ in changes]


def test_the_neighbours_change_every_field_of_every_class():
    classes = {type(e) for e in FULL.entries} | {Process, IdMap, Note, Filter, FilterRule}
    expected = {f"{c.__name__}.{f}" for c in classes for f in c._fields}
    missing = {e for e in expected if not any(e in way for way, _ in CHANGES)}
    assert missing == {"Inputs.path"}, (
        "a store's path alone cannot be changed, its directory has it too"
    )


@pytest.mark.parametrize(("way", "changed"), CHANGES, ids=ids(CHANGES))
def test_one_change_can_be_seen_in_the_text(way, changed):
    assert render.lines(changed) != render.lines(FULL)
    assert render.text(changed) != render.text(FULL)
    assert render.difference(FULL, changed) or way.endswith("rule")


@pytest.mark.parametrize(("way", "changed"), CHANGES, ids=ids(CHANGES))
def test_one_change_can_be_seen_in_the_data(way, changed):
    assert json.dumps(render.data(changed)) != json.dumps(render.data(FULL))


@pytest.mark.parametrize(("way", "changed"), CHANGES, ids=ids(CHANGES))
def test_one_change_can_be_seen_in_the_plan(way, changed):
    explains = EXPLAINS.fullmatch(way) is not None
    assert (planned(changed) == planned(FULL)) is explains
    assert (render.data(planned(changed)) == render.data(planned(FULL))) is explains


@pytest.mark.parametrize(("way", "changed"), CHANGES, ids=ids(CHANGES))
def test_one_change_can_be_seen_in_the_calls(way, changed):
    if not EXPLAINS.fullmatch(way) and not any(p in way for p in (*OUTSIDE, *NOT_IN_STRACE)):
        assert calls_of(planned(changed)) != calls_of(planned(FULL))


def test_the_caller_s_own_ids_are_not_shown_as_numbers():
    directory = Directory(path="/x", mode=0o755, uid=CALLER, gid=CALLER, rule=RULE)
    (line,) = (
        each for each in render.lines(FULL.replace(entries=(directory,))) if each.subject == "/x"
    )
    assert line.text == "directory, mode 0755"


def test_the_difference_of_a_sandbox_from_itself_is_nothing():
    assert render.difference(FULL, FULL) == ()


def test_a_difference_tells_what_goes_and_what_comes():
    other = FULL.replace(host_name="elsewhere")
    assert [(sign, line.text) for sign, line in render.difference(FULL, other)] == [
        ("-", "localhost"),
        ("+", "elsewhere"),
    ]


def test_bytes_are_hexadecimal_in_data():
    assert render.data((b"\xff\x00", {"a": (1, None)})) == ["ff00", {"a": [1, None]}]


@pytest.mark.parametrize("evil", ["\x1b[2J", "a\nnotes\n  all is well", "\udcff", "\x07", "\u202e"])
def test_nothing_hostile_is_in_the_text_as_it_is(evil):
    directory = Directory(path=f"/x{evil}", mode=0, rule=RULE)
    process = FULL.process.replace(
        directories=(evil,), argv=(evil,), environment=((evil, evil),), startup_file=evil
    )
    hostile = FULL.replace(
        name=evil,
        host_name=evil,
        entries=(*FULL.entries, directory, Bind(path="/y", source=evil, kind="file", rule=evil)),
        process=process,
        notes=(Note(subject=evil, text=evil),),
    )
    text = render.text(hostile)
    assert evil not in text
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == render.text(hostile.replace(name="x")).count("\n")
    text.encode()


def test_real_descriptions_go_to_json():
    sandbox = described()
    back = json.loads(json.dumps(render.data(sandbox)))
    assert back["type"] == "Sandbox"
    assert back["process"]["argv"] == list(sandbox.process.argv)
    assert {e["type"] for e in back["entries"]} >= {"Directory", "File", "Bind", "Inputs"}
