"""A build and the command that enters what was kept of it see the same world."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import UNPRIVILEGED, _cache, _make_build_users
from tests.nix.world import NixWorld
from tests.twin.differences import DIFFERENCES, INTERACTIVE, expected
from tests.twin.scenes import (
    CASES,
    HOST_SOCKET,
    OpenWorld,
    Party,
    Twins,
    as_user,
    command_line,
    compile_probe,
    kind_of,
    told,
)
from tests.twin.test_differences import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunTool

pytestmark = [pytest.mark.nix, pytest.mark.namespaces]

PARTIES = {
    party.name: party
    for party in (
        Party(name="build users", owner=None, caller=None, build_users="nixbld"),
        Party(name="root alone", owner=None, caller=None),
        Party(name="own build", owner=UNPRIVILEGED, caller=UNPRIVILEGED),
        Party(
            name="build users, entered by another",
            owner=None,
            caller=UNPRIVILEGED,
            build_users="nixbld",
        ),
    )
}
SCENES = ("plain", "fixed-output", "structured", "outputs", "narrow", "shell", "raw", "open")
SEEN_FROM_OUTSIDE = "namespace."
LIMIT = 60


@pytest.fixture(scope="session")
def probe(open_directory: Path) -> Path:
    return compile_probe(open_directory)


@pytest.fixture(scope="session")
def host_socket() -> Iterator[None]:
    """An abstract socket of the host, which whoever shares its network can reach."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0" + HOST_SOCKET)
        listener.listen(1000)
        yield


@pytest.fixture(scope="session")
def world_of(probe: Path) -> Iterator[Callable[[Party, str], NixWorld]]:
    """The Nix of a party, for a scene: made once.

    Not in /tmp, which builds without a sandbox have one of their own for. From 2.30 on Nix builds
    beside its store, and only where no directory above is for all to write to: `NBS_TWIN_PLACE`.
    """
    place = Path(tempfile.mkdtemp(prefix="nbs-", dir=os.environ.get("NBS_TWIN_PLACE", "/var/tmp")))
    place.chmod(0o755)
    worlds: dict[tuple[object, ...], NixWorld] = {}

    def world(party: Party, scene: str) -> NixWorld:
        key = (party.owner, party.build_users, kind_of(scene))
        if key not in worlds:
            worlds[key] = _new_world(place / f"{len(worlds)}", party, scene, probe)
        return worlds[key]

    yield world
    for one in worlds.values():
        one.remove()
    shutil.rmtree(place, ignore_errors=True)


def _new_world(root: Path, party: Party, scene: str, probe: Path) -> NixWorld:
    if party.build_users:
        _make_build_users()
    root.mkdir(exist_ok=True)
    if party.owner is not None and os.getuid() == 0:
        os.chown(root, party.owner, party.owner)

    certificates = probe.with_name("certificates")
    certificates.write_text("what stands for certificates\n")
    more = (f"ssl-cert-file = {certificates}",)

    def make() -> NixWorld:
        if kind_of(scene) == "open":
            world: NixWorld = OpenWorld(root, build_users=party.build_users, sandbox="relaxed")
        else:
            paths = (
                f"/bin/sh={probe} /some/file={probe}? /not/there=/not/there?"
                if scene == "shell"
                else ""
            )
            world = NixWorld(
                root, build_users=party.build_users, sandbox_paths=paths, settings=more
            )
        world.build_stdenv(_cache() if os.access(_cache(), os.R_OK | os.X_OK) else None)
        return world

    return as_user(party.owner, make)


@pytest.fixture(scope="session")
def twins(
    world_of: Callable[[Party, str], NixWorld], probe: Path, run_tool: RunTool, host_socket: None
) -> Callable[[Party, str], Twins]:
    """Build and enter, once for each party and scene."""
    known: dict[tuple[str, ...], Twins] = {}

    def pair(party: Party, scene: str, *options: str) -> Twins:
        key = (party.name, scene, *options)
        if key not in known:
            known[key] = _pair(party, scene, *options)
        return known[key]

    def _pair(party: Party, scene: str, *options: str) -> Twins:
        world = world_of(party, scene)
        arguments = (str(CASES), "-A", scene, "--argstr", "probe", str(probe))
        failure = as_user(party.owner, lambda: world.fail(*arguments))
        built = told(failure.log, world)
        assert "process.exe" in built, failure.log[-2000:]
        argv = [*options, *command_line(world, scene, failure, built["process.exe"])]
        done = run_tool(*argv, as_user=party.caller, env={"NIX_CONF_DIR": str(world.conf)})
        return Twins(
            built=built,
            entered=told(done.stdout.decode(), world),
            status=done.returncode,
            error=done.stderr.decode(),
            argv=(*argv,),
            caller=party.caller,
        )

    return pair


@pytest.fixture
def at_terminal(
    tool_command: Callable[..., tuple[list[str], dict[str, str]]],
) -> Callable[[Twins], dict[str, str]]:
    """Enter once more, at a terminal, and tell what was told there."""

    def enter(both: Twins) -> dict[str, str]:
        command, environment = tool_command("sandbox.cli.nix_build_shell", both.caller)
        master, slave = os.openpty()
        running = subprocess.Popen(
            [*command, *both.argv],
            env={**environment, "TERM": "xterm-twin"},
            cwd="/",
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        output = b""
        try:
            while piece := os.read(master, 65536):
                output += piece
        except OSError:  # EIO: the other side is closed
            pass
        finally:
            os.close(master)
        assert running.wait(LIMIT) == 1
        return told(output.decode().replace("\r\n", "\n"), None)

    return enter


def _party(name: str, scene: str) -> Party:
    party = PARTIES[name]
    if os.getuid() != 0 and name != "own build":
        pytest.skip("only root can be this party")
    if (name, scene) == ("root alone", "open"):
        pytest.skip("the probe would be root on this machine, and do what it tries")
    return party


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", PARTIES)
def test_a_command_sees_what_the_build_saw(
    name: str, scene: str, twins: Callable[[Party, str], Twins]
) -> None:
    both = twins(_party(name, scene), scene)
    assert both.status == 1, both.error
    unexpected = _unexpected(both, name, scene)
    assert not unexpected, f"{len(unexpected)} unexpected differences\n" + "\n".join(unexpected)


def _unexpected(both: Twins, name: str, scene: str, without: str = "") -> list[str]:
    """Each key that no difference explains, and what both sides told of it."""
    keys = [k for k in {**both.built, **both.entered} if not k.startswith(SEEN_FROM_OUTSIDE)]
    return [
        f"{key}\n    built:   {both.built.get(key)}\n    entered: {both.entered.get(key)}"
        for key in keys
        if both.built.get(key) != both.entered.get(key)
        and not expected(key, name, scene, without=without)
    ]


NAMESPACES = ("user", "mnt", "pid", "ipc", "net", "uts", "cgroup", "time")


@pytest.mark.parametrize("scene", ["plain", "fixed-output"])
@pytest.mark.parametrize("name", PARTIES)
def test_the_same_namespaces_are_those_of_the_host(
    name: str, scene: str, twins: Callable[[Party, str], Twins]
) -> None:
    both = twins(_party(name, scene), scene)
    host = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES}
    built = {kind for kind in NAMESPACES if both.built[f"namespace.{kind}"] == host[kind]}
    entered = {kind for kind in NAMESPACES if both.entered[f"namespace.{kind}"] == host[kind]}
    assert entered == built


@pytest.mark.parametrize("name", PARTIES)
def test_with_writable_inputs_even_they_are_as_in_the_build(
    name: str, twins: Callable[..., Twins]
) -> None:
    both = twins(_party(name, "plain"), "plain", "--inputs", "rw")
    assert both.status == 1, both.error
    assert not _unexpected(both, name, "plain", without="inputs-read-only")


def test_a_terminal_is_the_callers_and_nothing_else_differs(
    twins: Callable[..., Twins], at_terminal: Callable[[Twins], dict[str, str]]
) -> None:
    name = "own build" if os.getuid() != 0 else "build users"
    both = twins(_party(name, "plain"), "plain")
    entered = at_terminal(both)
    assert entered["environment.TERM"] == "xterm-twin"
    assert entered["terminal.controlling"] == "ok"
    assert entered["terminal.name"] == "/dev/pts/1"
    assert all("tty 1" in entered[f"descriptor.{number}"] for number in (0, 1, 2))
    seen = replace(both, entered=entered)
    rest = [k for k in _unexpected(seen, name, "plain") if not _interactive(k)]
    assert not rest


def _interactive(line: str) -> bool:
    key = line.partition("\n")[0]
    return any(difference.explains(key, "", "") for difference in INTERACTIVE)


def test_the_probe_tells_all_that_the_document_names(twins: Callable[..., Twins]) -> None:
    name = "own build" if os.getuid() != 0 else "build users"
    told_keys: set[str] = set()
    for scene in SCENES:
        told_keys |= twins(_party(name, scene), scene).built.keys()
    silent = [p for p in PATTERNS if not any(fnmatchcase(key, p) for key in told_keys)]
    assert not silent


def test_every_difference_that_is_allowed_is_seen(twins: Callable[..., Twins]) -> None:
    """Save those of some releases of Nix, and of machines with /dev/kvm."""
    if os.getuid() != 0:
        pytest.skip("only root can be every party")
    seen = {"death-signal", "single-files-mounted", "kvm", "caller-builds"}
    for name, party in PARTIES.items():
        for scene in SCENES:
            if (name, scene) == ("root alone", "open"):
                continue
            both = twins(party, scene)
            keys = {**both.built, **both.entered}
            differ = [k for k in keys if both.built.get(k) != both.entered.get(k)]
            seen |= {d.name for d in DIFFERENCES for key in differ if d.explains(key, name, scene)}
    assert {difference.name for difference in DIFFERENCES} - seen == set()
