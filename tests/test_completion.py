"""The completion scripts, each asked by its own shell."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.cli import arguments, build, nbs, shell

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "sandbox/cli/completions"
LIMIT_S = 60
BUILDS = ("hello-1.0", "help wanted", "world-2.0")
ENTERING = {*arguments.FLAGS, *arguments.WITH_VALUE}
VERBS_WITH_ARGPARSE = (
    "ls",
    "log",
    "diff",
    "patch",
    "notebook",
    "console",
    "report",
    "show",
    "plan",
    "doctor",
)


def program(shell: str) -> str:
    """The shell; the test is skipped without it, and fails where CI is set."""
    found = shutil.which(shell, path="/usr/local/bin:/usr/bin:/bin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {shell} is not installed", pytrace=False)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A PATH whose `nbs` knows three builds, and a directory with one directory and one file."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("nbs", "nix-build-shell"):
        (bin_ / name).write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(map(repr, BUILDS)) + "\n")
        (bin_ / name).chmod(0o755)
    place = tmp_path / "place"
    (place / "kept-directory").mkdir(parents=True)
    (place / "kept-file").touch()
    return {
        "PATH": f"{bin_}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }


def run(command: list[str], environment: dict[str, str]) -> list[str]:
    """The lines that a shell prints, run beside the kept directory."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(environment["HOME"], "place"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def bash(line: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """What bash offers for the last word of `line`."""
    script = """
        source "$0" || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        spec=$(complete -p "$1") && function=${spec#* -F } && "${function%% *}" "$@"
        if ((${#COMPREPLY[@]})); then printf '%s\\n' "${COMPREPLY[@]}"; fi
    """
    shell = [program("bash"), "--noprofile", "--norc", "-c", script]
    return run([*shell, str(SCRIPTS / "nbs.bash"), *line], environment)


def fish(line: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """What fish offers, without the descriptions."""
    script = "set --global fish_complete_path $argv[1]; complete --do-complete -- $argv[2]"
    text = " ".join(line)
    shell = [program("fish"), "--no-config", "--command", script]
    offered = run([*shell, "--", str(SCRIPTS), text], environment)
    return [entry.partition("\t")[0] for entry in offered]


ZSH_SETTINGS = """\
PS1='' RPS1=''
unsetopt prompt_cr prompt_sp beep zle_bracketed_paste
fpath=({scripts} $fpath)
autoload -Uz compinit && compinit -u -D
unset zle_bracketed_paste
offered() {{ print -r -- "<<<$BUFFER>>>"; exit }}
zle -N offered && bindkey '^X^O' offered
print -r -- ready
"""


def zsh(line: tuple[str, ...], environment: dict[str, str]) -> str:
    """The line after zsh has completed its last word as far as that is clear."""
    home = Path(environment["HOME"])
    (home / ".zshrc").write_text(ZSH_SETTINGS.format(scripts=SCRIPTS))
    shell = program("zsh")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home / "place")
        os.execve(shell, [shell, "-d", "-i"], {**environment, "TERM": "vt100"})
    try:
        seen = read_until(terminal, b"ready", b"")
        os.write(terminal, " ".join(line).encode() + b"\t\x18\x0f")
        seen = read_until(terminal, b">>>", seen)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return seen.decode().rpartition("<<<")[2].partition(">>>")[0]


def read_until(terminal: int, end: bytes, seen: bytes) -> bytes:
    """All that was written until `end`, on a terminal."""
    while end not in seen:
        ready, _, _ = select.select([terminal], [], [], LIMIT_S)
        assert ready, seen
        seen += os.read(terminal, 65536)
    return seen


def options_of(*verb: str) -> set[str]:
    """The long options that `nbs VERB… --help` names."""
    command = [sys.executable, "-m", "sandbox.cli.nbs", *verb, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    words = done.stdout.replace("[", " ").replace("]", " ").replace(",", " ").split()
    return {word.rstrip(".") for word in words if word.startswith("--") and word != "--"}


@pytest.mark.parametrize("offer", [bash, fish])
def test_the_first_word_is_a_verb(offer, environment) -> None:
    assert sorted(offer(("nbs", ""), environment)) == sorted(nbs.VERBS)


@pytest.mark.parametrize("offer", [bash, fish])
@pytest.mark.parametrize(
    "verb",
    [
        "console",
        "diff",
        "log",
        "notebook",
        "patch",
        "phase",
        "replay",
        "shell",
        "show",
        "plan",
        "verify",
    ],
)
def test_a_build_is_one_of_those_that_were_kept(offer, verb, environment) -> None:
    offered = offer(("nbs", verb, "h"), environment)
    assert [word.replace("\\", "") for word in offered] == ["hello-1.0", "help wanted"]


@pytest.mark.parametrize("offer", [bash, fish])
def test_a_name_with_a_space_stays_one_word(offer, environment) -> None:
    (offered,) = offer(("nbs", "shell", "help"), environment)
    assert offered in ("help\\ wanted", "help wanted")  # fish quotes it when it inserts it


@pytest.mark.parametrize("offer", [bash, fish])
def test_a_build_may_be_a_path(offer, environment) -> None:
    (offered,) = offer(("nbs", "shell", "./k"), environment)
    assert offered.rstrip("/") == "./kept-directory"


@pytest.mark.parametrize("offer", [bash, fish])
def test_the_kept_directory_is_a_directory(offer, environment) -> None:
    (offered,) = offer(("nix-build-shell", "kept"), environment)
    assert offered.rstrip("/") == "kept-directory"


@pytest.mark.parametrize("offer", [bash, fish])
def test_nothing_of_the_host_is_offered_for_the_command_inside(offer, environment) -> None:
    assert offer(("nix-build-shell", "kept-directory", "k"), environment) == []
    assert offer(("nbs", "shell", "hello-1.0", "--", "k"), environment) == []


@pytest.mark.parametrize("offer", [bash, fish])
def test_an_option_with_a_choice_offers_it(offer, environment) -> None:
    assert sorted(offer(("nix-build-shell", "--inputs", ""), environment)) == ["ro", "rw"]
    assert sorted(offer(("nbs", "completion", ""), environment)) == ["bash", "fish", "zsh"]


@pytest.mark.parametrize("offer", [bash, fish])
def test_entering_has_the_options_that_its_parser_knows(offer, environment) -> None:
    assert set(offer(("nix-build-shell", "--"), environment)) == ENTERING
    assert set(offer(("nbs", "shell", "--"), environment)) | {"--version"} == {
        *shell.FLAGS,
        *shell.WITH_VALUE,
    }
    assert set(offer(("nbs", "build", "--"), environment)) == {*build.FLAGS, *arguments.WITH_VALUE}


@pytest.mark.parametrize("offer", [bash, fish])
@pytest.mark.parametrize("verb", ["phase", "replay", "verify"])
def test_a_verb_that_enters_has_its_options_and_those_of_entering(offer, verb, environment) -> None:
    offered = set(offer(("nbs", verb, "--"), environment))
    assert offered == options_of(verb) | ENTERING - {"--version"}


@pytest.mark.parametrize("offer", [bash, fish])
def test_behind_the_build_are_phases(offer, environment) -> None:
    assert offer(("nbs", "phase", "hello-1.0", "che"), environment) == ["checkPhase"]
    assert offer(("nbs", "phase", "--from", "bui"), environment) != []


@pytest.mark.parametrize("offer", [bash, fish])
@pytest.mark.parametrize("verb", VERBS_WITH_ARGPARSE)
def test_a_verb_has_the_options_that_its_help_names(offer, verb, environment) -> None:
    assert set(offer(("nbs", verb, "--"), environment)) == options_of(verb)


@pytest.mark.parametrize("offer", [bash, fish])
@pytest.mark.parametrize("action", ["ls", "prune"])
def test_what_is_done_with_workspaces_has_the_options_that_its_help_names(
    offer, action, environment
) -> None:
    assert set(offer(("nbs", "ws", action, "--"), environment)) == options_of("ws", action)


@pytest.mark.parametrize("offer", [bash, fish])
@pytest.mark.parametrize("words", [("ws", "rm"), ("ws", "path"), ("shell", "--ws")])
def test_a_workspace_is_one_of_those_that_are_kept(offer, words, environment) -> None:
    offered = offer(("nbs", *words, "h"), environment)
    assert [word.replace("\\", "") for word in offered] == ["hello-1.0", "help wanted"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (("nbs", "dem"), "nbs demo "),
        (("nbs", "shell", "hello"), "nbs shell hello-1.0 "),
        (("nbs", "phase", "hello"), "nbs phase hello-1.0 "),
        (("nbs", "phase", "hello-1.0", "chec"), "nbs phase hello-1.0 checkPhase "),
        (("nbs", "shell", "help"), "nbs shell help\\ wanted "),
        (("nbs", "plan", "--whole"), "nbs plan --whole-store "),
        (("nbs", "plan", "--diff", "wor"), "nbs plan --diff world-2.0 "),
        (("nbs", "build", "--no-"), "nbs build --no-enter "),
        (("nbs", "replay", "wor"), "nbs replay world-2.0 "),
        (("nbs", "verify", "--pat"), "nbs verify --patch="),
        (("nbs", "log", "wor"), "nbs log world-2.0 "),
        (("nbs", "notebook", "wor"), "nbs notebook world-2.0 "),
        (("nbs", "console", "wor"), "nbs console world-2.0 "),
        (("nbs", "patch", "wor"), "nbs patch world-2.0 "),
        (("nbs", "diff", "--na"), "nbs diff --names "),
        (("nbs", "notebook", "--no-"), "nbs notebook --no-open "),
        (("nbs", "report", "--out"), "nbs report --output="),
        (("nbs", "ws", "pru"), "nbs ws prune "),
        (("nbs", "ws", "rm", "wor"), "nbs ws rm world-2.0 "),
        (("nbs", "shell", "--ws", "wor"), "nbs shell --ws world-2.0 "),
        (("nbs", "completion", "fi"), "nbs completion fish "),
        (("nix-build-shell", "kept-"), "nix-build-shell kept-directory/"),
        (
            ("nix-build-shell", "--inputs", "rw", "kept-"),
            "nix-build-shell --inputs rw kept-directory/",
        ),
        (("nix-build-shell", "--unsan"), "nix-build-shell --unsandboxed "),
        (("nix-build-shell", "kept-directory", "kept"), "nix-build-shell kept-directory kept"),
    ],
)
def test_zsh_completes_what_is_typed(typed, completed, environment) -> None:
    assert zsh(typed, environment) == completed


def test_zsh_knows_every_verb() -> None:
    text = (SCRIPTS / "_nbs").read_text()
    assert not [verb for verb in nbs.VERBS if f"'{verb}:" not in text]


def test_bash_finds_both_commands_in_the_installed_files(environment, tmp_path) -> None:
    for name in ("nbs", "nix-build-shell"):
        shutil.copy(SCRIPTS / f"{name}.bash", tmp_path / name)
    script = 'source "$0" && complete -p nbs nix-build-shell'
    shell = [program("bash"), "--noprofile", "--norc", "-c", script]
    assert len(run([*shell, str(tmp_path / "nix-build-shell")], environment)) == 2
