"""Each call does what the manual says, and tells what it was when it is refused."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket

import pytest

from sandbox.linux import syscalls
from tests.linux.forks import in_child, in_namespaces, refused

pytestmark = pytest.mark.namespaces


def test_the_birth_of_a_file_is_told_and_does_not_change_with_it(tmp_path):
    (tmp_path / "file").write_text("old")
    handle = os.open(tmp_path / "file", os.O_PATH)
    born = syscalls.birth_time_ns(handle)
    os.utime(tmp_path / "file", (1, 1))
    assert syscalls.birth_time_ns(handle) == born
    os.close(handle)
    assert refused(syscalls.birth_time_ns, handle).errno == errno.EBADF


def test_names_of_host_and_domain_are_set():
    def inside():
        syscalls.sethostname("localhost")
        syscalls.setdomainname("(none)")
        with open("/proc/sys/kernel/domainname") as file:
            return os.uname().nodename, file.read()

    assert in_namespaces(inside) == ("localhost", "(none)\n")


def test_an_interface_is_brought_up():
    def inside():
        syscalls.bring_up("lo")
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            with socket.create_connection(server.getsockname()):
                return True

    assert in_namespaces(inside)


def test_an_interface_that_is_not_there_is_told():
    error = in_namespaces(lambda: refused(syscalls.bring_up, "eth9"))
    assert error.errno == errno.ENODEV
    assert "SIOCGIFFLAGS" in error.filename


def test_unshare_names_the_namespaces_that_it_was_refused():
    def inside():
        # No limit of user namespaces is left for those that are made inside.
        with open("/proc/sys/user/max_user_namespaces", "w") as file:
            file.write("0")
        return refused(syscalls.unshare, "user", "mnt")

    error = in_namespaces(inside, "user", "pid")
    assert (error.errno, error.filename) == (errno.ENOSPC, "unshare(CLONE_NEWUSER|CLONE_NEWNS)")


def test_a_soft_limit_is_set_and_the_hard_one_kept():
    def inside():
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        syscalls.set_limit(syscalls.RLIMIT_CORE, 0)
        return resource.getrlimit(resource.RLIMIT_CORE) == (0, hard)

    assert in_child(inside)


def test_a_limit_is_raised_to_the_hard_one_or_a_ceiling_below_it():
    def inside():
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))
        syscalls.set_limit(syscalls.RLIMIT_NOFILE, None, 90)
        first = resource.getrlimit(resource.RLIMIT_NOFILE)
        syscalls.set_limit(syscalls.RLIMIT_NOFILE, None)
        return first, resource.getrlimit(resource.RLIMIT_NOFILE)

    assert in_child(inside) == ((90, 100), (100, 100))


def test_the_personality_is_set():
    def inside():
        syscalls.personality(0x0040000)
        with open("/proc/self/personality") as file:
            return file.read().strip()

    assert in_child(inside) == "00040000"


def test_no_new_privileges_is_set_for_good():
    def inside():
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        with open("/proc/self/status") as file:
            return "NoNewPrivs:\t1\n" in file.read()

    assert in_child(inside)


def test_every_signal_is_at_its_default_and_none_blocked():
    def inside():
        syscalls.set_blocked_signals((signal.SIGTERM, signal.SIGUSR1))
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        syscalls.default_signals()
        syscalls.set_blocked_signals(())
        with open("/proc/self/status") as file:
            lines = dict(line.split(":\t", 1) for line in file)
        return {lines[name].strip() for name in ("SigBlk", "SigIgn", "SigCgt")}

    assert in_child(inside) == {"0" * 16}


def test_a_signal_is_read_from_its_descriptor():
    def inside():
        syscalls.set_blocked_signals((signal.SIGUSR1,))
        fd = syscalls.signalfd((signal.SIGUSR1,))
        os.kill(os.getpid(), signal.SIGUSR1)
        return syscalls.next_signal(fd)

    assert in_child(inside) == signal.SIGUSR1


def test_descriptors_from_the_first_on_are_closed_by_exec():
    def inside():
        kept, closed = os.open("/", os.O_RDONLY), os.open("/", os.O_RDONLY)
        for fd in (kept, closed):
            os.set_inheritable(fd, True)
        syscalls.close_on_exec_from(closed)
        return os.get_inheritable(kept), os.get_inheritable(closed)

    assert in_child(inside) == (True, False)


def test_a_command_that_cannot_be_executed_is_told():
    error = in_child(lambda: refused(syscalls.execve, "/no/such", ("such", 'a "word"'), ()))
    assert error.filename == 'execve("/no/such", ["such", "a \\"word\\""])'


@pytest.mark.skipif(syscalls.landlock_abi() < 6, reason="Landlock scopes need Linux 6.12")
def test_an_abstract_socket_from_before_is_out_of_reach():
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0nbs-test-{os.getpid()}")
        server.listen()

        def inside():
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            syscalls.landlock_scope_abstract_sockets()
            with socket.socket(socket.AF_UNIX) as client:
                return refused(client.connect, server.getsockname()).errno

        assert in_child(inside) == errno.EPERM
