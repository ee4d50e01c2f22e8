"""`nbs replay`: all phases again from an empty directory, and what they leave."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import sandbox
from sandbox.workspace.workspace import sweep
from tests.conftest import _give, _other_user, _python
from tests.kernel.frontends import processes

LIMIT_S = 60


@pytest.fixture
def place(open_directory, unprivileged, tmp_path_factory):
    """A directory in which the unprivileged user may make others."""
    path = open_directory / tmp_path_factory.mktemp("place").name
    path.mkdir()
    if _other_user(unprivileged) is not None:
        os.chown(path, unprivileged, unprivileged)
    yield path
    shutil.rmtree(path)


def test_the_state_before_the_failing_phase_is_made_again(
    run_nbs, kept_by_nix, place, user
) -> None:
    left = place / "before"
    done = run_nbs(
        "replay", "--store", kept_by_nix.store, kept_by_nix.path, "-o", str(left), as_user=user
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"Running phase: ") == 4
    assert b"Running phase: checkPhase" not in done.stdout
    assert (left / "hello/hello").exists()
    assert tree(left) == tree(Path(kept_by_nix.path))


def test_a_replay_that_is_checked_leaves_what_was_kept_and_env_vars_with_it(
    run_nbs, kept_by_nix, user
) -> None:
    done = run_nbs(
        "replay", "--store", kept_by_nix.store, kept_by_nix.path, "--check", as_user=user
    )
    assert done.returncode == 0, done.stderr
    assert b"checkPhase failed: exit status 2" in done.stderr
    assert done.stderr.endswith(
        b"the replay of hello-1.0 ends with exit status 2, and leaves what was kept\n"
    )


def test_what_a_replay_leaves_on_a_terminal_is_kept_just_so(
    tool_command, kept_by_nix, tmp_path
) -> None:
    command, environment = tool_command("sandbox.cli.nbs")
    left = tmp_path / "left"
    words = ("replay", "--store", kept_by_nix.store, kept_by_nix.path, "-o", str(left))
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [*command, *words], env=environment, stdin=terminal, capture_output=True, check=False
        )
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert tree(left) == tree(Path(kept_by_nix.path))


def test_what_a_replay_leaves_otherwise_is_told(run_nbs, kept_by_nix, place, unprivileged) -> None:
    kept = place / "nix-build-hello-1.0.drv-7"
    shutil.copytree(kept_by_nix.path, kept)
    (kept / "hello/hello.c").write_text("int main(void) { return 1; }\n")
    (kept / "hello/more").write_text("from nowhere\n")
    done = run_nbs("replay", "--store", kept_by_nix.store, str(kept), "--check")
    assert done.returncode == 1
    told = done.stderr.decode().splitlines()[-3:]
    assert told[:2] == ["  changed: hello/hello.c", "  removed: hello/more"]
    assert "leaves 2 paths otherwise" in told[2]


@pytest.mark.parametrize(
    ("case", "left"),
    [
        ("build-command", {"env-vars"}),
        ("raw-builder", set()),
        ("structured-attributes", {".attrs.json", ".attrs.sh", "env-vars"}),
    ],
)
def test_before_the_first_thing_that_fails_is_what_nix_handed_to_the_builder(
    run_nbs, nix_world, tmp_path, case, left
) -> None:
    failure = nix_world.fail(case)
    where = str(tmp_path / "before")
    # Nothing that a raw builder leaves may tell it from what failed in the same second.
    which = ("--store", f"{nix_world.root}/store", "--derivation", failure.drv)
    done = run_nbs("replay", *which, failure.kept, "-o", where)
    assert done.returncode == 0, done.stderr
    assert set(os.listdir(where)) == left


@pytest.mark.parametrize(
    "case",
    ["build-command", "compile-error", "configure", "several-outputs", "structured-attributes"],
)
def test_every_kind_of_build_leaves_the_same_when_it_fails_again(run_nbs, nix_world, case) -> None:
    failure = nix_world.fail(case)
    done = run_nbs("replay", "--store", f"{nix_world.root}/store", failure.kept, "--check")
    assert (done.returncode, done.stderr.splitlines()[-1].endswith(b"leaves what was kept")) == (
        0,
        True,
    ), done.stderr


def test_another_end_may_be_named(run_nbs, kept_by_nix, tmp_path) -> None:
    left = str(tmp_path / "left")
    words = ("--until", "patchPhase", "--output", left)
    done = run_nbs("replay", "--store", kept_by_nix.store, kept_by_nix.path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"Running phase: ") == 2
    assert not os.path.exists(f"{left}/hello/hello")


def test_the_older_stdenv_is_replayed_just_so(run_nbs, nix_world, tmp_path) -> None:
    nix_world.build_older_stdenv()
    older = "import " + str(Path(__file__).parents[1] / "nix/stdenv.nix") + " { older = true; }"
    failure = nix_world.fail("check-phase", "--arg", "pkgs", older)
    left = str(tmp_path / "left")
    words = (failure.kept, "-o", left)
    done = run_nbs("replay", "--store", f"{nix_world.root}/store", *words)
    assert done.returncode == 0, done.stderr
    assert tree(Path(left)) == tree(Path(failure.kept))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-o", "{path}"), "output-exists"),
        (("-o", ""), "output-exists"),
        (("another",), "option-value"),
        (("--until", "noPhase"), "phase-unknown"),
        (("--nothing",), "option-unknown"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(run_nbs, kept_by_nix, words, reason) -> None:
    given = tuple(word.format(path=kept_by_nix.path) for word in words)
    done = run_nbs("replay", "--store", kept_by_nix.store, kept_by_nix.path, *given)
    assert done.returncode == 2
    assert f"({reason}, 2)" in done.stderr.decode()


@pytest.mark.parametrize("name", ["none/left", "file/left", "closed/left"])
def test_a_place_where_none_can_be_made_is_refused_before_the_first_phase(
    run_nbs, kept_by_nix, place, unprivileged, name
) -> None:
    (place / "file").touch()
    (place / "closed").mkdir(mode=0o555)
    words = ("--store", kept_by_nix.store, kept_by_nix.path, "-o", str(place / name))
    done = run_nbs("replay", *words, as_user=unprivileged)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"(output-unwritable, 125)" in done.stderr


def test_what_a_run_has_left_is_not_lost_where_its_place_is_gone(
    kept_by_nix, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path / "state"))
    case, request = looked_at(kept_by_nix.path, kept_by_nix.store)
    request = sandbox.with_log(request, sandbox.readable_log(case))
    described = sandbox.replay.describe_replay(case, request, sandbox.replay.BEFORE)
    with pytest.raises(sandbox.Error) as caught:
        sandbox.enter(described, keep=str(tmp_path / "none/left"))
    assert caught.value.reason == "output-unwritable"
    (left,) = (tmp_path / "state").glob("left-*")
    assert str(left) in caught.value.evidence[-1]
    assert tree(left) == tree(Path(kept_by_nix.path))
    sweep(str(tmp_path / "state"))
    assert left.exists()


def test_nothing_stays_of_a_replay_that_nobody_keeps(run_nbs, kept_by_nix, tmp_path) -> None:
    own = {"NBS_STATE_HOME": str(tmp_path / "state")}
    done = run_nbs("replay", "--store", kept_by_nix.store, kept_by_nix.path, "--check", env=own)
    assert done.returncode == 0
    assert os.listdir(tmp_path / "state/run") == []


@pytest.fixture
def workspaces(open_directory, user, monkeypatch):
    """Where the user's own kept workspaces are: none before, none afterwards."""
    home = open_directory / f"home-{os.getuid() if user is None else user}"
    shutil.rmtree(home / "state/ws", ignore_errors=True)
    yield home / "state/ws"
    shutil.rmtree(home / "state/ws", ignore_errors=True)


def test_without_another_place_a_replay_is_kept_as_a_workspace(
    run_nbs, kept_by_nix, workspaces, user
) -> None:
    done = run_nbs("replay", "--store", kept_by_nix.store, kept_by_nix.path, as_user=user)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (b"kept as the workspace hello-1.0: `nbs shell --ws hello-1.0`\n")
    assert tree(workspaces / "hello-1.0/upper") == tree(Path(kept_by_nix.path))
    assert os.listdir(workspaces / "hello-1.0/tmp") == []


SESSION = """
import os, sys, sandbox
case = sandbox.read(sys.argv[1], store=sys.argv[2], start=True)
request = sandbox.Request(
    command=("bash", "-c", "echo > more; rm hello.c; echo > ../new"), copy="copy" in sys.argv
)
described = sandbox.describe(case, request)
with sandbox.new_session(case, described, store=case.locations.root) as session:
    status = sandbox.enter(described, session=session)
print(session.kept.method)
"""
RESTORE = """
import sys, sandbox
from sandbox.workspace import changes, layers, restore, snapshots
with sandbox.hold_workspace("hello-1.0") as held:
    restore.restore(snapshots.Trees(path=held.path), "before")
    kept = held.kept
stacks = [layers.View(*map(layers.Layer.at, paths)) for paths in (kept.layers, (kept.kept,))]
print([change.path for change in changes.compare(*stacks).changes])
"""


@pytest.mark.parametrize("how", ["", "copy"])
def test_before_is_a_snapshot_of_a_workspace_that_can_be_restored(
    run_nbs, run_python, kept_by_nix, place, workspaces, user, how
) -> None:
    kept = place / "nix-build-hello-1.0.drv-8"
    shutil.copytree(kept_by_nix.path, kept, symlinks=True)
    (kept / "only-kept").write_text("no phase makes it\n")
    (kept / "hello/only-kept").write_text("no phase makes it\n")
    _give(kept, os.getuid() if user is None else user)
    made = run_python(SESSION, str(kept), kept_by_nix.store, how, as_user=user)
    assert made.returncode == 0, made.stderr
    done = run_nbs("replay", "--ws", "hello-1.0", as_user=user)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"kept as the snapshot `before` of hello-1.0\n"
    assert os.listdir(workspaces) == ["hello-1.0"]
    restored = run_python(RESTORE, as_user=user)
    assert restored.stdout == b"['hello/only-kept', 'only-kept']\n", restored


def test_a_replay_that_fails_is_no_snapshot(
    run_nbs, run_python, kept_by_nix, workspaces, user
) -> None:
    made = run_python(SESSION, kept_by_nix.path, kept_by_nix.store, as_user=user)
    assert made.returncode == 0, made.stderr
    done = run_nbs("replay", "--ws", "hello-1.0", "--until", "checkPhase", as_user=user)
    assert done.returncode == 2
    assert not (workspaces / "hello-1.0/snapshots").exists()
    assert b"kept as the workspace hello-1.0-2" in done.stderr


def test_the_source_is_what_patches_leave_and_not_what_the_recipe_changes_then(
    nix_world, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path / "state"))
    failure = nix_world.fail("compile-error")
    case, request = looked_at(failure.kept, f"{nix_world.root}/store")
    place = tmp_path / "sources"
    sandbox.replay.make_sources(case, request, str(place))
    assert "return 0;" in (place / "hello/hello.c").read_text()
    assert "EXIT_SUCCESS" in Path(failure.kept, "hello/hello.c").read_text()
    assert 'declare -x PWD="/build/hello"\n' in (place / "env-vars").read_text()


def test_a_build_without_a_source_is_told_so(nix_world, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path / "state"))
    failure = nix_world.fail("build-command")
    case, request = looked_at(failure.kept, f"{nix_world.root}/store")
    with pytest.raises(sandbox.Error) as caught:
        sandbox.replay.make_sources(case, request, str(tmp_path / "sources"))
    assert caught.value.reason == "source-unmade"
    assert "unpacks no source" in " ".join(caught.value.evidence)


UNPACKING = """
import sys, sandbox
from sandbox.cli import unpacking
from sandbox.host.case import of_derivation
from sandbox.model.patched import repaired
from sandbox.model.recipe import Attribute
from sandbox.repair import sources

def slowly(kept):
    case = sandbox.read(sys.argv[1], store=sys.argv[2], start=True)
    attributes = (Attribute(name="prePatch", value="echo slow; sleep 1000"),)
    repair = sandbox.Repair(attributes=attributes)
    return of_derivation(case, repaired(case.nix.derivation, repair, case.nix.store_dir))

sources.read_again = slowly
try:
    unpacking.take_sources(sandbox.find_workspace("hello-1.0"))
except sandbox.Error as error:
    print(error.reason, error.exit_code)
else:
    print("it went on")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_interrupts_the_unpacking_of_sources_wants_nothing_else_to_go_on(
    run_python, start_python, kept_by_nix, workspaces, user, number
) -> None:
    made = run_python(SESSION, kept_by_nix.path, kept_by_nix.store, as_user=user)
    assert made.returncode == 0, made.stderr
    running = start_python(UNPACKING, kept_by_nix.path, kept_by_nix.store, as_user=user)
    try:
        last = time.monotonic() + LIMIT_S
        while not any(one.name == "sleep" for one in processes.below(running.pid)):
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < last
        running.send_signal(number)
        told, said = running.communicate(timeout=LIMIT_S)
    finally:
        running.kill()
    assert told == b"request-stopped 130\n"
    assert b"going on without" not in said
    assert not (workspaces / "hello-1.0/sources").exists()


@pytest.fixture
def start_python(tool_command):
    """Start a text of Python that may import the front door, as a user."""

    def start(text: str, *argv: str, as_user=None) -> subprocess.Popen[bytes]:
        _, environment = tool_command("", as_user)
        user = _other_user(as_user)
        who = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
        return subprocess.Popen(
            [_python(user), "-c", text, *argv], cwd="/", env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **who,
        )  # fmt: skip

    return start


@pytest.fixture
def run_python(start_python):
    """Run such a text to its end."""

    def run(text: str, *argv: str, as_user=None) -> subprocess.CompletedProcess[bytes]:
        with start_python(text, *argv, as_user=as_user) as process:
            told, said = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, told, said)

    return run


def looked_at(kept: str, store: str) -> tuple[sandbox.Case, sandbox.Request]:
    case = sandbox.read(kept, store=store, start=True)
    return case, sandbox.Request(phases=sandbox.phase_scripts())


def tree(top: Path) -> dict[str, bytes]:
    """What is in all files below a directory."""
    files = (path for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(top)): path.read_bytes() for path in files}
