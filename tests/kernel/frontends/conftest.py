"""What the tests with Jupyter's own front ends share."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.kernel.frontends import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kernel.conftest import Home

LIMIT_S = 120
STARTS = 5
NEEDED = ("jupyter_client", "jupyter_console", "jupyterlab", "nbconvert", "nbmake", "papermill")


def require(*, modules: tuple[str, ...] = (), programs: tuple[str, ...] = ()) -> None:
    """Skip what needs something that is not here; fail it where CI is set."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    missing += [path for path in programs if not os.access(path, os.X_OK)]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: no {', '.join(missing)}", pytrace=False)
    if missing:
        pytest.skip(f"no {', '.join(missing)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("jupyter")
            item.add_marker("namespaces")
            # What other people's programs warn of is theirs to mend.
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session", autouse=True)
def needed() -> None:
    require(modules=NEEDED)


@pytest.fixture(scope="module")
def in_home(home: Home) -> Iterator[Home]:
    """The environment of this process is that of the home: for clients that run in it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("JUPYTER", "NBS_", "XDG_")) and not name.startswith("NBS_TEST"):
                patch.delenv(name)
        for name, value in home.environment.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture
def no_workspaces(leaves_nothing: None, in_home: Home) -> Iterator[None]:
    """No workspace of another test is there; none of this one stays, and no process of a kernel."""
    del leaves_nothing
    shutil.rmtree(in_home.state / "ws", ignore_errors=True)
    yield
    shutil.rmtree(in_home.state / "ws", ignore_errors=True)


@pytest.fixture
def leaves_nothing(home: Home) -> Iterator[None]:
    """No process and no workspace of the test is there a moment after its end."""
    me = os.getpid()
    before = processes.below(me)
    workspaces_before = set(workspaces(home))
    with processes.orphans_stay_below():
        yield
        until(lambda: processes.below(me) <= before, "every process of the test has ended")
    until(
        lambda: set(workspaces(home)) <= workspaces_before, f"no workspace is left in {home.state}"
    )


def workspaces(home: Home) -> list[str]:
    """What running kernels have on the disk, and those that were killed leave to be swept."""
    running = [path.parent for path in home.state.glob("ws/*/root")]
    return sorted(path.name for path in (*home.state.glob("run/*"), *running))


def kept(home: Home) -> list[str]:
    """The workspaces that are there with nobody inside."""
    return sorted(set(os.listdir(home.state / "ws")) - set(workspaces(home)))


def until(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait for a condition; the test fails if it does not come."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def kernel(cwd: Path | None = None, **environment: str) -> Iterator[tuple[Any, Any]]:
    """A running kernel of this process's environment: its manager, and a client that is ready.

    It is started in the directory `cwd`, as for a notebook there.
    """
    # A manager that starts its kernel again gives it the same file.
    with tempfile.TemporaryFile() as said:
        manager, client = _started({**os.environ, **environment}, said, cwd)
        try:
            yield manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel()
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))


def _started(environment: dict[str, str], said: IO[bytes], cwd: Path | None) -> tuple[Any, Any]:
    """Ports are free when Jupyter chooses them; another program may be faster."""
    for _ in range(STARTS):
        manager = patient_manager()
        manager.start_kernel(env=environment, stderr=said, cwd=cwd)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=LIMIT_S)
        except RuntimeError:
            client.stop_channels()
            manager.shutdown_kernel()
            said.seek(0)
            text = said.read()
            if b"the kernel cannot listen at" not in text:
                raise AssertionError(text.decode(errors="replace")) from None
            said.seek(0)
            said.truncate()
        else:
            return manager, client
    pytest.fail(f"no free ports in {STARTS} starts")


def patient_manager(**options: Any) -> Any:
    """One that does not kill a kernel for being slow: then its workspace would stay."""
    from jupyter_client.manager import KernelManager

    return KernelManager(kernel_name="nbs", shutdown_wait_time=LIMIT_S, **options)


def meet_again(client: Any) -> None:
    """Wait until a client has met the kernel that was started in the place of another.

    Its sockets connect again each for itself. What it gets from the new kernel begins with a
    welcome; without it an answer on one socket says nothing of the other.
    """
    while client.get_iopub_msg(timeout=LIMIT_S)["msg_type"] != "iopub_welcome":
        pass
    client.wait_for_ready(timeout=LIMIT_S)


EARLIER = "[an earlier session's changes are kept: "


def run(
    client: Any, code: str, limit_s: float = LIMIT_S, *, notices: bool = False
) -> tuple[dict[str, Any], str]:
    """The reply to a cell, and the text that it showed.

    That something is kept depends on the tests before: it is left out without `notices`.
    """
    shown: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        text = message["content"].get("text", "")
        if message["msg_type"] == "stream" and (notices or not text.startswith(EARLIER)):
            shown.append(text)

    reply = client.execute_interactive(
        code, timeout=limit_s, output_hook=hook, allow_stdin=False, stop_on_error=False
    )
    return reply["content"], "".join(shown)
