"""Programs that read from the terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from nbs_kernel.bash.events import InputWanted, Output
from tests.kernel.bash.driving import LIMIT_S

READERS = {
    "read": 'read -r x; echo "got $x"',
    "read with a prompt": 'read -r -p "name? " x; echo "got $x"',
    "a program": "head -n 1 | sed 's/^/got /'",
    "the terminal by name": 'read -r x </dev/tty; echo "got $x"',
    "a subshell": '(sleep 0.1; read -r x; echo "got $x")',
    "python": f"{sys.executable} -c 'print(\"got\", input())'",
    "poll": f"{sys.executable} -c 'import select; p = select.poll(); p.register(0, 1); p.poll(); print(\"got\", input())'",
    "select": f"{sys.executable} -c 'import select; select.select([0], [], []); print(\"got\", input())'",
}


@pytest.mark.parametrize("code", READERS.values(), ids=READERS)
def test_a_line_is_asked_for_and_given(drivers, code):
    driver = drivers.start(terminal_input=True)
    ran = driver.begin(code)
    assert not driver.go_on_until_input(ran).secret
    driver.shell.answer("é x")
    assert driver.go_on(ran).output.endswith("got é x\n".encode())
    assert ran.output.count("é x".encode()) == 1


def test_a_hidden_line_is_told_to_be_one(drivers):
    driver = drivers.start(terminal_input=True)
    ran = driver.begin('read -r -s -p "word: " x; echo "${#x}"; read -r y; echo "$y"')
    assert driver.go_on_until_input(ran).secret
    assert ran.output == b"word: "
    driver.shell.answer("secret")
    assert not driver.go_on_until_input(ran).secret
    driver.shell.answer("shown")
    assert driver.go_on(ran).output == b"word: 6\nshown\n"


def test_what_is_asked_is_told_before_that_an_answer_is_waited_for(drivers):
    driver = drivers.start(terminal_input=True)
    driver.shell.execute("printf 'name? '; read -r x")
    events = []
    until = time.monotonic() + LIMIT_S
    # Nobody looks for output here: it may come just after somebody has looked.
    while not events and time.monotonic() < until:
        events += driver.shell.tick()
    assert [type(event) for event in events] == [Output, InputWanted]
    assert events[0].data == b"name? "


def test_several_lines_and_the_end_of_input(drivers):
    driver = drivers.start(terminal_input=True)
    ran = driver.begin("cat")
    for text in ("one", "", "three"):
        driver.go_on_until_input(ran)
        driver.shell.answer(text)
    driver.go_on_until_input(ran)
    driver.shell.end_of_input()
    assert driver.go_on(ran).output == b"one\n\nthree\n"
    assert ran.outcome.status == 0


def test_a_long_line_is_whole(drivers):
    driver = drivers.start(terminal_input=True)
    ran = driver.begin("read -r x; echo ${#x}")
    driver.go_on_until_input(ran)
    driver.shell.answer("x" * 100_000)
    assert driver.go_on(ran).output == b"100000\n"


def test_who_waits_for_input_is_interrupted(drivers):
    driver = drivers.start(terminal_input=True)
    for code in ("read x", "cat", "cat | cat", 'read -s x; echo "not this"'):
        ran = driver.begin(code + "; echo not this")
        driver.go_on_until_input(ran)
        driver.shell.interrupt()
        assert driver.go_on(ran).outcome.why == "interrupt"
        assert b"not this" not in ran.output


def test_what_was_typed_for_one_cell_is_not_read_by_the_next(drivers):
    driver = drivers.start(terminal_input=True)
    ran = driver.begin("read x")
    driver.go_on_until_input(ran)
    driver.shell.answer("one\ntwo\nthree")
    driver.go_on(ran)
    ran = driver.begin("read y; echo $y")
    driver.go_on_until_input(ran)
    driver.shell.answer("mine")
    assert driver.go_on(ran).output == b"mine\n"


def test_modes_of_the_terminal_do_not_survive_a_cell(drivers):
    driver = drivers.start(terminal_input=True)
    driver.run("stty raw -echo sane")
    ran = driver.begin("read x; echo $x")
    driver.go_on_until_input(ran)
    driver.shell.answer("once")
    assert driver.go_on(ran).output == b"once\n"


def test_input_is_turned_on_and_off_from_the_next_cell_on(driver):
    assert driver.run("read x; echo $?").output == b"1\n"
    driver.shell.set_terminal_input(on=True)
    ran = driver.begin("read x; echo $x")
    driver.go_on_until_input(ran)
    driver.shell.answer("x")
    assert driver.go_on(ran).output == b"x\n"
    driver.shell.set_terminal_input(on=False)
    assert driver.run("[ -t 0 ] || cat; echo end").output == b"end\n"


@pytest.mark.parametrize(
    "code",
    [
        "cat",
        "read x",
        "read -p 'name? ' x",
        "read -s x",
        "read -n 1 x",
        "cat </dev/tty",
        "read x </dev/tty",
        "read -s x </dev/tty",
        "read -n 1 x </dev/tty",
        "cat <&1",
        "read x <&2",
        "head -c 1 </dev/tty | cat",
        f"{sys.executable} -c 'import getpass; getpass.getpass()'",
        f"{sys.executable} -c 'import tty; tty.setraw(f := open(\"/dev/tty\")); f.read()'",
    ],
)
def test_without_input_nothing_waits_for_it(driver, code):
    ran = driver.run(f"{code} 2>&1\necho end")
    assert ran.output.endswith(b"end\n")


def endless(pager: str) -> bool:
    """Does it turn in circles on a terminal that was hung up? That of util-linux 2.42 does.

    It reads nothing and waits for nothing, so nobody can tell it that there is no input.
    """
    above, below = os.openpty()
    with subprocess.Popen(
        [pager, __file__], stdin=subprocess.DEVNULL, stdout=below, stderr=below
    ) as process:
        os.close(below)
        os.write(above, b"\x04")
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        finally:
            os.close(above)
    return False


@pytest.mark.parametrize("pager", ["less", "more", "less -X -F", "man man"])
def test_a_pager_does_not_hang(driver, pager):
    if shutil.which(pager.split()[0]) is None:
        pytest.skip(f"{pager} is not there")
    if pager == "more" and endless(pager):
        pytest.skip("this more polls a standard input that is at its end, and never stops")
    code = f"seq 1000 >lines; TERM=xterm {pager} lines; echo end"
    assert driver.run(code).output.endswith(b"end\n")


def test_what_reads_on_and_on_without_input_is_hung_up(driver):
    endless = f"{sys.executable} -c 'import tty, os; f = os.open(\"/dev/tty\", 2); tty.setraw(f)\nwhile True: os.read(f, 1)'"
    ran = driver.run(f"{endless}; echo end")
    assert ran.output.endswith(b"end\n")
