"""What the pages tell to do over ssh, with a server of this test's own on the loopback."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import FAILS_IN_CHECK_PHASE, ROOT
from tests.documentation.machine import BASH
from tests.documentation.terminal import Terminal
from tests.documentation.told_apart import UNTRIED
from tests.documentation.written import Step, pages
from tests.linux.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.nix.world import NixWorld

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
SERVER = """\
ListenAddress 127.0.0.1:{port}
HostKey {place}/host
AuthorizedKeysFile {place}/user.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
ForceCommand {place}/session
"""
# What sshd does with a command, but in a home and with the variables of this test.
SESSION = """\
#!/bin/sh
cd {home} || exit
exec env -i TERM="$TERM" {variables} bash -c "$SSH_ORIGINAL_COMMAND"
"""
CLIENT = """\
Host builder
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {place}/user
  UserKnownHostsFile {place}/known
  LogLevel ERROR
"""
IN_THE_SANDBOX = "[hello-1.0 checkPhase] /build/hello$"
ENDS = {"ssh builder nbs phase hello": 2}
COMMANDS = {
    step.command: step
    for page in pages()
    for step in page.commands
    if step.command in UNTRIED["tests/documentation/test_ssh.py types it"]
}


def _has_a_name() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.nix,
    pytest.mark.terminal,
    pytest.mark.skipif(not _has_a_name(), reason="ssh serves users that have a name"),
    pytest.mark.skipif(
        not os.access(SSHD, os.X_OK) and "CI" not in os.environ, reason="sshd is not installed"
    ),
]


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Another machine: this one by way of ssh. `environment` is that of who is on the first."""

    home: Path
    kept: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def builder(nix_world: NixWorld, open_directory: Path) -> Iterator[Builder]:
    kept = nix_world.fail(FAILS_IN_CHECK_PHASE).kept
    place, home = open_directory / "ssh", open_directory / "ssh/home"
    (home / ".local/bin").mkdir(parents=True)
    for name, module in {"nbs": "nbs", "nix-build-shell": "nix_build_shell"}.items():
        program = home / ".local/bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m sandbox.cli.{module} "$@"\n')
        program.chmod(0o755)
    variables = {
        "HOME": str(home),
        "PATH": f"{home}/.local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(nix_world.tmp),
        "PYTHONPATH": str(ROOT),
        "NIX_REMOTE": f"{nix_world.root}/store",
        "NIX_CONF_DIR": str(nix_world.conf),
    }
    server = serve(place, home, variables)
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "HOME": str(place), "LC_ALL": "C.UTF-8"}
    yield Builder(home=home, kept=kept, environment=environment)
    server.terminate()
    server.wait()


def serve(place: Path, home: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A server with keys of its own, and an `ssh` that knows it as `builder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
        subprocess.run(make, check=True)
    known = (place / "host.pub").read_text().split()[:2]
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
    user = pwd.getpwuid(os.getuid()).pw_name
    (place / "bin").mkdir()
    files = {
        "known": " ".join((f"[127.0.0.1]:{port}", *known)) + "\n",
        "server": SERVER.format(place=place, port=port),
        "client": CLIENT.format(place=place, port=port, user=user),
        "session": SESSION.format(home=home, variables=words),
        "bin/ssh": f'#!/bin/sh\nexec {shutil.which("ssh")} -F {place}/client "$@"\n',
    }
    for name, text in files.items():
        (place / name).write_text(text)
    for name in ("session", "bin/ssh"):
        (place / name).chmod(0o755)
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    with (place / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", place / "server"], stderr=log)
    assert eventually(lambda: server.poll() is not None or _listens(port))
    assert server.poll() is None, (place / "log").read_text()
    return server


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("step", COMMANDS.values(), ids=lambda step: step.command)
def test_a_command_over_ssh_does_what_its_page_says(builder: Builder, step: Step) -> None:
    line = step.command.replace("/tmp/nix-build-hello-1.0.drv-0", builder.kept)
    if " -t " in line:
        terminal = Terminal(builder.environment, ROOT)
        assert terminal.ask(line)[-1] == IN_THE_SANDBOX
        terminal.leave()
        return
    done = subprocess.run(
        [*BASH, line],
        env=builder.environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ENDS.get(step.command, 0), done.stderr
    assert done.stdout or "tar" in line


def test_when_the_connection_breaks_the_sandbox_ends_and_what_was_changed_is_kept(builder: Builder):
    terminal = Terminal(builder.environment, ROOT)
    terminal.ask("ssh -t builder nbs shell hello")
    terminal.ask("touch mine")
    terminal.close()
    assert eventually(lambda: " kept" in listed(builder))


def listed(builder: Builder) -> str:
    """The workspaces over there; that of a living session is `open`."""
    command = [*BASH, "ssh builder nbs ws ls"]
    done = subprocess.run(
        command, env=builder.environment, capture_output=True, text=True, check=True
    )
    return done.stdout
