"""What is said of the name under a cursor."""

from __future__ import annotations

import os
import time

import pytest

from nbs_kernel.typed.answers import Answers
from tests.kernel.typed.shells import Told


def said(shell: Told | None, code: str, cursor: int | None = None, detail: int = 0) -> str:
    content = Answers().inspect(shell, code, len(code) if cursor is None else cursor, detail)
    data = content["data"]
    assert isinstance(data, dict)
    assert content["found"] == bool(data)
    return data.get("text/plain", "")


def test_a_function_is_shown_with_its_source() -> None:
    shell = Told()
    shell.described["runHook"] = ("function", "runHook () \n{ \n    local hook=$1\n}")
    assert said(shell, "runHook preBuild", 3).startswith("runHook: function\nrunHook () \n{")


def test_a_variable_is_shown_as_declare_prints_it() -> None:
    shell = Told(out="/nix/store/x")
    assert said(shell, 'ls "$out/bin"', 6) == 'out: variable\ndeclare -x out="/nix/store/x"'
    assert said(shell, "out=1", 2).startswith("out: variable")
    assert said(shell, "echo ${out}", 9).startswith("out: variable")
    assert said(shell, "unset out").startswith("out: variable")


def test_built_ins_are_explained_where_the_shell_has_no_help() -> None:
    shell = Told()
    shell.described["mapfile"] = ("builtin", "")
    assert "read lines into an array" in said(shell, "mapfile -t x", 4)
    assert "unset variables" not in said(None, "mapfile", 4)
    assert "[[ EXPRESSION ]]" in said(Told(), "[[ -f x ]]", 1)
    assert "for NAME in" in said(Told(), "for").replace("[in WORD…]", "in")


def test_more_detail_gives_the_shells_own_help_and_what_a_name_hides() -> None:
    shell = Told()
    shell.described["test"] = (
        "function",
        "test () { :; }",
        "builtin",
        "test: all the help",
        "file",
        "/bin/test",
    )
    assert "built-in" not in said(shell, "test")
    full = said(shell, "test", detail=1)
    assert "test: all the help" in full
    assert "program /bin/test" in full


def test_a_phase_is_told_by_what_it_would_run() -> None:
    shell = Told()
    shell.described["buildPhase"] = (
        "function",
        "buildPhase () { make; }",
        "variable",
        'declare -x buildPhase="cc -o x"',
    )
    shell.described["preBuild"] = ("variable", 'declare -x preBuild="echo first"')
    text = said(shell, "runPhase buildPhase")
    assert "buildPhase: phase; runs the text of the variable" in text
    assert "cc -o x" in text
    assert "make" not in text
    assert "hook preBuild (variable)" in text
    empty = ("function", "buildPhase () { make; }", "variable", 'declare -x buildPhase=""')
    for described in (empty, empty[:2]):
        shell.described["buildPhase"] = described
        assert "runs the function" in said(shell, "buildPhase")


SETUP = """\
runHook() { :; }

checkPhase() {
    runHook preCheck
    make check
}

configurePhase() { ./configure; }
"""
HOOK = """\
cmakeConfigurePhase() {
    cmake ..
}
if [ -z "${configurePhase-}" ]; then
    configurePhase=cmakeConfigurePhase
fi
"""


@pytest.fixture
def before_setup(tmp_path) -> Told:
    """A shell as a user gets it: its environment names setup, which it has not read."""
    (tmp_path / "stdenv").mkdir()
    (tmp_path / "stdenv/setup").write_text(SETUP)
    (tmp_path / "cmake/nix-support").mkdir(parents=True)
    (tmp_path / "cmake/nix-support/setup-hook").write_text(HOOK)
    (tmp_path / "tools/nix-support").mkdir(parents=True)
    (tmp_path / "tools/nix-support/propagated-build-inputs").write_text(f" {tmp_path}/cmake ")
    return Told(
        str(tmp_path),
        stdenv=f"{tmp_path}/stdenv",
        nativeBuildInputs=f"{tmp_path}/tools",
        installPhase="cp x $out",
    )


def test_a_phase_is_told_before_the_shell_has_read_setup(before_setup: Told) -> None:
    text = said(before_setup, "checkPhase", 3)
    assert text.startswith("checkPhase: phase; runs the function of ")
    assert "    make check\n}" in text
    assert "configure" not in text.replace("checkPhase", "")
    assert "not in this shell yet" in text
    assert said(before_setup, "configurePhase").startswith(
        "configurePhase: phase; runs cmakeConfig"
    )
    assert "    cmake ..\n}" in said(before_setup, "configurePhase")
    assert "cp x $out" in said(before_setup, "installPhase")


@pytest.mark.parametrize(
    "text",
    [
        "checkPhase=a" + " " * 1_000_000 + "!\n",
        "function checkPhase" + " " * 1_000_000 + "!\n",
        " " * 1_000_000 + "checkPhase()",
        "checkPhase() {\n" * 20_000,
    ],
)
def test_a_hostile_setup_takes_no_longer_than_its_length(before_setup: Told, text: str) -> None:
    with open(f"{before_setup.directory}/stdenv/setup", "w") as file:
        file.write(text)
    began = time.process_time()
    said(before_setup, "checkPhase")
    assert time.process_time() - began < 10


def test_behind_the_word_phase_is_what_a_fresh_shell_would_run(before_setup: Told) -> None:
    answers = Answers("usage: phase [OPTIONS]\n")
    answers.begun = {"checkPhase": "make begun", "preCheck": "echo first"}

    def about(code: str) -> str:
        data = answers.inspect(before_setup, code, len(code))["data"]
        assert isinstance(data, dict)
        return str(data.get("text/plain", ""))

    before_setup.described["checkPhase"] = ("function", "checkPhase () { mine; }")
    before_setup.described["phase"] = ("function", "phase () { __nbs_phase_leave; }")
    for code in ("phase check", "phase checkPhase", "phase -j1 check"):
        assert "runs the text of the variable\nmake begun\nhook preCheck" in about(code)
        assert "mine" not in about(code)
    assert "mine" in about("runPhase checkPhase")
    assert "./configure" not in about("phase configure")
    assert "cmake .." in about("phase configure")
    assert about("phase") == about("phase --al") == "usage: phase [OPTIONS]\n"
    before_setup.described["phase"] = ("function", "phase () { somebody; }")
    assert "somebody" in about("phase")


def test_the_blank_behind_a_command_asks_about_the_command() -> None:
    shell = Told()
    shell.described["runHook"] = ("function", "runHook () { :; }")
    assert said(shell, "runHook ").startswith("runHook: function")
    assert said(shell, "runHook nothing ").startswith("runHook: function")


def test_a_file_is_told_by_its_mode_and_first_bytes(tmp_path) -> None:
    (tmp_path / "run").write_text("#!/bin/sh\necho \x1b[2J\n")
    (tmp_path / "elf").write_bytes(b"\x7fELF" + b"\0" * 20)
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in\nside").touch()
    shell = Told(str(tmp_path))
    assert "script for /bin/sh" in said(shell, "cat run")
    assert "\x1b" not in said(shell, "cat run")
    assert "ELF binary" in said(shell, "./elf")
    assert said(shell, "cat link").startswith("link -> run\n")
    assert "in\\nside" in said(shell, "ls folder")


def test_looking_at_a_fifo_or_a_device_opens_neither(tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "memory").symlink_to("/proc/self/environ")
    shell = Told(str(tmp_path))
    assert "not a regular file" in said(shell, "cat fifo")
    assert "not a regular file" in said(shell, "cat device")
    assert "PATH" not in said(shell, "cat memory")


def test_a_long_source_is_cut_unless_more_is_asked_for() -> None:
    shell = Told()
    shell.described["f"] = ("function", "\n".join(f"line {n}" for n in range(500)))
    assert "460 more lines" in said(shell, "f")
    assert "line 499" in said(shell, "f", detail=1)


def test_a_magic_command_is_explained() -> None:
    assert said(None, "%limit 5").startswith("%limit [SIZE|off]")
    assert said(None, "make\n%limit 5") == ""


def test_the_word_display_is_explained_unless_the_user_has_a_function_of_that_name() -> None:
    shell = Told()
    assert said(shell, "make && display plot.svg", 12).startswith("%display FILE…")
    shell.described["display"] = ("function", "display () { mine; }")
    assert "mine" in said(shell, "display")


def test_names_that_could_be_an_option_or_code_are_never_asked() -> None:
    shell = Told()
    for code in ("echo -n", "$(x)", "echo 'a b'", "echo a';'b", "x 'a[$(touch bad)]'"):
        said(shell, code)
    assert all(not q[-1].startswith("-") and not {*" ;$("} & {*q[-1]} for q in shell.asked)


def test_nothing_is_found_where_nothing_is_known() -> None:
    assert said(Told(), "frobnicate") == ""
    assert said(Told(), "") == ""
    assert said(Told(), "# comment") == ""
