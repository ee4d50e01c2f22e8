"""What Nix says of a failed build is understood in the words of each of its releases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.model.nixmessages import MOST_HEARD, Failure, Listener, Report

A, B = "/nix/store/aaaa-liba-1.0.drv", "/nix/store/bbbb-app-2.0.drv"
KEPT = "/tmp/nix-build-liba-1.0.drv-0"
NESTED = "/nix/var/nix/builds/nix-12-34/build"

NIX_2_3 = f"""\
note: keeping build directory '{KEPT}'
builder for '{A}' failed with exit code 2
cannot build derivation '{B}': 1 dependencies couldn't be built
error: build of '{B}' failed
"""
NIX_2_8 = f"""\
note: keeping build directory '{KEPT}'
error: builder for '{A}' failed with exit code 2;
       last 2 log lines:
       > make: *** [Makefile:3: check] Error 2
       For full logs, run 'nix log {A}'.
error: 1 dependencies of derivation '{B}' failed to build
"""
NIX_2_20 = f"""\
note: keeping build directory '{KEPT}/build'
error: builder for '{A}' failed with exit code 2;
       last 25 log lines:
       > make: *** [Makefile:3: check] Error 2
       For full logs, run:
         nix log {A}
error: 1 dependencies of derivation '{B}' failed to build
"""
NIX_2_31 = f"""\
note: keeping build directory '{NESTED}'
error: Cannot build '{A}'.
       Reason: builder failed with exit code 2.
       Output paths:
         /nix/store/cccc-liba-1.0
       Last 2 log lines:
       > make: *** [Makefile:3: check] Error 2
       For full logs, run:
         nix log {A}
error: Cannot build '{B}'.
       Reason: 1 dependency failed.
       Output paths:
         /nix/store/dddd-app-2.0
error: Build failed due to failed dependency
"""
NIX_2_34 = NIX_2_31.replace("'", '"')
LIX = f"""\
note: keeping build directory '/nix/var/nix/b/0123456789abcdfghijklmnpqr'
error: builder for '{A}' failed with exit code 2;
       last 10 log lines:
       > x
       For full logs, run:
         nix log {A}
error: 1 dependencies of derivation '{B}' failed to build
"""
COLOURED = f"\x1b[31;1merror:\x1b[0m builder for '\x1b[35;1m{A}\x1b[0m' failed with exit code 2"


def report(*texts: str) -> Report:
    listener = Listener()
    for text in texts:
        listener.hear(text)
    return listener.report()


def only(text: str) -> Failure:
    (failure,) = report(text).failures
    return failure


@pytest.mark.parametrize("text", [NIX_2_3, NIX_2_8, NIX_2_20, NIX_2_31, NIX_2_34, LIX])
def test_the_failure_and_what_waited_for_it_are_told_apart(text):
    heard = report(text)
    assert [(f.derivation, f.kind, f.code) for f in heard.failures] == [(A, "exit", 2)]
    assert heard.dependents == (B,)


@pytest.mark.parametrize("text", [NIX_2_3, NIX_2_8, NIX_2_20, NIX_2_31, NIX_2_34, LIX])
def test_a_message_may_come_line_by_line(text):
    assert report(*text.splitlines()) == report(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (NIX_2_3, KEPT),
        (NIX_2_20, f"{KEPT}/build"),
        (NIX_2_31, NESTED),
        (NIX_2_34, NESTED),
        (LIX, "/nix/var/nix/b/0123456789abcdfghijklmnpqr"),
        (
            "note: keeping build directory \u2018/tmp/nix-build-x.drv-0\u2019",
            "/tmp/nix-build-x.drv-0",
        ),
        ("build directory '/tmp/nix-build-x.drv-0' kept", "/tmp/nix-build-x.drv-0"),
        (
            "note: keeping build directory '/tmp/it's/nix-build-x.drv-0'",
            "/tmp/it's/nix-build-x.drv-0",
        ),
    ],
)
def test_the_kept_directory_is_as_nix_wrote_it(text, path):
    assert report(text).kept == (path,)


def test_the_directory_that_was_named_just_before_belongs_to_the_failure():
    heard = report(NIX_2_8, "note: keeping build directory '/tmp/x'", f"builder for '{B}' failed")
    assert [f.kept for f in heard.failures] == [KEPT, "/tmp/x"]


def keeps(number: int) -> str:
    return f'note: keeping build directory "/nix/var/nix/builds/nix-1-{number}/build"'


def cannot(name: str, reason: str = "builder failed with exit code 2") -> str:
    drv = f"/nix/store/{'0' * 32}-{name}.drv"
    return f"error: Cannot build '{drv}'.\n       Reason: {reason}."


def test_after_directories_that_were_named_together_each_is_again_that_of_its_failure():
    said = (keeps(1), keeps(2), keeps(3), cannot("b"), cannot("c"), cannot("a"))
    heard = report(*said, keeps(4), cannot("d"))
    assert [f.kept[-7:] for f in heard.failures] == ["", "", "", "4/build"]


def test_what_waits_for_a_failure_takes_no_directory_from_it():
    heard = report(keeps(1), keeps(2), cannot("x", "1 dependency failed"), cannot("b"), cannot("c"))
    assert [f.kept for f in heard.failures] == ["", ""]
    heard = report(keeps(1), cannot("x", "1 dependency failed"), cannot("b"))
    assert [f.kept[-7:] for f in heard.failures] == ["1/build"]


def test_a_directory_that_is_named_twice_is_one():
    heard = report(keeps(1), keeps(1), cannot("a"), keeps(2), cannot("b"))
    assert [f.kept[-7:] for f in heard.failures] == ["1/build", "2/build"]


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        (f"error: builder for '{A}' failed with exit code 137", "killed", 137),
        (f"error: builder for '{A}' failed due to signal 9 (Killed)", "killed", 9),
        (f"error: builder for '{A}' failed due to signal 11 (Segmentation fault)", "signal", 11),
        (
            f"error: Cannot build '{A}'.\n Reason: builder failed due to signal 9 (Killed).",
            "killed",
            9,
        ),
        (f"builder for '{A}' failed to produce output path '/nix/store/x'", "no-output", None),
        (
            f"error: Cannot build '{A}'.\n Reason: builder failed to produce output path",
            "no-output",
            None,
        ),
        (f"error: building of '{A}!out' from .drv file timed out after 1 seconds", "timeout", 1),
        (f"error: building of '{A}^out' timed out after 5 seconds of silence", "timeout", 5),
        (f"building of '{A}' timed out after 3600 seconds", "timeout", 3600),
        (f"error: Cannot build '{A}'.\n Reason: timed out after 7 seconds.", "timeout", 7),
        (
            f"error: a 'aarch64-darwin' with features {{}} is required to build '{A}', but I am a",
            "system",
            None,
        ),
        (
            f"error: Cannot build '{A}'.\n Reason: required system or feature not available",
            "system",
            None,
        ),
        (f'error: Cannot build "{A}".', "other", None),
        (COLOURED, "exit", 2),
    ],
)
def test_each_end_of_a_build_has_its_word(text, kind, code):
    failure = only(text)
    assert (failure.derivation, failure.kind, failure.code) == (A, kind, code)


def test_a_wrong_hash_comes_with_the_right_one():
    text = f"error: hash mismatch in fixed-output derivation '{A}':\n  specified: sha256-AAA=\n     got:    sha256-BBB="
    assert (only(text).kind, only(text).got) == ("hash-mismatch", "sha256-BBB=")


def test_a_wrong_hash_of_an_old_release_names_an_output():
    text = "hash mismatch in fixed-output derivation '/nix/store/x-src':\n  wanted: sha256:0\n  got:    sha256:1"
    assert (only(text).derivation, only(text).got) == ("", "sha256:1")


def test_a_remote_builder_is_named_however_it_is_told():
    failed = f"error: builder for '{A}' failed with exit code 1"
    assert only(f"building '{A}' on 'ssh://far'...\n{failed}").machine == "ssh://far"
    assert (
        only(f"error: build of '{A}' on 'ssh://far' failed: builder for '{A}' failed").machine
        == "ssh://far"
    )
    listener = Listener()
    listener.builds(A, "ssh-ng://far")
    listener.hear(failed)
    assert listener.report().failures[0].machine == "ssh-ng://far"


def test_that_a_remote_builder_kept_it_is_heard():
    text = (
        "warning: The failed build directory was kept on the remote builder due to `--keep-failed`."
    )
    assert report(text).kept_elsewhere


def test_an_interrupt_and_a_full_disk_are_heard():
    assert report("error: interrupted by the user").interrupted
    assert report("note: build failure may have been caused by lack of free disk space").no_space


def test_the_same_failure_told_twice_is_one():
    assert len(report(NIX_2_8, NIX_2_31).failures) == 1


def test_a_success_is_no_report_of_anything():
    assert report("building '/nix/store/x-y.drv'...", "/nix/store/x-y") == Report()


WORDS = st.sampled_from(
    [A, B, "'", '"', "error: ", "builder for ", " failed", " with exit code ", "137", "Cannot build ",
     "\n", "Reason: ", "1 dependency failed", "note: keeping build directory ", "/tmp/x", "got: ",
     "hash mismatch in fixed-output derivation ", "\x1b[31m", "timed out after ", " seconds"]
)  # fmt: skip


@given(st.lists(WORDS | st.text(max_size=9), max_size=40).map("".join))
def test_any_text_is_heard(text):
    heard = report(text)
    assert not {f.derivation for f in heard.failures} & set(heard.dependents)
    assert all(path.startswith("/") for path in heard.kept)


def test_what_is_kept_in_mind_is_bounded():
    listener = Listener()
    for number in range(MOST_HEARD + 50):
        listener.hear(
            f"note: keeping build directory '/x{number}'\nbuilder for '/{number}.drv' failed"
        )
    assert len(listener.report().failures) == len(listener.report().kept) == MOST_HEARD
