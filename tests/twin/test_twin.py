"""A build and the command that enters what was kept of it see the same world."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import UNPRIVILEGED, _cache, _make_build_users
from tests.nix.world import NixWorld
from tests.twin.differences import expected
from tests.twin.scenes import (
    CASES,
    HOST_SOCKET,
    OpenWorld,
    Party,
    Twins,
    as_user,
    command_line,
    compile_probe,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.conftest import RunTool

pytestmark = [pytest.mark.nix, pytest.mark.namespaces]

PARTIES = {
    party.name: party
    for party in (
        Party(name="build users", owner=None, caller=None, build_users="nixbld"),
        Party(name="root alone", owner=None, caller=None),
        Party(name="own build", owner=UNPRIVILEGED, caller=UNPRIVILEGED),
        Party(name="build users, entered by another", owner=None, caller=UNPRIVILEGED, build_users="nixbld"),
    )
}
SCENES = ("plain", "fixed-output", "structured", "outputs", "narrow", "raw", "open")
SEEN_FROM_OUTSIDE = "namespace."
LIMIT = 40


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
def world_of(open_directory: Path) -> Iterator[Callable[[Party, str], NixWorld]]:
    """The Nix of a party, for a scene: made once.

    Open builds need a store of another kind, and outside of /tmp.
    """
    beside = Path(tempfile.mkdtemp(prefix="nbs-tests-", dir="/var/tmp"))
    beside.chmod(0o755)
    worlds: dict[tuple[object, ...], NixWorld] = {}

    def world(party: Party, scene: str) -> NixWorld:
        key = (party.owner, party.build_users, scene == "open")
        if key not in worlds:
            place = beside if scene == "open" else open_directory
            worlds[key] = _new_world(place / f"twin-{len(worlds)}", party, scene)
        return worlds[key]

    yield world
    for one in worlds.values():
        one.remove()
    shutil.rmtree(beside, ignore_errors=True)


def _new_world(root: Path, party: Party, scene: str) -> NixWorld:
    if party.build_users:
        _make_build_users()
    root.mkdir()
    if party.owner is not None and os.getuid() == 0:
        os.chown(root, party.owner, party.owner)

    def make() -> NixWorld:
        if scene == "open":
            world: NixWorld = OpenWorld(root, build_users=party.build_users, sandbox="relaxed")
        else:
            world = NixWorld(root, build_users=party.build_users)
        world.build_stdenv(_cache() if os.access(_cache(), os.R_OK | os.X_OK) else None)
        return world

    return as_user(party.owner, make)


@pytest.fixture(scope="session")
def twins(
    world_of: Callable[[Party, str], NixWorld], probe: Path, run_tool: RunTool, host_socket: None
) -> Callable[[Party, str], Twins]:
    """Build and enter, once for each party and scene."""
    known: dict[tuple[str, str], Twins] = {}

    def pair(party: Party, scene: str) -> Twins:
        key = (party.name, scene)
        if key not in known:
            known[key] = _pair(party, scene)
        return known[key]

    def _pair(party: Party, scene: str) -> Twins:
        world = world_of(party, scene)
        arguments = (str(CASES), "-A", scene, "--argstr", "probe", str(probe))
        failure = as_user(party.owner, lambda: world.fail(*arguments))
        built = told(failure.log)
        assert "process.exe" in built, failure.log[-2000:]
        argv = command_line(world, scene, failure.kept, built["process.exe"])
        done = run_tool(*argv, as_user=party.caller, env={"NIX_CONF_DIR": str(world.conf)})
        _forget_outputs(built)
        return Twins(
            built=built,
            entered=told(done.stdout.decode()),
            status=done.returncode,
            error=done.stderr.decode(),
        )

    return pair


def _forget_outputs(built: Mapping[str, str]) -> None:
    """Nix 2.8 moves what a build of a diverted store had made to its name in /nix/store itself."""
    for output in ("out", "dev", "doc"):
        path = built.get(f"environment.{output}", "")
        if path.startswith("/nix/store/") and os.access("/nix/store", os.W_OK):
            shutil.rmtree(path, ignore_errors=True)
            Path(path).unlink(missing_ok=True)


def _party(name: str) -> Party:
    party = PARTIES[name]
    if os.getuid() != 0 and name != "own build":
        pytest.skip("only root can be this party")
    return party


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("name", PARTIES)
def test_a_command_sees_what_the_build_saw(
    name: str, scene: str, twins: Callable[[Party, str], Twins]
) -> None:
    both = twins(_party(name), scene)
    assert both.status == 1, both.error
    keys = [k for k in {**both.built, **both.entered} if not k.startswith(SEEN_FROM_OUTSIDE)]
    unexpected = [
        f"{key}\n    built:   {both.built.get(key)}\n    entered: {both.entered.get(key)}"
        for key in keys
        if both.built.get(key) != both.entered.get(key) and not expected(key, name, scene)
    ]
    assert not unexpected, f"{len(unexpected)} unexpected differences\n" + "\n".join(unexpected)
