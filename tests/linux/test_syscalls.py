"""Each call does what the manual says, and tells what it was when it is refused."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket

import pytest

from sandbox.linux import syscalls
from tests.linux.forks import in_child, in_namespaces

pytestmark = pytest.mark.namespaces


def refused(function, *arguments, **named) -> OSError:
    with pytest.raises(OSError) as caught:
        function(*arguments, **named)
    return caught.value


def test_a_refused_mount_is_told_as_strace_prints_it():
    error = in_child(lambda: refused(syscalls.mount, 'a"b', "/no/where", "ext4", 0x5001, "data"))
    call = 'mount("a\\"b", "/no/where", "ext4", MS_RDONLY|MS_BIND|MS_REC, "data")'
    assert (error.errno, error.filename) == (errno.ENOENT, call) or error.errno == errno.EPERM


def test_the_birth_of_a_file_is_told_and_does_not_change_with_it(tmp_path):
    (tmp_path / "file").write_text("old")
    handle = os.open(tmp_path / "file", os.O_PATH)
    born = syscalls.birth_time_ns(handle)
    os.utime(tmp_path / "file", (1, 1))
    assert syscalls.birth_time_ns(handle) == born
    os.close(handle)
    assert refused(syscalls.birth_time_ns, handle).errno == errno.EBADF


def test_mount_attaches_a_file_system(tmp_path):
    def inside():
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("none", str(tmp_path), "tmpfs", 0, "mode=700")
        (tmp_path / "file").write_text("inside")
        return os.stat(tmp_path).st_mode & 0o777

    assert in_namespaces(inside) == 0o700
    assert os.listdir(tmp_path) == []


def test_a_mount_is_made_read_only_and_writable_again(tmp_path):
    def inside():
        place = str(tmp_path)
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("none", place, "tmpfs")
        syscalls.mount_setattr(place, read_only=True, recursive=True)
        error = refused(os.mkdir, f"{place}/new").errno
        syscalls.mount_setattr(place, read_only=False, recursive=False)
        os.mkdir(f"{place}/new")
        return error

    assert in_namespaces(inside) == errno.EROFS


@pytest.mark.skipif(os.getuid() != 0, reason="a directory that is closed to the caller is needed")
def test_places_are_made_and_bound_wherever_the_caller_stands(
    tmp_path, open_directory, unprivileged
):
    source, target = open_directory / "sources", open_directory / "places"
    for path in (source, target, source / "one"):
        path.mkdir()
    (source / "one/file").write_text("bound")
    (source / "two").write_text("bound too")

    def inside():
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("none", str(target), "tmpfs")
        syscalls.make_places(str(target), ("one",), ("two",), 1000, 100)
        syscalls.bind_each(str(source), str(target), ("one", "two"))
        return (target / "one/file").read_text(), (target / "two").read_text()

    def as_another():
        tmp_path.chmod(0o700)
        os.chdir(tmp_path)
        os.setgroups([])
        os.setgid(unprivileged)
        os.setuid(unprivileged)
        # Its own /proc is another's otherwise.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        return in_namespaces(inside, "user", "mnt")

    assert in_child(as_another) == ("bound", "bound too")


def test_an_overlay_shows_what_is_below_and_keeps_it(tmp_path):
    for name in ("lower", "upper", "work", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/file").write_text("below")

    def inside():
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        places = {name: str(tmp_path / name) for name in ("lower", "upper", "work", "target")}
        syscalls.mount_overlay(**places, uid=1000, gid=100)
        seen = (tmp_path / "target/file").read_text()
        (tmp_path / "target/file").write_text("changed")
        return seen

    assert in_namespaces(inside) == "below"
    assert (tmp_path / "lower/file").read_text() == "below"
    assert (tmp_path / "upper/file").read_text() == "changed"


def test_an_overlay_leaves_no_descriptor_open_even_when_it_is_refused(tmp_path):
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    places = {name: str(tmp_path / name) for name in ("lower", "upper", "work")}

    def inside():
        # What other tests left to the collector is closed now, and not in between.
        gc.collect()
        before = os.listdir("/proc/self/fd")
        error = refused(
            syscalls.mount_overlay, **places, target=str(tmp_path / "none"), uid=0, gid=0
        )
        return error.errno, before == os.listdir("/proc/self/fd")

    assert in_namespaces(inside) == (errno.ENOENT, True)


def test_the_old_root_is_gone_after_pivot_root(tmp_path):
    (tmp_path / "only").mkdir()

    def inside():
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount(str(tmp_path), str(tmp_path), "", syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.pivot_root(str(tmp_path))
        return os.getcwd(), os.listdir("/"), os.listdir("/..")

    assert in_namespaces(inside) == ("/", ["only"], ["only"])


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
