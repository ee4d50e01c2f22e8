"""Tools of the host in a sandbox: what is added to it, and nothing else."""

from __future__ import annotations

import subprocess

import pytest

from sandbox.errors import UsageError
from sandbox.model.spec import Bind, Directory
from sandbox.model.tools import Tool, with_tools
from tests.model.made import described

STRACE = Tool(
    name="strace",
    program="/usr/bin/strace",
    shown_as="/usr/bin/strace",
    loader="/usr/lib/ld-2.so",
    libraries=(("libc.so.6", "/usr/lib/libc.so.6"),),
)
STATIC = Tool(name="box", program="/opt/box", shown_as="/opt/box")


def sandbox(**changes: object):
    made = described()
    return made.replace(process=made.process.replace(**changes))


def test_nothing_of_what_the_build_had_is_changed() -> None:
    before = sandbox(startup_file="PS1=x\n")
    after = with_tools(before, (STRACE, STATIC))
    assert after.entries[: len(before.entries)] == before.entries
    assert all(e.path.startswith("/nbs-tools") for e in after.entries[len(before.entries) :])
    assert after.process.environment == before.process.environment


def test_all_that_is_added_is_read_only() -> None:
    added = with_tools(sandbox(), (STRACE,)).entries[len(sandbox().entries) :]
    binds = [e for e in added if isinstance(e, Bind)]
    assert all(e.read_only for e in binds)
    assert {(e.path, e.source) for e in binds} == {
        ("/nbs-tools/strace/usr/bin/strace", "/usr/bin/strace"),
        ("/nbs-tools/strace/libraries/ld-2.so", "/usr/lib/ld-2.so"),
        ("/nbs-tools/strace/libraries/libc.so.6", "/usr/lib/libc.so.6"),
    }
    made = [e for e in added if isinstance(e, Directory)]
    assert {e.mode for e in made} == {0o555}
    assert [e.path for e in made] == sorted(e.path for e in made), "parents first"


def test_a_command_that_begins_with_the_word_is_the_loader_with_the_program() -> None:
    before = sandbox(argv=("bash", "-c", 'exec "$@"', "--", "tool", "strace", "-f", "tool"))
    after = with_tools(before, (STRACE,), ("tool", "strace", "-f", "tool"))
    assert after.process.argv[:4] == before.process.argv[:4]
    assert after.process.argv[4:] == (
        "/nbs-tools/strace/libraries/ld-2.so",
        "--library-path",
        "/nbs-tools/strace/libraries",
        "/nbs-tools/strace/usr/bin/strace",
        "-f",
        "tool",
    )


def test_any_other_command_is_left_as_it_is() -> None:
    before = sandbox(argv=("bash", "make", "tool"))
    assert with_tools(before, (STRACE,), ("make", "tool")).process.argv == before.process.argv


@pytest.mark.parametrize("command", [("tool",), ("tool", "gdb")])
def test_a_tool_that_was_not_given_is_said_to_be_none(command: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        with_tools(sandbox(argv=command), (STRACE,), command)
    assert caught.value.reason == "tool-unknown"


def test_the_word_runs_the_tool_with_its_arguments_as_they_are(tmp_path) -> None:
    program = tmp_path / "it's a tool"
    program.write_text('#!/bin/sh\nprintf "<%s>" "$@"\nenv >&2\n')
    program.chmod(0o755)
    tool = Tool(name="it's a tool", program=str(program), shown_as=str(program))
    root = Bind(path="/", source="/", kind="directory", rule="test")
    made = sandbox(startup_file="set -u\n")
    host = made.replace(entries=(root, *made.entries))
    text = with_tools(host, (tool,)).process.startup_file
    words = """tool "it's a tool" 'a b' '' '*' """
    done = subprocess.run(
        ["bash", "-c", f"{text}{words}"], env={"A": "b"}, capture_output=True, check=True
    )
    assert done.stdout == b"<a b><><*>"
    assert b"LD_LIBRARY_PATH" not in done.stderr
    wrong = subprocess.run(["bash", "-c", f"{text}tool\n"], capture_output=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"it's a tool" in wrong.stderr
