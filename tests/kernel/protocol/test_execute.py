"""Cells, from the request to the reply, with what is published in between."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from nbs_kernel.report import DIM, PLAIN
from tests.kernel.protocol.conftest import until_there, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kernel.protocol.conftest import Run, Served


def test_a_cell_is_busy_first_then_echoed_then_shown_and_idle_last(kernel: Served) -> None:
    run = kernel.run("echo out; echo err >&2")
    assert run.kinds[:2] == ["status", "execute_input"]
    assert run.kinds[-1] == "status"
    assert set(run.kinds[2:-1]) == {"stream"}
    assert run.text == "out\nerr\n"
    assert run.published[1]["content"] == {"code": "echo out; echo err >&2", "execution_count": 1}
    assert run.reply == {
        "status": "ok",
        "execution_count": 1,
        "payload": [],
        "user_expressions": {},
    }


def test_the_shell_stays_from_cell_to_cell(kernel: Served) -> None:
    kernel.run("here=there; cd /usr")
    assert kernel.run("echo $here $PWD").text == "there /usr\n"


def test_cells_are_counted_unless_they_are_silent_or_not_stored(kernel: Served) -> None:
    assert kernel.run(":").reply["execution_count"] == 1
    assert kernel.run(":", silent=True).reply["execution_count"] == 1
    assert kernel.run(":", store_history=False).reply["execution_count"] == 1
    assert kernel.run(":").reply["execution_count"] == 2


def test_a_silent_cell_runs_and_shows_nothing_but_its_reply(kernel: Served) -> None:
    run = kernel.run("a=1; echo shown; false", silent=True)
    assert run.kinds == ["status", "status"]
    assert (run.reply["status"], run.reply["ename"]) == ("error", "ExitStatus")
    assert kernel.run("echo $a").text == "1\n"


def test_an_empty_cell_is_ok(kernel: Served) -> None:
    for code in ("", "  \n", "# only a comment"):
        assert kernel.run(code).reply["status"] == "ok"


def test_each_user_expression_is_answered_with_an_error(kernel: Served) -> None:
    answers = kernel.run(":", user_expressions={"a": "1", "b": "2"}).reply["user_expressions"]
    assert set(answers) == {"a", "b"}
    assert all(a["status"] == "error" and a["traceback"] for a in answers.values())


@pytest.mark.parametrize(
    ("code", "name", "value", "words"),
    [
        ("f() {\n  return 3\n}\nf", "ExitStatus", "return 3: exit status 3", ("exit status 3",)),
        (
            "set -e\ntrue\nfalse\necho no",
            "Errexit",
            "false: exit status 1",
            ("false", "cell line 3"),
        ),
        ("g() { exit 4; }\ng", "Exited", "exit 4: exit status 4", ("exit 4", " in g")),
        (
            "set -u\necho $nothing_there",
            "UnsetVariable",
            None,
            ("nothing_there: unbound variable",),
        ),
        ("echo ${nothing_there:?is missing}", "BadExpansion", None, ("is missing",)),
        ("echo ran\nif fi", "SyntaxError", None, ("line 2",)),
        ("echo ran\n[[ a = ]]", "SyntaxError", None, ("line 2", "binary operator")),
        ("no-such-command-anywhere", "ExitStatus", None, ("exit status 127",)),
        ("true\n%display a.svg", "ExitStatus", None, ("hint: `%display` has to be above",)),
        ("%limit 1M\nset -e\n  %diff\n:", "Errexit", None, ("hint: `%diff` has to be above",)),
    ],
)
def test_a_cell_that_fails_says_how_in_an_error_and_in_the_reply(
    kernel: Served, code: str, name: str, value: str | None, words: tuple[str, ...]
) -> None:
    run = kernel.run(code)
    assert run.reply["status"] == "error"
    assert run.error is not None
    assert run.reply["ename"] == run.error["ename"] == name
    assert value is None or run.reply["evalue"] == value
    assert run.error["traceback"] == run.reply["traceback"]
    text = "\n".join(run.error["traceback"])
    assert all(word in text for word in words), text
    assert "ran" not in run.text
    assert kernel.run("echo on").text == "on\n"


def test_a_job_is_no_magic(kernel: Served) -> None:
    assert "hint" not in str(kernel.run("%1").error)
    assert kernel.run("sleep 0.1 &\n%1\necho $?").text.endswith("0\n")


@pytest.mark.parametrize(
    ("code", "why"), [("exec true", "exec"), ("builtin exit 3", "exit"), ("exec false", "exec")]
)
def test_a_shell_that_ends_is_told_and_the_next_cell_has_a_fresh_one(
    kernel: Served, code: str, why: str
) -> None:
    run = kernel.run(f"a=1; echo before; {code}")
    assert run.text.startswith("before\n")
    assert (run.reply["ename"], run.reply["evalue"]) == ("ShellEnded", why)
    assert "fresh shell" in "\n".join(run.reply["traceback"])
    assert kernel.run("echo ${a-gone}").text == "gone\n"


def test_a_shell_that_ends_between_cells_is_told_by_the_next(
    kernel: Served, tmp_path: Path
) -> None:
    kernel.run("trap 'exec true' HUP")
    kernel.run(f"({until_there(tmp_path / 'go')}; kill -KILL $$; kill -HUP $$) &")
    assert len(kernel.children()) == 1
    (tmp_path / "go").touch()
    wait_until(lambda: not kernel.children())
    run = kernel.run("echo on")
    assert run.reply["status"] == "ok"
    assert "[the shell had ended since the last cell" in run.text
    assert run.text.endswith("on\n")


def test_an_error_aborts_the_cells_that_wait(kernel: Served, tmp_path: Path) -> None:
    failing = kernel.client.execute(f"{until_there(tmp_path / 'go')}; false")
    waiting = [kernel.client.execute("echo no") for _ in range(3)]
    kernel.answered("kernel_info_request")
    (tmp_path / "go").touch()
    assert kernel.result(failing).reply["status"] == "error"
    for msg_id in waiting:
        run = kernel.result(msg_id)
        assert run.reply["status"] == "aborted"
        assert run.kinds == ["status", "status"]
    assert kernel.run("echo on").text == "on\n"


def test_an_error_aborts_nothing_if_the_cell_says_so(kernel: Served) -> None:
    failing = kernel.client.execute("sleep 0.3; false", stop_on_error=False)
    waiting = kernel.client.execute("echo yes")
    assert kernel.result(failing).reply["status"] == "error"
    assert kernel.result(waiting).text == "yes\n"


def test_a_cell_that_is_sent_on_the_reply_of_a_failed_one_is_not_aborted(kernel: Served) -> None:
    for _ in range(10):
        kernel.reply(kernel.client.execute("false"))
        assert kernel.reply(kernel.client.execute(":"))["content"]["status"] == "ok"


def test_two_thousand_queued_cells_are_all_run_in_order(kernel: Served) -> None:
    asked = [kernel.client.execute(f"echo {number}") for number in range(2000)]
    texts: list[str] = []
    # Read as it comes: who reads nothing of so much is left behind after some time.
    while len(texts) < 2000:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream":
            texts.append(message["content"]["text"])
    assert texts == [f"{number}\n" for number in range(2000)]
    answered = [kernel.client.get_shell_msg(timeout=60) for _ in asked]
    assert [m["parent_header"]["msg_id"] for m in answered] == asked
    assert [m["content"]["execution_count"] for m in answered] == list(range(1, 2001))


def test_an_error_aborts_all_of_two_thousand(kernel: Served, tmp_path: Path) -> None:
    code = f"{until_there(tmp_path / 'go')}; false"
    asked = [kernel.client.execute(code) for _ in range(2000)]
    kernel.answered("kernel_info_request")
    (tmp_path / "go").touch()
    answered = [kernel.client.get_shell_msg(timeout=60)["content"]["status"] for _ in asked]
    assert answered == ["error", *["aborted"] * 1999]


@pytest.mark.parametrize("how", ["message", "signal"])
@pytest.mark.parametrize(
    "code",
    [
        "sleep 100",
        "while :; do :; done",
        "for i in {1..1000}; do sleep 0.1; done",
        "sleep 100 | cat | cat",
        "yes",
        "(trap '' INT; echo started; exec sleep 100)",
        "(trap '' INT TERM; echo started; while :; do sleep 100; done)",
    ],
)
def test_an_interrupt_ends_a_cell_and_aborts_those_that_wait(
    kernel: Served, code: str, how: str
) -> None:
    start = "" if "started" in code else "echo started; "
    running = kernel.client.execute(f"{start}{code}; echo after")
    waiting = kernel.client.execute("echo no", stop_on_error=False)
    kernel.until_output("started")
    kernel.answered("kernel_info_request")
    for _ in range(1 + code.count("trap") + code.count("TERM")):
        kernel.interrupt(how)
    run = kernel.result(running)
    assert (run.reply["status"], run.reply["ename"]) == ("error", "KeyboardInterrupt")
    assert "after" not in run.text
    assert kernel.result(waiting).reply["status"] == "aborted"
    assert kernel.run("echo on").text == "on\n"


@pytest.mark.parametrize("how", ["message", "signal"])
def test_an_interrupt_of_nothing_does_nothing(kernel: Served, how: str) -> None:
    kernel.interrupt(how)
    run = kernel.run("sleep 0.2; echo on")
    assert (run.text, run.reply["status"]) == ("on\n", "ok")


def test_help_is_given_while_a_cell_runs_which_then_is_busy_again(
    kernel: Served, tmp_path: Path
) -> None:
    running = kernel.client.execute(f"echo started; {until_there(tmp_path / 'go')}; echo ended")
    kernel.until_output("started")
    assert kernel.ask("complete_request", {"code": "ech", "cursor_pos": 3})["status"] == "ok"
    assert kernel.ask("inspect_request", {"code": "cd", "cursor_pos": 2})["status"] == "ok"
    assert kernel.ask("history_request", {"hist_access_type": "tail", "n": 1})["status"] == "ok"
    assert kernel.ask("is_complete_request", {"code": "if"})["status"] == "incomplete"
    assert kernel.ask("kernel_info_request")["status"] == "ok"
    (tmp_path / "go").touch()
    last = kernel.published(running)
    states = [m["content"]["execution_state"] for m in last if m["msg_type"] == "status"]
    assert states == [*["busy"] * (len(states) - 1), "idle"]
    assert len(states) >= 2


def test_a_huge_cell_runs(kernel: Served) -> None:
    text = "x" * 2_000_000
    assert kernel.run(f"a='{text}'\necho ${{#a}}").text == "2000000\n"


def test_what_was_run_is_in_the_history(kernel: Served) -> None:
    for code in ("echo 1", "echo 2", "echo 2"):
        kernel.run(code)
    asked = {"hist_access_type": "tail", "n": 2, "output": False, "raw": True}
    history = kernel.ask("history_request", asked)["history"]
    assert [item[1:] for item in history] == [[2, "echo 2"], [3, "echo 2"]]


def test_a_job_that_writes_later_is_shown_below_its_cell(kernel: Served, tmp_path: Path) -> None:
    first = kernel.client.execute(f"({until_there(tmp_path / 'go')}; echo late) &")
    kernel.result(first)
    kernel.run("echo other")
    (tmp_path / "go").touch()
    message = kernel.until(lambda m: "late" in m["content"].get("text", ""))
    assert message["parent_header"]["msg_id"] == first


def test_without_a_sandbox_each_cell_says_why_with_a_hint(serve: Callable[..., Served]) -> None:
    kernel = serve("--nowhere")
    for code in ("echo a", "%restart"):
        run = kernel.run(code)
        assert (run.reply["ename"], run.reply["evalue"]) == ("SandboxError", "no-user-namespaces")
        text = "\n".join(run.reply["traceback"])
        assert "unshare(CLONE_NEWUSER) = EPERM" in text
        assert "hint: `nbs doctor` tells what to do" in text
    run = kernel.run("%enter hello")
    assert (run.reply["ename"], run.reply["evalue"]) == ("SandboxError", "no-build")
    assert kernel.ask("complete_request", {"code": "ec", "cursor_pos": 2})["status"] == "ok"


def test_magic_lines_come_first_and_count_for_the_rest_of_the_cell(kernel: Served) -> None:
    run = kernel.run("%streams split\necho out; sleep 0.2; echo err >&2")
    shown = {"stdout": "", "stderr": ""}
    for message in run.published:
        if message["msg_type"] == "stream":
            shown[message["content"]["name"]] += message["content"]["text"]
    assert shown["stdout"].endswith("out\n")
    assert shown["stderr"] == "err\n"


def test_a_magic_line_that_is_wrong_fails_the_cell_before_anything_runs(kernel: Served) -> None:
    run = kernel.run("%no-such\necho ran")
    assert (run.reply["ename"], run.reply["evalue"]) == ("MagicError", "magic-unknown")
    assert run.text == ""


def test_the_time_that_a_cell_takes_is_told_and_its_failure_too(kernel: Served) -> None:
    assert re.search(r"took (\d+ min )?\d+\.\d+ s\n", kernel.run("%time sleep 0.01").text)
    run = kernel.run("%%time\necho out\nfalse")
    assert run.text.startswith("out\n")
    assert "status 1" in run.text
    assert run.reply["ename"] == "ExitStatus"


def test_a_restarted_shell_is_a_fresh_one(kernel: Served) -> None:
    kernel.run("a=1; sleep 1000 &")
    assert kernel.run("%restart\necho ${a-gone}").text.endswith("gone\n")


def test_a_table_is_displayed(kernel: Served) -> None:
    run = kernel.run("%build")
    (shown,) = (m["content"] for m in run.published if m["msg_type"] == "display_data")
    assert {"text/plain", "text/html"} <= set(shown["data"])


def shown(run: Run) -> list[str]:
    """What a cell shows, in order: text as it is, each file by its first cell."""
    found: list[str] = []
    for message in run.published:
        if message["msg_type"] == "stream":
            found += message["content"]["text"].split()
        elif message["msg_type"] == "display_data":
            found.append("<" + message["content"]["data"]["text/plain"].split()[0] + ">")
    return found


def test_display_shows_a_file_wherever_a_cell_has_the_word_and_as_it_is_then(
    kernel: Served,
) -> None:
    run = kernel.run(
        'show() { display "$1"; }\n'
        "for i in 1 2 3; do echo n$i >'a b.csv'; echo before; display *.csv; echo after; done"
    )
    assert shown(run) == [w for i in "123" for w in ("before", f"<n{i}>", "after")]
    # Later cells have it in functions of earlier ones.
    assert shown(kernel.run("show a*; echo x; display a* a* | cat")) == [
        "<n3>",
        "x",
        "<n3>",
        "<n3>",
    ]


def test_what_display_cannot_show_fails_as_a_command_does(kernel: Served) -> None:
    run = kernel.run("display none-such.csv || echo failed; display x.nothing")
    assert (
        "display: `none-such.csv` cannot be read\n  No such file or directory\nfailed\n" in run.text
    )
    assert "has no ending of a format that can be shown" in run.text
    assert run.error is not None
    assert (run.error["ename"], run.error["evalue"]) == (
        "ExitStatus",
        "display x.nothing: exit status 1",
    )
    assert run.error["traceback"][1:] == ["  display x.nothing", f"  {DIM}at{PLAIN} cell line 1"]
    run = kernel.run("set -e; display none-such.csv; echo never")
    assert "never" not in run.text
    assert run.error is not None
    assert run.error["ename"] == "Errexit"


def test_display_is_the_users_word_and_not_that_of_what_a_cell_runs(
    kernel: Served, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("seen\n")
    script = tmp_path / "script"
    script.write_text(f"display {tmp_path}/a.csv; from_a_file() {{ display {tmp_path}/a.csv; }}\n")
    run = kernel.run(f"display {tmp_path}/a.csv; bash {script}; source {script}; from_a_file")
    assert shown(run)[0] == "<seen>"
    assert "<seen>" not in shown(run)[1:]
    assert run.text.count("display: command not found") == 3
    # Nor is it there where no cell has ever had it, or the user has another.
    kernel.run("%restart")
    assert "command not found" in kernel.run(f"eval 'display {tmp_path}/a.csv'").text
    assert kernel.run("display() { echo mine; }; display").text == "mine\n"
    assert kernel.run("display").text == "mine\n"
