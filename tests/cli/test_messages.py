"""What people read when something is wrong: the same form everywhere, on standard error, harmless."""

from __future__ import annotations

import ast
import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from sandbox.cli import speak
from sandbox.cli.parser import Parser
from sandbox.errors import (
    CommandError,
    DerivationSyntaxError,
    Error,
    EvidenceError,
    MachineError,
    StepFailed,
    UsageError,
)
from sandbox.host.builddir import read_kept_directory
from sandbox.host.derivation import read_derivation, unclear
from sandbox.host.inputs import find_inputs
from sandbox.host.nixconf import NixLocations
from tests.host.made_store import MadeStore, store_path
from tests.model import made

SANDBOX = Path(__file__).resolve().parent.parent.parent / "sandbox"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(capsys):
    """What a person reads of an error."""

    def show(error: Error) -> str:
        speak.show_error(error)
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return show


def raised(call, *arguments, **more) -> Error:
    with pytest.raises(Error) as caught:
        call(*arguments, **more)
    return caught.value


def test_a_path_that_is_no_directory(shown):
    assert (
        shown(raised(read_kept_directory, "/no/such", "/nix/store"))
        == """\
error: `/no/such` is not a directory

hint: `nbs ls` lists the kept directories of this machine
                                                            (not-a-directory, 2)
"""
    )


def test_several_derivations_that_fit(shown):
    drvs = [store_path("boom.drv", letter) for letter in "df"]
    kept = made.KEPT.replace(outer="/tmp/nix-build-boom.drv-0")
    assert (
        shown(unclear(kept, drvs, NixLocations()))
        == f"""\
error: `/tmp/nix-build-boom.drv-0` may belong to 2 derivations
  {drvs[0]}
  {drvs[1]}

hint: say which: `nix-build-shell --derivation {drvs[0]} /tmp/nix-build-boom.drv-0`
                                                       (derivation-unclear, 125)
"""
    )


def test_inputs_that_are_gone(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    locations = MadeStore(tmp_path / "s", database=False).locations.replace(root="")
    gone = tuple(store_path(name, "9") for name in ("patchelf-0.15.0", "zlib-1.3.1"))
    assert (
        shown(raised(find_inputs, gone, made.KEPT, locations, None))
        == f"""\
error: 2 of the inputs of `hello-1.0` are no longer in the store
  {gone[0]}
  {gone[1]}

hint: `nix-store --realise {gone[0]} {gone[1]}` brings them back, if a binary cache has them
                                                           (inputs-missing, 125)
"""
    )


def test_a_derivation_that_is_none(shown, tmp_path):
    store = MadeStore(tmp_path / "s")
    path = store.add("hello.drv", "d", content="Derive([)")
    error = raised(read_derivation, path, store.locations)
    assert (
        shown(error)
        == f"""\
error: `{path}` is not a derivation: {error.detail} at byte 8

hint: if `nix derivation show` can read it, report it as a bug, with that file
                                                        (derivation-syntax, 125)
"""
    )


def test_a_build_that_had_no_sandbox(shown):
    kept = made.KEPT.replace(env_vars=made.ENV_VARS.replace(build_top="/tmp/nix-build-x.drv-0"))
    assert (
        shown(raised(made.described, kept))
        == """\
error: `hello-1.0` was built without a sandbox
  NIX_BUILD_TOP=/tmp/nix-build-x.drv-0

hint: `--sandboxed` enters the sandbox that Nix would have made; `--unsandboxed` shows the host's files, read-only, and its network, as the build had them
                                                      (build-not-sandboxed, 125)
"""
    )


def test_a_step_that_the_kernel_refused(shown):
    error = StepFailed(index=26, total=31, call='mount("none", "/proc")', errno=1, strerror="EPERM")
    assert (
        shown(error)
        == """\
error: step 27 of 31 was refused
  mount("none", "/proc") = EPERM
                                                              (step-failed, 125)
"""
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [(UsageError, 2), (EvidenceError, 125), (MachineError, 125), (CommandError, 127)],
)
def test_each_kind_of_error_has_its_exit_code(kind, code):
    assert kind("x", reason="x").exit_code == code


def test_a_command_that_is_there_but_cannot_be_run_is_126():
    assert CommandError("x", reason="x", exit_code=126).exit_code == 126


@pytest.mark.parametrize(
    "evil",
    ["\x1b[2J", "\x1b]0;owned\x07", "a\nerror: all is well", "\r", "\udcff", "\x9b1m", "\u202e"],
)
def test_nothing_hostile_reaches_the_terminal_as_it_is(shown, evil):
    error = EvidenceError(f"`{evil}`", reason="x", evidence=(evil, evil), hint=f"`{evil}`")
    text = shown(error)
    assert evil not in text
    assert text.count("\n") == 6
    assert text.replace("\n", "").isprintable()
    text.encode()


def test_what_has_lines_keeps_them_and_only_them():
    assert sandbox.printable("a\n\tb\x1b\r") == "a\n\tb\ufffd\ufffd"
    assert sandbox.one_line("a\n\tb\x1b") == "a\ufffd b\ufffd"


@pytest.mark.parametrize(
    ("environ", "colour"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
    ],
)
def test_colour_is_for_terminals_that_do_not_refuse_it(monkeypatch, environ, colour):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert speak.painted("x", speak.RED, Terminal()) == ("\x1b[1;31mx\x1b[0m" if colour else "x")
    assert speak.painted("x", speak.RED, io.StringIO()) == "x"


def test_it_reads_the_same_without_colour(monkeypatch, shown):
    error = UsageError("`x` is y", reason="x-y", evidence=("z",), hint="`w`")
    plain = shown(error)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    speak.show_error(error)
    coloured = sys.stderr.getvalue()
    for code in (speak.RED, speak.YELLOW, speak.DIM, "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


class Ended(Exception):
    pass


@pytest.fixture
def status_of(monkeypatch):
    """The status with which a command function ends the process."""

    def end(status):
        raise Ended(status)

    def run(command):
        monkeypatch.setattr(os, "_exit", end)
        with pytest.raises(Ended) as caught:
            speak.run(command)
        return caught.value.args[0]

    return run


def test_the_status_of_a_child_is_known_whatever_the_caller_ignores(status_of):
    def command(_argv):
        return subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=False).returncode

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert status_of(command) == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(("given", "left"), [(0o777, 0o077), (0o177, 0o077), (0o022, 0o022)])
def test_what_is_made_is_open_to_its_owner_whatever_the_mask(status_of, given, left):
    def command(_argv):
        return os.umask(0)

    before = os.umask(given)
    try:
        assert status_of(command) == left
    finally:
        os.umask(before)


def raising(error):
    def command(_argv):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x", reason="x"), 2),
        (CommandError("x", reason="x", exit_code=126), 126),
        (KeyboardInterrupt(), 130),
        (SystemExit(0), 0),
        (SystemExit("text"), 2),
    ],
)
def test_each_end_has_its_status(status_of, error, status):
    assert status_of(raising(error)) == status


def test_a_command_s_own_status_is_handed_through(status_of):
    assert status_of(lambda _: 77) == 77


def test_a_bug_is_shown_whole_and_asks_to_be_reported(status_of, capsys):
    assert status_of(raising(ZeroDivisionError("oh"))) == 125
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "ZeroDivisionError: oh" in text
    assert text.rstrip().endswith("Please report it with the output of `nbs doctor`.")


def test_a_full_disk_elsewhere_is_not_called_standard_output(status_of, capsys):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert status_of(raising(full)) == 125
    assert "standard output" not in capsys.readouterr().err


def test_arguments_that_no_verb_has_are_errors_of_the_same_form():
    parser = Parser(prog="nbs ls", description="")
    parser.add_argument("--inputs", choices=("ro", "rw"))
    unknown = raised(parser.parse_args, ["--bogus"])
    assert (unknown.message, unknown.reason) == (
        "`nbs ls` has no argument `--bogus`",
        "option-unknown",
    )
    wrong = raised(parser.parse_args, ["--inputs", "x"])
    assert (wrong.reason, wrong.exit_code) == ("option-value", 2)
    assert raised(parser.parse_args, ["--inp", "ro"]).reason == "option-unknown"


def errors_in(path):
    """Every error that a file makes: its message as far as it is written there, and its reason."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        words_ = {k.arg: k.value for k in node.keywords}
        if name.endswith("Error") and "reason" in words_:
            reason = words_["reason"]
            yield text_of(node.args[0]), text_of(reason), text_of(words_.get("hint"))


def text_of(node):
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values)
    return ""


ERRORS = [
    (str(path.relative_to(SANDBOX)), *found)
    for path in sorted(SANDBOX.rglob("*.py"))
    for found in errors_in(path)
]


def test_the_errors_of_the_code_are_found():
    assert len(ERRORS) > 20


@pytest.mark.parametrize(("file", "message", "reason", "hint"), ERRORS)
def test_every_message_is_one_sentence_about_the_user_s_thing(file, message, reason, hint):
    for text in (message, hint):
        lower = text.lower()
        assert not text.rstrip("`").endswith((".", "!")), file
        assert not [
            w for w in ("failed to", "unable to", "invalid", "please", " we ") if w in lower
        ]
    assert not reason or reason.replace("-", "").isalpha()
    assert reason == reason.lower()
    assert message.count("`") % 2 == 0
    assert hint.count("`") % 2 == 0


def test_the_tree_of_errors_is_complete():
    assert issubclass(DerivationSyntaxError, EvidenceError)
    assert issubclass(StepFailed, MachineError)
    assert all(
        issubclass(k, Error) for k in (UsageError, EvidenceError, MachineError, CommandError)
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_an_age_has_one_unit(seconds, text):
    assert sandbox.words.age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (10**15, "1000.0 TB")],
)
def test_a_size_has_one_unit(count, text):
    assert sandbox.words.size(count) == text


def test_an_owner_without_an_account_is_a_number():
    assert sandbox.owner_name(0) == "root"
    assert sandbox.owner_name(3_999_999_999) == "3999999999"
