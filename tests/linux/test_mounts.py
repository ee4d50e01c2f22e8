"""Mounts are made as the manual says, many at once too, and what is refused is told."""

from __future__ import annotations

import _thread
import errno
import gc
import os
import resource
import time

import pytest

from sandbox.linux import mounts, syscalls
from tests.linux.forks import in_child, in_namespaces, refused

pytestmark = pytest.mark.namespaces


def test_a_refused_mount_is_told_as_strace_prints_it():
    error = in_child(lambda: refused(mounts.mount, 'a"b', "/no/where", "ext4", 0x5001, "data"))
    call = 'mount("a\\"b", "/no/where", "ext4", MS_RDONLY|MS_BIND|MS_REC, "data")'
    assert (error.errno, error.filename) == (errno.ENOENT, call) or error.errno == errno.EPERM


def test_mount_attaches_a_file_system(tmp_path):
    def inside():
        mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("none", str(tmp_path), "tmpfs", 0, "mode=700")
        (tmp_path / "file").write_text("inside")
        return os.stat(tmp_path).st_mode & 0o777

    assert in_namespaces(inside) == 0o700
    assert os.listdir(tmp_path) == []


def test_a_mount_is_made_read_only_and_writable_again(tmp_path):
    def inside():
        place = str(tmp_path)
        mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("none", place, "tmpfs")
        mounts.mount_setattr(place, read_only=True, recursive=True)
        error = refused(os.mkdir, f"{place}/new").errno
        mounts.mount_setattr(place, read_only=False, recursive=False)
        os.mkdir(f"{place}/new")
        return error

    assert in_namespaces(inside) == errno.EROFS


@pytest.mark.skipif(os.getuid() != 0, reason="a directory that is closed to the caller is needed")
def test_places_are_made_and_bound_wherever_the_caller_stands(
    tmp_path, open_directory, unprivileged
):
    source, target = open_directory / "sources", open_directory / "places"
    for path in (source, target, source / "one"):
        path.mkdir()
    (source / "one/file").write_text("bound")
    (source / "two").write_text("bound too")

    def inside():
        mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("none", str(target), "tmpfs")
        mounts.make_places(str(target), ("one",), ("two",), 1000, 100)
        mounts.bind_each(str(source), str(target), ("one", "two"))
        return (target / "one/file").read_text(), (target / "two").read_text()

    def as_another():
        tmp_path.chmod(0o700)
        os.chdir(tmp_path)
        os.setgroups([])
        os.setgid(unprivileged)
        os.setuid(unprivileged)
        # Its own /proc is another's otherwise.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        return in_namespaces(inside, "user", "mnt")

    assert in_child(as_another) == ("bound", "bound too")


def test_an_overlay_shows_what_is_below_and_keeps_it(tmp_path):
    for name in ("lower", "upper", "work", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/file").write_text("below")

    def inside():
        mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
        places = {name: str(tmp_path / name) for name in ("lower", "upper", "work", "target")}
        mounts.mount_overlay(**places, uid=1000, gid=100)
        seen = (tmp_path / "target/file").read_text()
        (tmp_path / "target/file").write_text("changed")
        return seen

    assert in_namespaces(inside) == "below"
    assert (tmp_path / "lower/file").read_text() == "below"
    assert (tmp_path / "upper/file").read_text() == "changed"


def test_an_overlay_leaves_no_descriptor_open_even_when_it_is_refused(tmp_path):
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    places = {name: str(tmp_path / name) for name in ("lower", "upper", "work")}

    def inside():
        # What other tests left to the collector is closed now, and not in between.
        gc.collect()
        before = os.listdir("/proc/self/fd")
        error = refused(mounts.mount_overlay, **places, target=str(tmp_path / "none"), uid=0, gid=0)
        return error.errno, before == os.listdir("/proc/self/fd")

    assert in_namespaces(inside) == (errno.ENOENT, True)


def test_the_old_root_is_gone_after_pivot_root(tmp_path):
    (tmp_path / "only").mkdir()

    def inside():
        mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount(str(tmp_path), str(tmp_path), "", mounts.MS_BIND | mounts.MS_REC)
        mounts.pivot_root(str(tmp_path))
        return os.getcwd(), os.listdir("/"), os.listdir("/..")

    assert in_namespaces(inside) == ("/", ["only"], ["only"])


@pytest.fixture
def many(tmp_path):
    """A place with many names, of which one has nothing to be mounted, and the names."""
    names = tuple(f"n{number}" for number in range(mounts.MANY_MOUNTS))
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    for name in names:
        (tmp_path / "source" / name).write_text(name)
    return str(tmp_path / "source"), str(tmp_path / "target"), names


def bind_all(source: str, target: str, names: tuple[str, ...]) -> None:
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    mounts.mount("none", target, "tmpfs")
    mounts.make_places(target, (), names, 1000, 100)
    mounts.bind_each(source, target, names)


def contents(target: str) -> list[str]:
    found = []
    for name in os.listdir(target):
        with open(f"{target}/{name}", encoding="ascii") as file:
            found.append(file.read())
    return sorted(found)


def test_many_are_bound_and_the_next_process_has_the_number_it_would_have_had(many):
    def inside():
        bind_all(*many)
        while len(os.listdir("/proc/self/task")) > 1:
            time.sleep(0.001)  # Until the thread has its number no longer.
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return contents(many[1]), child

    assert in_namespaces(inside) == (sorted(many[2]), 2)


new_lock = _thread.allocate_lock


class SlowToEnd:
    """A lock whose holder takes its time when it has given it up."""

    def __init__(self):
        self._lock = new_lock()
        self.acquire = self._lock.acquire

    def release(self):
        self._lock.release()
        time.sleep(0.2)


def test_a_thread_that_is_about_to_end_keeps_nobody_from_another_mount_namespace(many, monkeypatch):
    monkeypatch.setattr(mounts._thread, "allocate_lock", SlowToEnd)

    def inside():
        bind_all(*many)
        threads = len(os.listdir("/proc/self/task"))
        syscalls.setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), "mnt")
        return threads

    assert in_namespaces(inside) == 2


@pytest.mark.skipif(os.getuid() == 0, reason="root may have any number of processes")
def test_many_are_bound_where_no_thread_may_be_started(many):
    def inside():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        with pytest.raises(RuntimeError):
            _thread.start_new_thread(os.getpid, ())
        bind_all(*many)
        return contents(many[1])

    assert in_namespaces(inside) == sorted(many[2])


@pytest.mark.parametrize("which", [0, -1])
def test_one_of_many_that_is_refused_is_told(many, which):
    source, target, names = many
    os.unlink(f"{source}/{names[which]}")
    error = in_namespaces(lambda: refused(bind_all, source, target, names))
    call = (
        f'mount("{source}/{names[which]}", "{target}/{names[which]}", NULL, MS_BIND|MS_REC, NULL)'
    )
    assert (error.errno, error.filename) == (errno.ENOENT, call)
