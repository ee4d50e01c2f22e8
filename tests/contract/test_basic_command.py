"""The command runs in the build's own shell, with env-vars sourced."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.namespaces


def test_the_command_runs_and_its_output_is_all_there_is(output):
    assert output("echo", "hello") == "hello\n"


def test_each_argument_arrives_as_it_was_given(output):
    arguments = ["", " ", "two words", "*", "$HOME", "a'b\"c\\d", "-n", "--", "line\nbreak", "ü"]
    script = "import"  # no argument is an option of the tool, whatever it looks like
    given = output("printf", "<%s>\\n", script, *arguments)
    assert given == "".join(f"<{argument}>\n" for argument in (script, *arguments))


def test_env_vars_are_sourced(shell, kept):
    expected = "hallo" if "hand-made" in kept.path else "unset"
    assert shell('echo "${greeting-unset}"') == f"{expected}\n"


def test_the_path_is_the_one_of_env_vars(shell, kept):
    assert shell("type -P cat") == f"{kept.packages['coreutils']}/bin/cat\n"


def test_the_shell_is_the_one_of_env_vars(shell, kept):
    assert shell('echo "$SHELL"') == f"{kept.packages['bash']}/bin/bash\n"


def test_env_vars_lie_in_the_build_directory(output):
    assert "declare -x SHELL=" in output("cat", "/build/env-vars")


def test_the_command_replaces_the_shell_that_sourced_env_vars(shell):
    assert shell("tr '\\0' ' ' < /proc/1/cmdline").startswith("bash -euc")


def test_standard_input_reaches_the_command(output):
    assert output("cat", input=b"from outside\0\xff".replace(b"\xff", b"!")) == "from outside\0!"


def test_standard_error_is_kept_apart(run):
    done = run("bash", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize("status", [0, 1, 7, 126, 127, 255])
def test_the_exit_status_is_the_command_s(run, status):
    assert run("bash", "-c", f"exit {status}").returncode == status


def test_a_command_that_is_not_there_ends_with_127(run):
    assert run("no-such-command").returncode == 127
