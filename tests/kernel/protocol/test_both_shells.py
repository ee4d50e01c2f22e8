"""A kernel whose bash has readline, and one whose bash has none, as a build's: both do all there is to do."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.kernel import local
from tests.kernel.protocol.conftest import Served
from tests.kernel.readlineless import readlineless_bash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.protocol.conftest import Run

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BUILD_IT = "build_it() {\n  local inner=1\n  echo building\n\n  :\n  false\n}"


@pytest.fixture(scope="module", params=["readline", "no-readline"])
def kernel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    bash = readlineless_bash() if request.param == "no-readline" else shutil.which("bash")
    served = Served(tmp_path_factory.mktemp("kernel"), f"--bash={bash}")
    has_it = served.run("complete -p >/dev/null").reply["status"] == "ok"
    assert has_it == (request.param == "readline")
    yield served
    served.close()


@pytest.fixture(autouse=True)
def fresh(kernel: Served) -> None:
    """Nothing is left of the test before."""
    kernel.run("%restart\n%stdin off", store_history=False)


def traceback(run: Run) -> list[str]:
    assert run.error is not None
    assert run.error["traceback"] == run.reply["traceback"]
    return [COLOURS.sub("", line) for line in run.error["traceback"]]


def test_a_failure_is_told_with_its_command_its_calls_and_their_cells(kernel: Served) -> None:
    defined = kernel.run(BUILD_IT).reply["execution_count"]
    run = kernel.run("# here\nbuild_it")
    assert traceback(run) == [
        "ExitStatus: exit status 1",
        "  false",
        f"  at cell [{defined}] line 6 in build_it",
        "  at cell line 2",
    ]
    kernel.run("hidden() {\n  false\n}", store_history=False)
    assert "  at an earlier cell line 2 in hidden" in traceback(kernel.run("hidden"))


@pytest.mark.parametrize("command", ["echo $UNSET", ": ${BAR:?no bar}", "source /nowhere", "R=2"])
def test_what_would_end_bash_keeps_the_shell_and_all_it_has(kernel: Served, command: str) -> None:
    kernel.run("readonly R=1; sleep 1000 & cd /; declare -A map=([key]=value)")
    run = kernel.run(f"f() {{\n  {command}\n}}\nset -eu\nf")
    assert traceback(run)[1:][-3:] == [f"  {command}", "  at cell line 2 in f", "  at cell line 5"]
    kept = kernel.run("echo $PWD ${map[key]} $-; declare -F f; jobs -r")
    assert kept.text.startswith("/ value eh")
    assert "\nf\n[1]" in kept.text


def test_errors_of_expansion_say_where_the_name_stands(kernel: Served) -> None:
    kernel.run("g() { echo $UNSET; }")
    run = kernel.run("set -u; g\necho UNSET")
    assert traceback(run) == [
        "UnsetVariable: UNSET: unbound variable",
        "  `UNSET` is in line 2 of the cell, the function g",
    ]


def test_a_failed_pipeline_and_an_exit_are_told(kernel: Served) -> None:
    run = kernel.run("set -o pipefail; (exit 2) | cat")
    assert "  in a pipeline with the statuses 2 | 0" in traceback(run)
    run = kernel.run("g() { exit 4; }; g")
    assert (run.reply["ename"], run.reply["evalue"]) == ("Exited", "exit 4: exit status 4")
    assert kernel.run("declare -F g").text == "g\n"


def test_an_interrupt_says_where_the_cell_was(kernel: Served) -> None:
    running = kernel.client.execute("f() {\n  echo started\n  sleep 1000\n}\n\nf; echo after")
    kernel.until_output("started")
    kernel.answered("kernel_info_request")
    kernel.interrupt("message")
    run = kernel.result(running)
    told = traceback(run)
    assert told[0] == "KeyboardInterrupt: interrupted"
    # It may come before the sleep begins.
    assert told[1] in {"  sleep 1000", "  echo started"}
    assert told[2].endswith(" in f")
    assert told[3] == "  at cell line 6"
    assert "after" not in run.text


@pytest.mark.parametrize("text", ["ec", "kern", "$kernel_v", "cat /etc/passw", "cd /etc/ini"])
def test_what_is_typed_is_completed(kernel: Served, text: str) -> None:
    kernel.run("kernel_variable=1; kernel_function() { :; }")
    answer = kernel.ask("complete_request", {"code": text, "cursor_pos": len(text)})
    assert answer["matches"]
    assert kernel.ask("is_complete_request", {"code": "if true; then"})["status"] == "incomplete"


def test_who_reads_the_terminal_gets_an_input_box(kernel: Served) -> None:
    kernel.run("%stdin on", store_history=False)
    for code, secret in (("read -r line", False), ("read -rs line", True)):
        asked = kernel.client.execute(f"{code}; echo got $line", allow_stdin=True)
        request = kernel.client.get_stdin_msg(timeout=30)
        assert request["content"]["password"] is secret
        kernel.client.input("typed")
        assert kernel.result(asked).text.endswith("got typed\n")


def test_a_cell_that_cannot_kill_its_shell_is_told_why(kernel: Served) -> None:
    if not local.namespaces_work():
        pytest.skip("this user makes no namespaces here, so the shell is no first process")
    run = kernel.run("kill -9 $$; echo on")
    assert run.text.startswith("on\n")
    assert "`%restart` gives a fresh shell" in run.text
    assert kernel.run("true # no kill -9 $pid").text == ""


@pytest.mark.parametrize(
    ("code", "why", "words"),
    [
        ("exec bash", "exec", "finds the end of its input"),
        ("builtin exit 3", "exit", "exit status 3"),
        ("builtin() { :; }; readonly -f builtin", "silent", "did not tell"),
    ],
)
def test_the_end_of_a_shell_is_told(kernel: Served, code: str, why: str, words: str) -> None:
    run = kernel.run(f"a=1; {code}")
    assert (run.reply["ename"], run.reply["evalue"]) == ("ShellEnded", why)
    assert words in "\n".join(traceback(run))
    assert kernel.run("echo ${a-gone}").text == "gone\n"
