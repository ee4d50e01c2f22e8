"""What cells write, and whose it is."""

from __future__ import annotations

import time

import pytest

from nbs_kernel.bash.events import Finished, Output
from nbs_kernel.bash.lines import quote
from tests.kernel.bash.driving import output_of, until_there

ALTERNATING = "for ((i = 0; i < 300; i++)); do echo out $i; echo err $i >&2; done"


def test_output_comes_as_it_is_written(driver, tmp_path):
    code = f"printf '10%%\\r20%%'; {until_there('go')}; printf '\\r30%%\\n'"
    ran = driver.begin_until(code, b"20%")
    assert driver.shell.busy
    (tmp_path / "go").touch()
    assert driver.go_on(ran).output == b"10%\r20%\r30%\n"


def test_no_byte_is_changed(driver):
    assert driver.run(r"printf 'a\tb\r\nc\e[31mred\e[m no newline'").output == (
        b"a\tb\r\nc\x1b[31mred\x1b[m no newline"
    )
    assert (
        driver.run(r"printf '\000\377\376\200x\004\003\032'").output == b"\0\xff\xfe\x80x\4\3\x1a"
    )
    assert (
        driver.run('stty -a <>"$(readlink /proc/self/fd/2)" | grep -c -e -opost').output == b"1\n"
    )


def test_stdout_and_stderr_come_in_order_on_one_terminal(driver):
    expected = "".join(f"out {i}\nerr {i}\n" for i in range(300)).encode()
    assert driver.run(ALTERNATING).output == expected
    assert driver.run("[ -t 1 ] && [ -t 2 ] && ! [ -t 0 ]").outcome.status == 0


def test_split_streams_come_apart(drivers):
    driver = drivers.start(split=True)
    ran = driver.run(ALTERNATING)
    assert ran.of("stdout") == "".join(f"out {i}\n" for i in range(300)).encode()
    assert ran.of("stderr") == "".join(f"err {i}\n" for i in range(300)).encode()


def test_streams_are_split_and_joined_from_the_next_cell_on(driver):
    driver.shell.set_streams(split=True)
    assert driver.run("echo x >&2").of("stderr") == b"x\n"
    driver.shell.set_streams(split=False)
    assert driver.run("echo x >&2").of("stdout") == b"x\n"


def test_a_line_of_50_mb_is_whole(driver):
    ran = driver.run("head -c 50000000 /dev/zero | tr '\\0' x")
    assert len(ran.output) == 50_000_000
    assert max(len(e.data) for e in ran.events if isinstance(e, Output)) <= 65536


def test_all_output_comes_before_the_end_of_its_cell(driver):
    for size in (1, 100, 4095, 4096, 4097, 65536, 300_000):
        for _ in range(5):
            ran = driver.run(f"head -c {size} /dev/zero")
            assert len(ran.output) == size
            assert isinstance(ran.end, Finished)


def test_output_that_looks_like_records_stays_output(driver):
    record = r"printf '@%s done 1 10\0' 0123456789abcdef; printf '0\0%.0s' {1..10}"
    ran = driver.run(record + "; exec 3>&1; echo on >&3")
    assert ran.output.startswith(b"@0123456789abcdef done 1 10\0")
    assert ran.output.endswith(b"on\n")


@pytest.mark.parametrize(
    "redirection", ["exec >/dev/null", "exec >&- 2>&-", "exec <&-", "exec 200>&-"]
)
def test_no_redirection_survives_its_cell(driver, redirection):
    driver.run(f"{redirection}\necho x")
    assert driver.run("echo out; echo err >&2; cat").output == b"out\nerr\n"


def test_a_closed_stdout_is_the_cell_s_error(driver):
    ran = driver.run("exec >&-\necho x")
    assert ran.outcome.status == 1
    assert b"write error: Bad file descriptor" in ran.output


def test_what_is_written_to_the_terminal_itself_is_shown(driver):
    assert driver.run("echo one >/dev/tty; echo two >/dev/tty").output == b"one\ntwo\n"


def test_the_output_of_a_job_is_that_of_the_cell_that_started_it(driver, tmp_path):
    job = f"{until_there('one')}; echo late; {until_there('two')}; echo later"
    first = driver.run(f"{{ {job}; }} &")
    second = driver.begin_until(f"echo second; {until_there('end')}", b"second\n")
    (tmp_path / "one").touch()
    driver.go_on(second, lambda ran: ran.output_of(first.cell) == b"late\n")
    (tmp_path / "end").touch()
    driver.go_on(second)
    assert second.output == b"second\n"
    assert second.output_of(first.cell) == b"late\n"
    (tmp_path / "two").touch()
    driver.idle_until(lambda found: output_of(found, first.cell) == b"later\n")


def test_a_job_that_writes_without_an_end_does_not_hold_the_cell(driver):
    ran = driver.run("yes & sleep 0.2; echo $!")
    assert ran.outcome.status == 0
    assert driver.run("kill %1; wait; echo done").output.endswith(b"done\n")


def test_a_terminal_is_closed_when_nobody_has_it_any_more(driver):
    driver.run("sleep 0.3 &")
    before = len(driver.shell.descriptors())
    driver.idle_until(lambda _: len(driver.shell.descriptors()) < before)
    for _ in range(50):
        driver.run("echo x")
    driver.idle_until(lambda _: len(driver.shell.descriptors()) < before)


def test_nothing_is_to_be_done_while_the_shell_is_idle(driver):
    driver.run("echo x")
    driver.idle_until(lambda _: len(driver.shell.descriptors()) == 3)
    used = time.thread_time()
    for _ in range(3):
        assert driver.step(timeout_s=0.3) == []
    assert time.thread_time() - used < 0.1


def test_a_cell_of_one_megabyte_runs(driver):
    words = "x" * 1_000_000
    assert driver.run(f"v='{words}'; echo ${{#v}}").output == b"1000000\n"
    lines = "echo $((n += 1)) >/dev/null\n" * 20_000
    assert driver.run(f"n=0\n{lines}echo $n").output == b"20000\n"


def test_a_cell_goes_out_without_blocking(driver):
    driver.shell._process.signal(19)
    cell = driver.begin("v='" + "x" * 3_000_000 + "'; echo ${#v}")
    assert driver.shell._process.has_unsent
    driver.shell._process.signal(18)
    assert driver.go_on(cell).output == b"3000000\n"


@pytest.mark.parametrize(
    "text",
    [
        "a\tb",
        "x!y !! !$ !1",
        "'\"`\\",
        "$x ${x} $(x)",
        "é € 😀",
        "\x7f\x01\x1b[0m",
        "a\r\nb",
        "  a  \n\n",
        "%s\\n",
    ],
)
def test_any_text_reaches_the_shell_as_it_is(driver, text):
    driver.run("set -H")
    assert driver.run(f"printf %s {quote(text)}").output == text.encode()
    assert driver.run(f"cat <<'END'\n{text}\nEND").output == text.encode() + b"\n"


def test_lines_may_end_in_crlf_only_where_bash_takes_it(driver):
    assert driver.run("echo one; echo two\r\n").output == b"one\ntwo\r\n"


def test_a_nul_byte_is_refused(driver):
    with pytest.raises(ValueError, match="NUL"):
        driver.run("echo a\0b")
    assert driver.run("echo x").output == b"x\n"


def test_bytes_that_are_no_utf_8_reach_the_shell(driver):
    code = b"printf %s '\xff\xfe'".decode("utf-8", "surrogateescape")
    assert driver.run(code).output == b"\xff\xfe"


@pytest.mark.parametrize("code", ["", "\n", "   ", "# nothing", "\n\n# nothing \\"])
def test_a_cell_may_have_nothing_to_do(driver, code):
    ran = driver.run(code)
    assert (ran.output, ran.outcome.status) == (b"", 0)
