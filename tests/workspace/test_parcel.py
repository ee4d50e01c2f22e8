"""Parcels: trees read on one side and made on the other, whatever a hostile one has in them."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.workspace import parcel
from sandbox.workspace.parcel import BrokenParcelError, Record
from sandbox.workspace.receiving import Refused, receive
from sandbox.workspace.remove import remove_tree
from sandbox.workspace.sending import send

if TYPE_CHECKING:
    from pathlib import Path


def carried(source: Path, target: Path, name: str = "copy", base: str = "x"):
    """Send `source` through a pipe into the directory `target`: what was made and left out."""
    reader, writer = os.pipe()
    handle = os.open(source, os.O_PATH)

    def other() -> None:
        try:
            send(handle, base, writer)
        except BrokenPipeError:
            pass
        finally:
            os.close(writer)
            os.close(handle)

    return received(reader, target, name, other)


def received(reader: int, target: Path, name: str, other):
    left_out: list[tuple[str, str]] = []
    thread = threading.Thread(target=other)
    thread.start()
    directory = os.open(target, os.O_PATH)
    try:
        made = receive(directory, name, reader, lambda path, why: left_out.append((path, why)))
    finally:
        os.close(reader)
        os.close(directory)
        thread.join()
    return made, left_out


def records(target: Path, *what: Record, name: str = "copy"):
    """What a side would make of records that no honest one sends."""
    reader, writer = os.pipe()

    def other() -> None:
        try:
            for record in what:
                parcel.write(writer, record)
        except BrokenPipeError:
            pass
        finally:
            os.close(writer)

    return received(reader, target, name, other)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_a_tree_arrives_with_names_contents_links_and_modes(source: Path, target: Path) -> None:
    (source / "a\nname").mkdir(mode=0o750)
    (source / "a\nname/\udcff").write_bytes(b"\0\xff")
    (source / "closed").write_text("")
    (source / "closed").chmod(0o6555)
    (source / "link").symlink_to("/etc/passwd")
    (source / "below").mkdir()
    (source / "below/deep").mkdir()
    (source / "below").chmod(0o555)
    made, left_out = carried(source, target)
    (source / "below").chmod(0o755)
    assert (made, left_out) == (3, [])
    copy = target / "copy"
    assert (copy / "a\nname/\udcff").read_bytes() == b"\0\xff"
    assert stat.S_IMODE((copy / "a\nname").stat().st_mode) == 0o750
    assert stat.S_IMODE((copy / "closed").stat().st_mode) == 0o555
    assert stat.S_IMODE((copy / "below").stat().st_mode) == 0o555
    assert os.readlink(copy / "link") == "/etc/passwd"
    (copy / "below").chmod(0o755)


def test_the_contents_of_a_directory_come_into_one_that_is_there(
    source: Path, target: Path
) -> None:
    (source / "one").write_text("1")
    (source / "sub").mkdir()
    (source / "sub/two").write_text("2")
    assert carried(source, target, name=".", base=".")[0] == 2
    assert sorted(p.name for p in target.rglob("*")) == ["one", "sub", "two"]


def test_a_huge_hole_stays_a_hole(source: Path, target: Path) -> None:
    with (source / "sparse").open("wb") as file:
        file.write(b"start")
        file.seek(1 << 40)
        file.write(b"end")
        file.truncate((1 << 40) + 4096)
    carried(source / "sparse", target)
    status = (target / "copy").stat()
    assert status.st_size == (1 << 40) + 4096
    assert status.st_blocks * 512 < 1 << 20
    with (target / "copy").open("rb") as file:
        assert file.read(5) == b"start"
        file.seek(1 << 40)
        assert file.read(4) == b"end\0"


def test_fifos_sockets_and_devices_are_left_out_by_name(source: Path, target: Path) -> None:
    os.mkfifo(source / "fifo")
    server = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_PATH)
    os.chdir(source)
    server.bind("socket")
    os.fchdir(here)
    os.close(here)
    (source / "file").write_text("kept")
    made, left_out = carried(source, target)
    server.close()
    assert made == 1
    assert sorted(left_out) == [("fifo", "it is a fifo"), ("socket", "it is a socket")]


@pytest.mark.parametrize("special", ["fifo", "/dev/null"])
def test_a_special_file_that_was_named_is_refused(source: Path, target: Path, special: str) -> None:
    os.mkfifo(source / "fifo")
    with pytest.raises(Refused):
        carried(source / special, target)
    assert not list(target.iterdir())


def test_a_tree_deeper_than_descriptors_and_paths_allow_arrives(source: Path, target: Path) -> None:
    depth = 2000
    here = os.open(".", os.O_PATH)
    try:
        os.chdir(source)
        for _ in range(depth):
            os.mkdir("d" * 20)
            os.chdir("d" * 20)
        carried(source, target)
        os.chdir(target / "copy")
        for _ in range(depth):
            os.chdir("d" * 20)
    finally:
        os.fchdir(here)
        os.close(here)
        remove_tree(str(source))
        remove_tree(str(target / "copy"))


def test_a_link_that_is_in_the_way_is_replaced_and_never_followed(
    source: Path, target: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    (target / "copy").mkdir()
    (target / "copy/file").symlink_to(victim / "file")
    (source / "file").write_text("new")
    carried(source, target)
    assert (victim / "file").read_text() == "untouched"
    assert (target / "copy/file").read_text() == "new"
    assert not (target / "copy/file").is_symlink()


def test_a_directory_is_not_made_through_a_link(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (target / "copy").mkdir()
    (target / "copy/sub").symlink_to(tmp_path / "victim")
    (source / "sub").mkdir()
    (source / "sub/file").write_text("new")
    with pytest.raises(OSError, match="something else is there") as caught:
        carried(source, target)
    assert caught.value.filename == "copy/sub"
    assert not list((tmp_path / "victim").iterdir())


@pytest.mark.parametrize("what", ["fifo", "directory"])
def test_what_is_no_file_is_not_replaced_by_one(source: Path, target: Path, what: str) -> None:
    (source / "file").write_text("new")
    if what == "fifo":
        os.mkfifo(target / "copy")
    else:
        (target / "copy").mkdir()
    with pytest.raises(OSError, match="is there"):
        carried(source / "file", target)
    assert [p.name for p in target.iterdir()] == ["copy"]


@pytest.mark.parametrize("name", ["..", "a/b", "/etc/passwd", "../../x"])
def test_a_name_that_leads_elsewhere_is_none(target: Path, tmp_path: Path, name: str) -> None:
    inner = Record(kind=parcel.FILE, mode=0o644, payload=os.fsencode(name))
    with pytest.raises(BrokenParcelError):
        records(target, Record(kind=parcel.DIRECTORY, mode=0o755, payload=b"top"), inner)
    assert not list((target / "copy").iterdir())


@pytest.mark.parametrize(
    "what",
    [
        [Record(kind=parcel.UP)],
        [Record(kind=b"?", payload=b"x")],
        [Record(kind=parcel.DATA, payload=b"x")],
        [Record(kind=parcel.DIRECTORY, payload=b".")],
        [],
    ],
)
def test_records_out_of_order_are_refused(target: Path, what: list[Record]) -> None:
    with pytest.raises((BrokenParcelError, OSError)):
        records(target, *what)


def test_a_parcel_that_ends_too_early_leaves_no_half_of_a_file(target: Path) -> None:
    (target / "copy").write_text("old")
    begun = Record(kind=parcel.FILE, mode=0o644, payload=b"x")
    with pytest.raises(BrokenParcelError):
        records(target, begun, Record(kind=parcel.DATA, payload=b"half"))
    assert (target / "copy").read_text() == "old"
    assert len(list(target.iterdir())) == 1


def test_a_directory_that_is_exchanged_with_a_link_meanwhile_gains_nothing(
    source: Path, target: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    (source / "sub").mkdir()
    (source / "sub/file").write_text("open")
    (source / "trap").symlink_to(secret)
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            for first, second in (
                ("sub", "other"),
                ("trap", "sub"),
                ("sub", "trap"),
                ("other", "sub"),
            ):
                os.rename(source / first, source / second)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for number in range(200):
            name = f"copy-{number}"
            carried(source, target, name=name)
            for path in (target / name).rglob("file"):
                if path.parent.is_symlink():
                    continue
                assert path.read_text() == "open"
    finally:
        stop.set()
        thread.join()


def test_a_full_disk_is_told_and_leaves_no_half_of_a_file(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "file").write_bytes(b"x" * (4 << 20))
    written = []

    def pwrite(file: int, data: bytes, at: int) -> int:
        if at >= 2 << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(at)
        return os.write(file, data)

    monkeypatch.setattr("sandbox.workspace.receiving.os.pwrite", pwrite)
    with pytest.raises(OSError, match="No space left") as caught:
        carried(source, target)
    assert written
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "copy/file")
    assert not list((target / "copy").iterdir())
