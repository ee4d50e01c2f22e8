"""A command's life: what it is given, what reaches it, how it ends, and that nothing stays."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.linux.processes import (
    LIMIT_S,
    command_of,
    eventually,
    has_ended,
    namespace_of,
    not_running,
    processes_in,
    runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

ENDING = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]


@pytest.fixture
def run(hand_made: Kept, run_tool: RunTool, unprivileged: int):
    def run(*command: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        return run_tool(
            "--store", hand_made.store, hand_made.path, *command, as_user=unprivileged, **options
        )

    return run


@pytest.fixture
def argv(hand_made: Kept, tool_command, unprivileged: int) -> tuple[list[str], dict[str, object]]:
    """The command line up to the command, and what subprocess has to be told."""
    start, environment = tool_command("sandbox.cli.nix_build_shell", unprivileged)
    who = {"user": unprivileged, "group": unprivileged, "extra_groups": ()}
    options = {"env": environment, "cwd": "/", **(who if os.getuid() == 0 else {})}
    return [*start, "--store", hand_made.store, hand_made.path], options


@pytest.fixture
def running(argv) -> Callable[..., object]:
    """A run that has said `ready` on its standard output: `with running(script) as tool`.

    Nothing comes on its standard input, which `end_of` ends.
    """

    @contextmanager
    def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
        start, options = argv
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen([*start, *command], **pipes, **options) as tool:
            try:
                assert tool.stdout.readline() == b"ready\n"
                yield tool
            finally:
                tool.kill()

    return running


def end_of(tool: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, err = tool.communicate(timeout=LIMIT_S)
    return tool.returncode, out, err


@pytest.mark.parametrize("status", [0, 1, 7, 125, 126, 127, 128, 255])
def test_a_status_passes_through(run, status):
    assert run("bash", "-c", f"exit {status}").returncode == status


def test_a_signal_that_ends_the_command_from_outside_becomes_a_status(running):
    with running("bash", "-c", "echo ready; exec sleep 1000") as tool:
        os.kill(command_of(tool.pid), signal.SIGKILL)
        assert end_of(tool) == (128 + signal.SIGKILL, b"", b"")


def test_a_signal_that_ends_a_child_of_the_shell_becomes_its_status(run):
    assert run("bash", "-c", "bash -c 'kill -SEGV $$'; exit $?").returncode == 128 + signal.SIGSEGV


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_ends_a_command_that_does_not_handle_it(running, number):
    with running("bash", "-c", "echo ready; exec sleep 1000") as tool:
        # Until then it is bash, which ignores SIGQUIT.
        assert eventually(lambda: runs("sleep", tool.pid))
        tool.send_signal(number)
        assert end_of(tool) == (128 + number, b"", b"")


# Bash ignores SIGQUIT, wherever it runs.
@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name
)
def test_a_signal_ends_a_shell_that_waits_for_a_program(running, number):
    with running("bash", "-c", "echo ready; sleep 1000; echo went on") as tool:
        assert eventually(lambda: runs("sleep", tool.pid))
        tool.send_signal(number)
        assert end_of(tool)[:2] == (128 + number, b"")


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_that_the_command_handles_is_its_own_affair(running, number):
    script = (
        f"trap 'echo handled; exit 3' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    )
    with running("bash", "-c", script) as tool:
        tool.send_signal(number)
        status, out, _ = end_of(tool)
        assert (status, out) == (3, b"handled\n")


def test_a_signal_that_the_command_ignores_has_no_effect(running):
    script = "trap '' TERM; echo ready; read; exit 4"
    with running("bash", "-c", script) as tool:
        tool.send_signal(signal.SIGTERM)
        assert end_of(tool) == (4, b"", b"")


def test_a_signal_that_comes_when_the_command_has_ended_does_not_change_its_status(running):
    with running("bash", "-c", "echo ready; read; exit 4") as tool:
        tool.send_signal(signal.SIGSTOP)
        tool.send_signal(signal.SIGTERM)
        tool.stdin.close()
        tool.stdin = None
        assert eventually(lambda: has_ended(command_of(tool.pid)))
        tool.send_signal(signal.SIGCONT)
        assert end_of(tool) == (4, b"", b"")


def test_a_killed_tool_takes_every_process_with_it(running):
    with running("bash", "-c", "sleep 1000 & setsid sleep 1000 & echo ready; wait") as tool:
        namespace = namespace_of(command_of(tool.pid))
        tool.kill()
        assert eventually(lambda: processes_in(namespace) == [])


def test_a_killed_tool_leaves_no_mount(running):
    with running("bash", "-c", "echo ready; exec sleep 1000") as tool:
        tool.kill()
        tool.wait()
        with open("/proc/self/mountinfo") as file:
            assert "nbs-tests" not in file.read()


def test_the_next_start_sweeps_what_a_killed_one_left(running, run, argv):
    states = argv[1]["env"]["NBS_STATE_HOME"] + "/run"
    with running("bash", "-c", "echo > /build/left; echo ready; exec sleep 1000") as tool:
        assert len(os.listdir(states)) == 1
        namespace = namespace_of(command_of(tool.pid))
        tool.kill()
        assert eventually(lambda: processes_in(namespace) == [])
        tool.wait()
    assert len(os.listdir(states)) == 1
    assert run("true").returncode == 0
    assert os.listdir(states) == []


def test_a_start_that_is_killed_at_any_moment_leaves_at_most_what_the_next_one_sweeps(
    argv, run, open_directory
):
    start, options = argv
    states = f"{options['env']['NBS_STATE_HOME']}/run"
    began = time.monotonic()
    assert run("true").returncode == 0
    takes = time.monotonic() - began
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    moments = 20
    for moment in range(moments):
        # A word that only processes of this run have in their command lines.
        mark = f"{open_directory.name}-killed-{moment}"
        with subprocess.Popen(
            [*start, "bash", "-c", "sleep 1000; :", mark], **quiet, **options
        ) as tool:
            with suppress(subprocess.TimeoutExpired):
                tool.wait(takes * moment / moments)
            tool.kill()
        assert eventually(lambda m=mark: not_running(m)), f"moment {moment}"
    with open("/proc/self/mountinfo") as file:
        assert states not in file.read()
    assert run("true").returncode == 0
    assert os.listdir(states) == []


def test_a_run_that_still_lives_is_not_swept(running, run):
    with running("bash", "-c", "echo ready; read; [ -e /build/env-vars ] && exit 5") as tool:
        assert run("true").returncode == 0
        assert end_of(tool)[0] == 5


def test_what_the_command_started_ends_with_it(running):
    with running("bash", "-c", "setsid sleep 1000 <&- >&- 2>&- & echo ready; read; exit 0") as tool:
        namespace = namespace_of(command_of(tool.pid))
        assert end_of(tool)[0] == 0
        assert processes_in(namespace) == []


def test_the_tool_has_no_other_child_than_the_command(running):
    with running("bash", "-c", "(sleep 0.01 &); echo ready; sleep 1000") as tool:
        assert command_of(tool.pid) > 0


def test_the_command_leads_a_session_and_a_process_group_of_its_own(run):
    done = run(
        "bash", "-c", "read -r _ _ _ _ group session _ < /proc/self/stat; echo $group $session"
    )
    assert done.stdout == b"1 1\n"


def test_only_the_three_descriptors_get_inside(hand_made, tool_command):
    # As the caller, since a descriptor of root's may be one that nobody else can open again.
    start, environment = tool_command("sandbox.cli.nix_build_shell")
    extra = [os.open("/", os.O_RDONLY), *os.pipe()]
    done = subprocess.run(
        [*start, "--store", hand_made.store, hand_made.path, "bash", "-c", "ls /proc/1/fd; :"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        pass_fds=extra,
        check=False,
    )
    for descriptor in extra:
        os.close(descriptor)
    assert done.stdout.split() == [b"0", b"1", b"2"]


def test_nothing_of_the_caller_s_environment_gets_inside(run):
    caller = {
        "FOO": "from outside",
        "BASH_ENV": "/etc/profile",
        "ENV": "/etc/profile",
        "LD_LIBRARY_PATH": "/nowhere",
        "PERL5LIB": "/nowhere",
        "NIX_PATH": "nixpkgs=/nowhere",
        "BASH_FUNC_echo%%": "() { printf outside; }",
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    }
    inside = run("env", "-0", env=caller).stdout.decode().split("\0")
    names = {line.partition("=")[0] for line in inside if line}
    assert names == {"PATH", "SHELL", "greeting", "PWD", "SHLVL", "OLDPWD", "_"} & names
    assert {"PATH", "SHELL", "greeting"} <= names


def test_bash_env_of_the_caller_is_not_run(run):
    done = run(
        "bash", "-c", "echo -n", env={"BASH_ENV": "/proc/self/environ", "SHELLOPTS": "xtrace"}
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_every_signal_is_at_its_default_and_none_held_back(argv):
    start, options = argv
    done = subprocess.run(
        [*start, "cat", "/proc/self/status"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
        check=False,
        **options,
    )
    lines = dict(line.split(":\t", 1) for line in done.stdout.decode().splitlines())
    assert {lines[name] for name in ("SigBlk", "SigIgn", "SigCgt")} == {"0" * 16}


def test_the_umask_is_the_build_s_own(argv):
    start, options = argv
    command = [*start, "bash", "-c", "umask"]
    done = subprocess.run(
        command, capture_output=True, umask=0o077, check=False, stdin=subprocess.DEVNULL, **options
    )
    assert done.stdout == b"0022\n"


def test_a_pipe_that_nobody_reads_ends_the_command_alone(argv):
    start, options = argv
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as file:
        done = subprocess.run(
            [*start, "bash", "-c", "yes; exit ${PIPESTATUS[0]}"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            check=False,
            **options,
        )
    assert done.returncode == 128 + signal.SIGPIPE


def test_with_few_descriptors_a_run_ends_well_or_says_that_they_are_too_few(argv):
    start, options = argv
    told = []
    for most in (*range(6, 18), 30):
        done = subprocess.run(
            [*start, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=lambda n=most: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)),
            check=False,
            **options,
        )
        told.append(done.returncode)
        assert ("(too-many-open-files, 125)" in done.stderr) == (done.returncode == 125)
        assert "Traceback" not in done.stderr
    assert set(told) == {0, 125}
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("most", [30, 66])
def test_few_descriptors_are_no_reason_to_copy_what_was_kept(argv, most):
    start, options = argv
    done = subprocess.run(
        [*start, "bash", "-c", "ulimit -n; stat -f -c %T /build"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
        check=False,
        **options,
    )
    assert done.stdout.split() == [b"%d" % most, b"overlayfs"]


@pytest.mark.parametrize("option", ["--copy", "--sandboxed"])
def test_namespaces_that_are_forbidden_are_named_whatever_else_was_refused(argv, option):
    # As root of a user namespace, where the files of others cannot be given away either.
    start, options = argv
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    within = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh"]
    command = [*within, *start[:-1], option, start[-1], "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 125
    assert "(user-namespaces-forbidden, 125)" in done.stderr
    assert "hint: `nbs doctor`" in done.stderr
