"""What Nix says of a failed run leads to its kept directories, and to nothing else."""

from __future__ import annotations

import os
import shutil

import pytest

from sandbox.host import places
from sandbox.host.failures import failed_builds, is_kept_directory, kept_before, outer_of
from sandbox.model.nixmessages import Failure, Report
from tests.host.made_store import MadeStore, env_vars, output, store_path

LOG = """\
@nix {{ "action": "setPhase", "phase": "buildPhase" }}
hello.c:3: error: expected ';'
error: builder for '{drv}' failed with exit code 2
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of its own, on a machine that has kept nothing else."""
    folders = places._folders

    def only_here(*arguments):
        return (pair for pair in folders(*arguments) if pair[0].startswith(str(tmp_path)))

    monkeypatch.setattr(places, "_folders", only_here)
    for name in ("NIX_CONFIG", "NIX_REMOTE", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path / "etc"))
    return MadeStore(tmp_path / "s")


def failed_hello(store: MadeStore, directory: str = "nix-1-2", letter: str = "a"):
    """A derivation, its log, and the directory that its build has left."""
    drv = store.derive("hello-1.0", letter, output("hello-1.0", letter))
    out = store_path("hello-1.0", letter)
    kept = store.keep(directory, env_vars=env_vars(out=out, name="hello-1.0"))
    store.log(drv, LOG.format(drv=drv))
    return drv, str(kept)


def failure(drv: str, kind: str = "exit", **more: object) -> Failure:
    return Failure(derivation=drv, kind=kind, **{"code": 2, **more})


def look(store: MadeStore, report: Report, before: frozenset[str] = frozenset()):
    return failed_builds(report, str(store.root), before)


def test_a_failure_has_its_directory_and_its_log(store):
    drv, kept = failed_hello(store)
    (one,) = look(store, Report(failures=(failure(drv),), kept=(f"{kept}/build",)))
    assert (one.name, one.kept, one.inner, one.readable) == (
        "hello-1.0",
        kept,
        f"{kept}/build",
        True,
    )
    assert one.log is not None
    assert (one.log.failing_phase, one.log.error.line) == ("buildPhase", 1)
    assert one.named == ""


def test_each_failure_gets_the_directory_of_its_own_derivation(store):
    first, kept = failed_hello(store)
    second, other = failed_hello(store, "nix-1-3", "b")
    report = Report(
        failures=(failure(first), failure(second)), kept=(f"{other}/build", f"{kept}/build")
    )
    assert [one.kept for one in look(store, report)] == [kept, other]


def test_a_directory_that_tells_nothing_is_that_of_the_failure_it_was_named_with(store):
    drv = store.derive("raw-1", "a", output("raw-1", "a"))
    store.derive("raw-1", "b", output("raw-1", "b"))
    kept = str(store.keep("nix-build-raw-1.drv-0", env_vars=None))
    (one,) = look(
        store, Report(failures=(failure(drv, kept=f"{kept}/build"),), kept=(f"{kept}/build",))
    )
    assert (one.kept, one.named) == (kept, drv)


def test_where_nix_names_no_directory_the_new_one_of_the_derivation_counts(store):
    drv, old = failed_hello(store)
    before = kept_before(str(store.root))
    assert before == {old}
    assert look(store, Report(failures=(failure(drv),)), before)[0].kept == ""
    new = old.replace("nix-1-2", "nix-1-3")
    shutil.copytree(old, new)
    assert look(store, Report(failures=(failure(drv),)), before)[0].kept == new


def test_what_nothing_was_said_of_is_found_by_its_directory(store):
    drv, kept = failed_hello(store)
    (one,) = look(store, Report(kept=(f"{kept}/build",), interrupted=True))
    assert (one.failure.derivation, one.failure.kind, one.kept) == (drv, "interrupted", kept)


def test_of_a_remote_build_nothing_is_looked_for_here(store):
    drv, kept = failed_hello(store)
    report = Report(failures=(failure(drv, machine="ssh://far"),), kept=(f"{kept}/build",))
    assert [one.kept for one in look(store, report)] == [""]


@pytest.mark.parametrize(
    "path", ["/etc", "/tmp", "/", "/nowhere/nix-1-2", "/tmp/nix-build-\0.drv-0", ""]
)
def test_a_path_that_is_none_of_nix_is_not_believed(store, path):
    assert look(store, Report(kept=(path,))) == ()


def test_a_link_is_not_believed(store, tmp_path):
    (tmp_path / "nix-build-x.drv-0").symlink_to("/etc")
    assert not is_kept_directory(str(tmp_path / "nix-build-x.drv-0"))


@pytest.mark.parametrize(
    "path", ["/etc/passwd.drv", "/nix/store/../../etc/x.drv", "relative.drv", ""]
)
def test_no_file_is_read_for_a_derivation_that_is_not_in_the_store(store, path):
    (one,) = look(store, Report(failures=(failure(path),)))
    assert (one.builtin, one.log, one.kept) == (False, None, "")


def test_the_builder_of_nix_itself_is_known(store):
    drv, _ = failed_hello(store)
    path = f"{store.root}{drv}"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("/bin/sh", "builtin:fetchurl"))
    assert look(store, Report(failures=(failure(drv),)))[0].builtin


def test_what_was_asked_for_is_the_last_of_those_that_wait(store):
    drv, _ = failed_hello(store)
    middle = store.derive("middle-1", "c", inputs=((drv, ("out",)),))
    top = store.derive("top-1", "d", inputs=((middle, ("out",)),))
    other = store.derive("other-1", "f")
    report = Report(failures=(failure(drv),), dependents=(middle, top, other))
    assert look(store, report)[0].wanted_by == ("top-1",)


@pytest.mark.parametrize(
    ("path", "outer"),
    [
        ("/tmp/nix-build-x.drv-0", "/tmp/nix-build-x.drv-0"),
        ("/tmp/nix-build-x.drv-0/build", "/tmp/nix-build-x.drv-0"),
        ("/nix/var/nix/builds/nix-1-2/build", "/nix/var/nix/builds/nix-1-2"),
        (
            "/nix/var/nix/b/0123456789abcdfghijklmnpqr/b",
            "/nix/var/nix/b/0123456789abcdfghijklmnpqr",
        ),
        ("/home/me/build", "/home/me/build"),
        ("", ""),
    ],
)
def test_the_outer_directory_is_found_from_the_inner(path, outer):
    assert outer_of(path) == outer


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_closed_directory_is_told_as_one(store):
    drv, kept = failed_hello(store)
    os.chmod(f"{kept}/build", 0)
    (one,) = look(
        store, Report(failures=(failure(drv, kept=f"{kept}/build"),), kept=(f"{kept}/build",))
    )
    os.chmod(f"{kept}/build", 0o755)
    assert (one.kept, one.readable) == (kept, False)


def two(store: MadeStore) -> tuple[tuple[str, str], tuple[str, str], tuple[str, ...]]:
    """Two builds, and the directories of both as Nix names them."""
    first, second = failed_hello(store), failed_hello(store, "nix-1-3", "b")
    return first, second, (f"{first[1]}/build", f"{second[1]}/build")


def test_a_failure_that_nix_did_not_name_gets_the_directory_of_no_other(store):
    (first, _), (second, kept), paths = two(store)
    timeout = failure("", "timeout", kept=paths[0])
    found = look(store, Report(failures=(failure(first), timeout), kept=paths))
    assert [(one.failure.derivation, one.failure.kind) for one in found] == [
        (first, "exit"),
        (second, "timeout"),
    ]
    assert found[1].kept == kept


def test_what_was_kept_when_another_failed_was_stopped_unless_nix_goes_on_then(store):
    (first, _), (second, _), paths = two(store)
    report = Report(failures=(failure(first),), kept=paths)
    stopped = look(store, report)[1]
    assert (stopped.failure.derivation, stopped.failure.kind) == (second, "stopped")
    going_on = failed_builds(report, str(store.root), frozenset(), keeps_going=True)[1]
    assert (going_on.failure.derivation, going_on.failure.kind) == (second, "other")


def test_a_directory_that_tells_nothing_is_that_of_the_build_that_ended_then(store):
    (first, kept), (second, other), paths = two(store)
    for directory in (kept, other):
        os.unlink(f"{directory}/build/env-vars")
    report = Report(
        failures=(failure(first), failure("", "timeout")),
        kept=paths,
        builds=((paths[0], second), (paths[1], first)),
    )
    found = look(store, report)
    assert [(one.failure.derivation, one.kept) for one in found] == [(first, other), (second, kept)]
    assert [one.named for one in found] == [first, second]


def silent(store: MadeStore, *letters: str, name: str = "raw-{}") -> dict[str, str]:
    """Builds that ended at once, whose directories tell nothing: each of these, by derivation."""
    kept = {}
    for number, letter in enumerate(letters):
        drv = store.derive(name.format(letter), letter, output(name.format(letter), letter))
        directory = store.keep(f"nix-1-{number}", env_vars=None)
        store.log(drv, "", at_s=os.lstat(directory / "build").st_ctime)
        kept[drv] = str(directory)
    return kept


def test_where_nothing_tells_directories_apart_none_is_given_to_a_failure(store):
    kept = silent(store, "a", "b", "c")
    report = Report(failures=tuple(map(failure, kept)), kept=tuple(kept.values()))
    found = look(store, report)
    assert [one.failure.derivation for one in found] == list(kept)
    assert {one.kept for one in found} == {""}
    assert {one.among for one in found} == {tuple(kept.values())}


def test_the_last_directory_is_that_of_the_last_failure(store):
    (first, kept), (second, other), _ = two(store)
    silently = silent(store, "c", "d")
    (third, last), (_, also) = silently.items()
    failures = tuple(map(failure, (first, second, third)))
    shutil.rmtree(also)
    found = look(store, Report(failures=failures, kept=(last, other, kept)))
    assert [one.kept for one in found] == [kept, other, last]
    assert [one.named for one in found] == ["", "", third]


def test_a_directory_may_tell_by_its_name_which_of_the_failures_it_is_of(store):
    drvs, kept = [], []
    for number, letter in enumerate("ab"):
        name = f"raw-{letter}"
        store.derive(name, "cd"[number], output(name, "cd"[number]))
        drvs.append(store.derive(name, letter, output(name, letter)))
        kept.append(str(store.keep(f"nix-build-{name}.drv-0", env_vars=None)))
    found = look(store, Report(failures=tuple(map(failure, drvs)), kept=tuple(reversed(kept))))
    assert [(one.kept, one.named) for one in found] == list(zip(kept, drvs, strict=True))
    beside = failure(drvs[0], kept=kept[1])
    assert look(store, Report(failures=(beside,), kept=tuple(kept)))[0].kept == kept[0]


def test_a_failure_without_a_name_gets_no_directory_that_may_be_of_one_with_a_name(store):
    kept = silent(store, "a", "b")
    drv = next(iter(kept))
    report = Report(failures=(failure(drv), failure("", "timeout")), kept=tuple(kept.values()))
    found = look(store, report)
    assert [(one.failure.kind, one.kept, one.among) for one in found] == [
        ("exit", "", tuple(kept.values())),
        ("timeout", "", tuple(kept.values())),
    ]


def test_a_build_that_did_not_begin_here_gets_no_directory(store):
    (_, path), (drv, gone) = silent(store, "a", "b").items()
    shutil.rmtree(gone)
    first = look(store, Report(failures=(failure(drv, "system"),), kept=(path,)))[0]
    assert (first.kept, first.among) == ("", ())


def test_words_that_may_be_of_an_evaluation_are_no_failed_build(store):
    assert look(store, Report(failures=(failure("", "rejected"),))) == ()


def test_the_log_that_ended_when_a_directory_was_kept_tells_what_was_built_there(store):
    (first, kept), (second, other), _ = two(store)
    for directory in (kept, other):
        os.unlink(f"{directory}/build/env-vars")
    opened = os.lstat(f"{kept}/build").st_ctime
    for drv, ended in ((first, opened), (second, opened - 60)):
        base = drv.rpartition("/")[2]
        os.utime(f"{store.locations.log_dir}/drvs/{base[:2]}/{base[2:]}", (ended, ended))
    (one,) = look(store, Report(kept=(f"{kept}/build",), interrupted=True))
    assert (one.failure.derivation, one.named) == (first, "")
