"""On a real terminal: keys, windows, jobs, and that the caller's terminal comes back as it was."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.linux.processes import eventually, runs, runs_in_foreground
from tests.screen import LIMIT_S, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Kept

pytestmark = [pytest.mark.namespaces, pytest.mark.terminal]

OUTER_PROMPT = "outer$"


class OuterShell(Screen):
    """A terminal of 100 by 30 with a shell in it.

    In its directory, the program `tool` runs nix-build-shell and leaves its PID in the file `pid`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shell = "env -i TERM=tmux-256color PATH=/usr/bin:/bin HISTFILE= BASH_SILENCE_DEPRECATION_WARNING=1"
        shell += f" PS1='{OUTER_PROMPT} ' bash --norc --noprofile -i"
        config = directory / "tmux.conf"
        config.write_text("set -g status off\nset -g default-terminal tmux-256color\n")
        super().__init__(shell, "-c", str(directory), columns=100, rows=30, config=str(config))
        self.wait_for(OUTER_PROMPT)

    def run(self, command: str) -> str:
        """What a command of the outer shell writes into the file `out`."""
        self.type(f"{command} > out; echo finished-$?-$((1 + 1))")
        self.wait_for("finished-0-2")
        return (self.directory / "out").read_text()

    def wait_for_program(self, name: str) -> None:
        """Until a program of that name runs in the sandbox."""
        tool = int((self.directory / "pid").read_text())
        assert eventually(lambda: runs(name, tool))

    def wait_for_foreground(self, name: str) -> None:
        """Until the keyboard's signals go to a program of that name in the sandbox, which runs."""
        tool = int((self.directory / "pid").read_text())
        assert eventually(lambda: runs_in_foreground(name, tool))

    def wait_for_prompt(self) -> None:
        """Until a shell of the sandbox waits for a line: its prompt is the last that is shown.

        It has made the terminal its own by then. A key that came before would have had the meaning
        that the terminal gave it.
        """

        def shown() -> bool:
            return " ".join(self.lines()).rstrip().endswith("] /build$")

        assert eventually(shown), "\n".join(self.lines())


@pytest.fixture
def screen(tmp_path: Path, hand_made: Kept, tool_command) -> Iterator[OuterShell]:
    argv, environment = tool_command("sandbox.cli.nix_build_shell")
    settings = [f"{name}={value}" for name, value in environment.items()]
    words = ["exec", "env", *settings, *argv, "--store", hand_made.store, hand_made.path]
    tool = tmp_path / "tool"
    tool.write_text(f'#!/bin/sh\necho $$ > pid\n{shlex.join(words)} "$@"\n')
    tool.chmod(0o755)
    screen = OuterShell(tmp_path)
    yield screen
    screen.close()


def wait_for_status(screen: OuterShell, status: int) -> None:
    """The echo of a key may stand before it on the line."""
    end = time.monotonic() + LIMIT_S
    wanted = f"status={status}"
    while not any(line.endswith(wanted) for line in screen.lines()):
        assert time.monotonic() < end, f"no {wanted} in:\n" + "\n".join(screen.lines())
        time.sleep(0.02)


def test_the_command_has_a_terminal_of_the_sandbox_s_own(screen):
    screen.type("./tool tty")
    screen.wait_for("/dev/pts/0")


def test_dev_tty_is_that_terminal_too(screen):
    screen.type("./tool bash -c 'echo by-$((3 * 4)) > /dev/tty'")
    screen.wait_for("by-12")


def test_no_descriptor_leads_to_the_caller_s_terminal(screen):
    screen.type("clear; ./tool bash -c 'readlink /proc/1/fd/*; echo end-$((1 + 1))'")
    screen.wait_for("end-2")
    end = screen.lines().index("end-2")
    assert screen.lines()[:end][-3:] == ["/dev/pts/0"] * 3
    assert not any(line.startswith(("/", "pipe", "socket")) for line in screen.lines()[: end - 3])


def test_the_kind_of_terminal_is_known(screen):
    screen.type("./tool bash -c 'echo term=$TERM'")
    screen.wait_for("term=tmux-256color")


def test_the_window_has_the_caller_s_size(screen):
    screen.type("./tool stty size")
    screen.wait_for("30 100")


def test_a_new_size_is_told(screen):
    screen.type(
        "./tool bash -c 'trap \"stty size\" WINCH; echo ready; while :; do sleep 0.05; done'"
    )
    screen.wait_for("ready")
    screen.resize(90, 25)
    screen.wait_for("25 90")


def test_ctrl_c_ends_a_command_that_is_process_1(screen):
    screen.type("./tool bash -c 'echo ready; exec sleep 1000'; echo status=$?")
    screen.wait_for("ready")
    screen.press("C-c")
    wait_for_status(screen, 130)


def test_ctrl_c_ends_a_shell_that_waits_for_a_program(screen):
    screen.type("./tool bash -c 'echo ready; sleep 1000; echo went-on'; echo status=$?")
    screen.wait_for("ready")
    screen.wait_for_program("sleep")
    screen.press("C-c")
    wait_for_status(screen, 130)
    assert not any("went-on" in line and "echo" not in line for line in screen.lines())


def test_ctrl_c_ends_a_shell_that_knows_of_no_interrupt(screen, hand_made):
    shell = hand_made.packages["dash"] + "/bin/dash"
    script = "echo ready; sleep 1000; echo went-on > /dev/tty; sleep 1"
    screen.type(f"./tool {shell} -c '{script}'; echo status=$?")
    screen.wait_for("ready")
    screen.wait_for_program("sleep")
    screen.press("C-c")
    wait_for_status(screen, 130)
    assert not screen.shows("went-on")
    assert not screen.shows("^Cwent-on")


def test_ctrl_c_that_the_command_handles_is_its_own_affair(screen):
    script = 'trap "exit 3" INT; echo ready; while :; do sleep 0.05; done'
    screen.type(f"./tool bash -c '{script}'; echo status=$?")
    screen.wait_for("ready")
    screen.press("C-c")
    wait_for_status(screen, 3)


def test_ctrl_backslash_ends_a_command(screen):
    screen.type("./tool bash -c 'echo ready; exec sleep 1000'; echo status=$?")
    screen.wait_for("ready")
    # Until it is gone, bash ignores the key.
    screen.wait_for_program("sleep")
    screen.press("C-\\")
    wait_for_status(screen, 128 + signal.SIGQUIT)


def test_ctrl_z_stops_the_tool_as_a_job_and_fg_goes_on(screen):
    screen.type("./tool bash -c 'echo ready; read -r word; echo got-$word'")
    screen.wait_for("ready")
    screen.press("C-z")
    screen.wait_for("[1]+  Stopped…")
    screen.type("echo outer-$((2 + 3))")
    screen.wait_for("outer-5")
    screen.type("fg")
    screen.type("more")
    screen.wait_for("got-more")


def test_a_job_begun_in_the_background_runs_and_takes_the_keys_when_it_is_fetched(screen):
    screen.type("./tool bash -c 'echo begun-$((1 + 1)); read -r word; echo got-$word' &")
    screen.wait_for_end("begun-2")
    screen.type("echo outer-$((2 + 3)); jobs")
    screen.wait_for("outer-5")
    screen.wait_for("[1]+  Running…")
    screen.type("fg; stty -a | grep -ow -e icanon -e echo | tr '\\n' '+'")
    screen.type("more")
    screen.wait_for("got-more")
    screen.wait_for("icanon+echo+…")


def test_a_job_that_was_stopped_goes_on_in_the_background(screen):
    screen.type("./tool bash -c 'echo ready; until [ -e go ]; do sleep 0.05; done; echo went-on'")
    screen.wait_for("ready")
    screen.press("C-z")
    screen.wait_for("[1]+  Stopped…")
    screen.type("bg; echo outer-$((2 + 3))")
    screen.wait_for("outer-5")
    screen.type("jobs")
    screen.wait_for("[1]+  Running…")
    screen.type("fg; echo ended-$?")
    # Until the shell has handed the keyboard over and the tool has seen it.
    time.sleep(1)
    screen.press("C-c")
    screen.wait_for_end("ended-130")


def test_an_interactive_shell_has_job_control(screen):
    screen.type("./tool; echo status=$?")
    screen.type("echo inner-$((2 + 3))-$$")
    screen.wait_for("inner-5-1")
    screen.type("sleep 1000")
    screen.wait_for_program("sleep")
    screen.press("C-z")
    screen.wait_for("[1]+  Stopped…")
    screen.type("fg; echo ended-with-$?")
    screen.wait_for_foreground("sleep")
    screen.press("C-c")
    screen.type("jobs; echo jobs-$((1 + 1))")
    screen.wait_for("jobs-2")
    assert not any("no job control" in line for line in screen.lines())
    screen.type("exit 6")
    wait_for_status(screen, 6)


def test_ctrl_d_leaves_an_interactive_shell(screen):
    screen.type("./tool; echo status=$?")
    screen.type("echo inner-$((2 + 3))")
    screen.wait_for("inner-5")
    screen.wait_for_prompt()
    screen.press("C-d")
    wait_for_status(screen, 0)


def test_every_key_reaches_a_program_that_has_the_terminal_for_itself(screen):
    script = "stty raw -echo; echo ready; head -c 3 | od -An -tx1; stty sane"
    screen.type(f"./tool bash -c '{script}'")
    screen.wait_for("ready")
    screen.press("C-c", "C-z", "q")
    screen.wait_for("03 1a 71")


def test_a_program_of_the_whole_screen_leaves_it_as_it_was(screen):
    screen.type("echo before-$((1 + 1))")
    screen.wait_for("before-2")
    script = 'printf "\\e[?1049h\\e[2J\\e[5;1Hfull-screen"; read -rsn1; printf "\\e[?1049l"'
    screen.type(f"./tool bash -c '{script}'")
    screen.wait_for("full-screen")
    screen.press("q")
    screen.wait_for("before-2")
    assert not screen.shows("full-screen")


def test_the_caller_s_terminal_is_as_before_when_the_command_has_changed_its_own(screen):
    before = screen.run("stty -a")
    screen.type("clear; ./tool bash -c 'stty raw -echo -icanon min 5'; echo status=$?")
    wait_for_status(screen, 0)
    screen.type("clear")
    assert screen.run("stty -a") == before


def test_the_caller_s_terminal_is_as_before_when_the_tool_is_terminated(screen):
    before = screen.run("stty -a")
    screen.type(
        "clear; ./tool bash -c 'stty raw -echo; echo ready; exec sleep 1000'; echo status=$?"
    )
    screen.wait_for("ready")
    os.kill(int((screen.directory / "pid").read_text()), signal.SIGTERM)
    wait_for_status(screen, 143)
    screen.type("clear")
    assert screen.run("stty -a") == before


def test_the_caller_s_terminal_is_as_before_when_the_sandbox_cannot_be_made(screen):
    before = screen.run("stty -a")
    screen.type("clear; ./tool no-such-command; echo status=$?")
    wait_for_status(screen, 127)
    screen.type("clear")
    assert screen.run("stty -a") == before


INJECT = """\
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}
void _start(void) {
  static char text[] = "echo injected\\n";
  for (int fd = 0; fd < 10; fd++)
    for (char *c = text; *c; c++) call(16, fd, 0x5412, (long)c);
  call(60, 0, 0, 0);
}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its calls are those of x86_64")
def test_nothing_can_be_typed_into_the_caller_s_shell(screen, hand_made):
    if shutil.which("gcc") is None:
        pytest.skip("a C compiler is needed")
    source = screen.directory / "inject.c"
    source.write_text(INJECT)
    program = screen.directory / "inject"
    how = ["-O1", "-static", "-nostdlib", "-no-pie", "-fno-stack-protector", "-w"]
    subprocess.run(["gcc", *how, "-o", str(program), str(source)], check=True)
    # By way of its own terminal, since nothing of the host's files is inside.
    screen.run(
        f"./tool bash -c 'cat > /tmp/inject; chmod +x /tmp/inject; /tmp/inject; true' < {program}"
    )
    screen.type("echo outer-$((2 + 3))")
    screen.wait_for("outer-5")
    assert not screen.shows("injected")


def test_standard_output_that_is_a_pipe_stays_one(screen):
    script = "[ -t 1 ] || echo no-terminal; read -r word; echo got-$word"
    screen.type(f"./tool bash -c '{script}' | cat -A")
    screen.wait_for("no-terminal$")
    screen.type("text")
    # The echo of Enter comes another way than what goes through the pipe, before it or after.
    screen.wait_for_end("got-text$")


def test_standard_output_that_is_a_file_gets_the_bytes_alone(screen):
    assert screen.run("./tool printf 'one\\ntwo\\n'") == "one\ntwo\n"


def test_standard_input_that_is_no_terminal_ends_as_it_does_outside(screen):
    screen.type("./tool bash -c 'tty; cat; echo end-$((1 + 1))' < /dev/null; echo status=$?")
    screen.wait_for("not a tty")
    screen.wait_for("end-2")
    screen.wait_for("status=0")


def test_the_last_line_of_much_output_is_seen(screen):
    screen.type("./tool bash -c 'seq 1 20000; echo last-$((1 + 1))'; echo status=$?")
    screen.wait_for("last-2")
    screen.wait_for("status=0")
