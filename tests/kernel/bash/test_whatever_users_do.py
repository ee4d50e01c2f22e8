"""What a user may set, define or shadow: the driver goes on, and so does what was set."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

SHADOWED = [
    "builtin",
    "printf",
    "eval",
    "set",
    "trap",
    "unset",
    "return",
    "local",
    "read",
    "kill",
    "exit",
    "exec",
    "shift",
    "shopt",
    "declare",
    "command",
    "test",
    "alias",
    "unalias",
    "readonly",
    "enable",
    "type",
    "help",
    "mapfile",
    "echo",
    ":",
    "[",
]


def works(driver):
    """The driver does all that it does."""
    assert driver.run("(builtin exit 3)").outcome.status == 3
    ran = driver.run("set -e; (builtin exit 4); builtin echo not this")
    assert (ran.outcome.status, ran.outcome.why) == (4, "errexit")
    assert driver.run("builtin set +e; builtin echo on").output.endswith(b"on\n")
    assert driver.run("fi").outcome.why == "syntax"
    ran = driver.begin("while true; do true; done")
    for _ in range(3):
        driver.step()
    driver.shell.interrupt()
    assert driver.go_on(ran).outcome.why == "interrupt"
    assert driver.shell.ask(("names",)) is not None


@pytest.mark.parametrize("name", SHADOWED)
def test_a_function_may_have_the_name_of_any_builtin(driver, name):
    if name == "set":
        driver.run('function set { builtin set "$@"; }')
    else:
        say = "echo" if name == "builtin" else "builtin echo"
        driver.run(f"function {name} {{ {say} 'mine {name}'; }}")
    works(driver)
    if name not in {"builtin", "exit", "set"}:
        assert f"mine {name}".encode() in driver.run(f"{name} x").output


def test_functions_may_have_the_names_of_all_builtins_at_once(driver):
    driver.run(
        "\n".join(f"function {name} {{ mine=1; }}" for name in SHADOWED if name not in {"set", ":"})
    )
    works(driver)


@pytest.mark.parametrize("name", [*SHADOWED, "{", "}", "if", "while", "__nbs_done"])
def test_an_alias_may_have_any_name(driver, name):
    driver.run(f"\\alias -- '{name}=echo aliased'")
    assert driver.run("\\true").outcome.status == 0
    assert driver.run("\\false").outcome.status == 1
    assert driver.run("\\builtin \\echo on").output.endswith(b"on\n")


def test_aliases_work_in_the_next_cells(driver):
    driver.run("alias hello='echo hello'")
    assert driver.run("hello you").output == b"hello you\n"


def test_a_prompt_is_neither_shown_nor_run(driver, tmp_path):
    driver.run(
        "PS1='$(touch prompt)> ' PS2='two> ' PS0='$(touch zero)' PROMPT_COMMAND='touch command; echo no'"
    )
    assert driver.run('printf \'%s|\' "$PS1" "$PS2" "$PS0" "$PROMPT_COMMAND"').output == (
        b"$(touch prompt)> |two> |$(touch zero)|touch command; echo no|"
    )
    driver.run("exit 1")
    driver.run("PROMPT_COMMAND=('touch command' 'touch more')")
    assert driver.run("echo ${#PROMPT_COMMAND[@]}").output == b"2\n"
    assert list(tmp_path.iterdir()) == []


def test_a_time_out_of_the_prompt_does_not_end_the_shell(driver):
    driver.run("TMOUT=1")
    last = time.monotonic() + 1.5
    driver.idle_until(lambda _: time.monotonic() > last)
    assert driver.run("echo $TMOUT").output == b"1\n"


NAMES = "status flags parts calls files lines definitions trap i key name count listed ours here"


@pytest.mark.parametrize(
    "code",
    [
        f"readonly {NAMES}",
        f"readonly {' '.join(f'{name}=x' for name in NAMES.split())}",
        f"shopt -s localvar_inherit; declare -i {NAMES}",
        f"shopt -s localvar_inherit; declare -au {NAMES}",
    ],
)
def test_no_variable_of_the_user_s_is_the_driver_s(driver, code):
    ran = driver.run(f"{code}\nPS1=kept\nexit 4")
    assert (ran.output, ran.outcome.status, ran.outcome.command) == (b"", 4, "exit 4")
    ran = driver.run("f() {\n  false\n}\ntrap 'echo $PS1' ERR; trap -p ERR; f || exit; f; true")
    assert ran.output == b"trap -- 'echo $PS1' ERR\n"
    ran = driver.run("trap - ERR\nf")
    assert (ran.output, ran.outcome.command) == (b"", "false")
    assert [(f.function, f.line) for f in ran.outcome.frames] == [("f", 2), ("", 2)]
    works(driver)


@pytest.mark.parametrize(
    "path",
    [
        "nbs_kernel/bash/display.bash",
        "nbs_kernel/bash/questions.bash",
        "nbs_kernel/bash/startup.bash",
        "sandbox/phases/snapshots.bash",
        "sandbox/phases/word.bash",
    ],
)
def test_what_runs_in_the_user_s_shell_has_names_of_its_own(path):
    lines = (Path(__file__).parents[3] / path).read_text().split("\n")
    code = [line for line in lines if not line.lstrip().startswith("#")]
    declared = [
        text for line in code for text in re.findall(r"builtin (?:local|read)([^;&|]*)", line)
    ]
    names = [
        name for text in declared for name in re.findall(r'\s"?([A-Za-z]\w*)(?=[\s="]|$)', text)
    ]
    names += [name for line in code for name in re.findall(r"\bfor \(*([A-Za-z]\w*)", line)]
    names += [name for line in code for name in re.findall(r"(?:^|\s)([a-z]\w*)\+?=", line)]
    assert declared
    assert set(names) <= {"IFS"}


def test_what_is_readonly_does_not_stop_the_driver(driver):
    driver.run("readonly PS1=a PS2=b TMOUT=100 PROMPT_COMMAND=: IFS PWD x=1")
    works(driver)
    assert driver.run("echo $PS1$x").output == b"a1\n"


@pytest.mark.parametrize(
    "code",
    [
        "set -f", "set -C", "set -b", "set -k", "set -a", "set -h", "set -m", "set +m", "set -P", "set -T", "set -v", "set -H",
        "set -o posix", "set -o history", "set -o ignoreeof", "set -o pipefail", "set -n",
        "shopt -s nullglob failglob dotglob nocasematch nocaseglob globstar", "shopt -s extglob extdebug",
        "shopt -s xpg_echo lastpipe inherit_errexit cdspell histverify checkwinsize", "shopt -u expand_aliases interactive_comments",
        "shopt -s compat31", "IFS=0123456789abcdefnbs_", "IFS=", "unset IFS PATH HOME PWD", "LC_ALL=C", "LANG=xx LC_ALL=yy",
        "TIMEFORMAT=x; time :", "PS4='$(echo four)'", "BASH_XTRACEFD=1", "set -- a b c", "ulimit -n 64",
        "cd /; rmdir /nowhere", "umask 0777", "nbs=1", "BASH_ENV=/nowhere ENV=/nowhere", "GLOBIGNORE='*'", "unset LINENO FUNCNAME BASH_LINENO BASH_SOURCE",
    ],
)  # fmt: skip
def test_options_and_variables_do_not_stop_the_driver(driver, code):
    driver.run(code)
    assert driver.run("(exit 3)").outcome.status == 3
    ran = driver.run("f() { (exit 4); }; set -e; f; echo not this")
    assert (ran.outcome.status, ran.outcome.why) == (4, "errexit")
    assert driver.run("set +e; echo on").output.endswith(b"on\n")


@pytest.mark.parametrize("option", ["e", "u", "x", "f", "C", "T", "v", "k"])
def test_options_of_set_survive_cells_and_errors(driver, option):
    driver.run(f"set -{option}")
    assert option.encode() in driver.run("echo $-").output
    driver.run("fi")
    driver.run("false || :")
    assert option.encode() in driver.run("echo $-").output
    driver.run(f"set +{option}")
    assert option.encode() not in driver.run("echo $-").output


def test_options_of_shopt_survive_cells(driver, tmp_path):
    (tmp_path / "a.c").touch()
    (tmp_path / "b.h").touch()
    assert driver.run("shopt -s extglob\necho !(*.c)").output == b"b.h\n"
    assert driver.run("echo !(*.h)").output == b"a.c\n"
    driver.run("shopt -u extglob")
    assert driver.run("shopt extglob").outcome.status == 1
    assert driver.run("!(exit 3)").outcome.status == 0
    driver.run("set -o posix")
    assert driver.run("shopt -o posix").outcome.status == 0


def test_matching_without_case_turns_no_option_of_set(driver):
    assert driver.run("shopt -s nocasematch; false; echo on").output == b"on\n"
    assert driver.run("trap 'echo trapped' ERR; false; echo on").output == b"trapped\non\n"
    assert driver.run("set +E -e; false; echo not this").output == b"trapped\n"
    assert driver.run("set +e; false; echo on").output == b"trapped\non\n"


def test_tracing_shows_the_cell_s_commands_alone(driver):
    driver.run("set -x")
    traced = driver.run("echo one\nf() { echo two; }\nf").output
    assert traced.replace(b"++", b"+") == b"+ echo one\none\n+ f\n+ echo two\ntwo\n"
    assert driver.run("set +x").output.replace(b"++", b"+") == b"+ set +x\n"
    assert driver.run("echo on").output == b"on\n"


@pytest.mark.parametrize("errexit", ["", "set -e\n"])
def test_tracing_shows_nothing_of_the_driver_s_where_a_command_fails(driver, errexit):
    ran = driver.run(f"{errexit}set -x\nf() {{ (builtin exit 3); }}\nf")
    assert ran.output.replace(b"++", b"+") == b"+ f\n+ builtin exit 3\n"
    assert (ran.outcome.status, ran.outcome.command) == (3, "( builtin exit 3 )")
    assert [frame.function for frame in ran.outcome.frames] == ["f", ""]
    ran = driver.run("exit 4")
    assert ran.output.replace(b"++", b"+") == b"+ exit 4\n"
    assert (ran.outcome.status, ran.outcome.why) == (4, "exit")
    traced = driver.run("(exit 5) || (trap 'echo bye >&2' EXIT; builtin exit 6)").output
    assert traced.replace(b"++", b"+").startswith(b"+ exit 5\n+ builtin exit 5\n")
    assert b"\nbye\n" in traced


def test_tracing_shows_the_user_s_trap_for_what_fails(driver):
    driver.run("trap 'echo failed >&2' ERR; set -x")
    traced = driver.run("false; true").output
    assert b"echo failed\nfailed\n" in traced
    assert traced.replace(b"+", b"").count(b"\n") == len(
        ["false", "case", "case", "echo", "failed", "true"]
    )


def test_an_err_trap_is_run_and_survives(driver):
    ran = driver.run("trap 'echo \"failed: $? $BASH_COMMAND\"' ERR\n(exit 3)\necho on")
    assert ran.output == b"failed: 3 ( exit 3 )\non\n"
    assert driver.run("(exit 4) || true; (exit 5); true").output == b"failed: 5 ( exit 5 )\n"
    assert driver.run("trap -p ERR").output == b"trap -- 'echo \"failed: $? $BASH_COMMAND\"' ERR\n"
    assert driver.run("false").outcome.command == "false"
    driver.run("trap - ERR")
    assert driver.run("false; true").output == b""
    assert driver.run("trap -p ERR").output == b""


def test_an_err_trap_is_run_before_errexit_keeps_the_shell(driver):
    ran = driver.run(
        "set -Eeuo pipefail; trap 'echo trapped' ERR; kept=yes\nf() { false | cat; }\nf\necho not this"
    )
    assert ran.output == b"trapped\n"
    assert (ran.outcome.why, ran.outcome.status) == ("errexit", 1)
    assert driver.run("echo $kept").output == b"yes\n"
    assert driver.run("false").output == b"trapped\n"


def test_an_err_trap_may_fail_itself(driver):
    ran = driver.run("set -e; trap 'echo trapped; false' ERR; g() { local a; (exit 3); }; g")
    assert (ran.output, ran.outcome.why, ran.outcome.status) == (b"trapped\n", "errexit", 3)
    assert driver.run("g() { local a=1; echo $a; }; g").output == b"1\n"
    assert driver.run("(exit 4)").outcome.why == "errexit"


def test_an_err_trap_of_a_sourced_file_survives(driver, tmp_path):
    (tmp_path / "setup").write_text("trap 'echo trapped' ERR\n")
    driver.run("source ./setup")
    assert driver.run("false; true").output == b"trapped\n"
    assert driver.run("set -e; false; echo not this").output == b"trapped\n"
    assert driver.run("set +e; trap - ERR").outcome.status == 0
    assert driver.run("false; true").output == b""


def test_an_err_trap_may_exit(driver):
    driver.run("trap 'echo trapped; exit 9' ERR")
    ran = driver.run("false; echo not this")
    assert (ran.output, ran.outcome.why, ran.outcome.status) == (b"trapped\n", "exit", 9)


def test_a_debug_trap_sees_the_cell_s_commands_alone(driver):
    first = driver.run("trap 'echo \"> $BASH_COMMAND\"' DEBUG\necho one")
    assert first.output == b"> echo one\none\n"
    assert driver.run("echo two").output == b"> echo two\ntwo\n"
    assert driver.run("trap -p DEBUG").output.endswith(
        b"trap -- 'echo \"> $BASH_COMMAND\"' DEBUG\n"
    )
    assert driver.run("trap - DEBUG; echo three").output == b"> trap - DEBUG\nthree\n"
    assert driver.run("echo four").output == b"four\n"


def test_a_return_trap_is_run_and_survives(driver):
    driver.run("f() { trap 'echo returned' RETURN; }; f; set -T")
    assert b"returned" in driver.run("g() { echo g; }; g").output
    assert driver.run("set +T; g").output == b"g\n"


def test_an_exit_trap_survives_what_keeps_the_shell(drivers):
    driver = drivers.start()
    driver.run("trap 'echo bye' EXIT")
    assert driver.run("exit 3").output == b""
    assert driver.run("set -e; false").output == b""
    assert driver.run("set +e; trap -p EXIT").output == b"trap -- 'echo bye' EXIT\n"
    assert driver.run("(trap 'echo sub' EXIT; exit 2)").output == b"sub\n"
    assert b"bye" in driver.run("builtin exit").output


def test_an_exit_trap_of_the_same_cell_survives_what_would_end_the_shell(drivers):
    driver = drivers.start()
    outcome = driver.run("trap 'echo bye $?' EXIT\nset -eu\necho $NOPE").outcome
    assert (outcome.why, outcome.command) == ("unset", "echo $NOPE")
    assert driver.run("trap -p EXIT").output == b"trap -- 'echo bye $?' EXIT\n"
    assert driver.run("echo $(trap -p EXIT)").output == b"trap -- 'echo bye $?' EXIT\n"
    ran = driver.run("builtin exit 6")
    assert b"bye 6\n" in ran.output
    assert (ran.ended.why, ran.ended.status) == ("exit", 6)


def test_an_exit_trap_may_exit(drivers):
    driver = drivers.start()
    driver.run("trap 'exit 9' EXIT")
    ran = driver.run("builtin exit 6")
    assert (ran.ended.why, ran.ended.status) == ("exit", 9)


def test_an_exit_trap_of_a_file_survives_what_would_end_the_shell(driver, tmp_path):
    (tmp_path / "setup").write_text("trap 'echo bye' EXIT; set -eu\n")
    driver.run("source ./setup")
    assert driver.run("echo $NOPE").outcome.why == "unset"
    assert driver.run("trap -p EXIT").output == b"trap -- 'echo bye' EXIT\n"
    assert driver.run("trap - EXIT; trap -p EXIT").output == b""


@pytest.mark.parametrize("names", ["printf", "builtin", "local set eval trap unset"])
def test_what_the_driver_calls_is_enabled_again(driver, names):
    assert driver.run(f"enable -n {names}").outcome.status == 0
    works(driver)


def test_traps_for_signals_are_run(driver):
    assert driver.run("trap 'echo got it' USR1; kill -USR1 $$; echo on").output == b"got it\non\n"
    assert driver.run("kill -USR1 $$").output == b"got it\n"


def test_children_inherit_nothing_of_the_driver(driver):
    listed = driver.run("ls /proc/self/fd | sort -n | tr '\\n' ' '").output
    assert listed == b"0 1 2 3 "
    assert (
        driver.run(
            "(ls -l /proc/self/fd; ls -l /proc/self/fd | cat; cat <(ls -l /proc/self/fd)) | grep -c socket"
        ).output
        == b"0\n"
    )
    assert driver.run("env | grep -c -i nbs").output == b"0\n"
    ignored = driver.run("grep -E 'Sig(Ign|Blk)' /proc/self/status").output
    assert ignored.split() == [b"SigBlk:", b"0" * 16, b"SigIgn:", b"0" * 16]


def test_a_cell_is_evaluated_at_the_top_level(driver):
    assert driver.run("echo ${#FUNCNAME[@]} $#; declare v=1; local x 2>&1").output.startswith(
        b"0 0\n"
    )
    assert driver.run("echo $v").output == b"1\n"
    assert driver.run("set -- a b; shift").outcome.status == 0
    assert driver.run("echo $1").output == b"b\n"
    assert driver.run("return 3").outcome.status != 0
    assert driver.run("break; continue; echo on").output.endswith(b"on\n")


def test_a_job_is_told_when_it_is_waited_for_and_not_between_cells(driver):
    driver.run("sleep 0.1 &")
    driver.idle_until(lambda _: len(driver.shell.descriptors()) == 3)
    assert driver.run(":").output == b""
    assert driver.run("sleep 0.1 & pid=$!; wait $pid; echo $?").output.endswith(b"0\n")
    assert b"Terminated" in driver.run("sh -c 'kill -TERM $$'").output


def test_what_is_written_into_the_record_channel_by_a_cell_is_survived(driver):
    driver.run('for fd in /proc/$$/fd/*; do { echo garbage >"$fd"; } 2>/dev/null; done; sleep 0.01')
    assert driver.run("echo on").output == b"on\n"
    driver.run(
        "for ((n = 10; n < 30; n++)); do { printf 'x%.0s' {1..100000} >&$n; } 2>/dev/null; done"
    )
    assert driver.run("echo on").output == b"on\n"


def test_the_directory_is_told(driver, tmp_path):
    assert driver.shell.directory == str(tmp_path)
    driver.run("cd /")
    assert driver.shell.directory == "/"
    (tmp_path / "a\nb").mkdir()
    driver.run(f"cd {tmp_path}/a*; fi")
    driver.run(f"cd {tmp_path}/a*")
    assert driver.shell.directory == f"{tmp_path}/a\nb"
