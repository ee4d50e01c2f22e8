"""A machine of somebody who follows the documentation: builds that failed, a project, a home.

Nothing of this machine's own Nix, Jupyter and home is seen, and what the pages call `nbs` is this
checkout's. A page has a machine of its own, so that what it tells to do disturbs no other; what all
of them only look at, the store and the builds that failed, is made once.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import ROOT
from tests.documentation.terminal import HOST, Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.documentation.written import Step
    from tests.nix.world import NixWorld

LIMIT_S = 60
PROGRAMS = {"nbs": "sandbox.cli.nbs", "nix-build-shell": "sandbox.cli.nix_build_shell"}
BASH = ("bash", "--noprofile", "--norc", "-o", "pipefail", "-c")
NOT_COMPILED = shutil.ignore_patterns("__pycache__")
RECIPES = """\
{ system ? builtins.currentSystem }:
with import ./tests/nix/stdenv.nix { inherit system; };
let
  fails = name: src: more:
    mkDerivation ({ inherit name src; nativeBuildInputs = [ iproute2 ]; doCheck = true; } // more);
  hello-src = ./sandbox/demo/hello;
in
rec {
  hello = fails "hello-1.0" hello-src { };
  other = fails "other-1.0" hello-src { buildPhase = "exit 4"; };
  app = fails "app-2.0" hello-src { inherit hello; };
  all = fails "all-1.0" hello-src { inherit hello other; };
  # What failed before, and is not built by who names nothing.
  before = {
    inherit hello;
    world = fails "world-1.0" hello-src { nativeBuildInputs = [ inetutils ]; };
    first = fails "first-1.0" hello-src { };
    second = fails "second-1.0" hello-src { };
    unfinished = fails "hello-2.0" ./unfinished/hello { };
    configured = fails "hello-1.0" ./hello-1.0 {
      preCheck = "echo no >config.log; echo see config.log";
    };
  };
}
"""
DEFAULT = """\
{ system ? builtins.currentSystem }:
{ inherit (import ./app.nix { inherit system; }) hello app before; }
"""
FLAKE = """\
{
  outputs = { ... }:
    let recipes = import ./default.nix { system = "SYSTEM"; }; in {
      packages."SYSTEM" = { inherit (recipes) hello app; };
      checks."SYSTEM" = { inherit (recipes) hello; };
    };
}
"""
KEPT = {
    "second": "second-1.0.drv-0",
    "first": "first-1.0.drv-0",
    "world": "world-1.0.drv-0",
    "hello": "hello-1.0.drv-0",
    "unfinished": "hello-2.0.drv-0",
    "configured": "hello-1.0.drv-0",
}
"""What has failed, by its attribute in the project's recipes, with what Nix calls its directory.
`configured` has sources below src/ and a config.log, and the examples of `--help` are about it."""
FIX = """\
--- a/Makefile
+++ b/Makefile
@@ -4,3 +4,3 @@

 check: hello
-	./test.sh
+	bash ./test.sh
"""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is made once."""

    place: Path
    world: NixWorld
    drv: str
    """The derivation of the `hello` that failed."""

    input: str
    """One of its inputs."""
    maker: str
    """The derivation of that."""

    demonstrated: Path
    """The cache in which the build of `nbs demo` lies."""

    @property
    def environment(self) -> dict[str, str]:
        programs = os.path.dirname(sys.executable)
        return {
            "PATH": f"{self.place}/bin:{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{self.place}/code",
            "LC_ALL": "C.UTF-8",
            "USER": "reader",
            "EDITOR": "ls",
            "NIX_CONF_DIR": f"{self.place}/etc",
            "NIX_REMOTE": f"{self.world.root}/store",
            "JUPYTER_PATH": f"{self.place}/share/jupyter",
            "JUPYTER_PLATFORM_DIRS": "1",
        }


def share(world: NixWorld, place: Path, demonstrated: Path) -> Shared:
    """A project like that of the pages, with its builds failed; programs; settings of Nix."""
    _write_project(place / "project")
    # Where its compiled modules can be kept from one run to the next: that halves the time.
    for name in ("sandbox", "nbs_kernel", "kernelspec"):
        shutil.copytree(ROOT / name, place / "code" / name, ignore=NOT_COMPILED)
    for name in KEPT:
        (place / name).mkdir()
    # Those that are called alike would be numbered in the order in which they fail.
    _fail(world, place, *(name for name in KEPT if name != "configured"))
    _fail(world, place, "configured")
    (place / "etc").mkdir()
    features = "experimental-features = nix-command flakes"
    settings = re.sub("experimental-features =.*", features, (world.conf / "nix.conf").read_text())
    (place / "etc/nix.conf").write_text(settings)
    (place / "bin").mkdir()
    for name, module in PROGRAMS.items():
        program = place / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m {module} "$@"\n')
        program.chmod(0o755)
    shared = Shared(
        place=place,
        world=world,
        drv=world.output("nix-instantiate", str(place / "project"), "-A", "hello"),
        maker=world.output(
            "nix-instantiate", str(place / "project/tests/nix/stdenv.nix"), "-A", "iproute2"
        ),
        input=world.build(str(place / "project/tests/nix/stdenv.nix"), "-A", "iproute2"),
        demonstrated=demonstrated,
    )
    install = ("nbs", "kernel", "install", "--prefix", str(place))
    home = {"HOME": str(place)}
    subprocess.run(install, env=shared.environment | home, check=True, stdout=subprocess.DEVNULL)
    return shared


def _write_project(project: Path) -> None:
    """The recipes, the sources they need, and the files that pages tell to use."""
    demo = project / "sandbox/demo"
    shutil.copytree(ROOT / "sandbox/demo", demo, ignore=NOT_COMPILED)
    (project / "tests/nix").mkdir(parents=True)
    for name in ("stdenv.nix", "older.sh"):
        shutil.copy(ROOT / "tests/nix" / name, project / "tests/nix")
    hello = demo / "hello"
    for name in ("hello-1.0", "unfinished/hello"):
        shutil.copytree(hello, project / name)
    (project / "hello-1.0/src").mkdir()
    lacking = (hello / "hello.c").read_text().replace("return 0;", "return 0")
    files = {
        "default.nix": DEFAULT,
        "app.nix": RECIPES,
        "flake.nix": FLAKE.replace("SYSTEM", f"{os.uname().machine}-linux"),
        "hello-1.0/src/main.c": "int main(void) { return 0; }\n",
        "unfinished/hello/hello.c": lacking,
        "fixed.c": "int main(void) { return 1; }\n",
        "fixed.sh": "#!/bin/sh\necho ok\n",
        "fix.patch": FIX,
        "try.sh": "snapshot one\nrm -r *\nrestore one && ls Makefile\n",
    }
    for name, text in files.items():
        (project / name).write_text(text)


def _fail(world: NixWorld, place: Path, *attributes: str) -> None:
    words = [word for name in attributes for word in ("-A", f"before.{name}")]
    command = ["nix-build", *world.store_arguments, "--keep-failed", "--keep-going", *words]
    environment = world.environment | {"TMPDIR": str(place / attributes[0])}
    project = place / "project"
    done = subprocess.run(
        command, env=environment, cwd=project, capture_output=True, text=True, check=False
    )
    assert done.stderr.count("keeping build directory") == len(attributes), done.stderr
    for name in attributes[1:]:
        directory = f"nix-build-{KEPT[name]}"
        (place / attributes[0] / directory).rename(place / name / directory)


class Machine:
    """That of one page: its failed builds, the newest of them a `hello`, and its terminals."""

    def __init__(self, shared: Shared, place: Path, newest: str) -> None:
        self.shared = shared
        self.project = place / "project"
        self.home = place / "home"
        self.tmp = place / "tmp"
        self.kept = self.tmp / f"nix-build-{KEPT[newest]}"
        self._terminals: list[Terminal] = []
        shutil.copytree(shared.place / "project", self.project)
        for directory in (self.home / ".zfunc", self.home / ".config/fish/completions", self.tmp):
            directory.mkdir(parents=True)
        for name in ("first", "second", "world", newest):
            directory = f"nix-build-{KEPT[name]}"
            shutil.copytree(shared.place / name / directory, self.tmp / directory, symlinks=True)
            os.utime(self.tmp / directory)

    @property
    def environment(self) -> dict[str, str]:
        own = {"HOME": self.home, "TMPDIR": self.tmp}
        return self.shared.environment | {name: str(value) for name, value in own.items()}

    def follow(self, step: Step) -> tuple[int, list[str]]:
        """Do what a page tells: the exit status, as far as it is told, and what is shown."""
        line = step.command
        for written, meant in self._stand_ins().items():
            line = line.replace(written, meant)
        if step.where == "script":
            return self.run(line)
        return self.type(line, inside=step.where != "terminal")

    def _stand_ins(self) -> dict[str, str]:
        """What is another thing on this machine, or would take twenty times as long."""
        return {
            "/tmp/nix-build-hello-1.0.drv-0": str(self.kept),
            "/nix/store/….drv": self.shared.drv,
            "/nix/store/…-hello-1.0.drv": self.shared.drv,
            "/nix/store/…-input.drv": self.shared.maker,
            "/nix/store/…-input": self.shared.input,
            "nix-build-shell . ": f"cd {self.kept} && nix-build-shell . ",
            "/opt/jupyter": f"{self.home}/jupyter",
            "$(seq 20)": "$(seq 2)",
            "nbs demo": f"XDG_CACHE_HOME={self.shared.demonstrated} nbs demo",
        }

    def run(self, line: str) -> tuple[int, list[str]]:
        """A line in a shell without a terminal: its status, and all that it printed."""
        done = subprocess.run(
            [*BASH, line],
            env={**self.environment, "TERM": "dumb"},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()

    def type(self, line: str, *, inside: bool) -> tuple[int, list[str]]:
        """A line typed in a terminal, in the sandbox's shell or in the host's, which tells the status;
        else it is 0. And what is shown until a shell, or another program, asks for more.
        """
        if not self._terminals or (self._terminals[-1].is_inside and not inside):
            self._terminals.append(Terminal(self.environment, self.project))
        terminal = self._terminals[-1]
        if inside and not terminal.is_inside:
            terminal.ask("nbs shell hello")
        lines = terminal.ask(line)
        host = None if inside else HOST.fullmatch(lines[-1])
        return int(host[1]) if host else 0, lines

    def forget(self) -> None:
        """Be somebody who has no workspace yet."""
        self.close()
        self._terminals = []
        shutil.rmtree(self.home / ".local/state", ignore_errors=True)

    def close(self) -> None:
        """End what still runs in terminals."""
        for terminal in self._terminals:
            terminal.leave()
