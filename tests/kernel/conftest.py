"""What tests of the whole kernel share: failed builds, and a home where Jupyter finds the kernel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conftest import RunTool

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = os.path.dirname(sys.executable)
# A time limit for each example would find out how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
LIMIT_S = 600
PATIENT = {
    # A kernel that takes longer to end is killed by its front end, and cannot clean up.
    "KernelManager": {"shutdown_wait_time": 120.0},
    # Output that comes so much later than the reply is left out.
    "NotebookClient": {"iopub_timeout": 60},
    # The console asks no kernel again that took longer to say whether a cell is complete.
    "ZMQTerminalInteractiveShell": {"kernel_is_complete_timeout": 60.0},
    "ZMQCompleter": {"timeout": 60.0},
}
"""How long Jupyter's programs wait for a kernel: limits of theirs are too short for a busy machine."""
PATH = f"{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True, kw_only=True)
class Home:
    """A user's directory in which nothing of this machine's own Jupyter is seen."""

    path: Path
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        """Where the workspaces of running sandboxes are."""
        return Path(self.environment["NBS_STATE_HOME"])

    def run(
        self, *argv: str | Path, limit_s: float = LIMIT_S, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A program of this environment's `bin`, to its end."""
        return subprocess.run(
            [sys.executable, f"{BIN}/{argv[0]}", *map(str, argv[1:])],
            env={**self.environment, **environment},
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )


@pytest.fixture(scope="session")
def failed_builds(run_nbs: RunTool, open_directory: Path) -> tuple[str, str]:
    """Two kept directories of `nbs demo`, which belong to who runs the tests."""
    home = open_directory / "kernel-builds"
    home.mkdir()
    given = {"HOME": str(home), "PATH": PATH}
    for _ in range(2):
        done = run_nbs("demo", "--again", "--", "true", env=given)
        assert done.returncode == 0, done.stderr.decode()
    builds = home / ".cache/nix-build-shell/demo/nix/var/nix/builds"
    first, second = sorted(builds.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return str(first), str(second)


@pytest.fixture(scope="session")
def make_home(
    tool_command: Callable[..., tuple[list[str], dict[str, str]]],
    open_directory: Path,
    failed_builds: tuple[str, str],
) -> Callable[[str], Home]:
    """Make the home of that name: the kernel is installed in it, for the first failed build."""
    _, environment = tool_command("nbs_kernel")
    return lambda name: prepare(open_directory / name, failed_builds[0], environment)


def prepare(path: Path, build: str, environment: Mapping[str, str]) -> Home:
    """A new directory as the home of a Jupyter that has the kernel, for that build."""
    path.mkdir(mode=0o700)
    _kernelspec(path / "jupyter/kernels/nbs")
    (path / "config").mkdir()
    (path / "config/jupyter_config.json").write_text(json.dumps(PATIENT))
    own = {
        "HOME": str(path),
        "TMPDIR": str(path),
        "PATH": PATH,
        "PYTHONPATH": str(ROOT),
        "NBS_STATE_HOME": f"{path}/state",
        "NBS_BUILD": build,
        "IPYTHONDIR": f"{path}/ipython",
        "JUPYTER_CONFIG_DIR": f"{path}/config",
        "JUPYTER_DATA_DIR": f"{path}/jupyter",
        "JUPYTER_RUNTIME_DIR": f"{path}/runtime",
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    return Home(path=path, environment={**environment, **own})


def _kernelspec(place: Path) -> None:
    """What `pip install` would have put there, for the Python of the tests."""
    shutil.copytree(ROOT / "kernelspec", place)
    specification = json.loads((place / "kernel.json").read_text())
    specification["argv"][0] = sys.executable
    (place / "kernel.json").write_text(json.dumps(specification))


@pytest.fixture(scope="session")
def home(make_home: Callable[[str], Home]) -> Home:
    """The home that tests share who leave nothing in it."""
    return make_home("kernel-home")
