"""Typed help and magic commands with the real shell that runs the cells."""

from __future__ import annotations

import contextlib
import select
import time
from typing import TYPE_CHECKING

import pytest

from nbs_kernel.bash.events import Ended, Finished
from nbs_kernel.bash.shell import Shell
from nbs_kernel.magics.environment import pairs
from nbs_kernel.typed.answers import Answers
from sandbox.linux.resident import Command
from tests.kernel import local
from tests.kernel.magics.kernels import Noted

if TYPE_CHECKING:
    from collections.abc import Iterator

CELL = r"""
buildPhase () { make -j2; }
hooked () { :; }
alias gg='ls -l'
export out="$PWD/a b\$x" preBuild='echo hi'
mkdir -p "$out/bin"
declare -A map=([a]=b)
"""
DEADLINE_S = 60


@pytest.fixture
def shell(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setattr("nbs_kernel.bash.shell.ANSWER_S", DEADLINE_S)
    argv = ("/bin/bash", "--noprofile", "--noediting", "--rcfile", "/dev/fd/9", "-i")
    environment = (("PATH", "/usr/bin:/bin"), ("HOME", str(tmp_path)), ("LC_ALL", "C.UTF-8"))
    made = Shell(
        local.start, Command(argv=argv, environment=environment, directories=(str(tmp_path),))
    )
    with contextlib.closing(made):
        yield made


def run(shell: Shell, code: str) -> None:
    shell.execute(code)
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        poll = select.poll()
        for descriptor, events in shell.descriptors().items():
            poll.register(descriptor, events)
        ready = [event for number, _ in poll.poll(50) for event in shell.ready(number)]
        if any(isinstance(event, (Finished, Ended)) for event in [*ready, *shell.tick()]):
            return
    pytest.fail("the cell has not ended")


def completed(answers: Answers, shell: Shell, code: str) -> object:
    return answers.complete(shell, code, len(code))["matches"]


def said(answers: Answers, shell: Shell, code: str, detail: int = 0) -> str:
    data = answers.inspect(shell, code, len(code), detail)["data"]
    assert isinstance(data, dict)
    return str(data.get("text/plain", ""))


def test_the_shells_own_names_and_values_are_offered(shell: Shell) -> None:
    run(shell, CELL)
    answers = Answers()
    assert completed(answers, shell, "hoo") == ["hooked"]
    assert completed(answers, shell, "gg") == ["gg"]
    assert completed(answers, shell, "echo ${preBui") == ["preBuild}"]
    assert completed(answers, shell, 'ls "$out"/b') == ["bin/"]
    assert completed(answers, shell, "ls ~/a") == [r"a\ b\$x/"]
    assert completed(answers, shell, "unse") == ["unset"]
    assert completed(answers, shell, "runPhase buil") == ["buildPhase"]


def test_the_shells_own_names_are_explained(shell: Shell) -> None:
    run(shell, CELL)
    answers = Answers()
    phase = said(answers, shell, "runPhase buildPhase")
    assert "runs the function" in phase
    assert "make -j2" in phase
    assert "hook preBuild (variable)" in phase
    assert said(answers, shell, "gg") == "gg: alias for ls -l"
    assert 'declare -A map=([a]="b" )' in said(answers, shell, "unset map")
    assert "program /" in said(answers, shell, "grep")
    assert "change the directory" in said(answers, shell, "cd").lower()


def test_nothing_typed_is_run_and_the_shell_stays_as_it_was(shell: Shell, tmp_path) -> None:
    run(shell, CELL)
    before = shell.ask(("environment",)), shell.ask(("names",))
    answers = Answers()
    for code in (
        f"cat $(touch {tmp_path}/bad)",
        f"cat `touch {tmp_path}/bad`/x",
        f"${{x:-$(touch {tmp_path}/bad)}}",
        f"echo $((a[$(touch {tmp_path}/bad)]",
        f"x[$(touch {tmp_path}/bad)]=1",
    ):
        for cursor in range(len(code) + 1):
            answers.complete(shell, code, cursor)
            answers.inspect(shell, code, cursor, 1)
    assert not (tmp_path / "bad").exists()
    assert (shell.ask(("environment",)), shell.ask(("names",))) == before


def test_help_is_there_while_a_cell_runs(shell: Shell) -> None:
    run(shell, CELL)
    answers = Answers()
    answers.refresh(shell)
    shell.execute("sleep 60")
    assert shell.busy
    assert completed(answers, shell, "hoo") == ["hooked"]
    assert completed(answers, shell, 'ls "$out"/b') == ["bin/"]
    assert "change the directory" in said(answers, shell, "cd")


def test_a_shell_without_help_and_completion_is_explained_all_the_same(shell: Shell) -> None:
    run(shell, "enable -n help compgen complete compopt")
    answers = Answers()
    assert "read lines into an array" in said(answers, shell, "mapfile", detail=1)
    assert completed(answers, shell, "mapf") == ["mapfile"]


def test_the_environment_is_compared_and_files_are_shown(shell: Shell, tmp_path) -> None:
    kernel = Noted(shell)
    kernel.environment = pairs(shell.ask(("environment",)) or ())
    kernel.run("%env")
    assert kernel.text == "the environment is that of the build\n"
    run(shell, CELL + '\nprintf "1,2\n" > "$out/x y.csv"; unset LC_ALL; cd /')
    kernel.run("%env")
    assert kernel.shown[-1]["text/plain"] == (
        f"- LC_ALL=C.UTF-8\n+ out={tmp_path}/a b$x\n+ preBuild=echo hi"
    )
    kernel.run("%display $out/'x y.csv'")
    assert kernel.shown[-1]["text/plain"] == "1  2"
