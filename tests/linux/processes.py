"""The processes of a sandbox, as they are seen from outside."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 30


def eventually(fact: Callable[[], object]) -> bool:
    """Does it become true within the limit?"""
    end = time.monotonic() + LIMIT_S
    while not fact():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def command_of(tool: int) -> int:
    """The command's PID as it is outside: the tool's only child."""
    with open(f"/proc/{tool}/task/{tool}/children") as file:
        return int(file.read())


def processes_in(namespace: str) -> list[str]:
    """The processes in a pid namespace, as outside sees them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                found.append(pid)
        except OSError:
            continue
    return found


def not_running(word: str) -> bool:
    """Is there no process with this word in its command line?"""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word.encode() in file.read().split(b"\0"):
                    return False
        except OSError:
            continue
    return True


def has_ended(pid: int) -> bool:
    """Is it a zombie, which only its parent's waiting takes away?"""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def is_named(name: str, pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read() == f"{name}\n"
    except OSError:
        return False


def namespace_of(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def runs(name: str, tool: int) -> bool:
    """Is there a process of that name in the sandbox of the tool with that PID?"""
    return any(is_named(name, pid) for pid in processes_of(tool))


def processes_of(tool: int) -> list[str]:
    """The processes in the sandbox of the tool with that PID, as outside sees them."""
    try:
        return processes_in(namespace_of(command_of(tool)))
    except (OSError, ValueError):
        return []


def runs_in_foreground(name: str, tool: int) -> bool:
    """Is there one of that name that is not stopped, and gets the signals of the keyboard?"""
    return any(is_named(name, pid) and _is_in_foreground(pid) for pid in processes_of(tool))


def _is_in_foreground(pid: str) -> bool:
    """proc_pid_stat(5): its process group is the foreground one of its terminal."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state, _, group, _, _, foreground, *_ = file.read().rpartition(")")[2].split()
    except OSError:
        return False
    return state in "RS" and group == foreground
