"""How cells end: statuses, errors, and the traceback of an error."""

from __future__ import annotations

import subprocess
from importlib.resources import files

import pytest

from nbs_kernel.bash.events import Frame
from tests.kernel import local
from tests.kernel.bash.driving import until_there

IN_A_FUNCTION = """\
# a comment
inner() {
  :

  false
}
outer() {
  inner "$@"
}

outer 1
"""


def test_the_status_of_the_last_command_is_the_cell_s(driver):
    assert driver.run("(exit 7)").outcome.status == 7
    assert driver.run("true").outcome.status == 0


def test_a_cell_sees_the_status_of_the_one_before(driver):
    driver.run("(exit 7)")
    assert driver.run("echo $?").output == b"7\n"


@pytest.mark.parametrize("option", ["-u", "-v", "-o pipefail"])
def test_a_cell_sees_it_with_options_of_the_shell_as_well(driver, option):
    driver.run(f"set {option}; (exit 7)")
    assert b"7" in driver.run("echo $?").output.split()
    assert driver.run("(exit 7); set -e").outcome.status == 0
    assert b"0" in driver.run("echo $?").output.split()


def test_a_failing_command_is_told_with_its_line(driver):
    outcome = driver.run("echo one\n\nls /nowhere 2>/dev/null").outcome
    assert (outcome.status, outcome.why, outcome.command) == (2, "", "ls /nowhere 2> /dev/null")
    assert outcome.frames == (Frame(function="", file="", line=3, cell=1),)


def test_what_failed_before_and_was_forgiven_is_not_told(driver):
    outcome = driver.run("false\ntrue\nf() { return 4; }\nf").outcome
    assert (outcome.status, outcome.command, outcome.frames[-1].line) == (4, "return 4", 4)


CELLS = (
    "ls /rux",
    "X=1 true\nls /rux",
    "X=1 false",
    "X=$(false)",
    "true | false",
    "true\n(exit 3)",
    "( true; false )",
    "f() { return 5; }\nX=1 true\nf",
    "true && false",
    "false || (exit 4)",
    "((0))",
    "[[ -e /rux ]]",
    "cat <<E /rux\ntext\nE",
    "for i in 1 2; do\n  X=1 true\n  false\ndone",
    "if true; then\n  (exit 7)\nfi",
    "set -o pipefail\nX=1 true\nls /rux | true",
    "trap : USR1\nX=1 kill -USR1 $$\nls /rux",
)


@pytest.mark.parametrize("errexit", ["set +e\n", "set -e\n"])
@pytest.mark.parametrize("debugging", ["", "\n# DEBUG"])
def test_what_failed_is_what_a_trap_of_bash_s_own_names(driver, bash, tmp_path, errexit, debugging):
    log = tmp_path / "log"
    trap = f"""set -E; trap 'printf "%s\\0" "$BASH_COMMAND" "$LINENO" >{log}' ERR; """
    for cell in CELLS:
        code = errexit + cell + debugging
        subprocess.run([bash, "-c", trap + code], capture_output=True, check=False)
        command, line = log.read_text().split("\0")[:2]
        outcome = driver.run(code).outcome
        assert (outcome.command, outcome.frames[-1].line) == (command, int(line)), code


@pytest.mark.parametrize("trap", ["", "trap : DEBUG\n"])
def test_an_error_of_expansion_under_errexit_names_no_command_of_the_driver_s(driver, trap):
    ran = driver.run(f"set -e\n{trap}X=1 true\necho $((1 / 0))\necho not this")
    assert (ran.outcome.status, ran.outcome.command, ran.outcome.frames) == (1, "", ())
    assert b"not this" not in ran.output
    assert driver.run("set +e; echo on").output == b"on\n"


@pytest.mark.parametrize(
    "code", ["false\n! true", "(exit 1)\ntrue\n[ -e /rux ] && echo", "false\nX=1 true\n! X=2 true"]
)
def test_what_failed_before_is_not_blamed_for_what_no_trap_is_told_of(driver, code):
    outcome = driver.run(code).outcome
    assert (outcome.status, outcome.command, outcome.frames) == (1, "", ())


@pytest.mark.parametrize("before", ["", "true\n", "X=1 true\n", "set -e\ntrue\n"])
def test_a_command_is_not_blamed_for_files_that_the_next_one_cannot_open(driver, before):
    for code in ("{ true; } </rux", "while false; do :; done </rux"):
        outcome = driver.run(before + code).outcome
        assert (outcome.status, outcome.command, outcome.frames) == (1, "", ())


@pytest.mark.parametrize("before", ["", "set -e\n", "false\n", "trap : DEBUG\n"])
def test_a_failed_phase_is_named_as_it_was_called(driver, before):
    word = files("sandbox").joinpath("phases/word.bash").read_text()
    driver.run(word + "\n__nbs_phase_leave() { exit 3; }")
    outcome = driver.run(before + "true\nphase check -j1\n").outcome
    line = before.count("\n") + 2
    assert (outcome.status, outcome.command) == (3, "phase check -j1")
    assert [(f.function, f.line) for f in outcome.frames] == [("", line)]
    outcome = driver.run("set +e; for name in a b; do phase $name; done").outcome
    assert outcome.command == "phase b"
    outcome = driver.run("set +e\nbuild() {\n  phase check\n}\n\nbuild").outcome
    assert (outcome.status, outcome.command) == (3, "phase check")
    assert [(f.function, f.line) for f in outcome.frames] == [("build", 3), ("", 6)]


def test_a_trap_of_the_user_s_sees_a_failure_once_when_there_is_a_debug_trap_too(driver):
    assert driver.run("trap 'echo err $?' ERR\ntrap : DEBUG\n(exit 3)").output == b"err 3\n"


def test_errexit_ends_the_cell_where_it_failed_and_keeps_the_shell(driver):
    ran = driver.run("set -e\nhere=kept\ncd /\nfalse\necho not this")
    assert ran.output == b""
    assert (ran.outcome.status, ran.outcome.why, ran.outcome.command) == (1, "errexit", "false")
    assert ran.outcome.frames[0].line == 4
    assert driver.run("echo $here $PWD").output == b"kept /\n"


def test_errexit_stays_on_in_the_next_cells(driver):
    driver.run("set -e")
    assert driver.run("false; echo not this").outcome.why == "errexit"
    assert driver.run("if false; then :; fi; false || true").outcome.status == 0
    assert driver.run("set +e").outcome.status == 0
    assert driver.run("false; echo this").output == b"this\n"


def test_the_call_stack_counts_lines_in_the_cell(driver):
    for code in (IN_A_FUNCTION, "set -e\n" + IN_A_FUNCTION):
        ran = driver.run(code)
        more = code.count("set -e\n")
        assert ran.outcome.command == "false"
        assert ran.outcome.frames == (
            Frame(function="inner", file="", line=5 + more, cell=ran.cell),
            Frame(function="outer", file="", line=8 + more, cell=ran.cell),
            Frame(function="", file="", line=11 + more, cell=ran.cell),
        )


def test_the_call_stack_names_the_earlier_cell_of_a_function(driver):
    defined = driver.run("\n\nf() {\n  false\n}").cell
    driver.run("a\n" * 20)
    called = driver.run("\nset -e\nf")
    assert called.outcome.frames == (
        Frame(function="f", file="", line=4, cell=defined),
        Frame(function="", file="", line=3, cell=called.cell),
    )


def test_the_call_stack_counts_lines_in_files(driver, tmp_path):
    (tmp_path / "lib.sh").write_text("# lib\nbuild() {\n  :\n  false\n}\n")
    (tmp_path / "run.sh").write_text("\n\nbuild\n")
    frames = driver.run("source ./lib.sh\nset -e\nsource ./run.sh").outcome.frames
    assert [(f.function, f.file, f.line) for f in frames] == [
        ("build", "./lib.sh", 4),
        ("source", "./run.sh", 3),
        ("", "", 3),
    ]
    frames = driver.run("build").outcome.frames
    assert [(f.function, f.file, f.line) for f in frames] == [("build", "./lib.sh", 4), ("", "", 1)]


def test_a_deep_recursion_is_told_in_part(driver):
    outcome = driver.run(
        "f() { if (($1)); then f $(($1 - 1)); else false; fi; }; set -e; f 900"
    ).outcome
    assert outcome.why == "errexit"
    assert 0 < len(outcome.frames) <= 60


def test_an_unset_variable_ends_the_cell(driver):
    ran = driver.run("set -u\nkept=yes\necho $nope\necho not this")
    assert (ran.outcome.status, ran.outcome.why) == (1, "unset")
    assert ran.outcome.message == "nope: unbound variable"
    assert ran.output.endswith(b": nope: unbound variable\n")
    assert driver.run("echo $kept").output == b"yes\n"
    assert driver.run("echo $nope").outcome.why == "unset"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("echo ${x:?oh no}\necho not this", "x: oh no"),
        ("f() {\n  : ${x:?oh no}\n  echo not this\n}\nf; echo not this\necho not this", "x: oh no"),
        ("echo $((1 / 0))\necho not this", '1 / 0: division by 0 (error token is "0")'),
    ],
)
def test_an_error_of_expansion_ends_the_cell(driver, code, message):
    ran = driver.run("kept=yes; " + code)
    assert (ran.outcome.status, ran.outcome.why, ran.outcome.message) == (1, "expansion", message)
    assert b"not this" not in ran.output
    assert driver.run("echo $kept").output == b"yes\n"


@pytest.mark.parametrize(
    ("code", "message", "about"),
    [
        ("declare -i n=1/0", 'declare: 1/0: division by 0 (error token is "0")', "1/0"),
        ("a[1/0]=2", '1/0: division by 0 (error token is "0")', "1/0"),
        ("local -i n=2/0", 'local: 2/0: division by 0 (error token is "0")', "2/0"),
        ("test -v 'a[1/0]'", '1/0: division by 0 (error token is "0")', "1/0"),
        ("set -u; let k=NOPE", "NOPE: unbound variable", "NOPE"),
        ("exit 1 2", "exit: too many arguments", "exit"),
    ],
)
@pytest.mark.parametrize("before", ["true", "false"])
def test_an_error_that_drops_the_whole_line_is_no_interrupt(driver, code, message, about, before):
    ran = driver.run(f"kept=yes\nf() {{ {code}; echo not this; }}\n{before}\nf")
    outcome = ran.outcome
    why = "unset" if "unbound" in message else "expansion"
    assert (outcome.status, outcome.why) == (1, why)
    assert (outcome.message, outcome.mentioned) == (message, (about, (2,), ("f",)))
    assert b"not this" not in ran.output
    assert driver.run("set +u; echo $kept").output == b"yes\n"


@pytest.mark.parametrize("said", ["", "echo 'bash: x: unbound variable'; "])
def test_a_shell_that_interrupts_itself_is_interrupted_whatever_was_said(driver, said):
    outcome = driver.run(f"(exit 7); {said}kill -INT $$; sleep 60").outcome
    assert (outcome.status, outcome.why) == (130, "interrupt")


def test_exit_in_a_function_keeps_the_shell_and_its_state(driver):
    ran = driver.run("die() {\n  cd /\n  exit 3\n}\nkept=yes\ndie\necho not this")
    assert ran.output == b""
    assert (ran.outcome.status, ran.outcome.why, ran.outcome.command) == (3, "exit", "exit 3")
    assert [(f.function, f.line) for f in ran.outcome.frames] == [("die", 3), ("", 6)]
    assert driver.run("echo $kept $PWD $?").output == b"yes / 3\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("exit", 0),
        ("exit 0", 0),
        ("false; exit", 1),
        ("exit 257", 1),
        ("exit -1", 255),
        ("exit -- 4", 4),
    ],
)
def test_exit_takes_what_bash_s_own_takes(driver, code, status):
    outcome = driver.run(f"{code}\necho not this").outcome
    assert (outcome.why, outcome.status) == ("exit", status)


def test_exit_takes_no_word(driver):
    ran = driver.run("exit now\necho not this")
    assert (ran.outcome.why, ran.outcome.status) == ("exit", 2)
    assert b"numeric argument required" in ran.output


def test_exit_in_a_subshell_ends_the_subshell(driver):
    ran = driver.run(
        "(exit 3); echo $?; x=$(echo in; exit 4); echo $x $?; { exit 5; } | cat; echo on"
    )
    assert ran.output == b"3\nin 4\non\n"
    assert ran.outcome.status == 0
    assert driver.run("{ exit 6; } & wait $!; echo $?").output.endswith(b"6\n")


def test_phases_of_the_standard_environment_stop_where_they_fail(driver, tmp_path):
    (tmp_path / "setup").write_text(
        'set -eu\nset -o pipefail\nexitHandler() { echo exit handler; }\ntrap "exitHandler" EXIT\n'
        'runHook() {\n  eval "${!1:-}"\n}\n'
        "buildPhase() {\n  runHook preBuild\n  made=half\n  make_it\n  echo not this\n}\n"
        'make_it() {\n  echo "cannot make it" >&2\n  exit 1\n}\n'
        'genericBuild() {\n  for phase in buildPhase; do\n    curPhase=$phase\n    eval "$phase"\n  done\n}\n'
    )
    assert driver.run("source ./setup").outcome.status == 0
    ran = driver.run("genericBuild")
    assert ran.output == b"cannot make it\n"
    assert (ran.outcome.status, ran.outcome.why) == (1, "exit")
    assert [f.function for f in ran.outcome.frames] == ["make_it", "buildPhase", "genericBuild", ""]
    assert [f.line for f in ran.outcome.frames][:2] == [16, 11]
    assert driver.run("echo $made $curPhase").output == b"half buildPhase\n"
    ran = driver.run('preBuild="false"; genericBuild')
    assert (ran.outcome.status, ran.outcome.why, ran.outcome.command) == (1, "errexit", "false")


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("touch made\necho )", 2),
        ("touch made\nif true; then\n", None),
        ("touch made\necho 'open", None),
        ("touch made\ncat <<END\ntext", None),
        ("touch made; }\ntouch made; { :", 1),
        ("touch made\n)\n(", 2),
        ("touch made\n}; touch made; {", 2),
        ("touch made\nfi", 2),
        ("touch made\n[[ a = ]]", 2),
    ],
)
def test_a_syntax_error_runs_nothing_and_names_its_line(driver, tmp_path, code, line):
    ran = driver.run(code)
    assert (ran.outcome.why, ran.outcome.status, ran.output) == ("syntax", 2, b"")
    assert ran.outcome.message
    assert line is None or ran.outcome.frames[0].line == line
    assert all(frame.cell == ran.cell for frame in ran.outcome.frames)
    assert not (tmp_path / "made").exists()
    assert driver.run("echo $?").outcome.status == 0


def test_a_cell_may_end_in_a_backslash(driver):
    assert driver.run("echo one\\").output == b"one\n"
    assert driver.run("echo two # c:\\").output == b"two\n"


def test_a_syntax_error_under_errexit_keeps_the_shell(driver):
    driver.run("set -eu; kept=yes")
    assert driver.run("fi").outcome.why == "syntax"
    assert driver.run("echo $kept $-").output.startswith(b"yes e")
    assert driver.run('eval "fi" || echo caught').output.endswith(b"caught\n")
    assert driver.run("echo $kept").output == b"yes\n"


ENDING = (
    ("echo $NOPE", "unset", "NOPE: unbound variable"),
    (": ${x:?oh no}", "expansion", "x: oh no"),
    ("R=2", "expansion", "R: readonly variable"),
    ("source /rux", "errexit", "/rux: No such file or directory"),
    ("echo > $NOPE", "unset", "NOPE: unbound variable"),
    ("X=$NOPE true", "unset", "NOPE: unbound variable"),
    ("case $NOPE in ", "unset", "NOPE: unbound variable"),
)


@pytest.mark.parametrize(("command", "why", "message"), ENDING)
def test_what_ends_a_shell_under_errexit_ends_the_cell_there(driver, command, why, message):
    rest = "*) ;; esac" if command.startswith("case") else ""
    code = f"inner() {{\n  local l=1\n\n  {command}{rest}\n  echo not this\n}}\nouter() {{ cd /; inner; }}\n"
    driver.run("declare -A map=([a]=1); readonly R=1; exec 7<>kept; sleep 1000 &")
    ran = driver.run(f"{code}set -eu; umask 077\nkept=yes; outer\necho not this")
    outcome = ran.outcome
    assert (outcome.status, outcome.why, outcome.message) == (1, why, message)
    assert outcome.command == command
    assert [(f.function, f.line, f.cell) for f in outcome.frames] == [
        ("inner", 0 if rest else 4, ran.cell),
        ("outer", 7, ran.cell),
        ("", 9, ran.cell),
    ]
    assert b"not this" not in ran.output
    kept = driver.run(
        "echo $kept ${map[a]} ${l-} ${X-} $PWD $- $(umask); jobs; declare -F inner; echo in >&7"
    )
    assert kept.output.startswith(b"yes 1 / ehimuBEs 0077\n[1]+  Running")
    assert kept.output.endswith(b"sleep 1000 &  (wd: ~)\ninner\n")
    assert driver.run("kill %1; wait; echo $?; set +eu; (exit 3)").outcome.status == 3


def test_the_shell_is_kept_again_and_again(driver):
    for count in range(60):
        code, why, _ = ENDING[count % len(ENDING)]
        rest = "*) ;; esac" if code.startswith("case") else ""
        driver.run("set +eu; [[ ${R-} ]] || readonly R=1")
        assert driver.run(f"set -eu\n{code}{rest}").outcome.why == why
    assert driver.run("set +eu; trap 'echo trapped' USR1; kill -USR1 $$").output == b"trapped\n"


def test_an_error_in_a_file_names_the_file_and_its_line(driver, tmp_path):
    (tmp_path / "s.sh").write_text("# one\n\n: ${BAR:?no bar}\necho not this\n")
    outcome = driver.run("set -e\nsource ./s.sh").outcome
    assert (outcome.command, outcome.message) == (": ${BAR:?no bar}", "BAR: no bar")
    assert [(f.function, f.file, f.line) for f in outcome.frames] == [
        ("source", "./s.sh", 3),
        ("", "", 2),
    ]


@pytest.mark.parametrize("code", ["for i in $NOPE; do :; done", "{ :; } <$NOPE"])
def test_a_command_is_not_blamed_for_what_the_next_one_expands(driver, code):
    outcome = driver.run(f"set -eu\nf() {{\n  true\n  {code}\n}}\nf").outcome
    assert (outcome.why, outcome.command) == ("unset", "")
    assert [(f.function, f.line) for f in outcome.frames] == [("f", 0), ("", 6)]
    assert outcome.mentioned == ("NOPE", (4,), ("f",))


def test_without_errexit_it_is_told_where_the_name_of_a_message_stands(driver):
    driver.run("g() {\n  echo $NOPE\n}\nh() { :; }")
    outcome = driver.run("set -u\n\ng NOPES").outcome
    assert (outcome.why, outcome.command, outcome.frames) == ("unset", "", ())
    assert outcome.mentioned == ("NOPE", (), ("g",))
    assert driver.run("\necho $((3 / 0))\necho on").outcome.mentioned == ("3 / 0", (2,), ())


def test_a_failed_pipeline_tells_the_statuses_of_its_parts(driver):
    outcome = driver.run("set -o pipefail\n(exit 2) | cat | (exit 0)").outcome
    assert (outcome.status, outcome.statuses) == (2, (2, 0, 0))
    assert driver.run("(exit 2)").outcome.statuses == ()
    assert driver.run("true | true; [[ a == b ]]").outcome.statuses == ()
    assert driver.run("f() { true | false; }; f").outcome.statuses == (0, 1)


def test_what_fails_in_a_loop_costs_little_more_than_a_trap_does(driver, bash):
    loop = "f() { for ((i = 0; i < 3000; i++)); do g; done; }; g() { false; }; f"
    spent = "exec 9</proc/self/stat; read -ra _ <&9; echo $((_[13] + _[14]))"
    plain = subprocess.run(
        [bash, "-c", f"set -E; trap : ERR; {loop}; {spent}"], capture_output=True, check=False
    )
    before = driver.run(spent).output
    outcome = driver.run(loop).outcome
    after = driver.run(spent).output
    assert [f.function for f in outcome.frames] == ["g", "f", ""]
    assert int(after) - int(before) <= 6 * max(5, int(plain.stdout))


def test_exec_is_told_as_such_and_a_new_shell_can_be_started(drivers):
    driver = drivers.start()
    ran = driver.run("echo before; exec sh -c 'echo instead; exit 5'")
    assert ran.output == b"before\ninstead\n"
    assert (ran.ended.why, ran.ended.status) == ("exec", 5)
    assert drivers.start().run("echo again").output == b"again\n"


def test_output_and_time_of_what_was_executed_are_the_cell_s(drivers, tmp_path):
    driver = drivers.start()
    code = f"exec bash -c 'echo ready; {until_there('go')}; echo late'"
    ran = driver.begin_until(code, b"ready")
    assert driver.shell.busy
    (tmp_path / "go").touch()
    assert driver.go_on(ran).output == b"ready\nlate\n"
    assert ran.ended.why == "exec"


def test_builtin_exit_ends_the_shell(drivers):
    driver = drivers.start()
    ran = driver.run("trap 'echo bye' EXIT; builtin exit 6")
    assert b"bye\n" in ran.output
    assert (ran.ended.why, ran.ended.status) == ("exit", 6)
    assert drivers.start().run("echo $?").output == b"0\n"


def test_a_shell_that_is_killed_is_told_as_such(drivers):
    driver = drivers.start()
    driver.begin_until("echo ready; while :; do :; done", b"ready")
    driver.shell._process.signal(9)
    end = driver.idle_until_the_end()
    assert (end.why, end.status) == ("killed", 137)
    assert driver.shell.descriptors() == {}
    with pytest.raises(Exception, match="ended"):
        driver.shell.execute(":")


def test_a_shell_that_is_killed_between_cells_is_told(drivers):
    driver = drivers.start()
    driver.run(":")
    driver.shell._process.signal(9)
    assert driver.idle_until_the_end().why == "killed"


def test_a_first_process_survives_what_it_does_to_itself(driver):
    if not local.namespaces_work():
        pytest.skip("this user makes no namespaces here")
    assert driver.run("kill -9 $$; echo alive").output == b"alive\n"


def test_another_shell_in_the_place_of_the_shell_is_told_as_such(drivers):
    driver = drivers.start()
    assert driver.run("exec bash").ended.why == "exec"


def test_a_shell_that_tells_no_end_is_ended(drivers):
    driver = drivers.start()
    ended = driver.run("builtin() { :; }; readonly -f builtin").ended
    assert (ended.why, ended.status) == ("silent", 137)
