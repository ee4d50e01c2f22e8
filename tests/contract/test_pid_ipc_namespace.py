"""Processes and System V objects of the host are out of sight."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.namespaces


def test_the_command_is_process_1(shell):
    assert shell("echo $$") == "1\n"


def test_proc_shows_the_processes_of_the_sandbox_alone(shell):
    processes = [name for name in shell("cd /proc; echo [0-9]*").split() if name.isdigit()]
    assert processes == ["1"]


def test_the_parent_is_out_of_sight(shell):
    assert shell("echo $PPID") == "0\n"


@pytest.mark.parametrize("namespace", ["pid", "ipc"])
def test_the_namespace_is_a_new_one(output, namespace):
    link = f"/proc/self/ns/{namespace}"
    assert output("readlink", link).strip() != os.readlink(link)


def test_children_are_in_the_same_pid_namespace(shell):
    assert (
        shell("[ $(readlink /proc/self/ns/pid) = $(readlink /proc/1/ns/pid) ] && echo same")
        == "same\n"
    )


def test_there_are_no_system_v_objects(shell):
    script = "for kind in shm sem msg; do wc -l < /proc/sysvipc/$kind; done"
    assert shell(script).split() == ["1", "1", "1"]


def test_what_the_command_leaves_running_ends_with_it(run):
    done = run("bash", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")
    assert (done.returncode, done.stdout) == (0, b"2\n")
