"""A log tells its phases, how the build ended, and the error that explains it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model import logs
from sandbox.model.logs import Phase, parse_log, shown

PHASE = '@nix { "action": "setPhase", "phase": "%s" }\n'


def error_of(*lines: str) -> tuple[str, str] | None:
    error = parse_log("\n".join(lines)).error
    return (error.kind, error.text) if error else None


def test_phases_come_from_the_lines_that_nix_hides():
    log = parse_log(
        PHASE % "unpackPhase" + "Running phase: unpackPhase\na\n" + PHASE % "buildPhase" + "b\nc\n"
    )
    assert log.lines == ("Running phase: unpackPhase", "a", "b", "c")
    assert log.phases == (
        Phase(name="unpackPhase", first=1, last=2),
        Phase(name="buildPhase", first=3, last=4),
    )
    assert log.failing_phase == "buildPhase"


def test_phases_come_from_titles_where_a_terminal_showed_the_log():
    log = parse_log(
        "hello> Running phase: buildPhase\nhello> x\nhello> Running phase: checkPhase\n"
    )
    assert [(p.name, p.first, p.last) for p in log.phases] == [
        ("buildPhase", 1, 2),
        ("checkPhase", 3, 3),
    ]


def test_phases_of_older_stdenvs_come_from_their_headers():
    log = parse_log("unpacking sources\nconfiguring\nbuilding\nbuilding x\nrunning tests\n")
    assert [p.name for p in log.phases] == [
        "unpackPhase",
        "configurePhase",
        "buildPhase",
        "checkPhase",
    ]


def test_a_header_is_a_line_like_any_other_where_phases_are_marked():
    assert [
        p.name for p in parse_log(PHASE % "buildPhase" + "configuring\ninstalling\n").phases
    ] == ["buildPhase"]


def test_a_phase_without_output_has_no_lines():
    (phase,) = parse_log("x\n" + PHASE % "installPhase").phases
    assert (phase.first, phase.last) == (2, 1)


@pytest.mark.parametrize(
    "line",
    [
        "@nix {",
        "@nix 3",
        "@nix []",
        '@nix {"phase": "x"}',
        "@nix " + "[" * 9000,
        '@nix {"action": 4}',
        "@nix",
    ],
)
def test_a_damaged_nix_line_is_shown_as_nix_shows_it(line):
    log = parse_log(line)
    assert log.whole == (line,)
    assert log.phases == ()


def test_other_nix_lines_are_hidden():
    assert parse_log('@nix {"action":"start","id":1}\n@nix {"action":"setPhase"}\nx').lines == (
        "x",
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link", "textlink"),
        ("  1%\r 50%\r100%", "100%"),
        ("windows\r", "windows"),
        ("long line\rab", "abng line"),
        ("long line\r\x1b[Kab", "ab"),
        ("tab\tis kept\a\0", "tab\tis kept"),
        ("right\u202eto left", "rightto left"),
        ("\x1b", ""),
        ("\x1b[", ""),
        ("x" * 100_000, "x" * 4000),
    ],
)
def test_a_line_is_shown_as_a_terminal_leaves_it(raw, expected):
    assert shown(raw) == expected


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("error: builder for '/nix/store/x.drv' failed with exit code 2;", "exit", 2),
        ("Reason: builder failed with exit code 1.", "exit", 1),
        ("build for hello failed in buildPhase with exit code 3", "exit", 3),
        ("error: builder for 'x' failed due to signal 11 (Segmentation fault)", "signal", 11),
        ("error: builder for 'x' failed due to signal 9 (Killed)", "killed", 9),
        ("builder for 'x' failed with exit code 137", "killed", 137),
        ("make: *** [Makefile:2: all] Error 139", "signal", 11),
        ("c++: fatal error: Killed signal terminated program cc1plus", "killed", None),
        ("error: building of 'x' timed out after 5 seconds", "timeout", 5),
        ("error: building of 'x' timed out after 600 seconds of silence", "timeout", 600),
        ("cp: error writing 'x': No space left on device", "no-space", None),
        ("note: build failure may have been caused by lack of free disk space", "no-space", None),
        (
            "error: hash mismatch in fixed-output derivation '/nix/store/x.drv':",
            "hash-mismatch",
            None,
        ),
    ],
)
def test_the_end_of_a_build_is_told(text, kind, code):
    ending = parse_log(f"a\n{text}\n").ending
    assert (ending.kind, ending.code, ending.line, ending.text) == (kind, code, 2, text)


def test_the_most_telling_end_is_taken():
    log = parse_log("write: No space left on device\nbuilder for 'x' failed with exit code 1\n")
    assert log.ending.kind == "no-space"


def test_the_status_of_make_is_not_taken_for_the_builders():
    assert parse_log("make: *** [Makefile:2: all] Error 1\n").ending is None


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("src/main.c:12:5: error: 'x' undeclared (first use in this function)", "compiler"),
        ("main.c:1:10: fatal error: zlib.h: No such file or directory", "compiler"),
        ("x.c:3:5: error: unused variable 'y' [-Werror=unused-variable]", "compiler"),
        ("Main.java:3: error: ';' expected", "compiler"),
        ("src/a.ts(3,5): error TS2304: Cannot find name 'x'.", "compiler"),
        ("error[E0425]: cannot find value `x` in this scope", "compiler"),
        ("./main.go:3:4: undefined: x", "compiler"),
        ("gcc: error: unrecognized command-line option '-mfoo'", "compiler"),
        ("boot.s:12: Error: no such instruction: `foo'", "compiler"),
        ("main.c:(.text+0x5): undefined reference to `foo'", "linker"),
        ("/nix/store/x/bin/ld: cannot find -lz: No such file or directory", "linker"),
        ("make: *** No rule to make target 'all'.  Stop.", "make"),
        ("Makefile:3: *** missing separator.  Stop.", "make"),
        ("CMake Error at CMakeLists.txt:3 (find_package):", "cmake"),
        ('meson.build:1:0: ERROR: Dependency "x" not found', "meson"),
        ("configure: error: no acceptable C compiler found in $PATH", "configure"),
        ("bash: ./x: /usr/bin/python: bad interpreter: No such file or directory", "interpreter"),
        ("Hunk #1 FAILED at 3.", "patch"),
        ("thread 'main' panicked at src/main.rs:2:5:", "panic"),
        ("FAILED tests/test_x.py::test_y - AssertionError", "test"),
        ("--- FAIL: TestX (0.00s)", "test"),
        ("./run.sh: line 3:    12 Segmentation fault      (core dumped) ./x", "crash"),
        ("/nix/store/x-stdenv/setup: line 12: cmake: command not found", "command-not-found"),
        ("/bin/sh: foo: not found", "command-not-found"),
        ("cp: cannot stat 'out': No such file or directory", "missing-file"),
        ("mkdir: cannot create directory '/usr/share': Permission denied", "permission"),
        ("curl: (6) Could not resolve host: example.org", "network"),
        ("Error: something is wrong", "other"),
        ("SyntaxError: Unexpected token", "other"),
        ("npm ERR! code ELIFECYCLE", "other"),
        ("npm error code EUSAGE", "other"),
        ("checking for foo... configure: error: no foo", "configure"),
        ("checking for bar... /build/src/configure: error: no bar", "configure"),
        ("can't find file to patch at input line 3", "patch"),
        ("Reversed (or previously applied) patch detected!  Assume -R? [n]", "patch"),
        ("Reversed (or previously applied) patch detected!  Skipping patch.", "patch"),
        ("patch: **** malformed patch at line 12: +int b;", "patch"),
        ("patch: **** Only garbage was found in the patch input.", "patch"),
        ("do not know how to unpack source archive /nix/store/x-source.xyz", "unpack"),
        ("unpacker produced multiple directories", "unpack"),
        ("unpacker appears to have produced no directories", "unpack"),
        ("[ERROR] /build/src/Main.java:[3,5] ';' expected", "compiler"),
        ("[ERROR] Failed to execute goal org.apache.maven.plugins:x:3.1:compile", "java"),
        ("Execution failed for task ':compileJava'.", "java"),
        ("test: test.c:3: main: Assertion `0' failed.", "crash"),
        ("Assertion failed: 0 (test.c: main: 3)", "crash"),
        ("/bin/sh: line 1:    12 Aborted                 (core dumped) ./test", "crash"),
        ("terminate called after throwing an instance of 'std::runtime_error'", "crash"),
        (
            "RPATH of binary /nix/store/x/bin/hello contains a forbidden reference to /build/",
            "reference",
        ),
        ("/nix/store/x-stdenv/setup: line 165: UNKNOWN_VAR: unbound variable", "shell"),
        ("/nix/store/x-stdenv/setup: line 12: FOO: parameter null or not set", "shell"),
        ("./run.sh: line 3: syntax error near unexpected token `fi'", "shell"),
        ("./run.sh: line 9: syntax error: unexpected end of file", "shell"),
        ("Can't locate Foo/Bar.pm in @INC (you may need to install Foo::Bar)", "missing-module"),
    ],
)
def test_every_kind_of_error_is_known(line, kind):
    assert error_of("building", "x", line, "") == (kind, line)


@pytest.mark.parametrize(
    "line",
    [
        "x.c:1:2: warning: error is a bad name",
        "gcc -Wall -Werror -c errors.c -o errors.o",
        "x86_64-unknown-linux-gnu-gcc -DX='error: y' -c x.c",
        "0 errors, 3 warnings",
        "Compiled with no errors: good",
        "checking for error.h... not found",
        "-- Looking for strerror - not found",
        "+ echo error: x",
        "PASS: error: handling",
        "test error: handling ... ok",
        "ok 3 - error: is raised",
        "[ 50%] Building C object src/error.c.o",
        "not ok 4 # TODO error",
        "checking whether unbound variable is told... yes",
        "checking for can't find file to patch... no",
        "Reversed (or previously applied) patch detected!  Assuming -R.",
        "checking how configure: error: is written... in words",
        "TIMEOUT is 30 where the parameter is not set",
        "unpacking source archive /nix/store/x-source.tar.gz",
        "the parser tells of a syntax error near unexpected tokens",
        "Assertions are on",
        "test of terminate called after throwing an instance of X ... ok",
        "Aborted transactions are rolled back",
        "shrinking RPATHs of ELF executables and libraries in /nix/store/x",
        "checking for references to /build/ in /nix/store/x...",
        "Execution of 3 tests",
        "Can't happen: skipped",
        "npm notice New minor version of npm available!",
        "npm error A complete log of this run can be found in: /build/.npm/_logs/x.log",
        "error: builder for '/nix/store/x.drv' failed with exit code 2",
        "error: 1 dependencies of derivation '/nix/store/x.drv' failed to build",
    ],
)
def test_what_only_looks_like_an_error_is_none(line):
    assert error_of("building", line) is None


def test_of_npm_s_lines_the_one_counts_that_says_why():
    for mark in ("npm ERR!", "npm error"):
        lines = (
            f"{mark} code EUSAGE",
            mark,
            f"{mark} A complete log of this run can be found in: x",
        )
        assert error_of("npm ci", *lines) == ("other", f"{mark} code EUSAGE")


def test_what_gradle_and_ant_say_in_the_end_follows_from_an_error_before_it():
    error = "A.java:3: error: ';' expected"
    for end in ("BUILD FAILED", "BUILD FAILED in 3s"):
        assert error_of("x", error, "", end) == ("compiler", error)
        assert error_of("x", end, "/build/build.xml:3: no such task") == ("consequence", end)


def test_the_assertion_counts_and_not_what_make_says_of_it():
    failed = "test: test.c:3: main: Assertion `0' failed."
    end = "make: *** [Makefile:5: check] Aborted (core dumped)"
    assert error_of("./test", failed, end) == ("crash", failed)


def test_the_first_error_counts_not_what_follows_from_it():
    assert error_of(
        "make -j2",
        "a.c:1:1: warning: unused",
        "a.c:2:2: error: first",
        "b.c:3:3: error: second",
        "make[1]: *** [Makefile:4: a.o] Error 1",
        "make: *** [Makefile:2: all] Error 2",
        "error: builder for 'x' failed with exit code 2",
    ) == ("compiler", "a.c:2:2: error: first")


def test_an_error_that_make_ignored_does_not_count():
    assert error_of(
        "a.c:2:2: error: harmless",
        "make: [Makefile:4: a.o] Error 1 (ignored)",
        "b.c:3:3: error: real",
        "make: *** [Makefile:2: all] Error 2",
    ) == ("compiler", "b.c:3:3: error: real")


def test_the_cause_behind_ninjas_failed_line_is_found():
    assert error_of(
        "[1/2] x",
        "FAILED: x.o",
        "gcc -c x.c",
        "x.c:1:1: error: bad",
        "ninja: build stopped: subcommand failed.",
    ) == ("compiler", "x.c:1:1: error: bad")


def test_errors_of_an_earlier_phase_do_not_count():
    log = parse_log(
        PHASE % "configurePhase"
        + "x.c:1:1: error: probing\n"
        + PHASE % "buildPhase"
        + "foo: not found\n"
    )
    assert log.error.text == "foo: not found"
    assert log.error.line == 2


def test_of_shell_errors_the_last_line_counts():
    assert error_of("ls: cannot access 'x': No such file or directory", "ok then", "sh: 1: foo: not found") == (
        "command-not-found", "sh: 1: foo: not found",
    )  # fmt: skip


def test_the_suspect_before_makes_line_counts():
    assert error_of("/bin/sh: 1: foo: not found", "make: *** [Makefile:2: all] Error 127", "bye") == (
        "command-not-found", "/bin/sh: 1: foo: not found",
    )  # fmt: skip


def test_without_anything_better_makes_own_line_is_shown():
    line = "make: *** [Makefile:2: all] Error 1"
    assert error_of("x", line) == ("consequence", line)


def test_a_traceback_is_named_by_its_exception_and_shown_from_its_title():
    log = parse_log(
        "\n".join(
            [
                *("line" for _ in range(30)),
                "Traceback (most recent call last):",
                *('  File "x.py", line 1, in f' for _ in range(9)),
                "ValueError: first",
                "",
                "During handling of the above exception, another exception occurred:",
                "",
                "Traceback (most recent call last):",
                '  File "x.py", line 2, in g',
                "KeyError: second",
            ]
        )
    )
    assert (log.error.kind, log.error.text) == ("traceback", "ValueError: first")
    assert log.error.context[0].startswith("Traceback")
    assert log.lines[log.error.first - 1] == log.error.context[0]
    assert log.lines[log.error.line - 1] == log.error.text


def test_an_ignored_exception_does_not_count():
    assert (
        error_of(
            "Exception ignored in: <f>",
            "Traceback (most recent call last):",
            "  x",
            "KeyError: 1",
            "",
        )
        is None
    )


def test_nixs_own_mark_before_a_line_is_no_part_of_it():
    assert error_of("error: builder for 'x' failed with exit code 1;", "  last 1 log lines:", "  > a.c:1:1: error: b") == (
        "compiler", "  > a.c:1:1: error: b",
    )  # fmt: skip


def test_the_error_has_its_surroundings():
    log = parse_log("\n".join([*map(str, range(50)), "x.c:1:1: error: y", *map(str, range(50))]))
    assert log.error.line == 51
    assert log.error.context[0] == "46"
    assert log.error.context[-1] == "5"
    assert log.error.first == 47


def test_the_last_lines_leave_out_empty_ones_at_the_end():
    assert parse_log("a\nb\nc\n\n\n").last_lines(2) == ("b", "c")
    assert parse_log("a\n").last_lines(5) == ("a",)
    assert parse_log("").last_lines(5) == ()


def test_a_long_line_is_whole_and_where_it_is_cut_it_says_so():
    line = f"ld: {'0' * 5000} lastarg"
    log = parse_log(f"a\n\x1b[31m{line}\x1b[0m\nld: cannot find -lx\n")
    assert log.whole == ("a", line, "ld: cannot find -lx")
    assert log.lines == ("a", f"{line[:4000]}… (5012 characters)", "ld: cannot find -lx")
    assert log.error.context == log.lines
    assert log.cut is False


def test_an_empty_log_says_nothing():
    log = parse_log("")
    assert (log.lines, log.phases, log.ending, log.error, log.cut) == ((), (), None, None, False)


def test_of_a_log_with_too_many_lines_the_end_is_read(monkeypatch):
    monkeypatch.setattr(logs, "MOST_LINES", 3)
    log = parse_log("a\nb\nc\nd\n")
    assert log.cut
    assert log.lines[-1] == "d"
    assert len(log.lines) <= 3


@pytest.mark.parametrize(
    "line",
    [
        "*** Error " * 400,
        "a" * 4000,
        "\r" * 4000,
        "\x1b]" * 2000,
        "x:1" * 1300,
        "error: " * 500,
        "Traceback (most recent call last):",
    ],
)
def test_hostile_lines_are_read_to_the_end(line):
    assert parse_log(f"{line}\n" * 200).cut is False


@given(st.text(alphabet=st.sampled_from('\n\r\x1b[]K>:* 1aerorE{}@nix"\u202e') | st.characters()))
def test_any_text_is_a_log(text):
    log = parse_log(text)
    assert all("\n" not in line and "\x1b" not in line for line in log.lines)
    if log.error:
        assert log.lines[log.error.line - 1] == log.error.text


@given(st.lists(st.sampled_from(
    ["a.c:1:1: error: x", "make: *** [a] Error 1", "foo: not found", "Traceback (most recent call last):", "  x",
     "KeyError", "make: [a] Error 1 (ignored)", PHASE[:-1] % "p", "Running phase: q", "building", "> error: y"]
)))  # fmt: skip
def test_what_is_named_lies_in_the_log_and_phases_follow_each_other(lines):
    log = parse_log("\n".join(lines))
    for phase, following in zip(log.phases, log.phases[1:], strict=False):
        assert phase.last + 1 == following.first
    if log.error:
        assert log.error.context == log.lines[log.error.first - 1 :][: len(log.error.context)]
        assert log.error.text in log.error.context


def test_a_script_whose_interpreter_is_missing_is_the_cause_and_not_what_make_says_of_it() -> None:
    """bash 5.2 no longer says "bad interpreter" where execve(2) finds no file."""
    text = (
        "Running phase: checkPhase\n./test.sh\n"
        "/nix/store/x/bin/bash: line 1: ./test.sh: cannot execute: required file not found\n"
        "make: *** [Makefile:5: check] Error 127\n"
    )
    error = parse_log(text).error
    assert error is not None
    assert (error.kind, error.line) == ("interpreter", 3)
