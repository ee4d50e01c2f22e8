"""What the tests of the command line share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(params=["root", "unprivileged"])
def user(request: pytest.FixtureRequest, unprivileged: int) -> int | None:
    """Who calls, as `run_nbs` and `run_tool` take it: each of both identities, of which a user has one."""
    if request.param == "unprivileged":
        return unprivileged
    if os.getuid() != 0:
        pytest.skip("only root can be root")
    return None
