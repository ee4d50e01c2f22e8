"""A place that is the caller's own, once for root and once for another user."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.workspace.remove import remove_tree
from tests.workspace.trees import UNPRIVILEGED, in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that every user can reach."""
    path = Path(tempfile.mkdtemp(prefix="nbs-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    remove_tree(str(path))


@pytest.fixture(params=["root", "unprivileged"])
def caller(request: pytest.FixtureRequest, place: Path) -> int:
    """The user to be; `place` is theirs. Who is not root can only be themselves."""
    if request.param == "unprivileged":
        uid = os.getuid() or UNPRIVILEGED
        os.chown(place, uid, -1)
        return uid
    if os.getuid() != 0:
        pytest.skip("only root can be root")
    return 0


@pytest.fixture
def run_as_caller(caller: int) -> Callable[[Callable[[], None]], None]:
    return partial(in_child, uid=caller)


@pytest.fixture
def as_root() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root")
