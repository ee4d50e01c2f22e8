"""What the tests with Jupyter's own front ends share."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.frontends import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kernel.conftest import Home

LIMIT_S = 60
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
def kernel(**environment: str) -> Iterator[tuple[Any, Any]]:
    """A running kernel of this process's environment: its manager, and a client that is ready."""
    from jupyter_client.manager import start_new_kernel

    given = {**os.environ, **environment}
    manager, client = start_new_kernel(kernel_name="nbs", startup_timeout=LIMIT_S, env=given)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def run(client: Any, code: str, limit_s: float = LIMIT_S) -> tuple[dict[str, Any], str]:
    """The reply to a cell, and the text that it showed."""
    shown: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            shown.append(message["content"]["text"])

    reply = client.execute_interactive(
        code, timeout=limit_s, output_hook=hook, allow_stdin=False, stop_on_error=False
    )
    return reply["content"], "".join(shown)
