"""Interrupts end a cell: the first asks, the second and third insist."""

from __future__ import annotations

import os
import sys
import time
from importlib.resources import files

import pytest

from nbs_kernel.bash.waiting import awaited_child_group

IN_PYTHON = """import signal, sys, time, os, termios, tty
{}
print("ready", flush=True)
while True: time.sleep(0.01)"""


def python(setup: str) -> str:
    return f"{sys.executable} -c '{IN_PYTHON.format(setup)}'"


ONCE = {
    "a busy loop": "echo ready; while :; do :; done",
    "a busy loop in a function": "f() { while :; do :; done; }; echo ready; f",
    "sleep": "echo ready; sleep 1000",
    "a pipeline": "echo ready; sleep 1000 | sleep 1000 | cat",
    "a pipeline of busy ones": "echo ready; yes | cat >/dev/null",
    "a loop of sleeps": "echo ready; for i in {1..10000}; do sleep 0.01; done",
    "an endless loop of sleeps": "echo ready; while :; do sleep 0.005; done",
    "a loop that goes on after failures": "echo ready; until false; do sleep 0.01; true; done",
    "a subshell": "(echo ready; sleep 1000; echo not this)",
    "a command substitution": "echo ready; x=$(sleep 1000; echo not this)",
    "a wait": "sleep 1000 & echo ready; wait",
    "a read from a fifo": "echo ready; read x < <(sleep 1000)",
    "a sourced file": "echo 'echo ready; while :; do :; done' >s; source ./s",
    "an eval": "eval 'echo ready; sleep 1000'; echo not this",
    "errexit": "set -e; echo ready; sleep 1000",
    "a shell": "bash -c 'echo ready; sleep 1000; echo not this'",
    "a program that ends after it": python(
        'signal.signal(2, lambda *a: (time.sleep(0.3), os.write(1, b"handled"), sys.exit(0)))'
    ),
    "a raw terminal": python('tty.setraw(os.open("/dev/tty", os.O_RDWR))'),
    "a loop of programs that handle it": (
        f"while :; do {python('signal.signal(2, lambda *a: sys.exit(0))')}; echo again; done"
    ),
    "a loop of substitutions": "echo ready; while :; do x=$(sleep 0.01); done",
    "another group": "set -m; (echo ready; sleep 1000)",
    "no job control": "set +m; echo ready; sleep 1000",
}

INSISTED = {
    "ignored": python("signal.signal(2, signal.SIG_IGN)"),
    "blocked": python("signal.pthread_sigmask(signal.SIG_BLOCK, [2])"),
    "handled and gone on": python("signal.signal(2, lambda *a: None)"),
    "ignored in a raw terminal": python(
        'signal.signal(2, signal.SIG_IGN); tty.setraw(os.open("/dev/tty", os.O_RDWR))'
    ),
    "ignored in a pipeline": f"{python('signal.signal(2, signal.SIG_IGN)')} | cat",
    "a shell that ignores it": "bash -c 'trap \"\" INT; echo ready; while :; do sleep 0.01; done'",
    "ignored by the cell": "trap '' INT; echo ready; while :; do :; done",
    "trapped by the cell": "trap : INT; echo ready; while :; do :; done",
}

TO_THE_END = {
    "all ignored": python("[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)]"),
    "all ignored by a shell": "sh -c 'trap \"\" INT TERM HUP; echo ready; while :; do sleep 0.01; done'",
}


def interrupted(driver, code, times):
    ran = driver.begin_until(f"kept=yes\n{code}\necho not this", b"ready")
    for number in range(times):
        assert driver.shell.busy, f"ended after {number}"
        driver.shell.interrupt()
        if number + 1 < times:
            for _ in range(6):
                ran.events += driver.step()
    return driver.go_on(ran)


def is_whole(driver, ran):
    assert b"not this" not in ran.output
    assert (ran.outcome.why, ran.outcome.status) == ("interrupt", 130)
    assert driver.run("echo $kept; set +e").output == b"yes\n"
    assert driver.run("sleep 0.01; echo on").output == b"on\n"


@pytest.mark.parametrize("code", ONCE.values(), ids=ONCE)
def test_one_interrupt_ends_the_whole_cell(driver, code):
    is_whole(driver, interrupted(driver, code, 1))


@pytest.mark.parametrize("code", INSISTED.values(), ids=INSISTED)
def test_a_second_interrupt_insists(driver, code):
    is_whole(driver, interrupted(driver, code, 2))


@pytest.mark.parametrize("code", TO_THE_END.values(), ids=TO_THE_END)
def test_a_third_interrupt_kills(driver, code):
    is_whole(driver, interrupted(driver, code, 3))


def test_a_program_may_do_its_work_after_an_interrupt(driver):
    ran = interrupted(driver, ONCE["a program that ends after it"], 1)
    assert b"handled" in ran.output


def test_a_loop_of_jobs_never_outlives_an_interrupt(driver):
    for _ in range(40):
        ran = driver.begin_until("echo ready; while :; do sleep 0.002; /bin/true; done", b"ready")
        driver.shell.interrupt()
        assert driver.go_on(ran).outcome.why == "interrupt"


@pytest.mark.parametrize(
    "code",
    [
        "sleep 1000",
        "sleep 1000 | sleep 1000",
        "(while :; do :; done)",
        "while :; do :; done | while :; do :; done",
        "x=$(sleep 1000)",
        "set +m; sleep 1000",
    ],
)
def test_an_interrupt_at_any_moment_ends_the_cell(driver, code):
    for number in range(12):
        ran = driver.begin(f"{code}\necho not this")
        time.sleep(number * 0.0004)
        driver.shell.interrupt()
        assert driver.go_on(ran).outcome.why == "interrupt"
        assert b"not this" not in ran.output
        driver.run("set -m")


@pytest.mark.parametrize("options", ["", "set -e; "])
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sleep 1000", "sleep 1000"),
        ("(sleep 1000)", "( sleep 1000 )"),
        ("x=$(sleep 1000)", "x=$(sleep 1000)"),
        ("while :; do :; done", ":"),
    ],
)
def test_an_interrupt_tells_where_the_cell_was(driver, options, command, told):
    code = f"{options}f() {{\n  echo ready\n  {command}\n}}\n\nf"
    ran = driver.begin_until(code, b"ready")
    driver.go_on(ran, lambda _: rests_in(driver, command))
    driver.shell.interrupt()
    outcome = driver.go_on(ran).outcome
    assert (outcome.why, outcome.command) == ("interrupt", told)
    # Bash tells no line where it goes on by itself and nothing may fail.
    line = 0 if options and told == ":" else 3
    assert [(f.function, f.line) for f in outcome.frames] == [("f", line), ("", 6)]


@pytest.mark.parametrize("options", ["", "set -e; "])
@pytest.mark.parametrize(
    ("code", "told", "places"),
    [
        ("phase check -j1", "phase check -j1", [("", 2)]),
        ("f() {\n  phase\n}\nf", "phase", [("f", 3), ("", 5)]),
    ],
)
def test_an_interrupted_phase_is_told_as_it_was_called(
    driver, tmp_path, options, code, told, places
):
    word = files("sandbox").joinpath("phases/word.bash").read_text()
    # As the parent of a phase does, which says how it ended.
    leave = "__nbs_phase_leave() { trap : INT; echo ready; sleep 1000; exit 130; }"
    # A cell that speaks of traps for interrupts is interrupted as those have it.
    (tmp_path / "word").write_text(f"{word}\n{leave}\n")
    driver.run("source ./word")
    ran = driver.begin_until(f"{options}true\n{code}", b"ready")
    driver.go_on(ran, lambda _: rests_in(driver, "sleep"))
    driver.shell.interrupt()
    outcome = driver.go_on(ran).outcome
    assert (outcome.why, outcome.command) == ("interrupt", told)
    assert [(f.function, f.line) for f in outcome.frames] == places


def rests_in(driver, command):
    """The command is what the shell does."""
    if "sleep" not in command or "$(" in command:
        return True
    # The subshell that is to become or to start it has its group already.
    group = awaited_child_group(driver.shell._process.pid)
    return group > 0 and "sleep" in names_of_group(group)


def names_of_group(group):
    """proc_pid_stat(5): the names of the processes that are in it."""
    names = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(") ")
        except OSError:
            continue
        if int(rest.split()[2]) == group:
            names.add(name)
    return names


@pytest.mark.parametrize("options", ["set +e", "set -e"])
def test_an_interrupt_in_an_err_trap_of_the_user_s_leaves_the_shell_whole(driver, options):
    driver.run("trap 'echo ready; sleep 1000' ERR")
    ran = driver.begin_until(f"{options}; g() {{ local a; false; }}; g", b"ready")
    driver.go_on_until_it_runs(ran, "sleep")
    driver.shell.interrupt()
    assert driver.go_on(ran).outcome.why == "interrupt"
    assert driver.run("trap 'echo failed' ERR; g() { local a=1; echo $a; }; g").output == b"1\n"
    outcome = driver.run("set -e\nfalse").outcome
    assert (outcome.why, outcome.command) == ("errexit", "false")


def test_an_interrupted_pipeline_is_told_by_its_programs(driver):
    ran = driver.begin_until("echo ready; sleep 1000 | cat", b"ready")
    driver.go_on_until_it_runs(ran, "sleep")
    driver.shell.interrupt()
    assert driver.go_on(ran).outcome.command == "sleep 1000 | cat"


def test_a_trap_for_interrupts_is_run_and_the_cell_goes_on(driver):
    ran = driver.begin("trap 'echo caught' INT\necho ready\nsleep 1000\necho on")
    # With a trap it is the user who decides, and an interrupt that hits no job is not repeated.
    driver.go_on_until_it_runs(ran, "sleep")
    driver.shell.interrupt()
    # Bash itself adds the end of the line that a terminal shows ^C in.
    assert driver.go_on(ran).output.replace(b"\n\n", b"\n") == b"ready\ncaught\non\n"
    assert ran.outcome.why == ""
    assert driver.run("trap -p INT").output == b"trap -- 'echo caught' SIGINT\n"


def test_a_trap_for_interrupts_outlives_errors_and_insistence(driver):
    driver.run("trap 'echo caught' INT")
    driver.run("set -e\nfalse")
    driver.run("set +e\nexit 3")
    ran = driver.begin_until("echo ready; while :; do :; done", b"ready")
    driver.shell.interrupt()
    driver.go_on(ran, lambda ran: b"caught" in ran.output)
    driver.shell.interrupt()
    assert driver.go_on(ran).outcome.why == "interrupt"
    assert driver.run("trap -p INT").output == b"trap -- 'echo caught' SIGINT\n"


def test_jobs_in_the_background_are_not_interrupted(driver):
    ran = driver.begin_until("sleep 1000 & echo $! >pid; echo ready; sleep 1000", b"ready")
    driver.shell.interrupt()
    driver.go_on(ran)
    assert driver.run('kill -0 "$(<pid)" && kill "$(<pid)"').outcome.status == 0


def test_an_interrupt_that_comes_late_harms_nothing(driver):
    for _ in range(100):
        ran = driver.begin("x=1")
        driver.shell.interrupt()
        driver.go_on(ran)
        assert ran.outcome.why in {"", "interrupt"}
    driver.shell.interrupt()
    assert driver.run("echo on; false").outcome.status == 1


def test_what_took_the_place_of_the_shell_is_ended(drivers):
    driver = drivers.start()
    ran = driver.begin_until("exec sh -c 'echo ready; sleep 1000'", b"ready")
    while not driver.shell._process.replaced:
        ran.events += driver.step()
    driver.shell.interrupt()
    driver.shell.interrupt()
    assert driver.go_on(ran).ended.why == "exec"


def test_a_stopped_job_does_not_stop_the_cell(driver):
    ran = driver.run("sh -c 'kill -STOP $$; echo resumed'; echo on; fg 2>&1")
    assert b"on\n" in ran.output
    assert ran.output.endswith(b"resumed\n")


def test_closing_ends_everything(drivers):
    driver = drivers.start()
    ran = driver.begin_until(
        "trap '' TERM HUP INT; (trap '' TERM HUP INT; sleep 1000) & echo ready; sleep 1000",
        b"ready",
    )
    pid = driver.shell._process.pid
    driver.shell.close()
    driver.shell.close()
    assert driver.shell.descriptors() == {}
    assert list(driver.shell.tick()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert ran.cell == 1


def test_a_shell_is_not_interrupted_after_the_cell_has_ended(driver):
    ran = driver.begin_until("echo ready; sleep 1000", b"ready")
    driver.shell.interrupt()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        ran.events += driver.shell.tick()
        time.sleep(0.02)
    assert driver.go_on(ran).outcome.why == "interrupt"
    assert driver.run("echo on").output == b"on\n"
