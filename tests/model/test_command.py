"""What runs inside: the build's own shell, its variables, and nothing of the caller's."""

from __future__ import annotations

import string
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import CommandError, EvidenceError
from sandbox.model.command import (
    command_line,
    inside,
    is_identifier,
    require_startable,
    shell_word,
)
from sandbox.model.environment import BuildEnvironment
from sandbox.model.facts import EnvVars, Request
from tests.conftest import program
from tests.model import made

CLOSED = made.KEPT.replace(env_vars=EnvVars(state="unreadable"))


def environment(**variables):
    return BuildEnvironment(variables=tuple(variables.items()), files=(), arguments=("-e",))


def line(kept=made.KEPT, nix=made.NIX, **request):
    return command_line(kept, nix, Request(**request), "/build")


def from_derivation(builder=made.SHELL, variables=None, **env):
    variables = {"stdenv": "/nix/store/s", "out": "/o"} if variables is None else variables
    derivation = made.derivation(**({} if "__json" in env else variables), **env)
    derivation = derivation.replace(builder=builder)
    return made.NIX.replace(environment=environment(**variables), derivation=derivation)


@given(st.text(string.printable.replace("\r", ""), max_size=30))
def test_a_shell_reads_a_word_back_as_it_was(text):
    shown = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {shell_word(text)}"], capture_output=True, check=True
    )
    assert shown.stdout.decode() == text


def test_env_vars_is_sourced_and_the_command_takes_the_shell_s_place():
    run = line(command=("make", "a b"))
    assert run.argv == (
        made.SHELL,
        "-c",
        'source /build/env-vars; exec "$@"',
        "--",
        "make",
        "a b",
    )
    assert run.environment == ()


def test_only_an_interactive_run_is_told_of_the_terminal():
    shown = line(command=("vi",), interactive=True, term="xterm-256color").argv
    assert shown == (
        made.SHELL,
        "-c",
        'source /build/env-vars; export TERM="$0"; exec "$@"',
        "xterm-256color",
        "vi",
    )
    assert "xterm" not in str(line(command=("vi",), term="xterm-256color"))


def test_a_hostile_terminal_name_is_an_argument_and_no_text_of_the_script():
    argv = line(command=("vi",), interactive=True, term="$(reboot)").argv
    assert "reboot" not in argv[2]


def test_variables_that_a_shell_cannot_hold_come_with_the_start():
    nix = made.NIX.replace(environment=environment(**{"a-b": "1", "plain": "2"}))
    assert line(nix=nix, command=("env",)).environment == (("a-b", "1"),)


@pytest.mark.parametrize(
    ("directory", "candidates"),
    [
        ("/build/hello", ("/build/hello", "/build", "/")),
        ("", ("/build", "/")),
        ("../../etc", ("/build", "/")),
    ],
)
def test_the_command_begins_where_the_phase_did_if_that_is_a_path(directory, candidates):
    kept = made.KEPT.replace(env_vars=made.ENV_VARS.replace(working_directory=directory))
    assert line(kept, command=("pwd",)).directories == candidates


def test_a_closed_env_vars_gives_way_to_the_derivation_and_setup():
    run = line(CLOSED, from_derivation(), command=("make",))
    assert run.argv[:2] == (made.SHELL, "-c")
    assert 'source "$stdenv/setup"' in run.argv[2]
    assert "NIX_ATTRS_SH_FILE" not in run.argv[2]
    assert run.environment == (("stdenv", "/nix/store/s"), ("out", "/o"))


def test_structured_attributes_are_read_before_setup():
    script = line(CLOSED, from_derivation(__json="{}"), command=("make",)).argv[2]
    assert script.index("NIX_ATTRS_SH_FILE") < script.index("$stdenv/setup")


def test_without_a_stdenv_the_command_runs_by_itself():
    nix = from_derivation(variables={"out": "/o"})
    assert line(CLOSED, nix, command=("/bin/x",)).argv == ("/bin/x",)


@pytest.mark.parametrize("name", ["sh", "dash", "busybox", "not-bash"])
def test_what_is_written_for_bash_is_read_by_no_other_shell(name):
    nix = from_derivation(f"/nix/store/x/bin/{name}", variables={}, __json='{"a":["b"]}')
    assert line(CLOSED, nix, command=("/bin/x",)).argv == ("/bin/x",)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [("bash", '{"a":["b"]}'), ("bash", '{"stdenv":"/s"}'), ("sh", '{"stdenv":"/s"}')],
)
def test_bash_reads_structured_attributes_by_whatever_name_stdenv_calls_it(name, attributes):
    nix = from_derivation(f"/nix/store/x/bin/{name}", variables={}, __json=attributes)
    assert "NIX_ATTRS_SH_FILE" in line(CLOSED, nix, command=("/bin/x",)).argv[2]


@pytest.mark.parametrize("shell", [("dash",), ("busybox", "sh"), ("bash", "--posix"), ("bash",)])
def test_whatever_shell_is_called_sh_the_command_is_run(shell):
    nix = from_derivation("/nix/store/x/bin/sh", variables={}, stdenv="/not/there")
    run = line(CLOSED, nix, command=("echo", "a  b"))
    words = [program(shell[0]), *shell[1:], *run.argv[1:]]
    done = subprocess.run(words, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"})
    assert (done.stdout, done.stderr) == (b"a  b\n", b"")


@pytest.mark.parametrize("name", ["sh", "dash"])
def test_another_shell_is_started_without_the_options_of_bash(name):
    shell = f"/nix/store/x/bin/{name}"
    assert line(CLOSED, from_derivation(shell, variables={})).argv == (shell, "-i")
    with pytest.raises(EvidenceError, match="not bash"):
        line(CLOSED, from_derivation(shell, variables={}), shell_options=("--norc",))


def test_a_builder_that_is_no_shell_offers_no_shell():
    nix = from_derivation(builder="/nix/store/x/bin/python3", variables={})
    with pytest.raises(EvidenceError) as caught:
        line(CLOSED, nix)
    assert caught.value.reason == "no-shell"
    assert "python3" in caught.value.evidence[0]
    assert line(CLOSED, nix, command=("/bin/x",)).argv == ("/bin/x",)


def test_with_neither_source_the_command_is_refused():
    with pytest.raises(EvidenceError) as caught:
        line(CLOSED, command=("make",))
    assert caught.value.reason == "environment-unknown"
    assert "--derivation" in caught.value.hint


def test_a_shell_that_stays_reads_env_vars_itself_and_execve_carries_none_of_it():
    kept = made.KEPT.replace(env_vars=made.ENV_VARS.replace(working_directory="/build/hello"))
    run = line(kept, interactive=True, term="a b")
    assert run.argv == (made.SHELL, "--noprofile", "--rcfile", "/dev/fd/9", "-i")
    assert run.environment == (("PWD", "/build/hello"),)
    assert "source /build/env-vars\n" in run.startup_file
    assert "export TERM='a b'\n" in run.startup_file


@pytest.mark.parametrize("variables", [{}, {"stdenv": "/s"}])
def test_a_shell_without_a_terminal_has_its_words_but_no_prompt(variables):
    for run in (
        line(script=True),
        line(CLOSED, from_derivation(variables=variables), script=True),
    ):
        assert "-i" not in run.argv
        assert run.argv[-1] == made.SHELL
        read = "".join(f"{n}={v} " for n, v in run.environment) + " ".join(run.argv)
        assert "BASH_ENV=/dev/fd/9" in read
        assert "unset -v BASH_ENV\n" in run.startup_file
        assert "PS1" not in run.startup_file


def test_variables_that_are_too_long_refuse_what_would_be_started_with_them():
    too_long = (("flags", 300_000),)
    kept = made.KEPT.replace(env_vars=made.ENV_VARS.replace(overlong=too_long))
    require_startable(kept, made.NIX, Request())
    with pytest.raises(CommandError) as caught:
        require_startable(kept, made.NIX, Request(command=("make", "a b")))
    assert caught.value.exit_code == 126
    words = "export -n flags; make 'a b'"
    assert f"echo {shell_word(words)} | nix-build-shell {kept.outer}" in caught.value.hint
    # What the derivation has is given to the shell itself.
    nix = made.NIX.replace(overlong=too_long)
    require_startable(kept, nix, Request())
    with pytest.raises(CommandError) as caught:
        require_startable(CLOSED, nix, Request())
    assert 'passAsFile = [ "flags" ];' in caught.value.hint


def test_a_prompt_is_for_shells_alone():
    assert line(command=("make",)).startup_file == ""
    assert "hello-1.0 checkPhase" in line(phase="checkPhase").startup_file


@pytest.mark.parametrize(
    "evil", ["\x1b]0;x\x07", "a\nrm -rf /", "$(reboot)", "`reboot`", "\\$(x)", "'; x; '"]
)
def test_a_hostile_name_does_nothing_in_the_prompt(evil):
    text = line(made.KEPT.replace(name_hint=evil), phase=evil).startup_file
    prompt = next(part for part in text.splitlines() if part.startswith("PS1="))
    assert text.count("\n") == line(phase="x").startup_file.count("\n")
    label = prompt.removeprefix("PS1='\\[\\e[1;34m\\]['").partition("']\\[")[0]
    assert not set(label) & set("$`\\;\x1b\x07\n(")


def test_identifiers_are_a_shell_s_not_python_s():
    assert [is_identifier(n) for n in ("a_1", "_", "1a", "a-b", "é", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_the_history_of_a_shell_begins_with_what_is_asked_for():
    text = line(history=("make 'a b'", "true")).startup_file
    lines = [entry for entry in text.splitlines() if entry.startswith("history")]
    script = "\n".join([*lines, "history"])
    shown = subprocess.run(["/bin/bash", "-c", script], capture_output=True, check=True, text=True)
    assert [entry.split(maxsplit=1)[1] for entry in shown.stdout.splitlines()[:2]] == [
        "make 'a b'",
        "true",
    ]


TOLD = (("unpackPhase", "sourceRoot", "hello"), ("configurePhase", "PWD", "/build/hello/b"))


def test_without_env_vars_a_shell_begins_where_the_log_says_last():
    nix = from_derivation()
    assert line(CLOSED, nix, told=TOLD).directories == ("/build/hello/b", "/build", "/")
    assert line(CLOSED, nix, told=TOLD[:1]).directories == ("/build/hello", "/build", "/")
    assert line(CLOSED, nix).directories == ("/build", "/")
    assert line(told=TOLD).directories == ("/build/hello", "/build", "/"), "env-vars knows better"


@pytest.mark.parametrize(
    "path", ["/etc", "../etc", "a/../../etc", "/buildings", "/build/..", "a\nb"]
)
def test_no_log_leads_out_of_the_build_s_directory(path):
    assert inside("/build", path) == ""
    told = (*TOLD, ("buildPhase", "PWD", path))
    assert line(CLOSED, from_derivation(), told=told).directories[0] == "/build/hello/b"


def test_a_directory_of_the_build_is_itself_inside():
    assert [inside("/build", path) for path in (".", "/build", "./a/./b")] == [
        "/build",
        "/build",
        "/build/a/b",
    ]
