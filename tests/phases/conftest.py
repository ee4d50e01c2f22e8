"""What the tests of phases share: `nbs phase` with its two outputs in one, as a log has them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.conftest import _other_user

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 120


class Phase(Protocol):
    def __call__(
        self,
        *words: str,
        store: str,
        as_user: int | None = None,
        verb: str = "phase",
        typed: str = "",
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def phase(tool_command: Callable[..., tuple[list[str], dict[str, str]]]) -> Phase:
    """Run `nbs phase`; `verb` another verb, with `typed` on its standard input."""

    def run(
        *words: str, store: str, as_user: int | None = None, verb: str = "phase", typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command, environment = tool_command("sandbox.cli.nbs", as_user)
        user = _other_user(as_user)
        who = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
        return subprocess.run(
            [*command, verb, "--store", store, *words],
            cwd="/",
            env=environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
            **who,
        )

    return run
