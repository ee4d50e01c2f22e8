from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import Error, EvidenceError, MachineError
from sandbox.workspace import copy as copy_module
from sandbox.workspace.copy import CopyReport, copy_tree
from sandbox.workspace.descent import Pair
from sandbox.workspace.entries import Entries
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.processes import carry_out
from sandbox.workspace.remove import remove_tree
from sandbox.workspace.spread import Spread
from sandbox.workspace.tally import Tally
from tests.workspace.trees import (
    depth_of,
    describe,
    enter_mount_namespace,
    in_child,
    make_deep_tree,
    make_odd_tree,
    mount_tmpfs,
    traces,
)

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[[Callable[[], None]], None]


def copy(source: Path, destination: Path, processes: int | None = None) -> CopyReport:
    return copy_tree(str(source), str(destination), owner=None, processes=processes)


def refusal(function: Callable[[], object]) -> Error:
    with pytest.raises(Error) as caught:
        function()
    return caught.value


def is_directory(fields: tuple[object, ...]) -> bool:
    return stat.S_ISDIR(int(str(fields[0]), 8))


def make_wide_tree(root: Path, directories: int = 130, files: int = 10) -> None:
    """Enough for several processes, with hard links from each directory to the next."""
    root.mkdir()
    for number in range(directories):
        (root / f"{number}").mkdir()
        for name in range(files):
            (root / f"{number}" / f"{name}").write_bytes(b"x" * name * 100)
        if number:
            os.link(root / f"{number - 1}" / "1", root / f"{number}" / "link")


@pytest.mark.parametrize("processes", [1, 3])
def test_a_copy_equals_its_source(
    place: Path, caller: int, run_as_caller: Run, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if processes > 1:
        monkeypatch.setattr(Spread, "is_much", lambda _: True)

    def check() -> None:
        make_odd_tree(place / "source", secret=caller == 0)
        report = copy(place / "source", place / "copy", processes)
        assert not report.unreadable
        assert not report.skipped
        copied = describe(place / "copy")
        assert report.files == sum(not is_directory(fields) for fields in copied.values())
        assert copied == describe(place / "source")

    run_as_caller(check)


def test_the_source_shows_no_trace_of_having_been_copied(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        make_odd_tree(place / "source", secret=False)
        before = traces(place / "source")
        copy(place / "source", place / "copy")
        assert traces(place / "source") == before

    run_as_caller(check)


def test_holes_take_no_room_in_the_copy(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        (place / "source").mkdir()
        with (place / "source" / "sparse").open("wb") as file:
            file.truncate(1 << 34)
            file.seek(1 << 33)
            file.write(b"island")
        report = copy(place / "source", place / "copy")
        copied = (place / "copy" / "sparse").stat()
        assert copied.st_size == 1 << 34
        assert copied.st_blocks * 512 < 1 << 20
        assert report.bytes < 1 << 20

    run_as_caller(check)


def test_hard_links_hold_across_processes(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        make_wide_tree(place / "source")
        copy(place / "source", place / "copy", 4)
        assert describe(place / "copy") == describe(place / "source")

    run_as_caller(check)


def test_user_attributes_are_kept_but_not_those_of_overlayfs(place: Path) -> None:
    (place / "source").mkdir()
    (place / "source" / "file").touch()
    try:
        for path in (place / "source", place / "source" / "file"):
            os.setxattr(path, "user.kept", b"\0value")
            os.setxattr(path, "user.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system has no user attributes")
    copy(place / "source", place / "copy")
    for path in (place / "copy", place / "copy" / "file"):
        assert os.listxattr(path) == ["user.kept"]
        assert os.getxattr(path, "user.kept") == b"\0value"


def test_a_source_can_be_an_open_directory(place: Path) -> None:
    (place / "source").mkdir()
    (place / "source" / "file").write_text("x")
    directory = os.open(place / "source", os.O_RDONLY)
    report = copy_tree(directory, str(place / "copy"), owner=None)
    os.close(directory)
    assert (report.files, report.bytes) == (1, 1)


@pytest.mark.parametrize("kind", ["link", "file", "nothing"])
def test_a_source_that_is_no_directory_is_refused(place: Path, kind: str) -> None:
    if kind == "link":
        (place / "source").symlink_to("/etc")
    elif kind == "file":
        (place / "source").touch()
    assert refusal(lambda: copy(place / "source", place / "copy")).reason == "source-unreadable"
    assert not (place / "copy").exists()


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(place: Path) -> None:
    make_odd_tree(place / "source", secret=True)
    (place / "source" / b"\xff closed".decode(errors="surrogateescape")).touch(0)
    (place / "source" / "listed only").mkdir()
    (place / "source" / "listed only" / "file").touch()
    (place / "source" / "listed only").chmod(0o444)
    (place / "mine").mkdir()
    (place / "mine").chmod(0o777)

    def check() -> None:
        report = copy(place / "source", place / "mine" / "copy")
        unreadable = {"closed", "\udcff closed", "listed only/file"}
        if (place / "source").stat().st_uid != os.getuid():
            unreadable |= {"directory 500", "mode 400", "mode 2711"}
        assert set(report.unreadable) == unreadable
        assert report.unreadable_count == len(unreadable)
        assert not os.path.lexists(place / "mine/copy/\udcff closed")
        assert stat.S_IMODE((place / "mine/copy/closed").stat().st_mode) == 0
        assert (place / "mine/copy/large").read_bytes() == (place / "source/large").read_bytes()
        assert (place / "mine/copy/large").stat().st_uid == os.getuid()

    in_child(check, uid=os.getuid() or 12345)


@pytest.mark.usefixtures("as_root")
def test_devices_are_skipped_and_named(place: Path) -> None:
    (place / "source").mkdir()
    try:
        os.mknod(place / "source" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices cannot be made here")
    report = copy(place / "source", place / "copy")
    assert report.skipped == ("null",)
    assert os.listdir(place / "copy") == []


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("owner", [(4321, 1234), None])
def test_root_gives_everything_to_the_owner_or_keeps_the_owners(
    place: Path, owner: tuple[int, int] | None
) -> None:
    make_odd_tree(place / "source", secret=True)
    for number, path in enumerate(describe(place / "source")):
        mode = os.lstat(place / "source" / os.fsdecode(path)).st_mode
        os.lchown(place / "source" / os.fsdecode(path), 7000 + number, 8000 + number)
        if not stat.S_ISLNK(mode):
            os.chmod(place / "source" / os.fsdecode(path), stat.S_IMODE(mode))
    copy_tree(str(place / "source"), str(place / "copy"), owner=owner)
    source, copied = describe(place / "source", owners=True), describe(place / "copy", owners=True)
    assert source.keys() == copied.keys()
    for path, fields in copied.items():
        assert fields == (*source[path][:-1], owner or source[path][-1])


@pytest.mark.parametrize("depth", [40, 5000])
def test_depth_costs_few_descriptors(place: Path, run_as_caller: Run, depth: int) -> None:
    def check() -> None:
        make_deep_tree(place / "source", depth)
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        report = copy(place / "source", place / "copy")
        assert depth_of(place / "copy") == depth
        assert report.files == depth / 10
        assert not remove_tree(str(place / "source")).left

    run_as_caller(check)


def test_many_deep_branches_are_all_finished(place: Path, run_as_caller: Run) -> None:
    """Levels that were closed on the way down are opened again more than once."""

    def check() -> None:
        path = place / "source"
        for level in range(100):
            path = path / "deeper"
            path.mkdir(parents=True)
            for side in ("left", "right"):
                (path / side).mkdir()
                (path / side / "file").write_text(f"{level}")
                (path / side).chmod(0o500)
        copy(place / "source", place / "copy")
        assert describe(place / "copy") == describe(place / "source")

    run_as_caller(check)


@pytest.mark.namespaces
@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_is_said_and_leaves_what_can_be_removed(
    place: Path, run_as_caller: Run, processes: int
) -> None:
    def check() -> None:
        make_wide_tree(place / "source")
        (place / "full").mkdir()
        enter_mount_namespace()
        mount_tmpfs(str(place / "full"), "1m")
        error = refusal(lambda: copy(place / "source", place / "full" / "copy", processes))
        assert isinstance(error, MachineError)
        assert error.reason == "disk-full"
        assert not remove_tree(str(place / "full" / "copy")).left
        assert os.listdir(place / "full") == []

    run_as_caller(check)


@pytest.mark.namespaces
def test_other_file_systems_are_not_entered(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        (place / "source" / "mounted").mkdir(parents=True)
        enter_mount_namespace()
        mount_tmpfs(str(place / "source" / "mounted"), "1m")
        (place / "source" / "mounted" / "file").touch()
        assert copy(place / "source", place / "copy").skipped == ("mounted",)
        removal = remove_tree(str(place / "source"))
        assert (removal.left, len(removal.examples)) == (1, 1)
        assert os.listdir(place / "source" / "mounted") == ["file"]

    run_as_caller(check)


def test_too_few_descriptors_are_said(place: Path) -> None:
    def check() -> None:
        make_deep_tree(place / "source", 100)
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
        error = refusal(lambda: copy(place / "source", place / "copy"))
        assert error.reason == "too-many-open-files"

    in_child(check)


class Racing(Entries):
    """Something else acts at the moment when the content of a file was copied."""

    act: Callable[[], object]

    def content(self, handle: int, copy: int, status: os.stat_result) -> None:
        super().content(handle, copy, status)
        self.act()


def open_top(source: Path, destination: Path) -> Pair:
    destination.mkdir()
    return Pair("", os.open(source, OPEN_DIRECTORY), os.open(destination, OPEN_DIRECTORY))


@pytest.mark.parametrize("change", [b"longer", b""])
def test_a_file_that_changes_while_it_is_copied_is_said(place: Path, change: bytes) -> None:
    (place / "source").mkdir()
    file = place / "source" / "file"
    file.write_bytes(b"four")
    top = open_top(place / "source", place / "copy")
    entries = Racing(Tally(), None, top.target)
    entries.act = lambda: file.write_bytes(change)
    error = refusal(lambda: entries.file("file", top.source, top.target))
    top.close()
    assert isinstance(error, EvidenceError)
    assert error.reason == "source-changed"


def swap_for_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def swap_for_fifo(path: Path) -> None:
    os.mkfifo(path)


def swap_for_directory(path: Path) -> None:
    path.mkdir()


def swap_for_nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    "swap", [swap_for_link, swap_for_fifo, swap_for_directory, swap_for_nothing]
)
@pytest.mark.parametrize("name", ["file", "fifo"])
def test_what_is_exchanged_after_it_was_listed_is_neither_followed_nor_waited_for(
    place: Path, swap: Callable[[Path], None], name: str
) -> None:
    (place / "source").mkdir()
    (place / "source" / "file").write_text("x")
    os.mkfifo(place / "source" / "fifo")
    top = open_top(place / "source", place / "copy")
    spread = Spread(top, Entries(Tally(), None, top.target))
    (place / "source" / name).unlink()
    swap(place / "source" / name)
    reason = "copied"
    try:
        spread.carry_out(0, Tally())
    except EvidenceError as error:
        reason = error.reason
    top.close()
    is_node = name == "fifo" and swap in (swap_for_link, swap_for_fifo)
    assert reason == ("copied" if is_node else "source-changed")
    if is_node:
        assert stat.S_IFMT(os.lstat(place / "copy" / name).st_mode) == stat.S_IFMT(
            os.lstat(place / "source" / name).st_mode
        )


@pytest.mark.parametrize("name", ["shallow", "shallow/below"])
def test_a_directory_that_is_exchanged_for_a_link_is_not_followed(place: Path, name: str) -> None:
    (place / "source" / "shallow" / "below").mkdir(parents=True)
    (place / "source" / "shallow" / "below" / "file").touch()
    top = open_top(place / "source", place / "copy")
    spread = Spread(top, Entries(Tally(), None, top.target))
    (place / "source" / name).rename(place / "elsewhere")
    (place / "source" / name).symlink_to("/etc")

    def carry_all_out() -> None:
        for index in range(len(spread.portions)):
            spread.carry_out(index, Tally())
        spread.finish()

    assert refusal(carry_all_out).reason == "source-changed"
    top.close()
    assert not (place / "copy" / "shallow" / "below" / "passwd").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_only_grows_and_never_exceeds_the_whole(
    place: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.workspace.tally._TICK_S", 0)
    make_wide_tree(place / "source")
    seen: list[tuple[int, int]] = []
    report = copy_tree(
        str(place / "source"),
        str(place / "copy"),
        owner=None,
        processes=processes,
        progress=lambda files, size: seen.append((files, size)),
    )
    assert seen == sorted(seen)
    assert seen[-1] <= (report.files, report.bytes)
    assert seen


def test_a_copy_that_is_interrupted_leaves_no_process(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.workspace.tally._TICK_S", 0)
    make_wide_tree(place / "source")

    def interrupt(_files: int, _bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_tree(
            str(place / "source"), str(place / "copy"), owner=None, processes=2, progress=interrupt
        )
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_that_is_killed_is_said() -> None:
    def work(index: int, _tally: Tally) -> None:
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    error = refusal(lambda: carry_out(10, work, Tally(), 2))
    assert error.reason == "copy-interrupted"


def test_a_bug_in_a_process_shows_its_traceback() -> None:
    def work(_index: int, _tally: Tally) -> None:
        raise LookupError("the cause")

    with pytest.raises(RuntimeError, match="LookupError: the cause"):
        carry_out(10, work, Tally(), 2)


def test_each_portion_is_carried_out_once_however_many_there_are() -> None:
    tally = Tally()
    carry_out(1000, lambda index, own: own.unread(f"{index}"), tally, 4)
    assert sorted(tally.unreadable, key=int) == [f"{index}" for index in range(1000)]
    carry_out(100_000, lambda _, own: own.skip("more than a pipe holds"), tally, 4)
    assert tally.skipped_count == 100_000


def test_a_process_with_other_threads_does_not_fork(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_module, "_is_alone", lambda: False)
    monkeypatch.setattr(copy_module, "carry_out", None)
    make_wide_tree(place / "source")
    assert copy(place / "source", place / "copy", 4).files == 130 * 10 + 129
