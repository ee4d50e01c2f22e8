"""Whatever call the kernel refuses: the step is named, and nothing is left behind."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox.errors import CommandError, MachineError, StepFailed
from sandbox.linux import launch, syscalls
from sandbox.linux.apply import Linux, apply
from sandbox.session import run as run_module
from tests.linux.forks import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.spec import Sandbox
    from tests.conftest import Kept

pytestmark = pytest.mark.namespaces


class Counting:
    """The real calls; the one with the number `refuse`, from 0, gets EPERM."""

    def __init__(self, real: object, refuse: int) -> None:
        self.real = real
        self.refuse = refuse
        self.count = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arguments: object, **named: object) -> None:
            self.count += 1
            if self.count - 1 == self.refuse:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM), f"{name}()")
            if self.real is not None:
                getattr(self.real, name)(*arguments, **named)

        return call


@pytest.fixture
def described(hand_made: Kept, monkeypatch, tmp_path) -> Sandbox:
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path))
    case = sandbox.read(hand_made.path, store=hand_made.store)
    return sandbox.describe(case, sandbox.Request(command=("true",)))


def steps_by_call(described: Sandbox) -> list[int]:
    """For each call, the number of its step; calls that may be refused are left out as -1."""
    steps: list[int] = []
    enter = sandbox.plan(described).enter
    for index, step in enumerate(enter):
        calls = Counting(None, -1)
        apply(step, calls)
        # Another directory is tried when one is refused.
        optional = getattr(step, "candidates", ("only",))[1:]
        steps += [-1 if optional else index] * calls.count
    return steps


def traces() -> set[str]:
    """What a run could leave in this process: children, and descriptors with what they lead to."""
    # What earlier tests left to the collector is closed now, and not in the middle of a run.
    gc.collect()
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        found = {f"child {pid}" for pid in file.read().split()}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # of the listing itself
            found.add(f"{descriptor} -> {os.readlink(f'/proc/self/fd/{descriptor}')}")
    return found


def left_of(described: Sandbox) -> tuple[object, set[str], list[str]]:
    """How entering ends, what is left in this process, and what is in the state directory."""
    before = traces()
    try:
        end: object = sandbox.enter(described)
    except MachineError as error:
        end = error.index if isinstance(error, StepFailed) else error.reason
    except CommandError as error:
        end = error.reason
    runs = os.listdir(os.environ["NBS_STATE_HOME"] + "/run")
    return end, traces() - before, runs


def test_a_run_without_faults_leaves_nothing(described):
    assert in_child(lambda: left_of(described)) == (0, set(), [])


def test_each_call_that_is_refused_names_its_step_and_leaves_nothing(described, monkeypatch):
    expected = steps_by_call(described)
    assert len(expected) > len(sandbox.plan(described).enter)
    for number, step in enumerate(expected):
        monkeypatch.setattr(launch, "Linux", lambda *given, n=number: Counting(Linux(*given), n))
        end = 0 if step == -1 else step
        assert in_child(lambda: left_of(described)) == (end, set(), []), f"call {number}"


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), "refused()")


def test_a_machine_without_user_namespaces_is_told_and_nothing_is_left(described, monkeypatch):
    monkeypatch.setattr(syscalls, "unshare", refuse)
    assert in_child(lambda: left_of(described)) == ("user-namespaces-forbidden", set(), [])


def test_a_machine_without_another_process_is_told_and_nothing_is_left(described, monkeypatch):
    fork = os.fork

    def run() -> object:
        caller = os.getpid()
        monkeypatch.setattr(os, "fork", lambda: fork() if os.getpid() == caller else refuse())
        return left_of(described)

    assert in_child(run) == ("process-refused", set(), [])


def test_a_machine_that_starts_no_process_at_all_is_told_and_nothing_is_left(
    described, monkeypatch
):
    def run() -> object:
        monkeypatch.setattr(os, "fork", refuse)
        return left_of(described)

    assert in_child(run) == ("process-refused", set(), [])


def test_a_workspace_that_cannot_be_prepared_leaves_no_process(described, monkeypatch):
    monkeypatch.setattr(run_module, "prepare", refuse)

    def run() -> object:
        before = traces()
        with pytest.raises(OSError, match="not permitted"):
            sandbox.enter(described)
        return traces() - before

    assert in_child(run) == set()


def test_an_interrupt_while_the_workspace_is_prepared_ends_the_run(described, monkeypatch):
    monkeypatch.setattr(run_module, "prepare", lambda *_: os.kill(os.getpid(), signal.SIGINT))

    def run() -> object:
        before = traces()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            sandbox.enter(described)
        return traces() - before, os.listdir(os.environ["NBS_STATE_HOME"] + "/run")

    assert in_child(run) == (set(), [])


def test_a_shell_that_is_not_there_is_told_and_nothing_is_left(described):
    broken = described.replace(process=described.process.replace(program="/no/shell"))
    assert in_child(lambda: left_of(broken)) == ("command-not-found", set(), [])


def test_a_shell_that_cannot_be_run_is_told_and_nothing_is_left(described):
    broken = described.replace(process=described.process.replace(program="/etc/passwd"))
    assert in_child(lambda: left_of(broken)) == ("command-not-runnable", set(), [])
