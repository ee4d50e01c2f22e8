"""What was changed in a kernel stays, however that ended, and a kernel can go on in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernel.frontends import processes
from tests.kernel.frontends.conftest import kept, kernel, run, until, workspaces

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.kernel.conftest import Home

CHANGE = "echo repaired > mended; echo note > /tmp/note; mkdir -p $out; echo made > $out/made"
LOOK = "cat mended /tmp/note $out/made"
SEEN = "repaired\nnote\nmade\n"


pytestmark = pytest.mark.usefixtures("no_workspaces")


def shut_down(manager: Any, client: Any) -> None:
    client.shutdown()
    until(lambda: not manager.is_alive(), "the kernel has ended")


def kill(manager: Any, client: Any) -> None:
    del client
    pid = manager.provisioner.process.pid
    below = processes.below(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not manager.is_alive(), "the supervisor has ended")
    until(lambda: not processes.living(below), "all that was in the workspace has ended")


def hang_up(manager: Any, client: Any) -> None:
    del client
    os.kill(manager.provisioner.process.pid, signal.SIGTERM)
    until(lambda: not manager.is_alive(), "the kernel has ended")


@pytest.mark.parametrize("end", [shut_down, kill, hang_up])
def test_what_was_changed_is_there_for_the_next_kernel(
    end: Callable[[Any, Any], None], in_home: Home
) -> None:
    with kernel() as (manager, client):
        assert run(client, CHANGE)[0]["status"] == "ok"
        end(manager, client)
    with kernel(NBS_WS="hello-1.0") as (_, client):
        assert run(client, LOOK)[1] == SEEN
        assert workspaces(in_home) == ["hello-1.0"]
    assert kept(in_home) == ["hello-1.0"]


def test_a_kernel_in_which_nothing_was_changed_leaves_nothing(in_home: Home) -> None:
    with kernel() as (_, client):
        assert run(client, "ls; echo $out; cat hello.c >/dev/null")[0]["status"] == "ok"
    assert kept(in_home) == []


def test_reset_tells_where_the_changes_are_and_one_can_go_back() -> None:
    with kernel() as (_, client):
        run(client, CHANGE)
        text = run(client, "%reset\nls mended || echo as kept")[1]
        assert "what was changed until now is kept: `%enter --ws hello-1.0` goes back" in text
        assert text.endswith("as kept\n")
        text = run(client, f"%enter --ws hello-1.0\n{LOOK}")[1]
        assert "the workspace hello-1.0, as it was left\n" in text
        assert text.endswith(SEEN)


def test_the_banner_and_the_first_cell_tell_that_a_workspace_of_the_build_is_kept() -> None:
    line = "an earlier session's changes are kept: `%enter --ws hello-1.0` goes on there"
    with kernel() as (_, client):
        run(client, CHANGE)
    with kernel() as (_, client):
        assert line in client.kernel_info(reply=True, timeout=60)["content"]["banner"]
        assert run(client, "echo one; touch other", notices=True)[1] == f"[{line}]\none\n"
        assert run(client, "echo two", notices=True)[1] == "two\n"
    with kernel() as (_, client):
        text = run(client, "%enter --ws hello-1.0\necho three", notices=True)[1]
        assert "an earlier session" not in text
    with kernel() as (_, client):
        text = run(client, "true", notices=True)[1]
        assert "kept: `%enter --ws hello-1.0` goes on there; 1 more: `nbs ws ls`]" in text


def test_a_workspace_is_not_entered_twice_and_the_kernel_stays_where_it_is(in_home: Home) -> None:
    with kernel() as (_, client):
        run(client, CHANGE)
        reply, _ = run(client, "%enter --ws hello-1.0")
        assert (reply["ename"], reply["evalue"]) == ("SandboxError", "workspace-in-use")
        assert run(client, LOOK)[1] == SEEN
        reply, _ = run(client, "%enter --ws none-such")
        assert (reply["ename"], reply["evalue"]) == ("SandboxError", "workspace-unknown")
    assert kept(in_home) == ["hello-1.0"]


def test_the_line_on_stderr_names_what_is_kept_and_what_to_do(in_home: Home) -> None:
    cell = "echo x > new"
    script = (
        "from jupyter_client.manager import start_new_kernel as start\n"
        "m, c = start(kernel_name='nbs', startup_timeout=60)\n"
        f"c.execute_interactive({cell!r}, timeout=60)\n"
        "c.stop_channels(); m.shutdown_kernel()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=in_home.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "what was changed is kept as hello-1.0: `nbs shell --ws hello-1.0`" in done.stderr
