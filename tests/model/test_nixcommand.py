"""The user's command line, and what is added to it."""

from __future__ import annotations

import pytest

from sandbox.errors import UsageError
from sandbox.model.nixcommand import nix_command


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        ((), ("nix-build", "--keep-failed")),
        (("-A", "hello"), ("nix-build", "--keep-failed", "-A", "hello")),
        (("hello.nix",), ("nix-build", "--keep-failed", "hello.nix")),
        (("nix-build", "-A", "x"), ("nix-build", "--keep-failed", "-A", "x")),
        (("/opt/nix/bin/nix-build",), ("/opt/nix/bin/nix-build", "--keep-failed")),
        (("nix", "build", ".#x"), ("nix", "--keep-failed", "build", ".#x")),
        (
            ("nix", "--cores", "2", "flake", "check"),
            ("nix", "--keep-failed", "--cores", "2", "flake", "check"),
        ),
        (("nix-store", "-r", "x.drv"), ("nix-store", "--keep-failed", "-r", "x.drv")),
        (("nix-build", "-K"), ("nix-build", "-K")),
        (("nix", "build", "--keep-failed"), ("nix", "build", "--keep-failed")),
        (("--expr", "1", "--impure"), ("nix-build", "--keep-failed", "--expr", "1", "--impure")),
    ],
)
def test_what_a_failure_leaves_is_kept_and_the_rest_goes_through(words, argv):
    assert nix_command(words).argv == argv


def test_events_are_asked_for_where_every_program_takes_settings():
    argv = nix_command(("nix", "build", ".#x")).as_events().argv
    assert argv == ("nix", "--log-format", "internal-json", "--keep-failed", "build", ".#x")


@pytest.mark.parametrize(
    "words",
    [("nix", "run", ".#x", "--", "build"), ("nix", "develop"), ("nix",), ("nix", "flake", "show")],
)
def test_what_runs_programs_is_no_build(words):
    with pytest.raises(UsageError) as caught:
        nix_command(words)
    assert caught.value.reason == "build-command"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("sudo nix-build -A x", "`sudo nbs build -- nix-build -A x`"),
        ("/usr/bin/sudo -E nix build .#x", "`sudo nbs build -- nix build '.#x'`"),
        ("env A=1 nix-build -A x", "`nbs build -- nix-build -A x`"),
        ("sudo make", "`sudo nbs build -- nix-build …`"),
        ("nom build .#x", "`nbs build -- nix build '.#x'`"),
        ("nom-build -A x", "`nbs build -- nix-build -A x`"),
        ("nixos-rebuild switch", "`nbs build -- nix build …` with the installable that it builds"),
    ],
)
def test_a_program_that_is_not_nix_is_told_from_what_nix_build_takes(words, hint):
    with pytest.raises(UsageError) as caught:
        nix_command(tuple(words.split()))
    assert (caught.value.reason, caught.value.hint) == ("build-command", hint)


@pytest.mark.parametrize(
    ("words", "store"),
    [
        (("--store", "/x", "-A", "a"), "/x"),
        (("nix", "build", "--store", "/x", "--store", "/y"), "/y"),
        (("--option", "store", "/x"), "/x"),
        (("--store",), ""),
        ((), ""),
    ],
)
def test_the_store_is_the_one_that_the_command_names(words, store):
    assert nix_command(words).store == store


def test_a_store_given_to_us_is_handed_on_unless_the_command_names_its_own():
    assert nix_command(("-A", "x"), "/s").argv[-4:] == ("--store", "/s", "-A", "x")
    assert nix_command(("--store", "/x"), "/s").store == "/x"
    assert "/s" not in nix_command(("--store", "/x"), "/s").argv


def test_a_quiet_build_and_a_format_of_one_s_own_are_seen():
    assert nix_command(("-Q",)).quiet
    assert not nix_command(("-A", "x")).quiet
    assert nix_command(("--log-format", "bar")).own_format


def test_remote_builders_can_be_left_out():
    assert nix_command(("-A", "x")).here_alone()[:3] == ("nix-build", "--builders", "")


def test_events_win_over_the_format_that_another_word_names():
    words = nix_command(("nix", "build", "-L", ".#x", "--", "-L")).as_events().argv
    events = ("--log-format", "internal-json")
    assert words == ("nix", *events, "--keep-failed", "build", "-L", *events, ".#x", "--", "-L")


def test_whether_other_builds_go_on_after_a_failure_is_seen():
    assert nix_command(("-k",)).keeps_going
    assert not nix_command(("-A", "k")).keeps_going
