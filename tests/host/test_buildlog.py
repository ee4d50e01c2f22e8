"""The log of a build by any of its names, and the files that it points to; the directory is hostile."""

from __future__ import annotations

import os

import pytest

from sandbox.errors import EvidenceError
from sandbox.host import buildlog
from sandbox.host.buildlog import logged_build, pointed_files, read_pointed
from tests.host.made_store import MadeStore, env_vars, output, store_path

LOG = """\
@nix { "action": "setPhase", "phase": "configurePhase" }
configure: error: no foo
See `config.log' and ./sub/mine.log and /build/hello/meson-logs/meson-log.txt, not linked.log, fifo.log.
"""


@pytest.fixture
def store(tmp_path):
    return MadeStore(tmp_path / "s")


@pytest.fixture
def kept(store):
    """The build's own directory, of a build that failed in its configure phase at second 1000."""
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"))
    variables = env_vars(out=store_path("hello-1.0", "a"), name="hello-1.0", NIX_BUILD_TOP="/build")
    outer = store.keep("nix-1-2", env_vars=variables)
    store.log(drv, LOG)
    return outer / "build"


def write(path, text="x\n", at_s=2000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at_s, at_s))


def look(store, kept):
    return logged_build(str(kept), store=str(store.root))


def names(store, kept):
    return [one.relative for one in pointed_files(look(store, kept))]


def test_the_log_is_found_by_the_directory_and_by_the_derivation(store, kept):
    by_directory = look(store, kept)
    assert by_directory.log.failing_phase == "configurePhase"
    drv = by_directory.derivation
    assert logged_build(drv, store=str(store.root)).log == by_directory.log
    base = drv.rpartition("/")[2]
    assert logged_build(base, store=str(store.root)).log == by_directory.log


def test_a_log_of_which_nothing_is_kept_is_found_by_its_derivation(store):
    drv = store.derive("gone-1", "c", output("gone-1", "c"))
    store.log(drv, "x\n")
    found = logged_build(drv, store=str(store.root))
    assert (found.log.lines, found.kept, pointed_files(found)) == (("x",), None, ())


def test_a_build_without_a_log_is_told(store, kept):
    os.unlink(look(store, kept).file.path)
    with pytest.raises(EvidenceError) as caught:
        look(store, kept)
    assert caught.value.reason == "log-missing"


def test_files_that_the_log_names_are_found_in_its_order(store, kept):
    write(kept / "hello/sub/mine.log")
    write(kept / "hello/meson-logs/meson-log.txt")
    write(kept / "other/meson-logs/meson-log.txt", at_s=1)
    write(kept / "hello/config.log", at_s=1)
    write(kept / "hello/unnamed.log")
    assert names(store, kept) == [
        "hello/config.log",
        "hello/sub/mine.log",
        "hello/meson-logs/meson-log.txt",
    ]
    assert pointed_files(look(store, kept))[0].inside == "/build/hello/config.log"


def test_what_tools_write_counts_if_the_failing_phase_has_written_it(store, kept):
    write(kept / "hello/CMakeFiles/CMakeError.log", at_s=2000)
    write(kept / "hello/test-suite.log", at_s=900)
    assert names(store, kept) == ["hello/CMakeFiles/CMakeError.log"]


def test_links_and_fifos_are_not_files(store, kept):
    (kept / "linked.log").symlink_to("/etc/passwd")
    os.mkfifo(kept / "fifo.log")
    (kept / "folder").symlink_to("/var/log")
    os.mkdir(kept / "config.log")
    assert names(store, kept) == []


@pytest.mark.parametrize(
    "relative", ["linked.log", "fifo.log", "folder/x.log", "config.log", "no.log"]
)
def test_what_is_no_file_is_not_read(store, kept, relative):
    (kept / "linked.log").symlink_to("/etc/passwd")
    os.mkfifo(kept / "fifo.log")
    (kept / "elsewhere").mkdir()
    write(kept / "elsewhere/x.log")
    (kept / "folder").symlink_to("elsewhere")
    os.mkdir(kept / "config.log")
    with pytest.raises(EvidenceError) as caught:
        read_pointed(look(store, kept), relative)
    assert caught.value.reason == "log-unreadable"


def test_what_is_read_is_as_a_terminal_shows_it_in_the_end(store, kept):
    write(kept / "config.log", "10%\r100%\nred \x1b[31mx\x1b[2J\x1b]0;owned\x07\nlast")
    assert read_pointed(look(store, kept), "config.log") == (("100%", "red x", "last"), False)


def test_of_a_file_that_is_too_long_the_end_is_read(store, kept, monkeypatch):
    monkeypatch.setattr(buildlog, "MOST_BYTES", 5)
    write(kept / "config.log", "aaaa\nbbbb\n")
    assert read_pointed(look(store, kept), "config.log") == (("bbbb",), True)


def test_a_tree_without_an_end_is_listed_up_to_a_bound(store, kept, monkeypatch):
    monkeypatch.setattr(buildlog, "MOST_ENTRIES", 10)
    for number in range(30):
        write(kept / f"a{number:02}/config.log")
    assert len(names(store, kept)) <= 10


def test_a_deep_tree_needs_no_more_descriptors_than_a_flat_one(store, kept):
    deep = kept
    for _ in range(buildlog.MOST_DEPTH + 10):
        deep /= "d"
    write(deep / "config.log")
    write(kept / "d/d/config.log")
    assert names(store, kept) == ["d/d/config.log"]


@pytest.mark.parametrize("by_a_link", [True, False])
def test_another_directory_in_the_place_of_what_was_kept_is_not_looked_into(
    store, kept, tmp_path, by_a_link
):
    write(kept / "config.log")
    write(tmp_path / "closed/build/config.log", "the caller's alone\n")
    build = look(store, kept)
    assert pointed_files(build)
    kept.parent.rename(tmp_path / "away")
    if by_a_link:
        kept.parent.symlink_to(tmp_path / "closed")
    else:
        (tmp_path / "closed").rename(kept.parent)
    assert pointed_files(build) == ()
    with pytest.raises(EvidenceError) as caught:
        read_pointed(build, "config.log")
    assert caught.value.reason == "log-unreadable"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone reads what is closed to all others")
def test_what_is_closed_to_the_owner_of_what_was_kept_is_not_read_for_it(store, kept):
    for name, mode in (("config.log", 0o600), ("open.log", 0o644)):
        write(kept / name)
        (kept / name).chmod(mode)
    os.chown(kept, 12345, 12345)
    assert read_pointed(look(store, kept), "open.log") == (("x",), False)
    with pytest.raises(EvidenceError) as caught:
        read_pointed(look(store, kept), "config.log")
    assert caught.value.reason == "log-unreadable"
    os.chown(kept / "config.log", 12345, 12345)
    assert read_pointed(look(store, kept), "config.log") == (("x",), False)
