"""Kernels that end, are ended, come in numbers and are met again: nothing of them stays."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from tests.conftest import program
from tests.kernel.frontends import processes
from tests.kernel.frontends.conftest import (
    LIMIT_S,
    kernel,
    meet_again,
    patient_manager,
    run,
    until,
    workspaces,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.conftest import Home

BACKGROUND = "(trap '' HUP TERM INT; exec sleep 1000) >/dev/null 2>&1 &"


@pytest.fixture(autouse=True)
def clean(leaves_nothing: None, in_home: Home) -> Home:
    """Every test of this file leaves no process and no workspace."""
    del leaves_nothing
    return in_home


def pid_of(manager: Any) -> int:
    pid: int = manager.provisioner.process.pid
    return pid


def names_below(manager: Any) -> set[str]:
    return {process.name for process in processes.below(pid_of(manager))}


def test_a_kernel_that_is_shut_down_takes_every_process_of_its_cells_with_it():
    with kernel() as (manager, client):
        assert run(client, BACKGROUND)[0]["status"] == "ok"
        until(lambda: "sleep" in names_below(manager), "the job has begun")
        client.shutdown()
        until(lambda: not manager.is_alive(), "the kernel has ended")


def test_a_kernel_whose_supervisor_is_killed_is_gone_at_once(clean):
    with kernel() as (manager, client):
        run(client, BACKGROUND)
        before = processes.below(pid_of(manager))
        assert before
        os.kill(pid_of(manager), signal.SIGKILL)
        until(lambda: not processes.living(before), "all of its processes have ended")
    # Its directory is swept by the next start.
    with kernel() as (_, client):
        assert len(workspaces(clean)) == 1


def test_a_kernel_that_is_killed_itself_ends_its_supervisor_and_its_cells():
    with kernel() as (manager, client):
        run(client, BACKGROUND)
        (inner,) = processes.children(pid_of(manager))
        os.kill(inner.pid, signal.SIGKILL)
        until(lambda: not manager.is_alive(), "the supervisor has ended")


def test_sigterm_to_the_one_process_that_a_front_end_knows_ends_everything():
    with kernel() as (manager, client):
        run(client, BACKGROUND)
        os.kill(pid_of(manager), signal.SIGTERM)
        until(lambda: not manager.is_alive(), "the kernel has ended")


def test_sigint_to_that_process_interrupts_the_cell():
    with kernel() as (manager, client):
        message = client.execute("echo begun; sleep 1000; echo never")
        seen = outputs_until(client, message, "begun")
        assert "begun" in seen
        os.kill(pid_of(manager), signal.SIGINT)
        reply = reply_to(client, message)
        assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
        assert run(client, "echo on")[1] == "on\n"


def outputs_until(client: Any, message: str, text: str) -> str:
    seen = ""
    while text not in seen:
        got = client.get_iopub_msg(timeout=LIMIT_S)
        if got["parent_header"].get("msg_id") == message and got["msg_type"] == "stream":
            seen += got["content"]["text"]
    return seen


def reply_to(client: Any, message: str) -> dict[str, Any]:
    while True:
        got = client.get_shell_msg(timeout=LIMIT_S)
        if got["parent_header"].get("msg_id") == message:
            content: dict[str, Any] = got["content"]
            return content


START_AND_DIE = """\
import os, sys, signal
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="nbs", startup_timeout=60)
client.execute_interactive({background!r}, timeout=60, output_hook=str)
client.execute("sleep 1000")
print(manager.provisioner.process.pid, flush=True)
signal.pause()
"""


def test_a_front_end_that_is_killed_leaves_no_kernel(clean):
    command = [sys.executable, "-c", START_AND_DIE.format(background=BACKGROUND)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as front_end:
        assert front_end.stdout is not None
        assert int(front_end.stdout.readline())
        front_end.kill()
    until(lambda: not workspaces(clean), "the kernel has noticed and gone")


def test_a_kernel_is_restarted_with_the_same_connection_and_a_fresh_workspace():
    with kernel() as (manager, client):
        run(client, "x=1; echo old > left-over")
        manager.restart_kernel()
        meet_again(client)
        assert run(client, "echo ${x-none}; ls left-over")[1].startswith("none\n")
        assert "old" not in run(client, "cat left-over 2>/dev/null || :")[1]


def test_a_kernel_that_is_killed_is_started_again_by_its_manager():
    with kernel() as (manager, client):
        os.kill(pid_of(manager), signal.SIGKILL)
        until(lambda: not manager.is_alive(), "the kernel is dead")
        manager.restart_kernel(now=True)
        meet_again(client)
        assert run(client, "echo again")[1] == "again\n"


def test_another_client_meets_the_kernel_by_its_connection_file():
    with kernel() as (manager, client):
        run(client, "x=met")
        second = BlockingKernelClient(connection_file=manager.connection_file)
        second.load_connection_file()
        # Not with its heart, which takes a kernel for dead that was busy for a second.
        second.start_channels(hb=False)
        try:
            second.wait_for_ready(timeout=LIMIT_S)
            assert run(second, "echo $x")[1] == "met\n"
            # Who was there first sees it too.
            assert "met" in outputs_of_others(client)
        finally:
            second.stop_channels()
        assert run(client, "echo still $x")[1] == "still met\n"


def outputs_of_others(client: Any) -> str:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        got = client.get_iopub_msg(timeout=LIMIT_S)
        if got["msg_type"] == "stream":
            text: str = got["content"]["text"]
            if "met" in text:
                return text
    return ""


def test_ten_kernels_live_side_by_side():
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(starting()) for _ in range(10)]
        for _, client in started:
            client.wait_for_ready(timeout=LIMIT_S)
        for number, (_, client) in enumerate(started):
            run(client, f"echo {number} > mine")
        shown = [run(client, "cat mine; ls /proc | grep -c '^[0-9]'")[1] for _, client in started]
    # Each has its own files and sees its own processes alone.
    assert [text.split()[0] for text in shown] == [str(number) for number in range(10)]
    assert all(int(text.split()[1]) < 10 for text in shown)


@contextlib.contextmanager
def starting() -> Iterator[tuple[Any, Any]]:
    """A kernel that is not waited for."""
    manager = patient_manager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def test_two_thousand_queued_cells_run_in_their_order():
    with kernel() as (_, client):
        run(client, "n=0")
        messages = [client.execute(f"((++n == {number}))") for number in range(1, 2001)]
        replies = [reply_to(client, message)["status"] for message in messages]
        assert replies == ["ok"] * 2000


def test_a_kernel_is_reached_over_sockets_of_the_file_system(clean):
    manager = patient_manager(transport="ipc", ip=f"{clean.path}/ipc")
    with started_by(manager) as client:
        assert run(client, "echo here")[1] == "here\n"


def test_a_connection_is_encrypted_where_the_front_end_wants_it():
    manager = patient_manager(transport_encryption="required")
    with started_by(manager) as client:
        with open(manager.connection_file) as file:
            assert json.load(file).get("curve_publickey")
        assert run(client, "echo here")[1] == "here\n"


@contextlib.contextmanager
def started_by(manager: Any) -> Iterator[Any]:
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT_S)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def test_a_kernel_without_a_build_starts_and_says_what_is_wrong(failed_builds):
    with kernel(NBS_BUILD="/nothing/here") as (_, client):
        banner = client.kernel_info(reply=True, timeout=LIMIT_S)["content"]["banner"]
        assert "/nothing/here" in banner.splitlines()[0]
        reply, _ = run(client, "echo never")
        assert reply["status"] == "error"
        assert reply["ename"] == "SandboxError"
        assert any("/nothing/here" in line for line in reply["traceback"])
        assert run(client, f"%enter {failed_builds[0]}")[0]["status"] == "ok"
        assert run(client, "echo $name")[1] == "hello-1.0\n"


def test_a_cell_runs_a_tool_of_the_host(failed_builds):
    program("strace")
    with kernel(NBS_WITH_TOOLS="strace") as (_, client):
        reply, said = run(client, "tool strace -o /tmp/trace true && grep -c execve /tmp/trace")
        assert (reply["status"], said) == ("ok", "1\n")
        reply, _ = run(client, f"%enter --with-tool /usr/bin/env {failed_builds[0]}")
        assert (reply["status"], reply["evalue"]) == ("error", "tool-refused")
        reply, said = run(client, f"%enter --with-tool env {failed_builds[0]}\ntool env echo new")
        assert (reply["status"], said.splitlines()[-1]) == ("ok", "new")
        reply, said = run(client, "%reset\ntool env echo again")
        assert (reply["status"], said.splitlines()[-1]) == ("ok", "again")
