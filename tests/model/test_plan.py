"""The steps of a sandbox: in an order that works, and with nothing of the host behind the pivot."""

from __future__ import annotations

import os.path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.model.facts import StoreObjects
from sandbox.model.nixconf import NixSettings, SandboxPath
from sandbox.model.profile import Profile
from sandbox.model.steps import (
    BindEach,
    ChangeDirectory,
    ConnectTerminal,
    CopyTree,
    InstallFilter,
    MakeDirectory,
    MakeFile,
    MakeLink,
    MakePlaces,
    MakePlacesInMemory,
    Mount,
    MountOverlay,
    NoNewPrivileges,
    PivotRoot,
    SetIds,
    SetOwner,
    SetReadOnly,
)
from sandbox.model.value import Value
from tests.model import made
from tests.model.made import KEPT, MACHINE, NIX, PATHS, described, host_file, planned

TARGETS = (
    *("/bin/sh", "/bin/bash", "/usr", "/usr/bin", "/usr/bin/env", "/usr/bin/perl", "/etc/hosts"),
    *("/etc/ssl", "/etc/ssl/certs", "/dev/dri", "/dev/net/tun", "/dev/null", "/dev/fd/3", "/tmp"),
    *("/tmp/x/y", "/proc/x", "/nix/store/y", "/nix/var", "/build/x", "/build", "/a", "/a/b/c", "/"),
)
TOPS = ("/build", "/tmp/build", "/tmp", "/a/b", "/nix/build", "/dev/build")
FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/services", "/certs.crt")


@st.composite
def sandboxes(draw):
    """Whatever kept directories, settings and machines come to."""
    targets = draw(st.lists(st.sampled_from(TARGETS), max_size=6, unique=True))
    kinds = {t: draw(st.sampled_from(["file", "directory"])) for t in targets}
    top = draw(st.sampled_from(TOPS))
    uid = draw(st.sampled_from([0, made.CALLER]))
    files = [f for f in FILES if draw(st.booleans())]
    count = draw(st.sampled_from([0, 1, 3, 300]))
    store = draw(st.sampled_from([made.STORE, "/tmp/x/store", "/store"]))
    return described(
        kept=KEPT.replace(
            uid=draw(st.sampled_from([0, made.CALLER, made.BUILDER])),
            env_vars=made.ENV_VARS.replace(build_top=top),
        ),
        nix=NIX.replace(
            profile=Profile(
                flavour=draw(st.sampled_from(["nix", "lix"])),
                version=(2, draw(st.integers(8, 95)), 0),
            ),
            store_dir=store,
            settings=NixSettings(
                sandbox_build_dir=top,
                ssl_cert_file="/certs.crt",
                sandbox_paths=tuple(SandboxPath(target=t, source=t) for t in sorted(targets)),
            ),
            derivation=draw(
                st.sampled_from([None, made.derivation(), made.derivation(made.FIXED)])
            ),
            inputs=StoreObjects(
                directories=tuple(f"{store}/{n:032}-x" for n in range(4, count)),
                files=tuple(
                    f"{store}/{n:032}-x" for n in draw(st.sampled_from([(), (0,), (0, 1)]))
                ),
                links=tuple(
                    (f"{store}/{n:032}-x", "t") for n in draw(st.sampled_from([(), (2, 3)]))
                ),
            ),
            inputs_from=draw(st.sampled_from(["database", "database", "whole-store"])),
            partial=draw(st.sampled_from([(), ((f"{store}/{'b' * 32}-o", "/HOST/left"),)])),
        ),
        machine=MACHINE.replace(
            uid=uid,
            gid=uid,
            files=tuple(host_file(p, kinds.get(p, "file")) for p in (*files, *targets)),
        ),
        request=made.REQUEST.replace(
            interactive=draw(st.booleans()),
            term="xterm",
            inputs_writable=draw(st.booleans()),
            copy=draw(st.booleans()),
        ),
    )


def made_by(step):
    """The paths that a step makes."""
    match step:
        case MakePlaces():
            return [f"{step.path}/{name}" for name in (*step.directories, *step.files)]
        case MakeDirectory() | MakeFile() | MakeLink() | CopyTree():
            return [step.path]
        case _:
            return []


@settings(max_examples=150, deadline=None)
@given(sandboxes())
def test_each_path_is_made_once_and_in_a_directory_that_is_there(sandbox):
    directories = {PATHS.root, PATHS.upper, PATHS.work, "/WORKSPACE"}
    there = set(directories)
    for step in planned(sandbox).prepare:
        for path in made_by(step):
            replaces = isinstance(step, CopyTree) and path == PATHS.upper
            assert path not in there or replaces, step
            assert os.path.dirname(path) in directories, step
            there.add(path)
        if isinstance(step, (MakeDirectory, CopyTree)):
            directories.add(step.path)
        if isinstance(step, SetOwner):
            assert step.path in there


@settings(max_examples=100, deadline=None)
@given(sandboxes())
def test_a_directory_gets_its_mode_after_all_that_is_made_in_it(sandbox):
    closed = set()
    for step in planned(sandbox).prepare:
        for path in made_by(step):
            assert os.path.dirname(path) not in closed or path.startswith(PATHS.upper), step
        if isinstance(step, SetOwner):
            assert not any(step.path.startswith(path + "/") for path in closed), step
            if step.path.startswith(PATHS.root):
                closed.add(step.path)


@settings(max_examples=100, deadline=None)
@given(sandboxes())
def test_what_is_mounted_on_is_there(sandbox):
    steps = planned(sandbox)
    there = {PATHS.root, "/"} | {path for step in steps.prepare for path in made_by(step)}
    for step in steps.enter:
        if isinstance(step, MakePlacesInMemory):
            assert step.path in there
            store = next(
                s for s in steps.enter if isinstance(s, MountOverlay) and s.lower == step.path
            )
            there |= {f"{store.target}/{name}" for name in (*step.directories, *step.files)}
        elif isinstance(step, (Mount, MountOverlay, SetReadOnly)):
            inside = PATHS.root if step in after_pivot(steps) else ""
            assert (inside + step.target) in there, step
        elif isinstance(step, BindEach) and step.names:
            assert {f"{step.target}/{name}" for name in step.names} <= there


def after_pivot(plan):
    index = next(n for n, step in enumerate(plan.enter) if isinstance(step, PivotRoot))
    return plan.enter[index + 1 :]


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, Value):
        yield from texts(tuple(value.fields().values()))
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item)


@settings(max_examples=100, deadline=None)
@given(sandboxes())
def test_nothing_behind_the_pivot_names_a_path_of_the_host(sandbox):
    steps = planned(sandbox)
    for text in texts((*after_pivot(steps), steps.execute)):
        assert "/HOST" not in text
        assert "/WORKSPACE" not in text


@settings(max_examples=100, deadline=None)
@given(sandboxes())
def test_the_host_is_written_to_in_the_workspace_alone(sandbox):
    for step in planned(sandbox).prepare:
        assert step.path.startswith("/WORKSPACE/")
        assert ".." not in step.path.split("/")


@settings(max_examples=100, deadline=None)
@given(sandboxes(), sandboxes())
def test_different_sandboxes_have_different_plans(first, second):
    described_only = {"name": "", "profile": "", "environment_source": "", "notes": ()}
    one, two = (s.replace(**described_only) for s in (first, second))
    rules = [tuple(e.replace(rule="") for e in s.entries) for s in (one, two)]
    same = one.replace(entries=rules[0]) == two.replace(entries=rules[1])
    assert (planned(first) == planned(second)) == same


@settings(max_examples=50, deadline=None)
@given(sandboxes())
def test_what_takes_away_comes_after_what_needs_it(sandbox):
    kinds = [type(step) for step in planned(sandbox).enter]
    order = [PivotRoot, SetIds, ChangeDirectory, NoNewPrivileges, InstallFilter]
    present = [kind for kind in order if kind in kinds]
    assert sorted(present, key=kinds.index) == present
    assert kinds[-1] is InstallFilter
    assert max(i for i, kind in enumerate(kinds) if kind in (Mount, MountOverlay)) < kinds.index(
        SetIds
    )
    if ConnectTerminal in kinds:
        assert kinds.index(SetIds) < kinds.index(ConnectTerminal)


@settings(max_examples=50, deadline=None)
@given(sandboxes())
def test_every_host_file_is_read_only(sandbox):
    """But for the devices, and the inputs if that is asked for."""
    steps = planned(sandbox).enter
    protected = {step.target for step in steps if isinstance(step, SetReadOnly) and step.read_only}
    for step in steps:
        if isinstance(step, Mount) and step.source.startswith("/HOST"):
            assert step.target in protected, step


def test_a_plan_does_not_depend_on_where_its_workspace_is():
    elsewhere = made.Paths(root="/W2/root", upper="/W2/upper", work="/W2/work")
    moved = made.plan(described(), elsewhere, "x86_64")
    assert repr(moved).replace("/W2/", "/WORKSPACE/") == repr(planned(described()))


@pytest.mark.parametrize("places", ["disk", "memory"])
def test_partial_outputs_go_where_the_store_s_files_are(places):
    nix = NIX.replace(partial=((made.OUT, "/HOST/left"),))
    sandbox = described(nix=nix)
    entries = tuple(
        e.replace(places=places) if type(e).__name__ == "Inputs" else e for e in sandbox.entries
    )
    (copy,) = (
        s for s in planned(sandbox.replace(entries=entries)).prepare if isinstance(s, CopyTree)
    )
    name = made.OUT.rpartition("/")[2]
    place = {"disk": "/WORKSPACE/root/nix/store", "memory": "/WORKSPACE/store"}[places]
    assert copy.path == f"{place}/{name}"
