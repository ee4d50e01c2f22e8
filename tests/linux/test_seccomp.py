"""The filter, asked of the kernel itself: each call is made, natively and as a 32-bit program would."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox.linux import syscalls
from sandbox.model.profile import parse_profile
from sandbox.model.seccomp import RET_KILL_THREAD, compile_filter, filter_for
from tests.linux.forks import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MACHINE = platform.machine()
PROFILES = (
    "nix-2.8",
    "nix-2.18.1",
    "nix-2.18.3",
    "nix-2.24.0",
    "nix-2.34.8",
    "nix-2.35.0",
    "lix-2.90",
    "lix-2.94",
)

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(
        MACHINE != "x86_64", reason="the numbers in these tests are those of x86_64"
    ),
]


def filtered(profile: str, function: Callable[[], object]) -> object:
    """What `function` returns under the filter of a profile."""
    program = compile_filter(filter_for(parse_profile(profile)), MACHINE)

    def inside() -> object:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.seccomp_filter(program)
        return function()

    return in_child(inside)


def call(number: int, *arguments: object) -> int:
    """A system call's errno, 0 if it went well."""
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *arguments) < 0 else 0


def in_profiles(*since: str) -> list[object]:
    """Parameters: each profile, and whether it is one of `since`."""
    return [pytest.param(profile, profile in since, id=profile) for profile in PROFILES]


@pytest.fixture
def file(tmp_path: Path) -> bytes:
    (tmp_path / "file").touch()
    return os.fsencode(tmp_path / "file")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755, 0o7777])
def test_no_set_id_bit_can_be_set(profile, mode, file):
    def inside():
        fd = os.open(file, os.O_RDONLY)
        return call(90, file, mode), call(91, fd, mode), call(268, -100, file, mode)

    assert filtered(profile, inside) == (errno.EPERM,) * 3
    assert os.stat(file).st_mode & 0o6000 == 0


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("mode", [0o755, 0o1777, 0o000, 0o644])
def test_every_other_mode_can_be_set(profile, mode, file):
    assert filtered(profile, lambda: (call(90, file, mode), call(268, -100, file, mode))) == (0, 0)
    assert os.stat(file).st_mode & 0o7777 == mode


@pytest.mark.parametrize(
    ("profile", "refused"),
    in_profiles("nix-2.18.3", "nix-2.24.0", "nix-2.34.8", "nix-2.35.0", "lix-2.90", "lix-2.94"),
)
def test_the_newer_fchmodat_is_filtered_since_it_was_known(profile, refused, file):
    if call(452, -100, file, 0o644, 0) == errno.ENOSYS:
        pytest.skip("fchmodat2 needs Linux 6.6")
    wanted = (errno.EPERM, 0) if refused else (0, 0)

    def inside():
        return call(452, -100, file, 0o4755, 0), call(452, -100, file, 0o1755, 0)

    assert filtered(profile, inside) == wanted


@pytest.mark.parametrize("profile", PROFILES)
def test_no_extended_attribute_can_be_set(profile, file):
    def inside():
        fd = os.open(file, os.O_RDONLY)
        value = (b"user.name", b"value", 5, 0)
        return call(188, file, *value), call(189, file, *value), call(190, fd, *value)

    assert filtered(profile, inside) == (errno.EOPNOTSUPP,) * 3


@pytest.mark.parametrize(
    ("profile", "refused"), in_profiles("nix-2.24.0", "nix-2.34.8", "nix-2.35.0")
)
def test_reading_an_extended_attribute_is_refused_by_version(profile, refused, file):
    def inside():
        fd = os.open(file, os.O_RDONLY)
        value = (b"user.name", None, 0)
        return {call(191, file, *value), call(192, file, *value), call(193, fd, *value)}

    # The file has none, which only an answer of the file system can say.
    native = {call(191, file, b"user.name", None, 0)}
    assert filtered(profile, inside) == ({errno.EOPNOTSUPP} if refused else native)


@pytest.mark.parametrize(("profile", "refused"), in_profiles("nix-2.35.0"))
def test_listing_extended_attributes_is_refused_by_version(profile, refused, file):
    def inside():
        fd = os.open(file, os.O_RDONLY)
        return {call(194, file, None, 0), call(195, file, None, 0), call(196, fd, None, 0)}

    assert filtered(profile, inside) == ({errno.EOPNOTSUPP} if refused else {0})


@pytest.mark.parametrize(("profile", "refused"), in_profiles("lix-2.94"))
def test_lix_hides_io_uring_and_what_it_does_not_know(profile, refused):
    def inside():
        return call(425, 0, None), call(426, -1, 0, 0, 0, None, 0), call(9999)

    io_uring = call(425, 0, None)
    answers = filtered(profile, inside)
    assert answers == (
        (errno.ENOSYS,) * 3
        if refused
        else (io_uring, call(426, -1, 0, 0, 0, None, 0), errno.ENOSYS)
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_a_program_ends_in_killing_what_calls_as_another_architecture(profile):
    program = compile_filter(filter_for(parse_profile(profile)), MACHINE)
    assert program[-8:] == b"\x06\0\0\0" + RET_KILL_THREAD.to_bytes(4, "little")


def test_the_filter_of_an_unknown_machine_is_empty():
    assert compile_filter(filter_for(parse_profile("2.8")), "vax") == b""


INT80 = """\
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
  return (int)result;
}
/* Pointers have to fit in 32 bits: without PIE, static data does. */
static char path[4096];
void _start(void) {
  long *stack;
  __asm__ volatile("lea 8(%%rbp), %0" : "=r"(stack));
  char **argv = (char **)(stack + 1);
  char *from = argv[1], *to = path;
  while ((*to++ = *from++)) {}
  int results[] = {
    -call(15, (long)path, 04755, 0),
    -call(15, (long)path, 01755, 0),
    -call(306, -100, (long)path, 02755),
    -call(226, (long)path, (long)path, 0),
    -call(229, (long)path, (long)"user.name", 0),
    -call(20, 0, 0, 0) > 0,
  };
  __asm__ volatile("syscall" :: "a"(1), "D"(1), "S"(results), "d"(sizeof results) : "memory");
  __asm__ volatile("syscall" :: "a"(60), "D"(0));
}
"""


@pytest.fixture(scope="session")
def int80(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program of 64 bits that makes its calls the way of 32 bits; prints their error numbers."""
    if shutil.which("gcc") is None:
        pytest.skip("a C compiler is needed")
    directory = tmp_path_factory.mktemp("int80")
    (directory / "int80.c").write_text(INT80)
    how = ["-O1", "-fno-omit-frame-pointer", "-static", "-nostdlib", "-no-pie", "-fno-pie"]
    how += ["-fno-stack-protector", "-w"]
    program = str(directory / "int80")
    subprocess.run(["gcc", *how, "-o", program, str(directory / "int80.c")], check=True)
    return program


def answers_of(program: str, file: bytes, profile: str) -> list[int]:
    def inside() -> list[int]:
        out = subprocess.run([program, file], capture_output=True, check=False).stdout
        return [
            int.from_bytes(out[i : i + 4], "little", signed=True) for i in range(0, len(out), 4)
        ]

    found = filtered(profile, inside) if profile else in_child(inside)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("profile", ["nix-2.8", "nix-2.24.0", "lix-2.94"])
def test_calls_of_32_bits_are_filtered_too(int80, file, profile):
    native = answers_of(int80, file, "")
    if len(native) < 6 or native[0] == errno.ENOSYS:
        pytest.skip("this kernel has no calls of 32 bits")
    chmod, sticky, fchmodat, setxattr, getxattr, getpid = answers_of(int80, file, profile)
    assert (chmod, fchmodat) == (errno.EPERM, errno.EPERM)
    assert (sticky, getpid) == (0, 0)
    assert setxattr == errno.EOPNOTSUPP
    assert getxattr == (errno.EOPNOTSUPP if profile == "nix-2.24.0" else native[4])
    assert os.stat(file).st_mode & 0o7777 == 0o1755


def test_the_calls_of_x32_are_filtered_too(file):
    native = call(0x40000000 + 90, file, 0o755)
    refused = filtered("nix-2.8", lambda: call(0x40000000 + 90, file, 0o4755))
    assert refused == errno.EPERM, f"without the filter: {native}"
