"""The tool's oldest promise: `nix-build-shell DIRECTORY COMMAND…`, by anybody, without root.

These files have the names of the tests that belong to the contract, but none of their text: those
tests are not to be had, and these were written here, point by point of what the contract says. Passing
them is no proof that the original ones would pass.

Each test runs it as an unprivileged user, once over what a real Nix kept and once over a directory
in which there is nothing but an env-vars with a shell and a path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces


@pytest.fixture(params=["hand_made", pytest.param("kept_by_nix", marks=pytest.mark.nix)])
def kept(request: pytest.FixtureRequest) -> Kept:
    found: Kept = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def run(
    kept: Kept, run_tool: RunTool, unprivileged: int
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run a command in the sandbox of `kept`."""

    def run(*command: str, **options: bytes) -> subprocess.CompletedProcess[bytes]:
        # The store is told by NIX_REMOTE, so that the command line is the promised one.
        where = {"NIX_REMOTE": kept.store}
        return run_tool(kept.path, *command, as_user=unprivileged, env=where, **options)

    return run


@pytest.fixture
def output(
    run: Callable[..., subprocess.CompletedProcess[bytes]],
) -> Callable[..., str]:
    """What a command prints that has to succeed without any talk beside it."""

    def output(*command: str, **options: bytes) -> str:
        done = run(*command, **options)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    return output


@pytest.fixture
def shell(output: Callable[..., str]) -> Callable[[str], str]:
    """What a script of the sandbox's shell prints."""

    def shell(script: str) -> str:
        return output("bash", "-euc", script)

    return shell
