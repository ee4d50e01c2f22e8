"""What is asked between cells, and of the parser: it runs nothing and changes nothing."""

from __future__ import annotations

import pytest

from nbs_kernel.bash.shell import Shell, ShellFailed
from tests.kernel import local
from tests.kernel.bash.driving import until_there

DUMP = r"{ set; set -o; shopt; trap -p; alias; declare -f; declare -p; } | grep -v -e __nbs -e BASH_ -e '\( \|^\)_=' -e EPOCH -e SECONDS -e RANDOM -e LINENO -e PIPESTATUS"


def described(driver, name):
    answer = driver.shell.ask(("describe", name))
    return dict(zip(answer[::2], answer[1::2], strict=True))


def test_the_version_is_told(driver):
    assert driver.run("echo $BASH_VERSION").output.decode().strip() == driver.shell.version


def test_names_are_told(driver):
    driver.run(
        "my_function() { :; }; my_variable=1; alias my_alias=x; declare -fx my_function; declare -A my_array=([a]=1)"
    )
    functions, variables, aliases, builtins, keywords = driver.shell.ask(("names",))
    assert functions == "my_function"
    assert {"my_variable", "my_array", "PATH", "BASH_VERSION"} <= set(variables.split("\n"))
    assert aliases == "my_alias"
    assert {"cd", "printf", "[", ".", ":", "exit"} <= set(builtins.split("\n"))
    assert keywords == ""
    assert "__nbs" not in functions + variables + aliases + builtins


def test_names_are_described(driver):
    driver.run(
        "f() {\n  echo body\n}; v='a b'; declare -ix n=3; a=(1 2); alias ll='ls -l'; test() { :; }; own() { echo __nbs_; }"
    )
    assert described(driver, "own") == {"function": "own () \n{ \n    echo __nbs_\n}"}
    assert described(driver, "f") == {"function": "f () \n{ \n    echo body\n}"}
    assert described(driver, "v") == {"variable": 'declare -- v="a b"'}
    assert described(driver, "n") == {"variable": 'declare -ix n="3"'}
    assert described(driver, "a") == {"variable": 'declare -a a=([0]="1" [1]="2")'}
    assert described(driver, "ll") == {"alias": "ls -l"}
    assert described(driver, "if") == {"keyword": ""}
    assert described(driver, "sh")["file"].endswith("/sh")
    assert "Change the shell working directory" in described(driver, "cd")["builtin"]
    assert set(described(driver, "test")) >= {"function", "builtin"}
    assert set(described(driver, "exit")) == {"builtin"}
    assert described(driver, "no-such-thing") == {}
    assert described(driver, "__nbs_done") == {}


def test_the_environment_is_told(driver):
    driver.run("export one='a\nb' two; three=3; declare -x four=4; unset HOME")
    answer = driver.shell.ask(("environment",))
    environment = dict(zip(answer[::2], answer[1::2], strict=True))
    assert (environment["one"], environment["four"]) == ("a\nb", "4")
    assert environment["PATH"]
    assert not environment.keys() & {"three", "HOME", "BASH_VERSION"}


@pytest.mark.parametrize(
    "name",
    [
        "$(touch made)",
        "`touch made`",
        "a[$(touch made)]",
        "x; touch made",
        "-v",
        "--",
        "",
        "*",
        "é",
        "'",
        "a\nb",
        "!x",
        "%1",
    ],
)
def test_nothing_is_run_for_a_strange_name(driver, tmp_path, name):
    assert driver.shell.ask(("describe", name)) is not None
    assert list(tmp_path.iterdir()) == []
    assert driver.run("echo on").output == b"on\n"


def test_a_question_changes_nothing(driver):
    driver.run(
        "RANDOM=1; set -u; f() { :; }; trap 'echo trapped' ERR DEBUG; PROMPT_COMMAND='touch made'; (exit 3)"
    )
    driver.run(DUMP)
    before = driver.run(DUMP).output.split(b"\n")
    driver.shell.ask(("names",))
    driver.shell.ask(("environment",))
    for name in ("f", "RANDOM", "x", "PATH", "ls", "SECONDS"):
        driver.shell.ask(("describe", name))
    assert driver.run(DUMP).output.split(b"\n") == before


def test_questions_do_not_turn_the_random_numbers_on(drivers):
    numbers = []
    for asks in (False, True):
        driver = drivers.start()
        driver.run("RANDOM=1")
        if asks:
            driver.shell.ask(("names",))
            driver.shell.ask(("environment",))
            driver.shell.ask(("describe", "RANDOM"))
        numbers.append(driver.run("echo $RANDOM").output)
    assert numbers[0] == numbers[1]


def test_a_cell_goes_before_a_question_that_takes_long(driver):
    driver.run('for ((i = 0; i < 10000; i++)); do printf -v "v$i" x; done')
    for question in (("names",), ("environment",)):
        assert driver.shell.ask(question, limit_s=0.1) is None
        # A tenth of what all of the answer takes.
        assert driver.run("echo on", limit_s=5).output == b"on\n"
    assert driver.shell.ask(("describe", "v1")) == ("variable", 'declare -- v1="x"')


def test_a_busy_shell_answers_nothing_and_is_not_waited_for(driver, tmp_path, monkeypatch):
    ran = driver.begin(until_there("go"))
    with monkeypatch.context() as patch:
        patch.setattr("nbs_kernel.bash.shell.wait", lambda *_: pytest.fail("it waits"))
        assert driver.shell.ask(("names",)) is None
    (tmp_path / "go").touch()
    driver.go_on(ran)
    assert driver.shell.ask(("names",)) is not None


def test_an_answer_that_is_too_late_is_not_taken_for_another(driver):
    driver.shell._process.signal(19)
    assert driver.shell.ask(("names",), 0.2) is None
    driver.shell._process.signal(18)
    assert driver.shell.ask(("describe", "PATH"))[0] == "variable"
    assert driver.run("echo on").output == b"on\n"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("echo x", "complete"),
        ("", "complete"),
        ("if true; then", "incomplete"),
        ("if true; then\n  echo x\nfi", "complete"),
        ("for i in 1 2; do", "incomplete"),
        ("f() {", "incomplete"),
        ("echo 'open", "incomplete"),
        ('echo "open', "incomplete"),
        ("echo $(open", "incomplete"),
        ("cat <<END\ntext", "incomplete"),
        ("cat <<END\ntext\nEND", "complete"),
        ("echo one \\", "incomplete"),
        ("echo one \\\\", "complete"),
        ("# comment \\", "complete"),
        ("echo x |", "incomplete"),
        ("true &&", "incomplete"),
        ("case x in", "incomplete"),
        ("echo )", "invalid"),
        ("fi", "invalid"),
        ("}", "invalid"),
        ("if then", "invalid"),
        ("echo !(a|b)", "complete"),
        ("[[ a == b", "incomplete"),
        ("((1 +", "incomplete"),
        ("echo `open", "incomplete"),
        ("touch made", "complete"),
        ("echo ${x", "incomplete"),
        ("a=(1\n2", "incomplete"),
    ],
)
def test_bash_s_own_parser_says_whether_a_text_is_whole(driver, tmp_path, code, state):
    assert driver.shell.check(code).state == state
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_text_is_indented(driver):
    assert driver.shell.check("if true; then").indent == "  "
    assert driver.shell.check("f() {\n  if x; then").indent == "    "
    assert driver.shell.check("f() {\n  echo x").indent == "  "
    assert driver.shell.check("echo x").indent == ""


def test_a_wrong_text_is_told_with_its_line(driver):
    syntax = driver.shell.check("echo one\necho two\nfi\n")
    assert (syntax.line, syntax.message) == (3, "syntax error near unexpected token `fi'")


def test_the_parser_is_asked_while_a_cell_runs(driver):
    ran = driver.begin("sleep 0.2")
    assert driver.shell.check("fi").state == "invalid"
    assert driver.go_on(ran).outcome.status == 0


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat"])
def test_what_is_no_bash_is_told(drivers, program, monkeypatch):
    monkeypatch.setattr("nbs_kernel.bash.start.START_S", 0.5)
    with pytest.raises(ShellFailed) as caught:
        Shell(local.start, drivers.command().replace(argv=(program,)))
    assert caught.value.reason == "shell-not-started"


def test_what_is_said_at_the_start_is_shown(drivers):
    command = drivers.command()
    script = 'echo welcome; exec "$@"'
    shell = Shell(
        local.start, command.replace(argv=(drivers.bash, "-c", script, "--", *command.argv))
    )
    events = [event for descriptor in shell.descriptors() for event in shell.ready(descriptor)]
    shell.close()
    assert b"welcome" in b"".join(event.data for event in events)
