"""Every kept failure of the machine is found, and what only looks like one is told apart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest

from sandbox.host import places
from sandbox.host.nixconf import NixLocations, find_locations, read_settings
from sandbox.host.places import kept_places, survey
from sandbox.model.nixconf import NixSettings
from tests.nix.world import NixWorld

RANDOM = "0123456789abcdfghijklmnpqr"


@pytest.fixture
def machine(tmp_path):
    """A machine whose folders all lie below tmp_path; what others left in /tmp is not looked at."""
    for name in ("state/builds", "state/b", "tmp", "build-dir"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def look(machine, search=survey):
    found = search(
        NixLocations(state_dir=f"{machine}/state"),
        NixSettings(build_dir=f"{machine}/build-dir"),
        {"TMPDIR": f"{machine}/tmp"},
    )
    return {
        p.path.removeprefix(f"{machine}/"): p for p in found if p.path.startswith(f"{machine}/")
    }


def keep(path, *inside, mode=0o755, time_s=1000):
    path.mkdir(parents=True)
    for name in inside:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("")
        os.utime(path / name, (time_s, time_s))
    path.chmod(mode)
    os.utime(path, (time_s, time_s))


@pytest.mark.parametrize(
    ("outer", "child", "layout", "name"),
    [
        ("tmp/nix-build-hello-1.0.drv-0", "", "flat", "hello-1.0"),
        ("tmp/nix-build-hello-1.0.drv-3", "build", "build", "hello-1.0"),
        ("build-dir/nix-build-x.drv-1.drv-12", "", "flat", "x.drv-1"),
        ("state/builds/nix-build-hello.drv-77-5", "build", "named-pid-build", "hello"),
        ("state/builds/nix-77-4294967295", "build", "pid-build", ""),
        ("build-dir/nix-77-12", "build", "pid-build", ""),
        ("state/builds/nix-77-12", "", "flat", ""),
        (f"state/b/{RANDOM}", "b", "b", ""),
        (f"build-dir/{RANDOM}", "b", "b", ""),
        (f"tmp/nix-builds-0-abc/{RANDOM}", "b", "b", ""),
        ("tmp/nix-builds-0-abc/nix-build-hello.drv-0", "", "flat", "hello"),
    ],
)
def test_every_layout_of_every_release_is_found(machine, outer, child, layout, name):
    keep(machine / outer / child, "source", "env-vars")
    found = look(machine, kept_places)
    assert list(found) == [outer]
    place = found[outer]
    assert place.inner == f"{machine}/{outer}/{child}".rstrip("/")
    assert (place.layout, place.name_hint, place.state) == (layout, name, "kept")
    assert (place.owner_uid, place.readable, place.size) == (os.geteuid(), True, None)


def test_the_newest_is_first_and_the_file_of_the_last_phase_counts(machine):
    keep(machine / "tmp/nix-build-a.drv-0", time_s=100)
    keep(machine / "tmp/nix-build-b.drv-0", time_s=300)
    keep(machine / "tmp/nix-build-c.drv-0", "env-vars", time_s=200)
    os.utime(machine / "tmp/nix-build-c.drv-0/env-vars", (400, 400))
    assert [place.name_hint for place in look(machine).values()] == ["c", "b", "a"]


def test_a_folder_that_is_named_twice_is_searched_once(machine):
    keep(machine / "tmp/nix-build-a.drv-0")
    (machine / "state/b").rmdir()
    (machine / "state/b").symlink_to(machine / "tmp")
    assert len(look(machine)) == 1


@pytest.mark.parametrize(
    "name", ["nix-build-4711-0", "nix-build-4711", "nix-shell.AbCdEf", "nix-shell-1-0"]
)
def test_directories_of_nix_that_are_not_of_a_build_are_told_apart(machine, name):
    keep(machine / "tmp" / name)
    assert look(machine)[f"tmp/{name}"].state == "other"
    assert look(machine, kept_places) == {}


@pytest.mark.parametrize(
    "name", ["nix-build-x", "nix-x-1", "nix-1", "hello", "nix-build-.drv-0", RANDOM, RANDOM[1:]]
)
def test_what_others_keep_in_temporary_directories_is_not_listed(machine, name):
    keep(machine / "tmp" / name, "file")
    assert look(machine) == {}


def test_links_and_files_are_not_places(machine):
    keep(machine / "elsewhere")
    (machine / "tmp/nix-build-a.drv-0").symlink_to(machine / "elsewhere")
    (machine / "tmp/nix-build-b.drv-0").write_text("")
    os.mkfifo(machine / "tmp/nix-build-c.drv-0")
    (machine / "tmp/nix-builds-0").symlink_to(machine / "tmp")
    assert look(machine) == {}


def test_a_link_or_file_within_is_not_taken_for_the_inner_directory(machine):
    keep(machine / "tmp/nix-build-a.drv-0")
    (machine / "tmp/nix-build-a.drv-0/build").symlink_to("/etc")
    keep(machine / "tmp/nix-build-b.drv-0", "build")
    found = look(machine)
    assert [place.inner == place.path for place in found.values()] == [True, True]


def test_a_directory_called_build_among_others_is_the_builders_own(machine):
    keep(machine / "tmp/nix-build-a.drv-0", "env-vars", "build/x")
    assert look(machine)["tmp/nix-build-a.drv-0"].layout == "flat"


def test_a_closed_directory_that_nobody_uses_is_abandoned(machine):
    keep(machine / "tmp/nix-build-a.drv-0", mode=0o700)
    assert look(machine)["tmp/nix-build-a.drv-0"].state == "abandoned"


def test_a_closed_directory_in_which_a_process_works_is_running(machine):
    # Processes are asked for the name alone, so no other test has one there.
    name = f"state/builds/nix-{os.getpid()}-2"
    keep(machine / name / "build/src/deep/er", mode=0o755)
    (machine / name / "build").chmod(0o700)
    process = subprocess.Popen(["sleep", "1000"], cwd=machine / name / "build/src/deep/er")
    try:
        assert look(machine)[name].state == "running"
    finally:
        process.kill()
        process.wait()


def test_a_closed_outer_directory_with_an_open_inner_one_is_kept(machine):
    """So some releases of 2.18 to 2.24 left it."""
    keep(machine / "tmp/nix-build-a.drv-0/build", "env-vars")
    (machine / "tmp/nix-build-a.drv-0").chmod(0o700)
    place = look(machine)["tmp/nix-build-a.drv-0"]
    assert (place.state, place.layout) == ("kept", "build")


def test_lix_opens_the_outer_directory_alone(machine):
    keep(machine / f"state/b/{RANDOM}/b", "env-vars", mode=0o700)
    place = look(machine)[f"state/b/{RANDOM}"]
    assert place.state == "kept"
    (machine / f"state/b/{RANDOM}").chmod(0o710)
    assert look(machine)[f"state/b/{RANDOM}"].state == "abandoned"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can make directories of another user")
def test_a_closed_directory_of_another_user_is_unclear(machine):
    keep(machine / "state/builds/nix-1-2/build", mode=0o700)
    (machine / "state/builds/nix-1-2").chmod(0o700)
    for folder in reversed([machine, *machine.parents][:-2]):
        folder.chmod(0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            place = look(machine)["state/builds/nix-1-2"]
            code = 0 if (place.state, place.readable) == ("unclear", False) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_machine_without_any_of_the_folders_has_no_places(tmp_path):
    assert look(tmp_path) == {}


def test_no_process_is_asked_where_nothing_is_closed(machine, monkeypatch):
    keep(machine / "tmp/nix-build-a.drv-0")
    # What others have in /tmp is looked at as well, and may be closed.
    folders = places._folders
    monkeypatch.setattr(
        places,
        "_folders",
        lambda *asked: (one for one in folders(*asked) if one[0].startswith(f"{machine}/")),
    )
    monkeypatch.setattr(places, "_mountinfo", lambda _: pytest.fail("looked at processes"))
    assert look(machine)


@pytest.fixture
def world(tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "tools/busybox")
    return NixWorld(tmp_path)


def derivation(world, name, script):
    return (
        f'derivation {{ name = "{name}"; system = builtins.currentSystem;'
        f' builder = "${{{world.root}/tools}}/busybox"; args = [ "sh" "-c" "{script}" ]; }}'
    )


def places_of(world):
    environ = world.environment
    settings = read_settings(environ)
    locations = find_locations(environ, settings, world.store_arguments[1])
    return [p for p in survey(locations, settings, environ) if p.path.startswith(str(world.root))]


@pytest.mark.nix
def test_what_nix_keeps_is_found(world):
    failure = world.fail(derivation(world, "boom", "echo > env-vars; exit 3"))
    (place,) = places_of(world)
    assert failure.kept in {place.path, place.inner}
    assert place.state == "kept"
    assert place.inner.endswith("/build") or place.name_hint == "boom"


@pytest.mark.nix
def test_a_build_that_goes_on_is_running(world):
    expression = derivation(world, "slow", "while true; do :; done")
    nix = subprocess.Popen(
        ["nix-build", *world.store_arguments, "--no-out-link", "-E", expression],
        env=world.environment,
        cwd=world.root,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        states = []
        until = time.monotonic() + 30
        while states != ["running"] and time.monotonic() < until:
            time.sleep(0.1)
            states = [
                place.state
                for place in places_of(world)
                if place.name_hint == "slow" or place.layout == "pid-build"
            ]
        assert states == ["running"]
    finally:
        os.killpg(nix.pid, signal.SIGTERM)
        nix.wait()
