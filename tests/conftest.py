"""What every test may ask for: real namespaces, a real Nix, another user, the tool itself.

Each marker stands for something that a machine may lack. It is tried once a session, as the tests
will use it. A test whose marker's attempt fails is skipped, and fails where `CI` is set: a machine
that is there for the tests must not pass them by leaving them out.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

# Whoever starts the tests in the background of a script has them, and all they start, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.nix.world import NixWorld  # noqa: E402  the path to it has to be set first

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass  # Some of the tests run where there is only pytest.
else:
    # Another program may have the processor for as long as it likes.
    settings.register_profile(
        "any-machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any-machine")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

UNPRIVILEGED = 12345
FAILS_IN_CHECK_PHASE = f"""
with import {ROOT}/tests/nix/stdenv.nix {{ }};
mkDerivation {{
  name = "hello-1.0";
  src = {ROOT}/sandbox/demo/hello;
  nativeBuildInputs = [ iproute2 ];
  doCheck = true;
}}
"""
BUILD_USERS = 4
LIMIT_S = 120
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IMPLIED_BY_FIXTURE = {
    "nix_world": ("nix", "namespaces"),
    "nix_world_with_build_users": ("nix", "namespaces"),
    "undiverted_world": ("nix", "namespaces"),
    "kept_by_nix": ("nix", "namespaces"),
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A kept directory, and the diverted store (`--store`) that its build was made in."""

    path: str
    store: str
    packages: Mapping[str, str]
    """The paths of the standard environment's components by name, as a build sees them."""


class RunTool(Protocol):
    def __call__(
        self,
        *argv: str,
        as_user: int | None = None,
        input: bytes | None = None,  # noqa: A002  as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        stdout: int = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[bytes]: ...


KERNEL_TESTS = Path(__file__).parent / "kernel"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Clients of Jupyter leave threads and descriptors in this process, which other tests count.
    items.sort(key=lambda item: KERNEL_TESTS in item.path.parents)
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            for name in IMPLIED_BY_FIXTURE.get(fixture, ()):
                item.add_marker(name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers():
        if mark.name in PROBES:
            _require(mark.name)


def _require(name: str) -> None:
    """Skip the running test if the probe `name` finds something missing; fail it where CI is set."""
    missing = _missing(name)
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {missing}", pytrace=False)
    if missing:
        pytest.skip(missing)


def program(name: str) -> str:
    """Its path; the test is skipped without it, and fails where CI is set."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return str(found)


@functools.cache
def _missing(name: str) -> str:
    return PROBES[name]()


MAKE_NAMESPACES = """\
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def check(result, what):
    if result != 0:
        raise SystemExit(f"{what}: {os.strerror(ctypes.get_errno())}")
uid = os.getuid()
check(libc.unshare(0x10000000 | 0x20000 | 0x20000000 | 0x8000000 | 0x40000000 | 0x4000000), "unshare")
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"1000 {uid} 1")
if os.fork() == 0:
    check(libc.mount(b"none", b"/", None, 0x44000, None), "mount, private")
    check(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), "mount, tmpfs")
    check(libc.mount(b"none", b"/proc", b"proc", 0, None), "mount, proc")
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def _probe_namespaces() -> str:
    users = [None, UNPRIVILEGED] if os.getuid() == 0 else [None]
    for user in users:
        done = _run_as(user, "/usr/bin/python3", "-c", MAKE_NAMESPACES)
        if done.returncode != 0:
            who = f"user {os.getuid() if user is None else user}"
            return f"{who} cannot make namespaces: {done.stderr.decode().strip()}"
    return ""


def _probe_nix() -> str:
    if shutil.which("nix-build") is None:
        return "Nix is not installed"
    done = subprocess.run(["nix-build", "--version"], capture_output=True, check=False)
    return f"Nix does not run: {done.stderr.decode().strip()}" if done.returncode else ""


def _probe_terminal() -> str:
    if shutil.which("tmux") is None:
        return "tmux is not installed"
    command = ["tmux", "-L", f"nbs-probe-{os.getpid()}", "-f", "/dev/null"]
    start = [*command, "new-session", "-d", "sleep 60"]
    done = subprocess.run(start, capture_output=True, check=False)
    subprocess.run([*command, "kill-server"], capture_output=True, check=False)
    return f"tmux does not start: {done.stderr.decode().strip()}" if done.returncode else ""


PROBES: dict[str, Callable[[], str]] = {
    "namespaces": _probe_namespaces,
    "nix": _probe_nix,
    "terminal": _probe_terminal,
}


def _run_as(user: int | None, *argv: str) -> subprocess.CompletedProcess[bytes]:
    who = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
    return subprocess.run(
        argv,
        cwd="/",
        env={"PATH": PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        **who,
    )


def _other_user(user: int | None) -> int | None:
    """The user to become; None to stay who runs the tests, which all but root must."""
    return user if os.getuid() == 0 and user != 0 else None


@pytest.fixture
def full_disk() -> Iterator[int]:
    """A descriptor that takes nothing that is written to it."""
    descriptor = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory of this session that every user can enter, unlike those of `tmp_path`."""
    path = Path(tempfile.mkdtemp(prefix="nbs-tests-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def unprivileged(open_directory: Path) -> int:
    """A user without any rights, who has a home: the one who runs the tests, unless that is root."""
    user = _other_user(UNPRIVILEGED)
    _home(open_directory, user)
    return os.getuid() if user is None else user


def _home(open_directory: Path, user: int | None) -> Path:
    home = open_directory / f"home-{os.getuid() if user is None else user}"
    if not home.exists():
        home.mkdir(mode=0o700)
        if user is not None:
            os.chown(home, user, user)
    return home


@pytest.fixture(scope="session")
def code(open_directory: Path) -> Path:
    """The directory to import `sandbox` from: this checkout, or a copy that all users can read."""
    user = _other_user(UNPRIVILEGED)
    if _run_as(user, "/bin/sh", "-c", f"cd '{ROOT}/sandbox/cli' && cat ./*.py").returncode == 0:
        return ROOT
    copy = open_directory / "code"
    shutil.copytree(
        ROOT / "sandbox", copy / "sandbox", ignore=shutil.ignore_patterns("__pycache__")
    )
    return copy


@functools.cache
def _python(user: int | None) -> str:
    """This interpreter, unless `user` cannot run it: it may lie in somebody's home."""
    runs = user is None or _run_as(user, sys.executable, "-c", "").returncode == 0
    return sys.executable if runs else "/usr/bin/python3"


@pytest.fixture(scope="session")
def tool_command(
    open_directory: Path, code: Path
) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """What starts a module of the command line as a user: `(module, user) -> (argv, environment)`.

    Nothing of the environment of the tests is in it, nor of the machine's settings of Nix.
    """
    settings = open_directory / "etc"
    settings.mkdir(exist_ok=True)

    def command(module: str, as_user: int | None = None) -> tuple[list[str], dict[str, str]]:
        user = _other_user(as_user)
        home = _home(open_directory, user)
        environment = {
            "PATH": PATH,
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "NBS_STATE_HOME": f"{home}/state",
            "NIX_CONF_DIR": str(settings),
            "PYTHONPATH": str(code),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return [_python(user), "-m", module], environment

    return command


@pytest.fixture(scope="session")
def run_tool(tool_command: Callable[..., tuple[list[str], dict[str, str]]]) -> RunTool:
    """Run `nix-build-shell` to its end, without a terminal.

    `as_user` is a uid, for which root drops all that it has; `env` adds to a clean environment.
    """
    return functools.partial(_run_module, tool_command, "sandbox.cli.nix_build_shell")


@pytest.fixture(params=["root", "unprivileged"])
def user(request: pytest.FixtureRequest, unprivileged: int) -> int | None:
    """Who calls, as `run_nbs` and `run_tool` take it: each of both identities, of which a user has one."""
    if request.param == "unprivileged":
        return unprivileged
    if os.getuid() != 0:
        pytest.skip("only root can be root")
    return None


@pytest.fixture(scope="session")
def run_nbs(tool_command: Callable[..., tuple[list[str], dict[str, str]]]) -> RunTool:
    """Run `nbs`, as `run_tool` runs its sister."""
    return functools.partial(_run_module, tool_command, "sandbox.cli.nbs")


def _run_module(
    tool_command: Callable[..., tuple[list[str], dict[str, str]]],
    module: str,
    /,
    *argv: str,
    as_user: int | None = None,
    input: bytes | None = None,  # noqa: A002  as subprocess.run calls it
    env: Mapping[str, str] | None = None,
    stdout: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    command, environment = tool_command(module, as_user)
    user = _other_user(as_user)
    who = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
    given = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    return subprocess.run(
        [*command, *argv],
        cwd="/",
        env={**environment, **(env or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
        **who,
        **given,
    )


def _cache() -> Path:
    named = os.environ.get("NBS_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache/nix-build-shell-tests"


@pytest.fixture(scope="session")
def nix_world(open_directory: Path) -> Iterator[NixWorld]:
    """A Nix whose builds run as who runs the tests; its standard environment is built."""
    _require("nix")
    world = NixWorld(open_directory / "nix")
    world.build_stdenv(_cache())
    yield world
    world.remove()


@pytest.fixture(scope="session")
def undiverted_world(open_directory: Path) -> Iterator[NixWorld]:
    """A store under its own name, which shows all that a diverted one cannot."""
    _require("nix")
    world = NixWorld(
        open_directory / "own",
        diverted=False,
        sandbox="relaxed",
        experimental=("ca-derivations",),
    )
    world.build_stdenv()
    yield world
    world.remove()


@pytest.fixture(scope="session")
def nix_world_with_build_users(open_directory: Path) -> Iterator[NixWorld]:
    """A Nix as a system has it, whose builds run as users of the group nixbld. For root alone.

    The users are made if they are missing, and stay.
    """
    _require("nix")
    if os.getuid() != 0:
        pytest.skip("only root can build as other users")
    _make_build_users()
    # From 2.30 on Nix builds beside its store, as a build user only where no directory above is for all
    # to write to.
    place = os.environ.get("NBS_TWIN_PLACE")
    above = Path(tempfile.mkdtemp(prefix="nbs-tests-", dir=place)) if place else open_directory
    above.chmod(0o755)
    world = NixWorld(above / "nix-build-users", build_users="nixbld")
    world.build_stdenv(_cache())
    yield world
    world.remove()
    if place:
        above.rmdir()


def _make_build_users() -> None:
    try:
        group = grp.getgrnam("nixbld")
    except KeyError:
        subprocess.run(["groupadd", "--system", "nixbld"], check=True)
        group = grp.getgrnam("nixbld")
    for number in range(1, BUILD_USERS + 1):
        name = f"nixbld{number}"
        try:
            pwd.getpwnam(name)
        except KeyError:
            options = [
                "--no-create-home",
                "--home-dir",
                "/var/empty",
                "--shell",
                "/usr/sbin/nologin",
            ]
            subprocess.run(
                ["useradd", "--system", "-g", str(group.gr_gid), "-G", "nixbld", *options, name],
                check=True,
            )


@pytest.fixture(scope="session")
def store_without_nix(open_directory: Path) -> tuple[str, dict[str, str]]:
    """A diverted store that only the recipes have filled: its root, and its components by name."""
    root = open_directory / "without-nix"
    (root / "nix/store").mkdir(parents=True)
    recipe = ROOT / "sandbox/demo/recipe.py"
    command = ["/usr/bin/python3", recipe, "all", root / "nix/store", "/nix/store"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return str(root), dict(line.split(" ", 1) for line in listed.splitlines())


@pytest.fixture(scope="session")
def hand_made(
    open_directory: Path, store_without_nix: tuple[str, dict[str, str]], unprivileged: int
) -> Kept:
    """The least that can be entered: an env-vars with SHELL and PATH, and no derivation.

    It belongs to the unprivileged user.
    """
    store, packages = store_without_nix
    path = open_directory / "hand-made"
    path.mkdir()
    programs = ":".join(f"{package}/bin" for package in packages.values())
    shell = packages["bash"] + "/bin/bash"
    text = (
        f'declare -x PATH="{programs}"\ndeclare -x SHELL="{shell}"\ndeclare -x greeting="hallo"\n'
    )
    (path / "env-vars").write_text(text)
    (path / "notes").write_text("what the build wrote\n")
    _give(path, unprivileged)
    return Kept(path=str(path), store=store, packages=packages)


@pytest.fixture(scope="session")
def kept_by_nix(open_directory: Path, nix_world: NixWorld, unprivileged: int) -> Kept:
    """What a real Nix kept of a build that failed in its check phase, as the unprivileged user's."""
    failure = nix_world.fail(FAILS_IN_CHECK_PHASE)
    path = open_directory / os.path.basename(failure.kept)
    shutil.copytree(failure.kept, path, symlinks=True)
    _give(path, unprivileged)
    packages = nix_world.build_stdenv(_cache())
    return Kept(path=str(path), store=f"{nix_world.root}/store", packages=packages)


def _give(tree: Path, user: int) -> None:
    """Make a tree belong to `user`; only root has one to give it to."""
    if _other_user(user) is not None:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
