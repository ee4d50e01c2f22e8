"""The control group of the caller is out of reach: whoever may write in it can freeze all in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

PROGRAM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
static void try(const char *name, int flags) {
    printf("%s: %s\n", name, unshare(flags) < 0 ? strerrorname_np(errno) : "done");
}
int main(void) {
    try("its own", CLONE_NEWUSER | CLONE_NEWNS);
    try("cgroup", CLONE_NEWCGROUP);
    try("others", CLONE_NEWUTS | CLONE_NEWIPC);
    return 0;
}
"""


@pytest.fixture(scope="module")
def kept(open_directory: Path, kept_with: Callable[[Path, str, str], str]) -> str:
    return kept_with(open_directory / "with-unshare", "unshare", PROGRAM)


@pytest.mark.parametrize("how", ["root", "unprivileged"])
def test_a_command_has_its_own_namespaces_but_none_of_control_groups(
    kept: str, hand_made: Kept, run_tool: RunTool, unprivileged: int, how: str
) -> None:
    allowed = Path("/proc/sys/user/max_cgroup_namespaces")
    before = allowed.read_text()
    user = None if how == "root" else unprivileged
    done = run_tool("--store", hand_made.store, kept, "./unshare", as_user=user)
    assert done.stdout == b"its own: done\ncgroup: ENOSPC\nothers: done\n", done.stderr.decode()
    assert allowed.read_text() == before != "0\n"
