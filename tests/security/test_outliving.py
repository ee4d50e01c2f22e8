"""What runs inside ends with its session, whatever it has asked the kernel for."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox.workspace.kept import start_time
from tests.linux.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Lives on when its supervisor is killed. */
static void outlive(void) {
    prctl(PR_SET_PDEATHSIG, 0);
    for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
    close(open("/build/ready", O_CREAT | O_WRONLY, 0644));
    for (;;) usleep(10000);
}

/* Asks and never listens, and leaves the end that it was given to itself. */
static void deafen(void) {
    char word[] = "1 snapshots\\n", room[CMSG_SPACE(sizeof(int))] = {0};
    int end = 60;
    for (int times = 0; times < 3000; times++) send(end, word, sizeof word - 1, MSG_DONTWAIT);
    sleep(3);
    struct iovec data = {word, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room,
                             .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &end, sizeof end);
    sendmsg(end, &message, MSG_DONTWAIT);
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "outlive")) outlive();
    deafen();
    return 0;
}
"""


@pytest.fixture
def place(tmp_path: Path, open_directory: Path, user: int | None) -> Path:
    made = open_directory / tmp_path.name
    made.mkdir()
    if os.getuid() == 0:
        os.chown(made, user or 0, user or 0)
    return made


@pytest.fixture
def kept(place: Path, kept_with: Callable[[Path, str, str], str]) -> str:
    return kept_with(place / "built", "program", PROGRAM)


def test_a_program_that_outlives_its_supervisor_is_ended_by_the_next_one(
    kept: str, place: Path, hand_made: Kept, user: int | None, run_nbs: RunTool, tool_command
) -> None:
    argv, environment = tool_command("sandbox.cli.nbs", user)
    environment |= {"NBS_STATE_HOME": str(place / "state")}
    who = {} if user is None or os.getuid() != 0 else {"user": user, "group": user}
    supervisor = subprocess.Popen(
        [*argv, "shell", "--store", hand_made.store, kept],
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        **who,
    )
    assert supervisor.stdin is not None
    supervisor.stdin.write(b"exec /build/program outlive\n")
    supervisor.stdin.flush()
    workspace = place / "state/ws/built"
    assert eventually((workspace / "upper/ready").exists)
    inside = int((workspace / "session").read_text().split()[0])
    supervisor.kill()
    supervisor.wait()
    supervisor.stdin.close()
    assert start_time(inside), "it has outlived its supervisor"
    words = ("shell", "--ws", "built", "--", "ls", "/build/ready")
    done = run_nbs(*words, as_user=user, env=environment)
    assert done.stdout == b"/build/ready\n", done.stderr.decode()
    assert not start_time(inside)


def test_who_asks_and_never_listens_keeps_no_supervisor(
    kept: str, place: Path, hand_made: Kept, user: int | None, run_nbs: RunTool
) -> None:
    words = ("shell", "--store", hand_made.store, kept)
    environment = {"NBS_STATE_HOME": str(place / "state")}
    done = run_nbs(*words, input=b"exec /build/program deafen\n", as_user=user, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
