"""Each test of the driver runs on a bash with readline and on one without, as a build's is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.kernel.bash.driving import LIMIT_S, Driver, Drivers
from tests.kernel.readlineless import readlineless_bash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: an answer is waited for, and the parser's verdict."""
    monkeypatch.setattr("nbs_kernel.bash.shell.ANSWER_S", LIMIT_S)
    monkeypatch.setattr("nbs_kernel.bash.parser.LIMIT_S", LIMIT_S)


@pytest.fixture(params=["readline", "no-readline"])
def bash(request: pytest.FixtureRequest) -> str:
    if request.param == "no-readline":
        return readlineless_bash()
    return shutil.which("bash") or "/bin/bash"


@pytest.fixture
def drivers(bash: str, tmp_path: Path) -> Iterator[Drivers]:
    """Starts shells in an empty directory; those still running are ended."""
    made = Drivers(bash, tmp_path)
    yield made
    made.close()


@pytest.fixture
def driver(drivers: Drivers) -> Driver:
    return drivers.start()
