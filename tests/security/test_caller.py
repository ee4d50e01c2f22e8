"""What a run does to the process that calls it: nothing that is still there afterwards."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.linux import syscalls
from tests.linux.forks import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Kept

pytestmark = pytest.mark.namespaces

LIMIT_S = 30

LIBRARY = """
import ctypes, os, signal, subprocess, sys, threading
import sandbox
kept, store = sys.argv[1:3]
def run(*command, **options):
    case = sandbox.read(kept, store=store)
    return sandbox.enter(sandbox.describe(case, sandbox.Request(command=command)), **options)
def state():
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
    adopts = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(adopts), 0, 0, 0)
    return status["SigBlk"], len(os.listdir("/proc/self/fd")), adopts.value
run("true")
before = state()
"""


@pytest.fixture
def library(hand_made: Kept, tool_command) -> Callable[..., str]:
    """Runs lines of a program that uses the package, and returns what it printed."""

    def library(program: str, **options: object) -> str:
        argv, environment = tool_command("sandbox.cli.nix_build_shell")
        command = [argv[0], "-c", LIBRARY + program, hand_made.path, hand_made.store]
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=LIMIT_S,
            text=True,
            check=True,
            **options,
        )
        return done.stdout.strip()

    return library


def test_many_runs_leave_signals_descriptors_and_orphans_as_they_were(library):
    assert library("for _ in range(10): run('true')\nprint(state() == before)") == "True"


def test_a_run_that_cannot_start_leaves_them_as_they_were_too(library):
    program = """
case = sandbox.read(kept, store=store)
described = sandbox.describe(case, sandbox.Request(command=("true",)))
described = described.replace(process=described.process.replace(argv=("/no/such",)))
for _ in range(3):
    try:
        sandbox.enter(described)
    except sandbox.Error as error:
        print(error.reason)
print(state() == before)
children = open(f"/proc/self/task/{os.getpid()}/children").read()
print(children == "")
"""
    assert library(program).split() == ["command-not-found"] * 3 + ["True", "True"]


def test_the_status_of_the_caller_s_own_children_stays_for_the_caller(library):
    program = """
child = subprocess.Popen(["sh", "-c", "exit 9"])
run("bash", "-c", "sleep 0.2")
print(child.wait())
"""
    assert library(program) == "9"


def test_a_run_in_another_thread_ends(library):
    program = """
ended = []
thread = threading.Thread(target=lambda: ended.append(run("bash", "-c", "exit 4")), daemon=True)
thread.start()
thread.join()
print(ended, flush=True)
os._exit(0)
"""
    assert library(program) == "[4]"


def test_a_founder_that_is_killed_after_its_fork_is_an_error_and_no_standstill(library):
    program = """
fork, tool = os.fork, os.getpid()
def fork_and_die():
    pid = fork()
    if pid and os.getpid() != tool:
        os.kill(os.getpid(), signal.SIGKILL)
    return pid
os.fork = fork_and_die
try:
    run("true")
except sandbox.Error as error:
    print(error.reason)
print(state() == before)
"""
    assert library(program).split() == ["process-refused", "True"]


def test_standard_descriptors_may_be_exchanged(library):
    program = """
reader, writer = os.pipe()
run("bash", "-c", "echo out; echo err >&2", stdio=(0, writer, 1))
os.close(writer)
print(os.read(reader, 100))
"""
    assert library(program) == "err\nb'out\\n'"


def test_the_status_counts_where_the_caller_ignores_its_children(hand_made, tool_command):
    argv, environment = tool_command("sandbox.cli.nix_build_shell")
    command = [*argv, "--store", hand_made.store, hand_made.path, "bash", "-c", "exit 7"]
    done = subprocess.run(
        ["sh", "-c", 'trap "" CHLD; exec "$@"', "-", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 7


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_descriptor_that_the_caller_closed_is_dev_null_inside(hand_made, tool_command, closed):
    argv, environment = tool_command("sandbox.cli.nix_build_shell")
    script = (
        "ls /proc/1/fd > /tmp/open; printf '0\\n1\\n2\\n' | cmp - /tmp/open || exit 1; "
        "for f in 0 1 2; do [ -d /proc/1/fd/$f ] && exit 1; done; exit 3"
    )
    command = [*argv, "--store", hand_made.store, hand_made.path, "bash", "-c", script]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "-", *command],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3


def test_only_the_descriptors_named_stay_open():
    def inside():
        first, second, third = (os.open("/", os.O_RDONLY) for _ in range(3))
        report = os.dup(second)
        syscalls.close_all_but((0, 1, 2, second))
        return [fd for fd in (first, second, third, report) if _is_open(fd)] == [second]

    # The pipe that brings the answer home is closed too, so the status has to.
    child = os.fork()
    if child == 0:
        os._exit(0 if inside() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_call_is_shown_without_control_characters():
    assert syscalls.quoted('a\x1b[31m\n"\udcff"') == '"a\\033[31m\\012\\"\\377\\""'


def test_a_refused_command_of_many_words_is_told_in_short():
    def inside():
        try:
            syscalls.execve("/no/such", ("w" * 100_000,) * 20, ())
        except OSError as error:
            return len(error.filename)

    assert in_child(inside) < 65536


@pytest.fixture
def on_a_terminal(hand_made: Kept, tool_command):
    """Starts the tool on a new terminal: its process and the other end."""
    started = []

    def start(*command: str) -> tuple[int, int]:
        argv, environment = tool_command("sandbox.cli.nix_build_shell")
        pid, master = pty.fork()
        if pid == 0:
            words = [*argv, "--store", hand_made.store, hand_made.path, *command]
            os.execve(words[0], words, {**environment, "TERM": "dumb"})
        started.append((pid, master))
        return pid, master

    yield start
    for pid, master in started:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(master)


def _status(pid: int) -> int | None:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def _read_until(master: int, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data and select.select([master], [], [], LIMIT_S)[0]:
        data += os.read(master, 65536)
    return data


def test_a_terminal_that_nobody_reads_keeps_no_signal_from_ending_the_run(on_a_terminal):
    pid, master = on_a_terminal("bash", "-c", "echo ready; exec yes")
    _read_until(master, b"y\r\ny")
    time.sleep(0.5)
    os.kill(pid, signal.SIGTERM)
    assert _status(pid) == 128 + signal.SIGTERM


def test_all_of_a_flood_arrives_though_the_reader_is_slow(on_a_terminal):
    pid, master = on_a_terminal("bash", "-c", "stty -opost; seq 200000; exit 6")
    time.sleep(1)
    data = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        data += piece
    assert _status(pid) == 6
    assert data.replace(b"\r\n", b"\n") == b"".join(b"%d\n" % n for n in range(1, 200_001))


def test_a_terminal_that_is_hung_up_ends_the_run(hand_made, tool_command):
    argv, environment = tool_command("sandbox.cli.nix_build_shell")
    program = f"""
import os, pty, sys
pid, master = pty.fork()
if pid == 0:
    os.execve({argv[0]!r}, sys.argv[1:], {environment!r})
said = b""
while b"ready" not in said:
    said += os.read(master, 100)
os.close(master)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    script = "echo ready; while sleep 0.05; do echo y; done"
    command = [*argv, "--store", hand_made.store, hand_made.path, "bash", "-c", script]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, timeout=LIMIT_S, check=True
    )
    assert int(done.stdout) == 128 + signal.SIGHUP
