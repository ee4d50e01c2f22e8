"""What was repaired in a notebook, as a patch, and whether it repairs the build from nothing."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.kernel.frontends import processes
from tests.kernel.frontends.conftest import LIMIT_S, kernel, run, until

REPAIR = 'sed -i "1s|.*|#!$SHELL|" test.sh'


pytestmark = pytest.mark.usefixtures("no_workspaces")


def test_a_repair_is_shown_as_a_patch_and_proved_from_the_first_phase_on() -> None:
    with kernel() as (_, client):
        reply, text = run(client, "%verify")
        assert (reply["status"], reply["evalue"]) == ("error", "magic-command-failed")
        assert "no source file that a patch could carry was changed" in text
        run(client, REPAIR)
        reply, text = run(client, "%patch")
        assert reply["status"] == "ok"
        assert "\n-#!/usr/bin/env bash\n+#!/nix/store/" in text
        reply, text = run(client, "%verify")
        assert reply["status"] == "ok"
        assert "patching file test.sh" in text
        assert "hello-1.0 passes with hello-1.0.patch, from the first phase to checkPhase" in text


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_a_proof_that_takes_long_is_interrupted_and_ends_with_the_kernel(end: str) -> None:
    with kernel() as (manager, client):
        run(client, "sed -i 's/^check:.*/&\\n\\tsleep 1000/' Makefile")
        asked = client.execute("%verify\necho never")
        pid = manager.provisioner.process.pid
        is_asleep = lambda: any(one.name == "sleep" for one in processes.below(pid))  # noqa: E731
        until(is_asleep, "the phase is under way")
        assert client.complete("cat Makef", reply=True, timeout=LIMIT_S)["content"]["matches"]
        if end == "kill":
            below = processes.below(pid)
            os.kill(pid, signal.SIGKILL)
            until(lambda: not processes.living(below), "all that was started has ended")
            # What is left on the disk the next start sweeps.
            with kernel():
                return
        manager.interrupt_kernel()
        assert reply_to(client, asked)["status"] == "error"
        assert not is_asleep()
        assert run(client, "echo on")[1] == "on\n"


def reply_to(client: Any, asked: str) -> dict[str, Any]:
    while True:
        message = client.get_shell_msg(timeout=LIMIT_S)
        if message["parent_header"].get("msg_id") == asked:
            content: dict[str, Any] = message["content"]
            return content
