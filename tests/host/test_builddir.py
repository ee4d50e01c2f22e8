"""A kept directory is found in every layout, and nothing hostile in it is followed or waited for."""

from __future__ import annotations

import os
import resource
import socket

import pytest

from sandbox.errors import Error, EvidenceError, UsageError
from sandbox.host.builddir import (
    MOST_BYTES,
    is_of_a_build,
    name_in,
    read_bounded,
    read_kept_directory,
)
from tests.linux.forks import in_child

STORE = "/nix/store"
RANDOM = "0123456789abcdfghijklmnpqr"
LAYOUTS = {
    "2.8": ("nix-build-hello-1.0.drv-0", "", "flat", "hello-1.0"),
    "2.24": ("nix-build-hello-1.0.drv-3", "build", "build", "hello-1.0"),
    "2.30.0": ("nix-build-hello-1.0.drv-77-5", "build", "named-pid-build", "hello-1.0"),
    "2.32": ("nix-77-4294967295", "build", "pid-build", ""),
    "2.32 without a sandbox": ("nix-77-12", "", "flat", ""),
    "Lix 2.90": ("nix-build-hello-1.0.drv-0", "", "flat", "hello-1.0"),
    "Lix 2.93.3": ("nix-build-hello-1.0.drv-1", "b", "b", "hello-1.0"),
    "Lix 2.94": (RANDOM, "b", "b", ""),
}


def read(path):
    return read_kept_directory(str(path), STORE)


def keep(top, outer, child, env_vars="declare -x SHELL=/bin/x\n"):
    inner = top / outer / child
    inner.mkdir(parents=True)
    (inner / "source").write_text("")
    if env_vars is not None:
        (inner / "env-vars").write_text(env_vars)
    return top / outer


@pytest.mark.parametrize(("outer", "child", "layout", "name"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("given", ["outer", "inner", "link", "relative", "slash"])
def test_every_layout_is_known_by_whatever_path(
    tmp_path, monkeypatch, outer, child, layout, name, given
):
    path = keep(tmp_path, outer, child)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(path)
    ways = {
        "outer": path,
        "inner": path / child,
        "link": tmp_path / "link",
        "relative": outer,
        "slash": f"{path}/",
    }
    kept = read(ways[given])
    real = os.path.realpath(path)
    assert (kept.outer, kept.path) == (real, f"{real}/{child}".rstrip("/"))
    assert (kept.layout, kept.name_hint) == (layout, name)
    assert kept.env_vars.shell == "/bin/x"


@pytest.mark.parametrize(("child", "layout"), [("", "flat"), ("build", "build"), ("b", "b")])
def test_a_directory_that_was_renamed_is_known_by_what_is_in_it(tmp_path, child, layout):
    kept = read(keep(tmp_path, "what I saved", child))
    assert (kept.layout, kept.name_hint) == (layout, "")
    assert kept.path.endswith(child)


def test_the_name_comes_from_env_vars_before_the_directory_s(tmp_path):
    path = keep(tmp_path, "nix-build-other.drv-0", "", "declare -x name=hello-1.0\n")
    assert read(path).name_hint == "hello-1.0"


def test_a_source_tree_s_own_build_folder_is_no_layout(tmp_path):
    path = keep(tmp_path, "nix-build-hello.drv-0", "")
    (path / "build").mkdir()
    assert read(path).layout == "flat"


def test_a_build_folder_beside_the_build_s_files_is_not_the_build_s_own(tmp_path):
    """In an older Nix's layout the builder has made it, and what lies beside it is the build's, too."""
    path = keep(tmp_path, "nix-build-hello.drv-0", "")
    (path / "build").mkdir()
    kept = read(path / "build")
    assert (kept.layout, kept.outer) == ("flat", os.path.realpath(path / "build"))
    assert not is_of_a_build(kept)


def test_an_inner_name_alone_does_not_make_a_layout(tmp_path):
    """`/src/project/build`, which nobody kept, is taken as it is."""
    path = keep(tmp_path, "project", "build")
    kept = read(path / "build")
    assert (kept.layout, kept.path) == ("flat", os.path.realpath(path / "build"))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nix-build-hello-1.0.drv-0", "hello-1.0"),
        ("nix-build-x.drv-1.drv-12", "x.drv-1"),
        ("nix-build-hello.drv-77-5", "hello"),
        ("nix-build-77-5", ""),
        ("hello.drv-0", ""),
        ("nix-build-hello.drv-", ""),
        ("nix-build-hello.drv-x", ""),
        ("", ""),
    ],
)
def test_the_directory_s_name_gives_the_derivation_s(name, found):
    assert name_in(name) == found


def test_an_inner_directory_that_is_a_link_is_not_followed(tmp_path):
    outer = tmp_path / "nix-build-hello.drv-0"
    outer.mkdir()
    (outer / "build").symlink_to("/etc")
    assert read(outer).path == os.path.realpath(outer)


@pytest.mark.parametrize("path", ["missing", "file", "file/below", "dangling", "loop"])
def test_what_is_no_directory_is_refused_as_such(tmp_path, path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("missing")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError) as caught:
        read(tmp_path / path)
    assert (caught.value.reason, caught.value.exit_code) == ("not-a-directory", 2)
    assert str(tmp_path / path) in caught.value.message


def test_a_path_with_a_nul_is_no_directory():
    with pytest.raises(Error) as caught:
        read("a\0b")
    assert caught.value.reason == "not-a-directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("closed", ["outer", "inner"])
def test_a_closed_directory_says_whose_it_is(tmp_path, closed):
    path = keep(tmp_path, "nix-77-5", "build")
    shut = path if closed == "outer" else path / "build"
    shut.chmod(0)
    try:
        with pytest.raises(EvidenceError) as caught:
            read(path)
    finally:
        shut.chmod(0o700)
    assert caught.value.reason == "kept-directory-unreadable"
    assert f"mode 0000, owner {os.geteuid()}" in caught.value.evidence[0]
    assert "sudo" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_below_a_closed_directory_is_unreadable(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    assert read_bounded(str(tmp_path / "closed/file")) == (b"", "unreadable", 0)


def test_a_name_with_a_nul_is_no_file(tmp_path):
    assert read_bounded(f"{tmp_path}/a\0b") == (b"", "unsafe", 0)


def fifo(path):
    os.mkfifo(path)


def link_to_passwd(path):
    path.symlink_to("/etc/passwd")


def link_to_fifo(path):
    os.mkfifo(f"{path}-fifo")
    path.symlink_to(f"{path}-fifo")


def folder(path):
    path.mkdir()


def too_large(path):
    with path.open("wb") as file:
        file.write(b'declare -x SHELL="/bin/evil"\n')
        file.truncate(65 << 20)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # the whole path may be too long for one


@pytest.mark.parametrize(
    "trap", [fifo, link_to_passwd, link_to_fifo, folder, too_large, unix_socket]
)
def test_a_trap_in_the_place_of_env_vars_is_told_and_not_read(tmp_path, monkeypatch, trap):
    path = keep(tmp_path, "nix-build-x.drv-0", "", env_vars=None)
    monkeypatch.chdir(path)
    trap(path / "env-vars")
    env_vars = read(path).env_vars
    assert env_vars.state == "unsafe"
    assert (env_vars.shell, env_vars.out, env_vars.references) == ("", "", ())


def test_an_env_vars_that_is_not_there_is_absent(tmp_path):
    assert read(keep(tmp_path, "x", "", env_vars=None)).env_vars.state == "absent"


def test_an_empty_env_vars_is_read_and_says_nothing(tmp_path):
    env_vars = read(keep(tmp_path, "x", "", env_vars="")).env_vars
    assert (env_vars.state, env_vars.shell) == ("read", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_env_vars_that_is_closed_is_unreadable(tmp_path):
    path = keep(tmp_path, "x", "")
    (path / "env-vars").chmod(0)
    env_vars = read(path).env_vars
    assert (env_vars.state, env_vars.shell) == ("unreadable", "")
    assert env_vars.mtime_ns == (path / "env-vars").stat().st_mtime_ns


def test_the_bound_is_held_for_what_grows_while_it_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_bounded(str(tmp_path / "file"), 100)[:2] == (b"x" * 100, "read")
    assert read_bounded(str(tmp_path / "file"), 99)[:2] == (b"", "unsafe")
    assert MOST_BYTES < 65 << 20


def test_what_decides_something_is_taken_from_env_vars(tmp_path):
    text = (
        f'declare -x SHELL="{STORE}/{"a" * 32}-bash/bin/bash"\n'
        f'declare -x out="{STORE}/{"b" * 32}-hello"\n'
        'declare -x PWD="/build/hello"\ndeclare -x NIX_BUILD_TOP="/build"\n'
    )
    env_vars = read(keep(tmp_path, "x", "", text)).env_vars
    assert env_vars.shell == f"{STORE}/{'a' * 32}-bash/bin/bash"
    assert env_vars.out == f"{STORE}/{'b' * 32}-hello"
    assert (env_vars.working_directory, env_vars.build_top) == ("/build/hello", "/build")
    assert env_vars.references == (f"{STORE}/{'a' * 32}-bash", f"{STORE}/{'b' * 32}-hello")


def test_structured_attributes_are_seen(tmp_path):
    path = keep(tmp_path, "x", "")
    assert not read(path).structured
    (path / ".attrs.json").symlink_to("/nowhere")
    assert read(path).structured


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe\x00\x01", b'declare -x SHELL="', b"\x1b[2J" * 100, b"\n" * 100]
)
def test_any_bytes_are_some_env_vars(tmp_path, raw):
    path = keep(tmp_path, "x", "")
    (path / "env-vars").write_bytes(raw)
    assert read(path).env_vars.state == "read"


@pytest.mark.parametrize(
    ("name", "files", "is_one"),
    [
        ("tmp", (), False),
        ("source", ("Makefile", "hello.c"), False),
        ("copied", ("env-vars",), True),
        ("copied", (".attrs.json", ".attrs.sh"), True),
        ("nix-build-hello-1.0.drv-0", (), True),
        ("nix-77-5/build", ("hello",), True),
    ],
)
def test_a_directory_is_a_build_s_by_its_name_or_by_what_nix_wrote_there(
    tmp_path, name, files, is_one
):
    directory = tmp_path / name
    directory.mkdir(parents=True)
    for file in files:
        (directory / file).touch()
    assert is_of_a_build(read_kept_directory(str(directory), "/nix/store")) is is_one


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_a_closed_directory_is_one_that_cannot_be_read(tmp_path):
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut/file").write_text("x")
    (tmp_path / "shut").chmod(0)
    try:
        assert read_bounded(str(tmp_path / "shut/file")) == (b"", "unreadable", 0)
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_what_is_there_is_read_with_no_more_memory_than_that(tmp_path):
    (tmp_path / "env-vars").write_bytes(b"little")

    def inside():
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES // 4,) * 2)
        return read_bounded(str(tmp_path / "env-vars"))[:2]

    assert in_child(inside) == (b"little", "read")
