"""The text that makes the word `phase`: all of the build is data in it."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sandbox
from sandbox.errors import EvidenceError
from sandbox.model import phases
from sandbox.model.command import command_line
from sandbox.model.environment import BuildEnvironment
from sandbox.model.facts import EnvVars, Request
from tests.model import made

SCRIPTS = sandbox.phase_scripts()
VALUES = st.text(
    st.characters(min_codepoint=1, max_codepoint=255), max_size=40
).map(lambda text: text.encode("latin-1").decode("utf-8", "surrogateescape"))  # fmt: skip
EVIL = (
    "'; touch /tmp/evil; '",
    "$(reboot)",
    "`x`",
    "a\nb\n",
    "\\",
    "!!",
    "\x01\x7f\x1b]0;x\x07",
    "\udcff",
    "",
)


OF_NIXPKGS = ("-e", "/nix/store/x-source-stdenv.sh", "/nix/store/y-default-builder.sh")


def facts(*variables: tuple[str, str], arguments=OF_NIXPKGS, **request):
    environment = BuildEnvironment(variables=variables, arguments=arguments)
    derivation = made.derivation(**dict(variables))
    nix = made.NIX.replace(environment=environment, derivation=derivation)
    return made.KEPT, nix, Request(phases=SCRIPTS, **request)


def text(kept, nix, request):
    return phases.definitions(SCRIPTS, kept, nix, request, made.SHELL, "/build")


def read_by_bash(script: str, *show: str) -> list[str]:
    """The values of variables that `__nbs_phase_facts` sets, as a bash reads them from a file."""
    script += "\n__nbs_phase_facts\nprintf '%s\\0' " + " ".join(f'"${{{s}}}"' for s in show)
    startup = os.memfd_create("startup")
    os.write(startup, script.encode(errors="surrogateescape"))
    command = ["bash", "--norc", f"/dev/fd/{startup}"]
    done = subprocess.run(command, pass_fds=(startup,), capture_output=True, check=True, env={})
    os.close(startup)
    return done.stdout.decode(errors="surrogateescape").split("\0")[:-1]


@given(st.lists(VALUES, max_size=5))
@settings(deadline=None)
def test_bash_reads_every_value_back_as_it_was(values):
    names = [(f"v{number}", value) for number, value in enumerate(values)]
    read = read_by_bash(text(*facts(*names)), "__nbs_environment[@]")
    assert read == ([f"{n}={v}" for n, v in names] or [""])


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_of_the_build_is_run_as_text(evil):
    kept, nix, request = facts(
        ("a", evil), ("stdenv", "/s"), arguments=(evil, *OF_NIXPKGS), phase=evil
    )
    kept = kept.replace(outer=evil)
    shown = read_by_bash(
        text(kept, nix, request), "__nbs_environment[0]", "__nbs_failing", "__nbs_builder[1]"
    )
    assert shown == [f"a={evil}", evil, evil]


def test_names_that_no_shell_can_hold_come_with_the_start():
    kept, nix, request = facts(("a-b", "1"), ("stdenv", "/s"), phase_words=("check",))
    line = command_line(kept, nix, request, "/build")
    assert line.environment == (("a-b", "1"),)
    assert line.argv == (made.SHELL, "--noprofile", "--norc", "/dev/fd/9", "check")
    assert "a-b=" not in line.startup_file.partition("__nbs_parent=")[0]


def test_no_words_mean_the_failing_phase():
    kept, nix, request = facts(("stdenv", "/s"), phase_words=())
    assert command_line(kept, nix, request, "/build").argv[-1] == "--failing"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("-e", "/s.sh"), "-e"),
        (("-eu", "-x", "/s.sh", "-v"), "-eu -x"),
        (("/s.sh",), "-e"),
        (("-ec", "text"), "-e"),
    ],
)
def test_bash_is_started_with_the_builder_s_options(arguments, options):
    assert read_by_bash(text(*facts(arguments=arguments)), "__nbs_options") == [options]


def test_an_env_vars_that_was_not_read_is_not_looked_at_inside():
    kept, nix, request = facts(("stdenv", "/s"))
    closed = kept.replace(env_vars=EnvVars(state="unreadable"))
    assert read_by_bash(text(kept, nix, request), "__nbs_env_vars") == ["/build/env-vars"]
    assert read_by_bash(text(closed, nix, request), "__nbs_env_vars") == [""]


@pytest.mark.parametrize("name", ["", "a b", "$(reboot)", "x;y", "-x", "é"])
def test_what_is_no_name_of_a_phase_is_not_run_again(name):
    kept, nix, _ = facts(("stdenv", "/s"))
    assert phases.again(kept, nix, name) == ""


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"stdenv": "/s"}, "phase checkPhase"),
        ({"stdenv": "/s", "buildCommand": "echo"}, "phase buildCommand"),
        ({"__json": '{"stdenv":"/s","buildCommand":"echo"}'}, "phase buildCommand"),
        ({}, "phase builder"),
    ],
)
def test_what_failed_is_run_again_by_its_name(env, line):
    kept, nix, _ = facts()
    nix = nix.replace(derivation=made.derivation(**env))
    assert phases.again(kept, nix, "checkPhase") == line
    closed = kept.replace(env_vars=EnvVars(state="absent"))
    another = nix.replace(derivation=nix.derivation.replace(builder="/nix/store/x/bin/python3"))
    assert phases.again(closed, another, "checkPhase") == "", "without bash there is no such word"


@pytest.mark.parametrize(
    "arguments", [("-e", "/nix/store/x-builder.sh"), ("-c", "source $stdenv/setup")]
)
def test_a_script_of_the_builder_s_own_is_run_again_as_a_whole(arguments):
    kept, nix, _ = facts(("stdenv", "/s"), ("buildCommand", "echo"), arguments=arguments)
    assert phases.again(kept, nix, "checkPhase") == "phase builder"


def test_what_the_log_tells_goes_in_unless_it_leads_out_of_the_build():
    told = (
        ("unpackPhase", "sourceRoot", "it's $(x)"),
        ("unpackPhase", "sourceRoot", "../etc"),
        ("a b", "enableParallelBuilding", "1"),
    )
    kept, nix, request = facts(("stdenv", "/s"), told=told)
    shown = read_by_bash(text(kept, nix, request), "__nbs_told[@]")
    assert shown == ["unpackPhase:sourceRoot=it's $(x)"]


def without_bash(builder: str, **request):
    kept, nix, request = facts(("stdenv", "/s"), **request)
    kept = kept.replace(env_vars=EnvVars(state="absent"))
    derivation = nix.derivation.replace(builder=builder)
    return command_line(kept, nix.replace(derivation=derivation), request, "/build")


def test_a_builder_that_is_not_bash_is_run_as_nix_ran_it():
    line = without_bash("/nix/store/x/bin/python3", phase_words=())
    assert (line.program, line.argv) == ("/nix/store/x/bin/python3", ("python3", *OF_NIXPKGS))
    assert line.environment == (("stdenv", "/s"),)


@pytest.mark.parametrize(
    ("builder", "words", "reason"),
    [
        ("/nix/store/x/bin/python3", ("checkPhase",), "no-phases"),
        ("builtin:fetchurl", (), "builder-unknown"),
    ],
)
def test_what_cannot_be_run_again_is_refused(builder, words, reason):
    with pytest.raises(EvidenceError) as caught:
        without_bash(builder, phase_words=words)
    assert caught.value.reason == reason


def test_a_prompt_comes_before_the_word_and_a_command_has_none():
    kept, nix, request = facts(("stdenv", "/s"))
    shown = command_line(kept, nix, request, "/build").startup_file
    assert shown.index("PS1=") < shown.index("\nphase() {")
    assert command_line(kept, nix, request.replace(command=("x",)), "/build").startup_file == ""


def test_the_kernel_s_shell_has_the_word_and_no_prompt():
    kept, nix, request = facts(("stdenv", "/s"), shell_options=("-i",))
    shown = command_line(kept, nix, request, "/build").startup_file
    assert "\nphase() {" in shown
    assert "PS1=" not in shown
