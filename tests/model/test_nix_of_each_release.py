"""What real releases of Nix printed of builds that failed is understood, all of it.

The texts are recorded: of each case what the whole run of Nix wrote, without what the builders did.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.model.nixevents import parse_event
from sandbox.model.nixmessages import Listener, Report
from sandbox.model.storepath import derivation_name

RECORDED = Path(__file__).parent / "nix"
RELEASES = ("2.8", "2.26", "2.34")

LIB = ("lib-1.0", "exit", 3)
HEARD = {
    "dependency": [LIB],
    "new-dependency": [LIB],
    "keep-going": [LIB, ("other-1.0", "exit", 4)],
    "two-installables": [LIB, ("other-1.0", "exit", 4)],
    "stopped": [("slowfail-1.0", "exit", 3)],
    "timeout": [("slow-1.0", "timeout", 1)],
    "silence": [("slow-1.0", "timeout", 1)],
    "two-timeouts": [LIB, ("slow-1.0", "timeout", 1), ("slow2-1.0", "timeout", 1)],
    "killed": [("sig-1.0", "killed", 9)],
    "status-137": [("killed137-1.0", "killed", 137)],
    "signal": [("segv-1.0", "signal", 11)],
    "no-output": [("noout2-1.0", "no-output", None)],
    "cycle": [("cycle-1.0", "rejected", None)],
    "forbidden": [("", "rejected", None)],
    "too-big": [("", "rejected", None)],
    "permission": [("", "rejected", None)],
    "kind-of-file": [("", "rejected", None)],
    "not-deterministic": [("random-1.0", "rejected", None)],
    "references": [("fodrefs-1.0", "hash-mismatch", None)],
    "wrong-hash": [("wrong-1.0", "hash-mismatch", None)],
    "no-builder": [("nobuilder", "exit", 1)],
    "fetched": [("fetched", "exit", 1)],
    "needs-fetched": [("fetched", "exit", 1)],
    "interrupt": [],
    "system": [("nosys", "system", None)],
    "feature": [("nofeat", "system", None)],
}
DEPENDENTS = {
    "dependency": ["app-2.0"],
    "new-dependency": ["app-2.0"],
    "keep-going": ["both-2.0"],
    "stopped": ["race-1.0"],
    "two-timeouts": ["twoslow-1.0"],
    "needs-fetched": ["needsfetched"],
}
OTHERWISE = {
    ("2.8", "two-installables"): [LIB],
    ("2.26", "references"): [("fodrefs-1.0", "rejected", None)],
    ("2.34", "timeout"): [("", "timeout", 1)],
    ("2.34", "silence"): [("", "timeout", 1)],
    ("2.34", "two-timeouts"): [LIB, ("", "timeout", 1), ("", "timeout", 1)],
}
"""Where a release says less than others, or fails otherwise."""


def recorded(kind: str, release: str) -> dict[str, str]:
    """The texts of each case by name."""
    text = (RECORDED / f"{kind}-{release}.txt").read_text()
    parts = (part.partition("\n") for part in text.split("=== ")[1:])
    return {name: said for name, _, said in parts}


def of_messages(text: str) -> Report:
    listener = Listener()
    for line in text.splitlines():
        listener.hear(line)
    return listener.report()


def of_events(text: str) -> Report:
    listener = Listener()
    for line in text.splitlines():
        event = parse_event(line)
        assert event is not None
        if event.kind == "message":
            listener.hear(event.text)
        elif event.kind == "build":
            listener.builds(event.derivation, event.machine, event.id)
        elif event.kind == "stop":
            listener.stops(event.id)
    return listener.report()


def failures(report: Report) -> list[tuple[str, str, int | None]]:
    return [(derivation_name(f.derivation), f.kind, f.code) for f in report.failures]


@pytest.mark.parametrize("case", HEARD)
@pytest.mark.parametrize("release", RELEASES)
def test_a_release_of_nix_is_understood(release: str, case: str) -> None:
    report = of_messages(recorded("messages", release)[case])
    assert failures(report) == OTHERWISE.get((release, case), HEARD[case])
    assert [derivation_name(d) for d in report.dependents] == DEPENDENTS.get(case, [])
    assert report.interrupted == (case == "interrupt")
    expected = 0 if case in ("fetched", "needs-fetched", "system", "feature") else 1
    assert len(report.kept) >= expected


@pytest.mark.parametrize(
    "case", ["dependency", "two-installables", "stopped", "two-timeouts", "killed"]
)
@pytest.mark.parametrize("release", RELEASES)
def test_its_events_tell_which_build_has_left_which_directory(release: str, case: str) -> None:
    report = of_events(recorded("events", release)[case])
    assert failures(report) == OTHERWISE.get((release, case), HEARD[case])
    assert {path for path, _ in report.builds} <= set(report.kept)
    # Without a name of a build in it, a directory needs this.
    assert len(report.builds) == len(report.kept) or release != "2.34"
    for path, derivation in report.builds:
        name = derivation_name(derivation)
        # Before 2.30 a directory has the name of what was built there.
        assert f"nix-build-{name}.drv-" in path or (release == "2.34" and "/builds/nix-" in path)
    kept = {derivation: path for path, derivation in report.builds}
    named = [failure for failure in report.failures if failure.derivation]
    assert all(f.kept == kept[f.derivation] for f in named if f.derivation in kept)


@pytest.mark.parametrize("release", RELEASES)
def test_of_directories_that_are_named_before_the_failures_none_is_given_to_one(release) -> None:
    report = of_messages(recorded("messages", release)["two-installables"])
    assert len(report.kept) == 2
    assert {failure.kept for failure in report.failures} == {""}


@pytest.mark.parametrize("release", RELEASES)
def test_a_directory_that_is_named_before_each_failure_is_its_own(release) -> None:
    report = of_messages(recorded("messages", release)["keep-going"])
    assert tuple(failure.kept for failure in report.failures) == report.kept


def test_every_case_is_recorded_of_every_release() -> None:
    for release in RELEASES:
        assert recorded("messages", release).keys() == HEARD.keys()


def test_what_is_wrong_with_an_output_is_told_in_the_words_of_nix() -> None:
    (failure,) = of_messages(recorded("messages", "2.34")["forbidden"]).failures
    assert "is not allowed to refer to the following paths: /nix/store/" in failure.text
    assert failure.text.endswith("-bash")
