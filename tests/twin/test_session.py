"""From a build that fails to the place where it failed, with whatever Nix is installed.

`with_nix.py` runs this with newer releases, whose words and directories differ.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.cli.test_build import RECIPES
from tests.conftest import _cache
from tests.nix.world import HERE, NixWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.nix, pytest.mark.namespaces]

LIMIT_S = 60
MORE = """
let
  recipes = RECIPES;
  pkgs = import STDENV { };
in recipes // {
  # Its phase has begun at once, and not when a builder of many processes has come so far.
  timed = derivation {
    name = "timed-1.0";
    inherit (pkgs) system;
    builder = "${pkgs.bash}/bin/bash";
    args = [ "-c" "echo 'Running phase: buildPhase'; exec ${pkgs.coreutils}/bin/sleep 100" ];
  };
  # What they leave tells neither by an env-vars nor by its time which of them it is of.
  silent = map (name: derivation {
    inherit name;
    inherit (pkgs) system;
    builder = "${pkgs.bash}/bin/bash";
    args = [ "-c" "echo ${name} > whose; exit 3" ];
  }) [ "silent-a" "silent-b" "silent-c" ];
  killed = derivation (recipes.slow.drvAttrs // {
    name = "killed-1.0"; buildPhase = "echo dying; bash -c 'kill -9 $$'";
  });
}
"""
PROMPT = "/build$ "


class Session(NamedTuple):
    """A Nix, the recipes as a file and as a flake, and `nbs`."""

    world: NixWorld
    directory: Path
    command: list[str]
    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )

    def build(self, *words: str, options: tuple[str, ...] = ("--no-enter",)):
        store = f"{self.world.root}/store"
        return self.run("build", "--store", store, *options, "--", *words)


@pytest.fixture(scope="module")
def session(tool_command: Callable[..., tuple[list[str], dict[str, str]]]) -> Iterator[Session]:
    from tests.conftest import _require

    _require("nix")
    place = os.environ.get("NBS_TWIN_PLACE", "/var/tmp")
    directory = Path(tempfile.mkdtemp(prefix="nbs-session-", dir=place))
    directory.chmod(0o755)
    world = NixWorld(directory / "nix", experimental=("nix-command", "flakes"))
    world.build_stdenv(_cache())
    recipes = MORE.replace("RECIPES", f"({RECIPES})").replace("STDENV", f"{HERE}/stdenv.nix")
    (directory / "recipes.nix").write_text(recipes)
    flake = directory / "flake"
    flake.mkdir()
    (flake / "flake.nix").write_text(
        f"{{ outputs = _: {{ packages.x86_64-linux = import {directory}/recipes.nix; }}; }}"
    )
    argv, environment = tool_command("sandbox.cli.nbs")
    environment = {**world.environment, **environment, "NIX_CONF_DIR": str(world.conf)}
    environment["TMPDIR"] = str(world.tmp)
    yield Session(world, directory, argv, environment)
    world.remove()
    shutil.rmtree(directory, ignore_errors=True)


def command_of(kind: str, session: Session) -> tuple[str, ...]:
    """A build of `app`, in one of the ways that there are."""
    if kind == "nix-store":
        return (
            "nix-store",
            "-r",
            session.world.output("nix-instantiate", "recipes.nix", "-A", "app"),
        )
    return {
        "nix-build": ("nix-build", "--no-out-link", "recipes.nix", "-A", "app"),
        "file": ("nix", "build", "--no-link", "-f", "recipes.nix", "app"),
        "log": ("nix", "build", "--no-link", "-L", "-f", "recipes.nix", "app"),
        "expression": ("nix", "build", "--no-link", "--impure", "--expr", "(import ./recipes.nix).app"),
        "flake": ("nix", "build", "--no-link", "--impure", "path:flake#app"),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["nix-build", "file", "log", "expression", "flake", "nix-store"])
def test_however_it_is_built_what_failed_is_told_and_entered(kind: str, session: Session) -> None:
    if kind == "nix-store":
        shutil.copy(session.directory / "recipes.nix", session.world.root)
    done = session.build(*command_of(kind, session))
    assert done.returncode != 0
    told = "lib-1.0 failed in buildPhase (exit 3); app-2.0, which was asked for, needs it\n"
    assert told in done.stderr
    words = shlex.split(done.stdout)
    assert words[:2] == ["nbs", "shell"]
    assert re.search(r"/nix-build-lib-1\.0\.drv-\d+$|/builds/nix-\d+-\d+$", words[-1])
    entered = session.run(*words[1:], "--", "pwd")
    assert (entered.returncode, entered.stdout) == (0, "/build\n"), entered.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("timed", "--timeout", "2"), "timed-1.0 failed in buildPhase (ended by a timeout of 2 s)"),
        (("timed", "--max-silent-time", "2"), "timed-1.0 failed in buildPhase (ended by a timeout"),
        (("killed",), "killed-1.0 failed in buildPhase (killed, exit 137)"),
        (("wrong",), "wrong-1.0: its hash is not the one that the recipe says; the hash of what"),
        (("fetched",), "fetched: Nix itself is the builder of this, and keeps nothing of it"),
        (("refers",), "refers-1.0: its builder ended without an error, but Nix says: output '/nix"),
        (("race", "-j2"), "slow-1.0: it did not fail: Nix ended it when another did"),
        (("both", "--keep-going"), "other-1.0 failed in buildPhase (exit 4); both-2.0, which was"),
    ],
)
def test_each_end_is_told_as_what_it_is(
    words: tuple[str, ...], told: str, session: Session
) -> None:
    for command in (
        ("nix-build", "--no-out-link", "recipes.nix", "-A", *words),
        ("nix", "build", "--no-link", "-f", "recipes.nix", *words),
    ):
        assert told in session.build(*command).stderr


def test_what_is_kept_can_be_looked_at_and_run_again(session: Session) -> None:
    done = session.build("nix-build", "--no-out-link", "recipes.nix", "-A", "lib")
    place = shlex.split(done.stdout)[2:]
    log = session.run("log", "--errors", *place)
    assert "> foo.c:3:1: error: no foo" in log.stdout
    for clean in ((), ("--clean",)):
        again = session.run("phase", *clean, *place)
        assert again.returncode == 3
        assert "working\nfoo.c:3:1: error: no foo\n" in again.stdout
        assert "buildPhase failed: exit status 3" in again.stderr
    written = session.run("notebook", "--no-open", "--force", *place)
    assert (written.returncode, written.stdout) == (0, "lib-1.0.ipynb\n"), written.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("nix-build", "--no-out-link", "recipes.nix", "-A", "silent"),
        ("nix", "build", "--no-link", "--impure", "--expr", "(import ./recipes.nix).silent"),
    ],
)
def test_of_builds_that_fail_at_once_each_is_entered_in_its_own_place_or_said_to_be_unknown(
    command: tuple[str, ...], session: Session
) -> None:
    done = session.build(*command, "--keep-going", "-j3")
    assert "nothing of it was kept" not in done.stderr
    assert not re.search(r"^nix-[\d-]+ failed", done.stderr, re.MULTILINE)
    bash = session.world.build_stdenv(_cache())["bash"] + "/bin/bash"
    names = re.findall(r"^(silent-.): it is not known which", done.stderr, re.MULTILINE)
    for line in done.stdout.splitlines():
        words = shlex.split(line)[1:]
        inside = session.run(*words, "--", bash, "-c", "read whose < whose; echo $whose $name")
        assert inside.returncode == 0, inside.stderr
        whose, name = inside.stdout.split()
        assert whose == name
        names.append(name)
    assert sorted(names) == ["silent-a", "silent-b", "silent-c"], done.stderr


class Terminal:
    """A pseudo-terminal in which `nbs build` runs."""

    def __init__(self, session: Session, *words: str) -> None:
        self.seen = ""
        self.process, self._master = self._start(session, words)

    @staticmethod
    def _start(session: Session, words: tuple[str, ...]) -> tuple[int, int]:
        store = f"{session.world.root}/store"
        argv = [*session.command, "build", "--store", store, "--", *words]
        environment = {**session.environment, "TERM": "xterm", "NO_COLOR": "1"}
        process, master = pty.fork()
        if process == 0:
            os.chdir(session.directory)
            os.execvpe(argv[0], argv, environment)
        termios.tcsetwinsize(master, (24, 120))
        return process, master

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + LIMIT_S
        while text not in self.seen:
            ready = select.select([self._master], (), (), max(end - time.monotonic(), 0))[0]
            assert ready, f"no {text!r} in:\n{self.seen}"
            try:
                self.seen += os.read(self._master, 65536).decode(errors="replace")
            except OSError:
                assert text in self.seen, f"no {text!r} in:\n{self.seen}"

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def status(self) -> int:
        """Read to the end."""
        try:
            while piece := os.read(self._master, 65536):
                self.seen += piece.decode(errors="replace")
        except OSError:
            pass
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def test_on_a_terminal_a_failure_leads_to_its_phase(session: Session) -> None:
    terminal = Terminal(session, "nix", "build", "--no-link", "-L", "-f", "recipes.nix", "app")
    terminal.wait_for("next: ↑ runs buildPhase again")
    terminal.wait_for(PROMPT)
    terminal.type("phase --failing; echo status-$?\n")
    terminal.wait_for("status-3")
    terminal.type("exit 5\n")
    assert terminal.status() == 5
    assert "[lib-1.0 buildPhase]" in terminal.seen


def test_an_interrupt_is_told_as_one(session: Session) -> None:
    terminal = Terminal(session, "nix-build", "--no-out-link", "recipes.nix", "-A", "slow")
    terminal.wait_for("begun")
    terminal.type("\x03")
    assert terminal.status() != 0
    assert "slow-1.0 failed in buildPhase (interrupted)" in terminal.seen


def test_of_two_attempts_the_earlier_one_s_directory_is_told_to_have_the_other_s_log(
    session: Session,
) -> None:
    build = ("nix-build", "--no-out-link", "recipes.nix", "-A", "app")
    places = [shlex.split(session.build(*build).stdout)[2:] for _ in range(2)]
    told = ["of a later attempt" in session.run("show", *place).stdout for place in places]
    assert told == [True, False]
    again = session.run("phase", *places[0])
    assert "log: of a later attempt than this directory" in again.stderr
