"""A cell asks the driver for something while it runs."""

from __future__ import annotations

from nbs_kernel.bash.events import Asked, Finished, Output


def test_what_was_written_before_comes_before_and_the_cell_waits_for_the_answer(driver):
    driver.run("true")
    ran = driver.begin("echo one; display 'a b' && echo two; display c || echo $?", shows=True)
    driver.go_on(ran, lambda ran: isinstance(ran.events[-1:][0] if ran.events else None, Asked))
    assert ran.output == b"one\n"
    asked = ran.events[-1]
    assert (asked.cell, asked.path) == (ran.cell, "a b")
    assert asked.directory == driver.shell.directory
    driver.shell.answer_asked(asked, done=True)
    driver.go_on(ran, lambda ran: isinstance(ran.events[-1], Asked) and ran.events[-1] != asked)
    assert ran.output == b"one\ntwo\n"
    driver.shell.answer_asked(ran.events[-1], done=False)
    driver.go_on(ran)
    assert ran.output == b"one\ntwo\n1\n"
    assert ran.outcome.status == 0


def test_a_question_can_be_interrupted_and_its_late_answer_is_nobody_elses(driver):
    ran = driver.begin("display a", shows=True)
    driver.go_on(ran, lambda ran: any(isinstance(e, Asked) for e in ran.events))
    (late,) = (event for event in ran.events if isinstance(event, Asked))
    driver.shell.interrupt()
    driver.go_on(ran)
    assert ran.outcome.why == "interrupt"
    driver.shell.answer_asked(late, done=True)
    ran = driver.begin("display b; echo $?", shows=True)
    driver.go_on(ran, lambda ran: any(isinstance(e, Asked) for e in ran.events))
    (asked,) = (event for event in ran.events if isinstance(event, Asked))
    driver.shell.answer_asked(asked, done=False)
    assert driver.go_on(ran).output == b"1\n"


def test_who_does_not_know_the_nonce_asks_for_nothing_and_disturbs_nobody(driver):
    ran = driver.begin(
        "hostile() { printf '@0123456789abcdef show 1 3\\0001\\0/\\0a\\0'; head -c 300000 /dev/zero; }\n"
        'hostile >"$__nbs_asking" & wait $!; display b; echo "done"',
        shows=True,
    )
    driver.go_on(ran, lambda ran: any(isinstance(e, Asked) for e in ran.events))
    (asked,) = (event for event in ran.events if isinstance(event, Asked))
    assert asked.path == "b"
    driver.shell.answer_asked(asked, done=True)
    driver.go_on(ran)
    assert b"done\n" in ran.output
    assert not any(b"0123456789abcdef" in e.data for e in ran.events if isinstance(e, Output))
    assert isinstance(ran.end, Finished)


def test_nothing_of_it_is_left_in_the_shell(driver):
    assert driver.run("declare -F display || echo none").output == b"none\n"
    ran = driver.begin("display a", shows=True)
    driver.go_on(ran, lambda ran: any(isinstance(e, Asked) for e in ran.events))
    driver.shell.answer_asked(ran.events[-1], done=True)
    driver.go_on(ran)
    functions, variables, *_ = driver.shell.ask(("names",))
    assert "display" not in functions.split("\n")
    assert "__nbs" not in functions + variables
    assert driver.run("env | grep -c -e nbs -e display").output == b"0\n"
