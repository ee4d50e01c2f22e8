"""Both sides of the twin test: a real failed build of the probe, and the probe entered again.

A *party* is who builds and who enters; a *scene* is an attribute of cases.nix.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.nix.world import NixWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.nix.world import RealFailure

HERE = Path(__file__).resolve().parent
CASES = HERE / "cases.nix"
MARK = "twin: "
HOST_SOCKET = f"nix-build-shell twin test {os.getpid()}"
"""An abstract socket of the host, of this session alone."""
T = TypeVar("T")


class OpenWorld(NixWorld):
    """A store that is where its paths say, as the machine's own is: Nix sandboxes any other.

    For `sandbox = relaxed` and `__noChroot`, and for partial outputs: those of any other store Nix
    moves to /nix/store itself, if there is one.
    """

    def __init__(self, root: Path, **settings: str) -> None:
        super().__init__(root, **settings)
        self.store = self.root / "store/nix/store"
        # As a real Nix has it: the kept directory is in /tmp, and the store is not.
        self.tmp = Path(tempfile.mkdtemp(prefix="nbs-tests-", dir="/tmp"))
        self.tmp.chmod(0o755)

    def remove(self) -> None:
        shutil.rmtree(self.tmp, ignore_errors=True)
        super().remove()

    @property
    def uri(self) -> str:
        top = f"{self.root}/store/nix"
        return f"local?store={top}/store&state={top}/var/nix&log={top}/var/log/nix"

    @property
    def store_arguments(self) -> tuple[str, ...]:
        return ("--store", self.uri)

    def physical(self, path: str) -> str:
        return path


@dataclass(frozen=True, kw_only=True)
class Party:
    """`owner` builds, `caller` enters; None is who runs the tests."""

    name: str
    owner: int | None
    caller: int | None
    build_users: str = ""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """What was told by the build, and by the command that entered what was kept of it."""

    built: Mapping[str, str]
    entered: Mapping[str, str]
    status: int
    error: str
    argv: tuple[str, ...] = ()
    caller: int | None = None


def compile_probe(directory: Path) -> Path:
    """The probe as a static program: a sandbox holds no loader but that of the inputs."""
    program = directory / "probe"
    sources = sorted(map(str, (HERE / "probe").glob("*.c")))
    options = ["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-no-pie"]
    options.append(f'-DHOST_SOCKET="{HOST_SOCKET}"')
    subprocess.run(["gcc", *options, "-o", str(program), *sources], check=True)
    program.chmod(0o755)
    return program


def kind_of(scene: str) -> str:
    """Which Nix a scene needs: "open" a store in its own place, "shell" sandbox-paths, or any."""
    return {"open": "open", "outputs": "open", "shell": "shell"}.get(scene, "")


def told(text: str, world: NixWorld | None) -> dict[str, str]:
    """The probe's lines among others, by key. A key that was told again gets a number.

    Paths of an open world's store are told as if they were in /nix/store.
    """
    if isinstance(world, OpenWorld):
        text = text.replace(str(world.store), "/nix/store")
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, marked, pair = line.partition(MARK)
        key, equals, value = pair.partition(" = ")
        if marked and equals:
            again = sum(k == key or k.startswith(f"{key} #") for k in found)
            found[f"{key} #{again + 1}" if again else key] = value
    return found


def as_user(user: int | None, function: Callable[[], T]) -> T:
    """Call `function` as another user, in a process of its own; who is not root stays who it is."""
    if user is None or os.getuid() != 0:
        return function()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer: object = None
        try:
            os.close(reader)
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            answer = function()
        except BaseException as error:
            answer = error
        finally:
            with open(writer, "wb") as file:
                pickle.dump(answer, file)
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = pickle.load(file)
    os.waitpid(child, 0)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def command_line(world: NixWorld, scene: str, failure: RealFailure, program: str) -> list[str]:
    """The arguments of nix-build-shell: the probe, with what its build had behind it.

    The derivation is named where neither the path nor an env-vars may tell it.
    """
    kept = failure.kept
    uri = world.uri if isinstance(world, OpenWorld) else f"{world.root}/store"
    options = ["--store", uri, *(["--unsandboxed"] if scene == "open" else [])]
    if scene not in kept:
        options += ["--derivation", failure.drv]
    if isinstance(world, OpenWorld):
        program = program.replace("/nix/store", str(world.store))
    return [*options, kept, program, *(["one", "two words"] if scene == "raw" else [])]
