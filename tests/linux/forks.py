"""Runs a function where it can do no harm: in a process, and in namespaces, of its own."""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from typing import TYPE_CHECKING, TypeVar

import pytest

from sandbox.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 30
ALL = ("user", "mnt", "pid", "ipc", "net", "uts")

Result = TypeVar("Result")


class FailedInside(AssertionError):
    """The function raised what cannot be brought home as it is; the text is its traceback."""


def refused(function: Callable[..., object], *arguments: object, **named: object) -> OSError:
    """What the kernel says to a call that it refuses."""
    with pytest.raises(OSError) as caught:
        function(*arguments, **named)
    return caught.value


def in_child(function: Callable[[], Result]) -> Result:
    """What `function` returns, or raises, in a forked process. 30 seconds at most."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _report(writer, function)
    os.close(writer)
    try:
        said = _all_of(reader)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert said, "the process ended without a word, or did not end"
    failed, value = pickle.loads(said)
    if failed:
        raise value
    return value


def in_namespaces(function: Callable[[], Result], *namespaces: str) -> Result:
    """The same in new namespaces, all six kinds or those named, as their user 1000 and PID 1."""

    def inside() -> Result:
        uid, gid = os.getuid(), os.getgid()
        syscalls.unshare(*(namespaces or ALL))
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"1000 {uid} 1"),
            ("gid_map", f"100 {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
        return in_child(function)

    return in_child(inside)


def _all_of(reader: int) -> bytes:
    data = b""
    while select.select([reader], [], [], LIMIT_S)[0]:
        piece = os.read(reader, 65536)
        if not piece:
            return data
        data += piece
    return b""


def _report(writer: int, function: Callable[[], object]) -> None:
    try:
        try:
            answer = (False, function())
        except BaseException as error:
            answer = (True, error)
        try:
            data = pickle.dumps(answer)
            pickle.loads(data)
        except Exception:
            data = pickle.dumps((True, FailedInside(traceback.format_exc())))
        os.write(writer, data)
    finally:
        os._exit(0)
