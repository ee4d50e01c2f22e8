"""A process that lives in a sandbox, what it starts there, and what neither can reach."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox.errors import CommandError, MachineError
from sandbox.linux import syscalls
from tests.linux.forks import LIMIT_S, in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Command, Inside, Sandbox
    from tests.conftest import Kept

pytestmark = pytest.mark.namespaces

OPTIONS = ("--noprofile", "--norc")


@pytest.fixture
def described(hand_made: Kept, monkeypatch, tmp_path) -> Sandbox:
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path))
    case = sandbox.read(hand_made.path, store=hand_made.store)
    return sandbox.describe(case, sandbox.Request(shell_options=OPTIONS))


@pytest.fixture
def lived(described) -> Callable[..., tuple[bytes, int, list[str]]]:
    """What a resident wrote to the pipe that it got, its status, and what is left of its run."""

    def lived(life: Callable[[Inside, int], int]) -> tuple[bytes, int, list[str]]:
        def run() -> tuple[bytes, int, list[str]]:
            reader, writer = os.pipe()
            residence = sandbox.settle(described, lambda i: life(i, writer), kept_open=(writer,))
            os.close(writer)
            said = b""
            while piece := os.read(reader, 65536):
                said += piece
            status = residence.close()
            return said, status, os.listdir(os.environ["NBS_STATE_HOME"] + "/run")

        return in_child(run)

    return lived


def script(inside: Inside, text: str, writer: int, **changed) -> Command:
    """The build's bash with a script, after what it reads first; its output goes to `writer`."""
    argv = (*inside.shell.argv, "-c", inside.shell.startup + text)
    nothing = os.open("/dev/null", os.O_RDWR)
    streams = ((0, nothing), (1, writer), (2, writer))
    return inside.shell.replace(argv=argv, descriptors=streams, **changed)


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_command_is_the_first_process_of_its_own_and_as_the_builder_was(lived):
    def life(inside, writer):
        text = (
            "echo $$ $UID $greeting $PWD; "
            "while read -r a b; do case $a in Cap[PE]*|NoNewPrivs:|Seccomp:) echo $b;; esac; "
            "done </proc/self/status; echo /proc/[0-9]*; exit 3"
        )
        return status_of(inside.start(script(inside, text, writer)))

    said, status, left = lived(life)
    words = said.decode().split()
    assert words[:4] == ["1", "1000", "hallo", "/build"]
    assert words[4:8] == ["0" * 16, "0" * 16, "1", "2"]
    assert words[8:] == ["/proc/1"]
    assert (status, left) == (3, [])


def test_one_proc_is_to_be_seen_as_in_a_build(lived):
    def life(inside, writer):
        text = "while read -r a a a a path rest; do echo $path; done </proc/self/mountinfo"
        return status_of(inside.start(script(inside, text, writer)))

    said, _, _ = lived(life)
    assert said.decode().split().count("/proc") == 1


def test_a_command_has_the_descriptors_that_it_was_given_at_their_numbers(lived):
    def life(inside, writer):
        ours, theirs = socket.socketpair()
        ours.sendall(b"a line\n")
        command = script(inside, "read -r line <&7; echo $line; echo /proc/self/fd/*", writer)
        command = command.replace(descriptors=(*command.descriptors, (7, theirs.fileno())))
        return status_of(inside.start(command))

    said, status, _ = lived(life)
    line, descriptors = said.decode().splitlines()
    assert line == "a line"
    # 255 is bash's own, or the directory that is being listed.
    seen = {int(path.rpartition("/")[2]) for path in descriptors.split()}
    assert {0, 1, 2, 7} <= seen
    assert seen - {0, 1, 2, 7, 3, 255} == set()
    assert status == 0


def test_numbers_inside_that_are_others_here_are_not_mixed_up(lived):
    def life(inside, writer):
        first, second = (os.memfd_create(name) for name in ("first", "second"))
        for descriptor, text in ((first, b"first\n"), (second, b"second\n")):
            os.pwrite(descriptor, text, 0)
        crossed = ((first, second), (second, first))
        command = script(inside, f"read a <&{first}; read b <&{second}; echo $a $b", writer)
        return status_of(inside.start(command.replace(descriptors=command.descriptors + crossed)))

    said, _, _ = lived(life)
    assert said == b"second first\n"


def test_a_command_may_have_a_terminal_of_the_sandbox_as_its_own(lived):
    def life(inside, writer):
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        slave = os.open(_name_of(master), os.O_RDWR | os.O_NOCTTY)
        command = script(inside, ": </dev/tty && echo has one", writer, terminal=8)
        streams = (*command.descriptors, (8, slave))
        return status_of(inside.start(command.replace(descriptors=streams)))

    said, _, _ = lived(life)
    assert said == b"has one\n"


def _name_of(master: int) -> str:
    fcntl.ioctl(master, 0x40045431, b"\0\0\0\0")
    number = int.from_bytes(fcntl.ioctl(master, 0x80045430, b"\0\0\0\0"), "little")
    return f"/dev/pts/{number}"


def test_commands_one_after_another_and_side_by_side_do_not_see_each_other(lived):
    def life(inside, writer):
        reader, held = os.pipe()
        waiting = inside.start(
            inside.shell.replace(
                argv=(*inside.shell.argv, "-c", "read"),
                descriptors=((0, reader), (1, writer), (2, writer)),
            )
        )
        seen = status_of(inside.start(script(inside, "echo /proc/[0-9]*", writer)))
        os.close(held)
        return seen + status_of(waiting)

    said, status, _ = lived(life)
    assert said == b"/proc/1\n"
    assert status == 1  # `read` at the end of its file


def test_what_a_command_leaves_running_ends_with_it(lived):
    def life(inside, writer):
        status_of(
            inside.start(script(inside, "(trap '' HUP TERM; read </dev/zero) & exit", writer))
        )
        return len([name for name in os.listdir("/proc") if name.isdigit()])

    _, status, _ = lived(life)
    assert status == 1


def test_a_resident_cannot_be_dumped_and_its_commands_could(lived):
    def life(inside, writer):
        del inside
        os.write(writer, str(syscalls.libc.prctl(3, 0, 0, 0, 0)).encode())
        return 0

    said, _, _ = lived(life)
    assert said == b"0"


def test_a_program_that_is_not_there_is_told_as_the_shell_would(lived):
    def life(inside, writer):
        try:
            inside.start(script(inside, "", writer, program="/no/shell"))
        except CommandError as error:
            os.write(writer, f"{error.reason} {error.exit_code}".encode())
        return 0

    said, _, _ = lived(life)
    assert said == b"command-not-found 127"


def test_a_resident_ends_with_the_one_who_made_it(described):
    def run() -> bool:
        reader, writer = os.pipe()
        told, telling = os.pipe()

        def life(inside: Inside) -> int:
            del inside
            os.write(writer, b"in")
            os.write(telling, b"in")
            signal.pause()
            return 0

        maker = os.fork()
        if maker == 0:
            os.close(reader)
            sandbox.settle(described, life, kept_open=(writer, telling))
            os.read(told, 2)
            os.kill(os.getpid(), signal.SIGKILL)
        os.close(writer)
        assert os.read(reader, 2) == b"in"
        # The last one who could write is gone.
        ready = select.select([reader], [], [], LIMIT_S)[0]
        os.waitpid(maker, 0)
        return bool(ready) and os.read(reader, 1) == b""

    assert in_child(run)


def test_a_resident_is_ended_from_outside_and_its_workspace_goes(described):
    def run() -> tuple[int, list[str]]:
        def life(inside: Inside) -> int:
            del inside
            signal.pause()
            return 0

        residence = sandbox.settle(described, life)
        assert residence.status() is None
        status = residence.close()
        return status, os.listdir(os.environ["NBS_STATE_HOME"] + "/run")

    assert in_child(run) == (128 + signal.SIGKILL, [])


def test_what_goes_wrong_in_a_resident_does_not_go_on_as_its_maker(lived, capfd):
    def life(inside, writer):
        del inside, writer
        raise LookupError("told on stderr")

    _, status, left = lived(life)
    assert (status, left) == (125, [])
    assert "told on stderr" in capfd.readouterr().err


def test_a_machine_without_user_namespaces_is_told_and_nothing_is_left(described, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted", "unshare()")

    monkeypatch.setattr(syscalls, "unshare", refuse)

    def run() -> tuple[str, list[str]]:
        with pytest.raises(MachineError) as caught:
            sandbox.settle(described, lambda _: 0)
        return caught.value.reason, os.listdir(os.environ["NBS_STATE_HOME"] + "/run")

    assert in_child(run) == ("user-namespaces-forbidden", [])


def test_a_process_beside_has_no_sandbox_and_ends_with_its_maker():
    def run() -> tuple[int, int]:
        residence = sandbox.stay_outside(lambda: 7)
        select.select([residence.ended], [], [], LIMIT_S)
        waiting = sandbox.stay_outside(lambda: signal.pause() or 0)
        return residence.close(), waiting.close()

    assert in_child(run) == (7, 128 + signal.SIGKILL)
