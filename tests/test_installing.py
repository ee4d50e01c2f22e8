"""What the programs that people install with make of the wheel: commands, kernel, manual pages."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.test_packaging import COMMANDS, PROJECT, SOMEBODY, as_somebody, build, checkout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["checkout"]

LIMIT_S = 300
SAID = "Programming Language :: Python :: "
PYTHONS = [text.removeprefix(SAID) for text in PROJECT["project"]["classifiers"] if SAID in text]
PYTHONS.remove("3")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = "/usr/bin/python3"
STARTED = """\
import tempfile
from jupyter_client.manager import KernelManager
# Of ports that are free now, another program may have one before the kernel has it.
place = tempfile.TemporaryDirectory(dir="/tmp")
manager = KernelManager(kernel_name="nbs", transport="ipc", ip=place.name + "/ipc")
manager.start_kernel()
client = manager.blocking_client()
client.start_channels()
client.wait_for_ready(timeout=60)
client.kernel_info()
print(client.get_shell_msg(timeout=60)["content"]["implementation"])
client.stop_channels()
manager.shutdown_kernel()
"""


class Home:
    """A home of its own for somebody without rights, where nothing is installed yet."""

    def __init__(self, place: Path, wheel: Path) -> None:
        self.place = place
        self.become = as_somebody()
        self.bin = place / ".local/bin"
        self.wheel = shutil.copy(wheel, place)
        place.chmod(0o755)
        if self.become:
            os.chown(place, SOMEBODY, SOMEBODY)

    @property
    def with_kernel(self) -> str:
        return f"nix-build-shell[kernel] @ file://{self.wheel}"

    def attempt(self, *argv: str) -> subprocess.CompletedProcess[str]:
        tools = os.path.dirname(sys.executable)
        environment = {
            "HOME": str(self.place),
            "PATH": f"{self.bin}:{PATH}:{tools}",
            "LC_ALL": "C.UTF-8",
            "UV_SYSTEM_CERTS": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        for name in ("PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "SSL_CERT_FILE"):
            if name in os.environ:
                environment[name] = os.environ[name]
        return subprocess.run(
            [*self.become, *argv],
            env=environment,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def runs(self, program: str) -> bool:
        return self.attempt(program, "--version").returncode == 0

    def run(self, *argv: str) -> str:
        done = self.attempt(*argv)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def built(checkout: Path) -> Path:
    return build(checkout, "wheel")


@pytest.fixture
def home(built: Path) -> Iterator[Home]:
    place = Path(tempfile.mkdtemp(prefix="nbs-home-"))
    yield Home(place, built)
    shutil.rmtree(place)


def program(home: Home, name: str) -> str:
    """A program of the test environment, if whoever runs it may; a skip or a failure else."""
    if shutil.which(name, path=f"{PATH}:{os.path.dirname(sys.executable)}") is None:
        missing(f"`{name}` is not installed")
    if not home.runs(name):
        missing(f"somebody without rights cannot run `{name}`")
    return name


def missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {what}", pytrace=False)
    pytest.skip(what)


@functools.cache
def registry_answers() -> bool:
    command = [sys.executable, "-m", "pip", "index", "versions", "pyzmq"]
    asked = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_S)
    return asked.returncode == 0


@pytest.fixture
def registry() -> None:
    """PyPI, from which the kernel's two libraries come."""
    if not registry_answers():
        missing("PyPI does not answer")


def assert_both_commands(home: Home, where: Path) -> None:
    for command in COMMANDS:
        told = home.run(str(where / command), "--version")
        assert told == f"{command} {PROJECT['project']['version']}\n"


def pages_found(home: Home, directory: Path) -> str:
    if shutil.which("man", path=PATH) is None:
        missing("`man` is not installed")
    return home.run("sh", "-c", f"PATH={directory}:$PATH man -w nbs nix-build-shell")


@pytest.mark.usefixtures("registry")
def test_pip_installs_commands_pages_and_a_kernel_that_starts(home: Home) -> None:
    environment = home.place / "venv"
    home.run(PYTHON, "-m", "venv", str(environment))
    home.run(f"{environment}/bin/pip", "install", "--quiet", home.with_kernel)
    assert_both_commands(home, environment / "bin")
    assert len(pages_found(home, environment / "bin").splitlines()) == 2
    listed = home.run(f"{environment}/bin/jupyter-kernelspec", "list", "--json")
    spec = json.loads(listed)["kernelspecs"]["nbs"]
    assert spec["resource_dir"] == f"{environment}/share/jupyter/kernels/nbs"
    assert {"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"} == set(
        os.listdir(spec["resource_dir"])
    )
    assert "01-first-steps.ipynb" in os.listdir(f"{environment}/share/nix-build-shell/notebooks")
    assert home.run(f"{environment}/bin/python", "-c", STARTED) == "nbs\n"


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("installer", ["uv", "pipx"])
def test_a_tool_installer_gives_both_commands_and_a_kernel_for_every_jupyter(
    home: Home, installer: str
) -> None:
    words = ["tool", "install"] if installer == "uv" else ["install"]
    home.run(program(home, installer), *words, "--python", PYTHON, home.with_kernel)
    assert_both_commands(home, home.bin)
    home.run("nbs", "kernel", "install")
    spec = json.loads((home.place / ".local/share/jupyter/kernels/nbs/kernel.json").read_text())
    assert home.attempt(spec["argv"][0], "-c", "import nbs_kernel, zmq").returncode == 0


def test_pipx_shows_the_manual_pages_and_is_what_brings_more(home: Home) -> None:
    home.run(program(home, "pipx"), "install", "--python", PYTHON, home.wheel)
    assert str(home.place) in pages_found(home, home.bin)
    without = home.attempt("nbs", "kernel", "list").stderr
    assert "hint: `pipx inject nix-build-shell jupyter_client pyzmq`" in without


@pytest.mark.parametrize("version", PYTHONS)
def test_the_commands_run_under_each_python_that_is_supported(home: Home, version: str) -> None:
    found = [path for path in pythons(version) if os.access(path, os.X_OK)]
    if not found:
        pytest.skip(f"there is no Python {version} on this machine")
    python = next((path for path in found if home.runs(path)), found[0])
    if not home.runs(python):
        home.become = []  # root's own, in root's home
    # With the pip of that Python: an older one does not run under every newer Python.
    home.run(python, "-m", "venv", str(home.place / "venv"))
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    home.run(str(home.place / "venv/bin/python"), "-m", "pip", "install", *options, home.wheel)
    assert_both_commands(home, home.place / "venv/bin")
    assert home.run(str(home.place / "venv/bin/nbs"), "--help").startswith("usage: nbs ")


def pythons(version: str) -> list[str]:
    places = [f"{folder}/python{version}" for folder in PATH.split(":")]
    known = Path.home() / ".pyenv/versions"
    places += [str(path) for path in known.glob(f"{version}.*/bin/python{version}")]
    return places
