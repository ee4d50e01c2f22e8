"""Which terminal a group of processes waits to read from, as /proc tells it.

Only what waits without a limit of time counts: a program that looks at the keyboard now and then
goes on without it.
"""

from __future__ import annotations

import os
import struct

PROCESSES, THREADS, POLLED = 4096, 32, 1024
THE_TERMINAL_OF_ITS_SESSION = os.makedev(5, 0)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
POLLIN, FOREVER = 1, 0xFFFFFFFF

# The numbers of read, readv, poll, ppoll, select, pselect6. 3 is the read of 32-bit programs, and
# a call that never waits in those of 64 bits.
_CALLS = {
    "x86_64": ({0, 3, 19}, {7}, {271}, {23}, {270}),
    "aarch64": ({3, 63, 65}, {168}, {73}, {142}, {72}),
}
_NONE: tuple[set[int], ...] = (set(), set(), set(), set(), set())
WAIT4 = {"x86_64": 61, "aarch64": 260}.get(os.uname().machine, -1)
READ, POLL, PPOLL, SELECT, PSELECT = _CALLS.get(os.uname().machine, _NONE)


def waits_for(group: int, terminals: dict[int, int]) -> int | None:
    """The terminal that a process of the group waits for; `terminals` are some by device number."""
    for process in members(group):
        for call in _calls(process):
            for descriptor in _awaited(process, call):
                terminal = terminals.get(_device(process, descriptor))
                if terminal is not None:
                    return terminal
    return None


def members(group: int) -> list[str]:
    """The processes of a group that run, its leader first: it mostly is the one that asks."""
    found = [str(group)] if _group(str(group)) == group else []
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    others = [name for name in names if name.isdigit() and name != str(group)][:PROCESSES]
    return found + [name for name in others if _group(name) == group]


def _group(process: str) -> int:
    fields = stat_fields(process)
    return int(fields[2]) if len(fields) > 2 and fields[0] in "SDR" else -1  # noqa: PLR2004


def stat_fields(process: str) -> list[str]:
    """What /proc/PID/stat has after the program's name: state, parent, group, …"""
    return _read(f"/proc/{process}/stat").rpartition(")")[2].split()


def name_of(process: int) -> str:
    """The short name of the program that a process runs, empty if there is none."""
    return _read(f"/proc/{process}/stat").partition("(")[2].rpartition(")")[0]


def children(process: int, group: int) -> list[str]:
    """The children of a process that are in a group, the oldest first."""
    found = _read(f"/proc/{process}/task/{process}/children").split()
    return [child for child in found if _group(child) == group]


def command_line(process: str, shell: int) -> str:
    """The words that a process was started with, none for a copy of the shell."""
    words = _read(f"/proc/{process}/cmdline")
    return "…" if words == _read(f"/proc/{shell}/cmdline") else words.replace("\0", " ").strip()


def shields(process: str, signal: int) -> bool:
    """The process has a handler for the signal, ignores or blocks it: it need not end of it."""
    for line in _read(f"/proc/{process}/status").split("\n"):
        name, _, value = line.partition(":\t")
        if name in {"SigBlk", "SigCgt", "SigIgn"} and int(value, 16) >> (signal - 1) & 1:
            return True
    return False


def awaited_child_group(process: int) -> int:
    """The group of the youngest child, if the process waits for a child; else 0."""
    if not any(call[0] == WAIT4 for call in _calls(str(process))):
        return 0
    children = _read(f"/proc/{process}/task/{process}/children").split()
    return max(0, _group(children[-1])) if children else 0


def reads(process: int, descriptor: int, inode: int) -> bool:
    """The process waits to read from that descriptor, which is the socket of that number."""
    if not any(call[0] in READ and call[1] == descriptor for call in _calls(str(process))):
        return False
    try:
        return os.stat(f"/proc/{process}/fd/{descriptor}").st_ino == inode
    except OSError:
        return False


def is_copy(process: str, original: int, since: float) -> bool:
    """A fork of the original that runs no program of its own, made since then (CLOCK_BOOTTIME)."""
    fields = stat_fields(process)
    return (
        len(fields) > 19  # noqa: PLR2004
        and int(fields[19]) >= since * TICKS_PER_S
        and _read(f"/proc/{process}/cmdline") == _read(f"/proc/{original}/cmdline")
    )


def _calls(process: str) -> list[list[int]]:
    """The number and arguments of the system call that each thread is in."""
    try:
        threads = os.listdir(f"/proc/{process}/task")[:THREADS]
    except OSError:
        return []
    told = [_read(f"/proc/{process}/task/{thread}/syscall").split() for thread in threads]
    return [[int(word, 0) for word in words] for words in told if len(words) > 6]  # noqa: PLR2004


def _awaited(process: str, call: list[int]) -> list[int]:
    """The descriptors that a call waits to read from, with no limit of time."""
    number, first, second, third, _, fifth, *_ = call
    if number in READ:
        return [first]
    if (number in POLL and third & FOREVER == FOREVER) or (number in PPOLL and third == 0):
        count = min(second, POLLED)
        entries = struct.iter_unpack("=ihh", _memory(process, first, count * 8))
        return [descriptor for descriptor, events, _ in entries if events & POLLIN]
    if (number in SELECT or number in PSELECT) and fifth == 0:
        bits = _memory(process, second, (min(first, POLLED) + 63) // 64 * 8)
        return [n for n in range(len(bits) * 8) if n < first and bits[n // 8] >> n % 8 & 1]
    return []


def _memory(process: str, address: int, size: int) -> bytes:
    if address == 0 or size == 0:
        return b""
    try:
        memory = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = os.pread(memory, size, address)
        return data if len(data) == size else b""
    except (OSError, OverflowError):
        return b""
    finally:
        os.close(memory)


def _device(process: str, descriptor: int) -> int:
    try:
        return os.stat(f"/proc/{process}/fd/{descriptor & FOREVER}").st_rdev
    except OSError:
        return -1


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 4096).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
