"""What a cell tries to get at the kernel, its host and its sockets with, and that it gets nothing."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.linux import syscalls
from tests.kernel.frontends.conftest import kernel, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.jupyter]
ATTACK = Path(__file__).parent / "attack.c"
REFUSED = {"EPERM", "EACCES", "EINVAL"}


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program, in the letters of base64."""
    if shutil.which("gcc") is None:
        assert not os.environ.get("CI"), "CI must be able to run this: no gcc"
        pytest.skip("no gcc")
    program = tmp_path_factory.mktemp("attack") / "attack"
    command = ["gcc", "-static", "-O1", "-o", str(program), str(ATTACK)]
    subprocess.run(command, check=True, capture_output=True)
    return base64.b64encode(program.read_bytes()).decode()


@pytest.fixture(scope="module")
def beside_notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of somebody's notebook, with modules that say that they were imported."""
    place = tmp_path_factory.mktemp("notebook")
    said = f"open({str(place / 'imported')!r}, 'a').write(__name__)\n"
    (place / "nbs_kernel").mkdir()
    for name in ("nbs_kernel/__init__", "nbs_kernel/__main__", "json", "zmq", "sandbox"):
        (place / f"{name}.py").write_text(said)
    return place


@pytest.fixture(scope="module")
def session(in_home: Any, beside_notebook: Path) -> Iterator[tuple[Any, Any]]:
    """A kernel and its client, for attacks that leave it alive."""
    del in_home
    syscalls.join_session_keyring()
    with kernel(cwd=beside_notebook) as (manager, client):
        yield manager, client


@pytest.fixture(scope="module")
def said(session: tuple[Any, Any], attack: str) -> dict[str, list[str]]:
    """What came of each try of the program, run in a cell."""
    manager, client = session
    name = f"nbs-test-{os.getpid()}"
    ports = [str(v) for k, v in manager.get_connection_info().items() if k.endswith("_port")]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        run(client, f"base64 -d > /tmp/attack <<'END'\n{attack}\nEND\nchmod +x /tmp/attack")
        reply, text = run(client, f"/tmp/attack {name} {' '.join(ports)} 2>&1")
    assert reply["status"] == "ok", text
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        what, _, result = line.partition(": ")
        found.setdefault(what, []).append(result)
    return found


def test_a_module_beside_the_notebook_is_not_imported(session, beside_notebook):
    assert run(session[1], "echo on")[1] == "on\n"
    assert not (beside_notebook / "imported").exists()


def test_no_other_process_is_seen_or_can_be_signalled(said):
    assert said["others"] == ["0"]
    assert said["seen"] == ["0"]
    assert said["parent"] == ["1"]
    assert said["traced 0"] == ["refused"]


def test_what_bash_holds_is_of_no_use_outside(said):
    assert said["internet"] == ["0"]
    assert said["directories"] == ["0"]
    # Its channels to the kernel cannot be opened by their names in /proc.
    assert said["opened"] == ["0"]


def test_the_kernel_and_the_network_of_the_host_are_out_of_reach(said):
    assert said["port"] == ["ECONNREFUSED"] * 5
    assert said["abstract"] == ["ECONNREFUSED"] or said["abstract"][0] in REFUSED
    assert said["network"] == ["ENETUNREACH"]


def test_the_keys_of_who_started_the_kernel_are_not_a_cell_s(said):
    if platform.machine() != "x86_64":
        pytest.skip("the number of the call is that of x86_64")
    of_the_front_end = ctypes.CDLL(None).syscall(250, 0, -3, 0)
    assert of_the_front_end > 0
    assert said["keyring"] != [str(of_the_front_end)]


def test_nothing_can_be_mounted_or_uncovered(said):
    for what in ("umount", "mount", "chroot", "setns", "umount in another namespace"):
        assert said[what][0] in REFUSED, what


def test_its_terminals_are_those_of_the_sandbox(said, session):
    assert said["terminal"] == ["of the sandbox"] * len(said["terminal"])
    assert said["terminal"]
    # What it typed into them was read by nobody.
    assert run(session[1], "echo next")[1] == "next\n"


def test_a_cell_that_ends_all_that_it_can_ends_no_kernel(session):
    _, client = session
    run(client, "kill -KILL -1; for p in {2..300}; do kill -KILL $p; done 2>/dev/null")
    assert run(client, "echo on")[1] == "on\n"


def test_no_file_of_the_host_is_there(session, tmp_path):
    marker = tmp_path / "marker"
    marker.write_text("of the host")
    paths = [f"/proc/1/root{marker}", f"/proc/self/cwd/../../../..{marker}", str(marker)]
    text = run(session[1], "\n".join(f"cat {path} 2>&1 || :" for path in paths))[1]
    assert "of the host" not in text
    assert text.count("No such file") == len(paths)


def test_the_environment_of_the_front_end_is_not_in_it(in_home):
    with kernel(SECRET_TOKEN="of-the-host", JPY_SESSION_NAME="x") as (_, client):
        text = run(client, "env; cat -v /proc/1/environ")[1]
    assert "of-the-host" not in text
    assert "JPY" not in text
    assert "NBS_" not in text
    assert str(in_home.path) not in text


def test_nothing_of_python_is_to_be_seen(session):
    text = run(session[1], "cat /proc/self/mountinfo; ls -a / /dev /build /tmp; ls /proc")[1]
    assert "python" not in text.lower()
    assert "jupyter" not in text.lower()


def test_a_module_planted_where_python_looks_is_not_loaded(session):
    """The kernel imports nothing inside, so no file there can become part of it."""
    _, client = session
    where = json.dumps(os.path.dirname(os.__file__))
    run(
        client, f"mkdir -p {where} 2>/dev/null; echo 'raise SystemExit(3)' > {where}/antigravity.py"
    )
    assert run(client, "%lsmagic")[0]["status"] == "ok"
    assert run(client, "echo on")[1] == "on\n"


def test_a_cell_enters_no_directory_that_is_of_no_build_with_a_derivation_either(
    in_home, failed_builds, tmp_path
):
    del in_home
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "notes").write_text("the caller's alone\n")
    store = failed_builds[0].partition("/nix/var/")[0]
    (drv,) = Path(f"{store}/nix/store").glob("*-hello-1.0.drv")
    named = f"--store {store} --derivation /nix/store/{drv.name}"
    with kernel() as (_, client):
        for place in (private, _link_to(private)):
            reply, said = run(client, f"%enter {named} {place}\ncat notes")
            assert (reply["status"], reply["evalue"], said) == ("error", "not-a-build", "")
        reply, said = run(client, f"%enter {named} {failed_builds[1]}\necho $name")
        assert (reply["status"], said.splitlines()[-1]) == ("ok", "hello-1.0")
        # One more move, to the build that the cell before has named with its derivation.
        reply, said = run(client, "%reset\necho $name")
        assert (reply["status"], said.splitlines()[-1]) == ("ok", "hello-1.0")


def _link_to(place: Path) -> Path:
    link = place.with_name("nix-build-hello-1.0.drv-0")
    link.symlink_to(place)
    return link
