from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import MachineError, UsageError
from sandbox.workspace import holding
from sandbox.workspace.holding import Held, create, note_session, sweep_kept
from sandbox.workspace.kept import find_workspace, name_for, names, workspaces
from sandbox.workspace.sizes import usage
from tests.workspace.made_kept import STORE, make, record
from tests.workspace.trees import enter_mount_namespace, in_child, mount_tmpfs, python

Run = Callable[[Callable[[], None]], None]

HOLD = (
    "from sandbox.workspace.holding import Held, note_session",
    "import os, time",
    "held = Held(sys.argv[1], 'hello-1.0').__enter__()",
)


def holder(place: Path, *lines: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*python(*HOLD, *lines, "print('held', flush=True)", "time.sleep(100)"), place],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def test_a_workspace_is_called_after_its_build_and_the_next_has_a_number(
    place: Path, run_as_caller: Run
) -> None:
    def check() -> None:
        assert [os.path.basename(make(place)) for _ in range(3)] == [
            "hello-1.0",
            "hello-1.0-2",
            "hello-1.0-3",
        ]
        assert names(str(place)) == ("hello-1.0", "hello-1.0-2", "hello-1.0-3")

    run_as_caller(check)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        ("hello-1.0", "hello-1.0"),
        ("../../etc", "_.._etc"),
        (".hidden", "hidden"),
        ("", "build"),
        ("...", "build"),
        ("a\nb\x1b[31m", "a_b__31m"),
        ("--all", "all"),
        ("x" * 300, "x" * 100),
    ],
)
def test_the_name_of_a_build_never_leads_out_of_the_directory(build, name):
    assert name_for(build) == name


def test_what_is_known_of_a_workspace_is_read_as_it_was_written(place: Path) -> None:
    given = {"options": (("--profile", "2.18"),), "partial": ("a", "b"), "places": ("c",)}
    path = make(place, **given, method="copy", derivation="/nix/store/x.drv", store="/s")
    kept = find_workspace(str(place), "hello-1.0")
    again = record(place, **given, method="copy", derivation="/nix/store/x.drv", store="/s")
    times = {"begun_ns": kept.begun_ns, "prepared_ns": kept.prepared_ns}
    assert kept == again.replace(path=path, **times)
    assert 0 < kept.begun_ns <= kept.prepared_ns


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "../ws/hello-1.0", ".gone-x", "-x", "no"])
def test_a_name_that_no_workspace_has_is_refused(place: Path, name: str) -> None:
    make(place)
    with pytest.raises(UsageError) as caught:
        find_workspace(str(place), name)
    assert caught.value.reason == "workspace-unknown"
    with pytest.raises(UsageError) as caught, Held(str(place), name):
        pass
    assert caught.value.reason == "workspace-unknown"


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"version": 2}', "null", "1" * 9000])
def test_a_record_that_is_none_is_told_and_does_not_hide_the_others(place: Path, text: str) -> None:
    path = make(place)
    make(place)
    Path(path, "workspace.json").write_text(text)
    with pytest.raises(MachineError) as caught:
        find_workspace(str(place), "hello-1.0")
    assert caught.value.reason == "workspace-damaged"
    assert [one.name for one in workspaces(str(place))] == ["hello-1.0-2"]


@pytest.mark.parametrize(
    "make_instead", [os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p)]
)
def test_a_record_is_neither_waited_for_nor_followed(place: Path, make_instead) -> None:
    path = make(place)
    os.unlink(f"{path}/workspace.json")
    make_instead(f"{path}/workspace.json")
    assert workspaces(str(place)) == ()


def test_two_cannot_have_a_workspace_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "PATIENCE_S", 0.1)
    make(place)
    other = holder(place, "note_session(held.directory, os.getpid())")
    try:
        with pytest.raises(MachineError) as caught, Held(str(place), "hello-1.0"):
            pass
        assert caught.value.reason == "workspace-in-use"
        assert caught.value.evidence == (f"process {other.pid} is inside",)
        assert "--fork" in caught.value.hint
        assert find_workspace(str(place), "hello-1.0").session == other.pid
    finally:
        end(other)
    assert find_workspace(str(place), "hello-1.0").session == 0
    with Held(str(place), "hello-1.0"):
        pass


def test_one_waits_for_who_only_looks_after_a_workspace(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PATIENCE_S", 60)
    make(place)
    other = holder(place)
    later = threading.Timer(0.3, other.kill)
    later.start()
    with Held(str(place), "hello-1.0"):
        pass
    later.join()
    end(other)


def test_what_a_killed_session_left_is_taken_home(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        path = make(place, in_session=True)
        Path(path, "root/tmp/note").write_text("note")
        output = Path(path, STORE, "89ab-hello/bin")
        output.mkdir(parents=True)
        (output / "hello").write_text("program")
        output.parent.chmod(0o555)
        Path(path, "root/tmp").chmod(0o555)
        Path(path, "root/nix").chmod(0)
        with Held(str(place), "hello-1.0") as held:
            assert sorted(os.listdir(held.path)) == [
                "inputs",
                "lock",
                "outputs",
                "tmp",
                "upper",
                "workspace.json",
            ]
        assert Path(path, "tmp/note").read_text() == "note"
        assert os.listdir(f"{path}/outputs") == ["89ab-hello"]
        assert Path(path, "outputs/89ab-hello/bin/hello").read_text() == "program"
        assert os.stat(f"{path}/outputs/89ab-hello").st_mode & 0o777 == 0o555
        assert os.stat(f"{path}/tmp").st_mode & 0o777 == 0o555

    run_as_caller(check)


def test_a_link_in_the_place_of_a_directory_leads_nowhere(place: Path) -> None:
    outside = place / "outside"
    (outside / "precious").mkdir(parents=True)
    path = make(place, in_session=True)
    for name in ("root/tmp", STORE):
        subprocess.run(["rm", "-rf", f"{path}/{name}"], check=True)
        os.symlink(outside, f"{path}/{name}")
    with Held(str(place), "hello-1.0"):
        pass
    assert os.listdir(outside) == ["precious"]
    assert not os.path.lexists(f"{path}/tmp")
    assert not os.path.lexists(f"{path}/outputs")


def test_harvesting_that_was_interrupted_goes_on(place: Path) -> None:
    path = make(place, in_session=True)
    Path(path, "tmp").mkdir()
    Path(path, "tmp/kept").touch()
    Path(path, "outputs").mkdir()
    Path(path, "outputs/one").touch()
    Path(path, STORE, "two").touch()
    with Held(str(place), "hello-1.0"):
        pass
    assert os.listdir(f"{path}/tmp") == ["kept"]
    assert sorted(os.listdir(f"{path}/outputs")) == ["one", "two"]


def change_nothing(path: str) -> None:
    """What we write there ourselves does not count."""
    for name in (".bash_history", "nbs-cell-7.log", "nbs-cell-12-2.log"):
        Path(path, "root/tmp", name).write_text("ls\n")


def change_the_build(path: str) -> None:
    Path(path, "upper/file").touch()


def change_tmp(path: str) -> None:
    Path(path, "root/tmp/nbs-cell-of-mine.log").touch()


def make_an_output(path: str) -> None:
    Path(path, STORE, "89ab-hello").mkdir()


def make_a_snapshot(path: str) -> None:
    Path(path, "snapshots/one").mkdir(parents=True)


@pytest.mark.parametrize("method", ["overlay", "copy"])
@pytest.mark.parametrize(
    ("change", "stays"),
    [
        (change_nothing, False),
        (change_the_build, True),
        (change_tmp, True),
        (make_an_output, True),
        (make_a_snapshot, True),
    ],
)
def test_the_sweep_removes_what_nobody_changed_and_nothing_else(
    place: Path, run_as_caller: Run, change: Callable[[str], None], stays: bool, method: str
) -> None:
    def check() -> None:
        path = make(place, in_session=True, method=method)
        change(path)
        sweep_kept(str(place))
        assert os.path.exists(path) is stays
        if stays:
            assert not os.path.exists(f"{path}/root")

    run_as_caller(check)


def test_a_file_that_is_gone_from_a_copy_is_a_change(place: Path) -> None:
    path = make(place, in_session=True, method="copy")
    Path(path, "upper/a").touch()
    with Held(str(place), "hello-1.0") as held:
        held.write(held.kept, times=("prepared_ns",))
        assert not held.is_changed()
        os.unlink(f"{path}/upper/a")
        assert held.is_changed()


def test_a_copied_output_that_is_gone_is_a_change(place: Path) -> None:
    path = make(place, in_session=True, partial=("89ab-hello",))
    Path(path, STORE, "89ab-hello").touch()
    with Held(str(place), "hello-1.0") as held:
        held.write(held.kept, times=("prepared_ns",))
        assert not held.is_changed()
        os.unlink(f"{path}/outputs/89ab-hello")
        assert held.is_changed()


def test_the_sweep_removes_what_was_never_entered_and_what_is_half_removed(place: Path) -> None:
    half = make(place)
    os.rename(half, place / "ws/.gone-12")
    Path(place, "ws/.gone-12/upper/file").touch()
    held = Held(str(place), "")
    create(str(place), record(place), held)
    sweep_kept(str(place))
    assert os.listdir(place / "ws") == ["hello-1.0"], "who is about to enter has the lock"
    assert workspaces(str(place)) == ()
    held.forget()
    (place / "ws/hello-3").mkdir(mode=0o700)
    sweep_kept(str(place))
    assert os.listdir(place / "ws") == []


def test_the_sweep_removes_nothing_that_is_no_workspace(place: Path) -> None:
    """A home, for one, may have a directory `ws` of its own."""
    for name, mode in (
        ("project", 0o755),
        ("private", 0o700),
        (".git", 0o755),
        ("my files", 0o755),
    ):
        (place / "ws" / name).mkdir(parents=True)
        (place / "ws" / name / "file").write_text("text")
        (place / "ws" / name).chmod(mode)
    (place / "ws/empty").mkdir()
    make(place)
    sweep_kept(str(place))
    assert len(os.listdir(place / "ws")) == 6
    assert not list(place.glob("ws/[!h]*/lock"))
    with pytest.raises(UsageError) as caught, Held(str(place), "project", damaged=True):
        pass
    assert caught.value.evidence == ("there is hello-1.0",)
    assert os.listdir(place / "ws/project") == ["file"]


def test_a_session_that_lives_is_left_alone(place: Path) -> None:
    path = make(place, in_session=True)
    held = Held(str(place), "hello-1.0")
    # As a session does: the lock, and what it needs, without taking home what is there.
    assert holding._lock_named(held)
    note_session(held.directory, os.getpid())
    sweep_kept(str(place))
    assert os.path.exists(f"{path}/root/tmp")
    held.forget()


def test_a_workspace_is_removed_and_its_name_is_free(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        path = make(place)
        Path(path, "upper/closed/deep").mkdir(parents=True)
        Path(path, "upper/closed").chmod(0)
        with Held(str(place), "hello-1.0") as held:
            assert held.remove().left == 0
        assert os.listdir(place / "ws") == []
        assert make(place) == path

    run_as_caller(check)


def test_who_waited_for_a_workspace_that_was_removed_does_not_get_another(place: Path) -> None:
    make(place)
    with Held(str(place), "hello-1.0") as first:
        waiting = Held(str(place), "hello-1.0")
        waiting.directory = os.open(first.path, os.O_RDONLY | os.O_DIRECTORY)
        first.remove()
    make(place)
    with Held(str(place), "hello-1.0") as held:
        assert not os.path.samestat(os.fstat(held.directory), os.fstat(waiting.directory))
    waiting.forget()


def test_the_size_counts_each_file_once_and_the_changes_those_of_the_build(place: Path) -> None:
    path = make(place, in_session=True)
    before = usage(find_workspace(str(place), "hello-1.0")).bytes
    data = Path(path, "upper/data")
    data.write_bytes(os.urandom(1 << 20))
    os.link(data, f"{path}/upper/again")
    Path(path, "root/tmp/file").touch()
    seen = usage(find_workspace(str(place), "hello-1.0"))
    assert seen.changed == 2
    assert 1 << 20 <= seen.bytes - before < (1 << 20) + 20000
    assert seen.exact


def test_a_record_tells_people_what_it_is_of(place: Path) -> None:
    path = make(place)
    text = json.loads(Path(path, "workspace.json").read_text())
    assert text["version"] == 1
    assert text["name"] == "hello-1.0"
    assert os.stat(f"{path}/workspace.json").st_mode & 0o777 == 0o600


def fill(path: str) -> None:
    """Take all the room that is left."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_loses_nothing_and_leaves_nothing_half_made(place: Path) -> None:
    def check() -> None:
        enter_mount_namespace()
        mount_tmpfs(str(place), "1m")
        path = make(place, in_session=True)
        Path(path, "root/tmp/note").write_text("note")
        Path(path, STORE, "89ab-hello").write_text("made")
        Path(path, "upper/file").write_text("changed")
        fill(f"{place}/filler")
        with pytest.raises(MachineError) as caught:
            make(place)
        assert caught.value.reason == "disk-full"
        sweep_kept(str(place))
        assert Path(path, "upper/file").read_text() == "changed"
        os.unlink(f"{place}/filler")
        sweep_kept(str(place))
        with Held(str(place), "hello-1.0"):
            assert Path(path, "tmp/note").read_text() == "note"
            assert Path(path, "outputs/89ab-hello").read_text() == "made"
            assert Path(path, "upper/file").read_text() == "changed"
        assert os.listdir(place / "ws") == ["hello-1.0"]

    in_child(check)
