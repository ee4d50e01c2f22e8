from __future__ import annotations

import hashlib
import os
import random
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import Error, EvidenceError, MachineError, UsageError
from sandbox.host.owners import look_at
from sandbox.session.snapshots import listing
from sandbox.workspace import restore as restoring
from sandbox.workspace import snapshots
from sandbox.workspace.fork import fork
from sandbox.workspace.remove import remove_tree
from sandbox.workspace.restore import recover, restore
from sandbox.workspace.rights import with_rights
from sandbox.workspace.snapshots import First, Trees, layers, listed, make, remove
from sandbox.workspace.tally import Tally
from tests.workspace.made_kept import make as make_kept
from tests.workspace.trees import (
    depth_of,
    describe,
    enter_mount_namespace,
    in_child,
    make_deep_tree,
    make_odd_tree,
    mount_tmpfs,
    python,
)

if TYPE_CHECKING:
    from sandbox.workspace.copy import Links

Run = Callable[[Callable[[], None]], None]
PARTS = ("upper", "tmp", "outputs")


def workspace(place: Path) -> Trees:
    """A kept workspace between two sessions, with an empty build tree."""
    path = place / "ws"
    path.mkdir(mode=0o700)
    for name in ("upper", "work"):
        (path / name).mkdir(mode=0o700)
    return Trees(path=str(path))


def described(path: Path | str) -> dict[str, dict[bytes, tuple[object, ...]]]:
    """All of the three parts, whatever their modes are, with owners and attributes."""
    found = {}
    for part in PARTS:
        top = Path(path) / part
        if top.exists():
            found[part] = describe(top, owners=True) | {b"//": attributes(top)}
    # The directory that the outputs lie in is the store: it is no part of them.
    found.get("outputs", {}).pop(b".", None)
    return found


def attributes(top: Path) -> tuple[object, ...]:
    found = []
    for directory, _, files in os.walk(os.fsencode(top)):
        for one in (directory, *(os.path.join(directory, name) for name in files)):
            names = os.listxattr(one, follow_symlinks=False)
            found += [
                (one[len(os.fsencode(top)) :], n, os.getxattr(one, n))
                for n in names
                if n[:5] == "user."
            ]
    return tuple(sorted(found))


def fill(trees: Trees) -> None:
    """What an overlay's upper layer, /tmp and a partial output can hold."""
    path = Path(trees.path)
    (path / "upper").rmdir()
    make_odd_tree(path / "upper", secret=True)
    upper = path / "upper"
    os.mknod(upper / "removed", stat.S_IFCHR | 0o000, 0)
    os.link(upper / "removed", upper / "directory" / "removed too", follow_symlinks=False)
    os.setxattr(upper / "directory", "user.overlay.opaque", b"y")
    os.setxattr(upper / "large", "user.colour", b"green")
    (path / "tmp").mkdir()
    (path / "tmp").chmod(0o1777)
    (path / "tmp" / "scratch").write_text("half a thought")
    (path / "outputs").mkdir()
    make_odd_tree(path / "outputs" / "hash-hello", secret=False)
    (path / "outputs" / "hash-doc").write_text("an output that is a file")
    (path / "outputs" / "hash-dev").mkdir()
    os.link(path / "outputs" / "hash-doc", path / "outputs" / "hash-dev" / "doc")
    os.link(path / "outputs" / "hash-dev" / "doc", path / "tmp" / "doc")


def spoil(trees: Trees) -> None:
    path = Path(trees.path)
    (path / "upper" / "large").write_bytes(b"short")
    (path / "upper" / "sparse").unlink()
    (path / "upper" / "new").mkdir()
    (path / "tmp" / "scratch").unlink()
    (path / "outputs" / "hash-doc").unlink()
    (path / "outputs" / "hash-other").write_text("an output that was not there")
    os.rename(path / "upper" / "closed", path / "upper" / "moved")


@pytest.fixture
def trees(place: Path, run_as_caller: Run) -> Trees:
    run_as_caller(lambda: fill(workspace(place)))
    return Trees(path=str(place / "ws"))


def with_all_rights(function: Callable[[], None]) -> None:
    with_rights(lambda _: function(), Tally())


def same(trees: Trees, function: Callable[[], None]) -> None:
    """The parts after `function` are, bit for bit, what they were before."""
    before: dict[str, dict[bytes, tuple[object, ...]]] = {}
    if os.geteuid() == 0:
        before = described(trees.path)
        function()
        assert described(trees.path) == before
        return
    reader, writer = os.pipe()

    def first() -> None:
        os.write(writer, str(hash_of(trees)).encode())

    with_all_rights(first)
    expected = os.read(reader, 4096)
    function()
    with_all_rights(first)
    assert os.read(reader, 4096) == expected


def hash_of(trees: Trees) -> str:
    return hashlib.sha256(
        repr(sorted((k, sorted(v.items())) for k, v in described(trees.path).items())).encode()
    ).hexdigest()


def test_a_restored_workspace_is_bit_for_bit_what_it_was(trees: Trees, run_as_caller: Run) -> None:
    def check() -> None:
        def there_and_back() -> None:
            made = make(trees, "whole")
            assert made.files > 30
            spoil(trees)
            restore(trees, "whole")

        same(trees, there_and_back)

    run_as_caller(check)


def test_what_a_restore_replaces_is_kept_as_undone(trees: Trees, run_as_caller: Run) -> None:
    def check() -> None:
        make(trees, "whole")
        spoil(trees)

        def undo_and_redo() -> None:
            restore(trees, "whole")
            restore(trees, "undone")

        same(trees, undo_and_redo)
        assert [one.name for one in listed(trees.path)] == ["whole", "undone"]

    run_as_caller(check)


def test_a_restore_does_not_change_the_snapshot(trees: Trees, run_as_caller: Run) -> None:
    def check() -> None:
        make(trees, "whole")
        stored = Trees(path=f"{trees.path}/snapshots/whole")
        same(stored, lambda: restore(trees, "whole"))

    run_as_caller(check)


def test_a_snapshot_keeps_hard_links_whiteouts_and_opaque_directories(
    trees: Trees, run_as_caller: Run
) -> None:
    def check() -> None:
        make(trees, "whole")
        upper = Path(trees.path) / "snapshots" / "whole" / "upper"
        removed = (upper / "removed").lstat()
        assert stat.S_ISCHR(removed.st_mode)
        assert removed.st_rdev == 0
        assert removed.st_ino == (upper / "directory" / "removed too").lstat().st_ino
        assert os.getxattr(upper / "directory", "user.overlay.opaque") == b"y"

    run_as_caller(check)


def test_names_of_one_file_in_several_outputs_stay_names_of_one_file(
    trees: Trees, run_as_caller: Run
) -> None:
    def are_one(path: str) -> bool:
        names = ("outputs/hash-doc", "outputs/hash-dev/doc", "tmp/doc")
        return len({os.stat(f"{path}/{name}").st_ino for name in names}) == 1

    def check() -> None:
        make(trees, "whole")
        assert are_one(f"{trees.path}/snapshots/whole")
        assert os.stat(f"{trees.path}/snapshots/whole/tmp/doc").st_nlink == 3
        spoil(trees)
        restore(trees, "whole")
        assert are_one(trees.path)
        place = os.path.dirname(trees.path)
        forked = fork(place, os.path.basename(made_kept(Path(place), trees.path)))
        assert are_one(forked.path)

    run_as_caller(check)


def made_kept(place: Path, path: str) -> str:
    """A kept workspace of the state directory `place` with the trees of another."""
    made = make_kept(place)
    for part in PARTS:
        remove_tree(f"{made}/{part}")
        os.rename(f"{path}/{part}", f"{made}/{part}")
    return made


def test_failed_is_always_there_and_is_the_state_as_kept(trees: Trees, run_as_caller: Run) -> None:
    def check() -> None:
        restore(trees, "failed")
        path = Path(trees.path)
        assert list((path / "upper").iterdir()) == []
        assert stat.S_IMODE((path / "upper").stat().st_mode) == 0o700
        assert list((path / "tmp").iterdir()) == []
        assert list((path / "outputs").iterdir()) == []

    run_as_caller(check)


def test_failed_of_a_copy_is_the_copy_that_the_session_began_with(
    place: Path, trees: Trees, run_as_caller: Run
) -> None:
    def check() -> None:
        (place / "kept").mkdir()
        (place / "kept" / "log").write_text("it failed")
        copied = trees.replace(
            firsts=(
                First(path="upper", source=look_at(str(place / "kept"))),
                First(path="outputs/hash-doc", source=look_at(str(place / "kept" / "log"))),
            )
        )
        restore(copied, "failed")
        path = Path(trees.path)
        assert (path / "upper" / "log").read_text() == "it failed"
        assert (path / "outputs" / "hash-doc").read_text() == "it failed"
        assert not (path / "outputs" / "hash-other").exists()
        (place / "kept").rename(place / "away")
        (place / "kept").symlink_to(place / "away")
        with pytest.raises(EvidenceError) as caught:
            restore(copied, "failed")
        assert caught.value.reason == "evidence-changed"

    run_as_caller(check)


def test_what_comes_to_a_place_while_it_is_exchanged_is_in_nobody_s_way(
    trees: Trees, run_as_caller: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def with_an_intruder(source: str, target: str, **more: int) -> None:
        rename(source, target, **more)
        if target.endswith("restoring/old/tmp"):
            os.mkdir(f"{trees.path}/tmp")
            Path(trees.path, "tmp/intruder").touch()

    def check() -> None:
        Path(trees.path, "tmp/note").write_text("good")
        make(trees, "good")
        Path(trees.path, "tmp/note").write_text("bad")
        monkeypatch.setattr(os, "rename", with_an_intruder)
        restore(trees, "good")
        assert not os.path.lexists(f"{trees.path}/tmp/intruder")
        assert Path(trees.path, "tmp/note").read_text() == "good"
        assert not os.path.lexists(f"{trees.path}/restoring")

    run_as_caller(check)


def test_what_was_made_unasked_is_called_what_it_is() -> None:
    made = [snapshots.Snapshot(name=name, created=0.0) for name in ("before", "undone")]
    counted = snapshots.Snapshot(name="one", created=0.0, files=1, bytes=6)
    lines = listing((*made, counted))
    assert lines[0].endswith("the state as it was kept")
    assert lines[1].endswith("the state before the failing phase")
    assert lines[2].endswith("what the last restore replaced")
    assert lines[3].endswith("1 file, 6 B")


def test_places_of_inputs_are_no_outputs(trees: Trees, run_as_caller: Run) -> None:
    def check() -> None:
        session = trees.replace(inputs=frozenset({"hash-hello"}))
        make(session, "one")
        restore(session, "failed")
        assert os.listdir(f"{trees.path}/outputs") == ["hash-hello"]
        assert "hash-hello" not in os.listdir(f"{trees.path}/snapshots/one/outputs")

    run_as_caller(check)


def test_a_tree_deeper_than_a_path_can_be_comes_back(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        trees = workspace(place)
        os.rmdir(f"{trees.path}/upper")
        make_deep_tree(Path(trees.path) / "upper", 2100)
        make(trees, "deep")
        restore(trees, "failed")
        restore(trees, "deep")
        assert depth_of(Path(trees.path) / "upper") == 2100

    run_as_caller(check)


@pytest.mark.parametrize(
    "name",
    ["", "../escape", ".hidden", "-option", "a/b", "new\nline", "x" * 65, "failed", "undone", "ü"],
)
def test_names_that_are_paths_options_or_taken_are_refused(place: Path, name: str) -> None:
    trees = workspace(place)
    with pytest.raises(UsageError) as caught:
        snapshots.check_name(name)
    assert caught.value.reason == "snapshot-name"
    assert listed(trees.path) == ()


def test_without_a_name_a_snapshot_gets_the_next_number(place: Path) -> None:
    trees = workspace(place)
    assert [make(trees).name, make(trees, "7").name, make(trees).name] == ["1", "7", "8"]


def reason_of(function: Callable[[], object]) -> str:
    with pytest.raises(Error) as caught:
        function()
    return caught.value.reason


def test_what_is_there_already_or_not_at_all_is_said(place: Path) -> None:
    trees = workspace(place)
    make(trees, "one")
    assert reason_of(lambda: make(trees, "one")) == "snapshot-exists"
    assert reason_of(lambda: make(trees, "two", most=0)) == "snapshots-too-many"
    assert reason_of(lambda: restore(trees, "two")) == "snapshot-unknown"
    assert reason_of(lambda: remove(trees.path, "../upper")) == "snapshot-unknown"
    assert reason_of(lambda: remove(trees.path, "failed")) == "snapshot-name"
    remove(trees.path, "one")
    assert listed(trees.path) == ()


def test_the_layers_of_a_snapshot_are_above_what_was_kept(place: Path) -> None:
    trees = workspace(place)
    make(trees, "one")
    upper = f"{trees.path}/snapshots/one/upper"
    assert layers(trees.path, "one", "/kept", overlay=True) == (upper, "/kept")
    assert layers(trees.path, "one", "/kept", overlay=False) == (upper,)
    assert layers(trees.path, "failed", "/kept", overlay=False) == ("/kept",)


def interrupted_at(number: int, trees: Trees, name: str) -> bool:
    """Restore in a process that dies at its nth rename; whether it came so far."""
    pid = os.fork()
    if pid == 0:
        count = 0
        rename = os.rename

        def dying(*arguments: str) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*arguments)

        os.rename = dying  # type: ignore[assignment]
        status = 1
        try:
            restore(trees, name)
            status = 0
        finally:
            # Of another user it is the process with the rights that has died.
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return status != 0


def test_a_restore_killed_at_any_step_is_undone_or_finished_by_the_next(place: Path) -> None:
    """Each rename is one step; before the first, the commit, nothing has happened."""
    number = 0
    while True:
        number += 1
        here = place / f"{number}"
        here.mkdir()
        trees = workspace(here)
        path = Path(trees.path)
        for text, name in (("old", "one"), ("new", "")):
            (path / "tmp").mkdir(exist_ok=True)
            (path / "outputs").mkdir(exist_ok=True)
            for part in PARTS:
                (path / part / "file").write_text(text)
            if name:
                make(trees, name)
        (path / "outputs" / "more").write_text("new")
        killed = interrupted_at(number, trees, "one")
        finished = recover(trees.path)
        texts = {(path / part / "file").read_text() for part in PARTS}
        assert texts == ({"old"} if finished or not killed else {"new"})
        if texts == {"old"}:
            assert (path / "snapshots" / "undone" / "upper" / "file").read_text() == "new"
            assert not (path / "outputs" / "more").exists()
            assert (path / "snapshots" / "undone" / "outputs" / "more").read_text() == "new"
        make(trees, "after")
        assert not [name for name in os.listdir(path / "snapshots") if name.startswith(".")]
        assert not (path / "restoring").exists()
        if not killed:
            break
    assert number > 8


def test_no_half_made_snapshot_has_a_name_when_its_maker_is_killed(
    trees: Trees, run_as_caller: Run
) -> None:
    def check() -> None:
        path = Path(trees.path)
        (path / "upper" / "many").mkdir()
        for number in range(3000):
            (path / "upper" / "many" / f"{number}").write_text("x" * 100)
        # Signals come at moments that differ each time: that is meant.
        luck = random.Random(os.getpid())
        lines = (
            "from sandbox.workspace.snapshots import Trees, make",
            f"trees = Trees(path={trees.path!r})",
            "print(flush=True)",
            "for number in range(99): make(trees, f'all-{number}')",
        )
        process = subprocess.Popen(python(*lines), stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.5 + luck.random())
        process.kill()
        process.communicate()
        names = [one.name for one in listed(trees.path)]
        make(trees, "last")
        present = sorted(os.listdir(path / "snapshots"))
        assert present == sorted([*names, "last"])
        for name in names:
            assert len(os.listdir(path / "snapshots" / name / "upper" / "many")) == 3000
            assert (path / "snapshots" / name / "outputs" / "hash-doc").is_file()

    run_as_caller(check)


def test_on_a_full_disk_nothing_is_lost_and_nothing_half_made_is_left(place: Path) -> None:
    def check() -> None:
        enter_mount_namespace()
        mount_tmpfs(str(place), "4m")
        trees = workspace(place)
        path = Path(trees.path)
        (path / "upper" / "file").write_bytes(os.urandom(1_200_000))
        content = (path / "upper" / "file").read_bytes()
        make(trees, "fits")
        assert reason_of(lambda: (make(trees, "second"), make(trees, "third"))) == "disk-full"
        assert reason_of(lambda: restore(trees, "fits")) == "disk-full"
        assert (path / "upper" / "file").read_bytes() == content
        for one in listed(trees.path):
            assert (path / "snapshots" / one.name / "upper" / "file").read_bytes() == content
        remove(trees.path, "second")
        restore(trees, "fits")
        assert (path / "upper" / "file").read_bytes() == content
        assert not [name for name in os.listdir(path / "snapshots") if name.startswith(".")]

    in_child(check)


def test_a_workspace_that_never_stands_still_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = workspace(place)
    copied = snapshots.copy_part

    def copy_part(source: str, destination: str, tally: Tally, links: Links) -> None:
        copied(source, destination, tally, links)
        raise EvidenceError("`x` changed while it was being copied", reason="source-changed")

    monkeypatch.setattr(snapshots, "copy_part", copy_part)
    if os.getuid() != 0:
        pytest.skip("the copy is another process's then")
    assert reason_of(lambda: make(trees, "one")) == "source-changed"
    assert os.listdir(f"{trees.path}/snapshots") == []


def test_an_unreadable_plan_of_a_restore_is_said_and_left(place: Path) -> None:
    trees = workspace(place)
    (Path(trees.path) / "restoring").mkdir()
    (Path(trees.path) / "restoring" / "plan.json").write_text("{")
    with pytest.raises(MachineError) as caught:
        recover(trees.path)
    assert caught.value.reason == "restore-damaged"
    assert restoring.recover(str(place)) is False
