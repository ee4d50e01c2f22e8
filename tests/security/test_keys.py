"""The kernel keeps keys for users and sessions, and no namespace hides them: keyrings(7)."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the calls' numbers are of x86_64"),
]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(open_directory: Path, kept_with: Callable[[Path, str, str], str]) -> str:
    return kept_with(open_directory / "with-keys", "keys", (HERE / "keys.c").read_text())


@pytest.fixture
def tried(program, hand_made, tool_command, open_directory):
    """What the program said, once its caller is seen to have the keys that it had."""
    holder = open_directory / "keyholder.py"
    shutil.copy(HERE / "keyholder.py", holder)

    def tried(user: int | None) -> list[str]:
        argv, environment = tool_command("sandbox.cli.nix_build_shell", user)
        entered = [*argv, "--store", hand_made.store, program, "./keys"]
        as_user = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
        done = subprocess.run(
            [argv[0], holder, *entered, "RINGS"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            **(as_user if os.getuid() == 0 else {}),
        )
        found = json.loads(done.stdout)
        assert found["status"] == 0, found["erred"]
        assert found["after"] == found["before"]
        return found["said"].splitlines()

    return tried


def test_the_caller_s_keys_are_not_there_for_the_builder_with_the_caller_s_id(tried, unprivileged):
    assert {line.partition(": ")[2] for line in tried(unprivileged)} == {"ENOSYS"}


def test_root_s_session_is_not_the_builder_s(tried):
    if os.getuid() != 0:
        pytest.skip("only root enters as another")
    said = tried(None)
    assert said[:2] == ["list session: done", "plant session: done"]
    assert {line.partition(": ")[2] for line in said[2:-1]} == {"EACCES"}
    assert said[-1] == "search: ENOKEY"
