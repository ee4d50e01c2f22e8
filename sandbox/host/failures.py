"""What Nix said of a failed run → the failed builds, each with its kept directory and its log.

What Nix said decides nothing by itself: a directory counts if it is there, is called as Nix calls
them, and holds the build of the derivation that failed.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import Error
from sandbox.host.builddir import INNER_NAMES, name_in
from sandbox.host.case import derivation_of, store_of
from sandbox.host.catalog import kept_builds
from sandbox.host.derivation import read_derivation
from sandbox.host.logs import read_log_of
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.host.places import is_of_build
from sandbox.model.logs import parse_log
from sandbox.model.nixmessages import Failure
from sandbox.model.progress import build_name
from sandbox.model.storepath import is_store_path
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.host.nixconf import NixLocations
    from sandbox.model.aterm import Derivation
    from sandbox.model.logs import BuildLog
    from sandbox.model.nixmessages import Report

MOST_DEPENDENTS = 200
REMOTE_STORES = ("ssh://", "ssh-ng://")


class FailedBuild(Value):
    """A build that failed in this run.

    `failure` is what Nix said of it, `kept` its outer directory, empty if there is none here;
    `readable` whether the caller can list it. `named` is the derivation where the directory alone
    does not lead to it. `wanted_by` are the names of what was asked for and needs it, if it is not
    what was asked for itself. `builtin`: Nix itself was the builder, and keeps nothing. `among` are
    kept directories of which one is this build's, where nothing tells which; `unclear`: nothing
    tells which of several derivations was built in `kept`.
    """

    failure: Failure
    name: str
    kept: str = ""
    inner: str = ""
    readable: bool = True
    named: str = ""
    wanted_by: tuple[str, ...] = ()
    builtin: bool = False
    among: tuple[str, ...] = ()
    unclear: bool = False
    log: BuildLog | None = None


def kept_before(store: str) -> frozenset[str]:
    """The kept directories there are, to tell later which are new."""
    return frozenset(place.path for place in kept_builds(os.environ, store))


def failed_builds(
    report: Report, store: str, before: frozenset[str], *, keeps_going: bool = False
) -> tuple[FailedBuild, ...]:
    """The builds that failed themselves, in the order in which Nix told of them.

    Last come those of which a directory alone tells: they were stopped when another failed, unless
    Nix `keeps_going` then. `store` as for Nix's `--store`; `before` are the directories that were
    kept already.
    """
    left = _kept_directories(report, store, before)
    builds = {outer_of(path): derivation for path, derivation in report.builds}
    found = []
    for failure in _named(report, left, builds):
        kept, tells = ("", True) if failure.machine else _take(left, failure, builds)
        # Of a message without a derivation, only a directory tells that it is of a build.
        if kept or failure.kind != "rejected" or failure.derivation:
            found.append(_described(failure, kept, store, report, tells=tells))
    unknown = [path for path in left if not (left[path] or path in builds or report.kept_elsewhere)]
    for index, path in _told_apart(found, unknown):
        unknown.remove(path)
        del left[path]
        found[index] = _described(found[index].failure, path, store, report, tells=False)
    if any(map(_lacks, found)):
        # Each of these may be of any of those: none is a failure of its own.
        found = [one.replace(among=tuple(unknown)) if _lacks(one) else one for one in found]
        left = {path: derivation for path, derivation in left.items() if path not in unknown}
    told = {one.failure.derivation for one in found}
    for path, tells_itself in left.items():
        derivation = tells_itself or builds.get(path, "")
        if derivation in told:
            continue
        # Nothing that was understood told of it, but there it is.
        stopped = told and not keeps_going
        kind = "interrupted" if report.interrupted else "stopped" if stopped else "other"
        failure = Failure(derivation=derivation, kind=kind, kept=path)
        tells = bool(tells_itself) or not derivation
        found.append(_described(failure, path, store, report, tells=tells))
    return tuple(found)


def _began_here(failure: Failure) -> bool:
    return not failure.machine and failure.kind != "system"


def _lacks(one: FailedBuild) -> bool:
    """Is something of it kept here, as of every build that began here, and not found?"""
    return _began_here(one.failure) and not one.builtin and not one.kept


def _told_apart(found: list[FailedBuild], unknown: list[str]) -> Iterator[tuple[int, str]]:
    """Failures by their index, each with the directory that can be of no other.

    By the name of the build, which older releases of Nix give to it; then the last by exclusion.
    """
    rest = {index: one.name for index, one in enumerate(found) if _lacks(one)}
    paths = {path: name_in(path.rpartition("/")[2]) for path in unknown}
    for index, name in list(rest.items()):
        of_it = [path for path in paths if paths[path] == name]
        if len(of_it) == 1 and list(rest.values()).count(name) == 1:
            yield index, of_it[0]
            del rest[index], paths[of_it[0]]
    if len(rest) == len(paths) == 1 and not any(paths.values()):
        yield next(iter(rest)), next(iter(paths))


def _named(report: Report, left: dict[str, str], builds: dict[str, str]) -> Iterator[Failure]:
    """The failures; those that Nix did not name, with what is kept and of no other failure."""
    of = {path: tells_itself or builds.get(path, "") for path, tells_itself in left.items()}
    beside = {f.derivation: outer_of(f.kept) for f in report.failures if f.derivation}
    own = {outer_of(f.kept) for f in report.failures if not f.derivation}
    # What tells nothing may be of one that Nix did name.
    theirs = any(
        f.derivation not in of.values() and beside[f.derivation] not in of
        for f in report.failures
        if f.derivation and _began_here(f)
    )

    def is_free(path: str, derivation: str) -> bool:
        if derivation:
            return derivation not in beside
        return path in own or not (theirs or path in beside.values())

    free = [path for path, derivation in of.items() if is_free(path, derivation)]
    for failure in report.failures:
        named = outer_of(failure.kept)
        if failure.derivation or not free:
            yield failure
            continue
        path = named if named in free else free[0]
        free.remove(path)
        yield failure.replace(derivation=of[path], kept=path)


def _take(left: dict[str, str], failure: Failure, builds: dict[str, str]) -> tuple[str, bool]:
    """The directory that holds this derivation's build, and whether it tells so itself.

    It is the one that tells so; else the one that Nix told so of; else the one that was named with
    it, if nothing tells what it holds. Empty if none is there.
    """
    for path, derivation in left.items():
        if derivation and derivation == failure.derivation:
            del left[path]
            return path, _lasts(path)
    told = [path for path, derivation in builds.items() if derivation == failure.derivation]
    beside = outer_of(failure.kept)
    if name_in(beside.rpartition("/")[2]) in ("", build_name(failure.derivation)):
        told.append(beside)
    for path in told:
        if left.get(path) == "":
            del left[path]
            return path, not failure.derivation
    return "", True


def _lasts(path: str) -> bool:
    """Will the directory tell that later, too? Its name does, or what Nix left in it; the time of
    a log does until the next attempt.
    """
    named = path.rpartition("/")[2].startswith("nix-build-")
    return named or os.access(f"{_inner(path)}/env-vars", os.R_OK)


def _kept_directories(report: Report, store: str, before: frozenset[str]) -> dict[str, str]:
    """Outer directories that this run has left, and the derivation of each, empty if unknown.

    Where Nix named none that is here, those that are new: its words may have changed.
    """
    if store.startswith(REMOTE_STORES):
        return {}
    named = dict.fromkeys(map(outer_of, report.kept))
    paths: Iterable[str] = [path for path in named if is_kept_directory(path)]
    if not paths and not report.kept_elsewhere and report.failures:
        wanted = {failure.derivation for failure in report.failures}
        places = kept_builds(os.environ, store)
        new = [place.path for place in reversed(places) if place.path not in before]
        paths = [path for path in new if _derivation_in(path, store) in wanted]
    return {path: _derivation_in(path, store) for path in paths}


def outer_of(path: str) -> str:
    """The outer directory of a kept one: CppNix names the inner, Lix the outer one."""
    parent, _, name = path.rpartition("/")
    return parent if name in INNER_NAMES and is_of_build(parent.rpartition("/")[2]) else path


def is_kept_directory(path: str) -> bool:
    """Is this a directory, no link, of a name that Nix gives to those of builds?"""
    try:
        return is_of_build(path.rpartition("/")[2]) and stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _derivation_in(path: str, store: str) -> str:
    try:
        return derivation_of(path, store)
    except Error:
        return ""


def _is_unclear(path: str, store: str) -> bool:
    try:
        derivation_of(path, store)
    except Error as error:
        return error.reason == "derivation-unclear"
    return False


def _described(
    failure: Failure, kept: str, store: str, report: Report, *, tells: bool
) -> FailedBuild:
    inner = _inner(kept) if kept else ""
    # A store that the directory itself leads to needs no name.
    root = store or (store_of(kept) if kept else "")
    locations = find_locations(os.environ, read_settings(os.environ), root)
    derivation = _derivation(failure.derivation, locations)
    return FailedBuild(
        failure=failure,
        name=build_name(failure.derivation) or kept.rpartition("/")[2] or "a build",
        kept=kept,
        inner=inner,
        readable=not kept or os.access(inner, os.R_OK | os.X_OK),
        named="" if tells else failure.derivation,
        wanted_by=_wanted_by(failure.derivation, report.dependents, locations),
        builtin=derivation is not None and derivation.builder.startswith("builtin:"),
        unclear=bool(kept and not failure.derivation and _is_unclear(kept, store)),
        log=_log(failure.derivation, locations),
    )


def _inner(path: str) -> str:
    for name in INNER_NAMES:
        try:
            if stat.S_ISDIR(os.lstat(f"{path}/{name}").st_mode) and len(os.listdir(path)) == 1:
                return f"{path}/{name}"
        except OSError:
            continue
    return path


def _derivation(path: str, locations: NixLocations) -> Derivation | None:
    # The path is from a message: no other file is read for it.
    if not is_store_path(path, locations.store_dir):
        return None
    try:
        return read_derivation(path, locations)
    except Error:
        return None


def _log(derivation: str, locations: NixLocations) -> BuildLog | None:
    if not is_store_path(derivation, locations.store_dir):
        return None
    try:
        file = read_log_of(derivation, locations.log_dir)
    except Error:
        return None
    return parse_log(file.text) if file is not None else None


def _wanted_by(
    derivation: str, dependents: tuple[str, ...], locations: NixLocations
) -> tuple[str, ...]:
    """The last of those that could not be built for want of it, or of another that wants it."""
    parsed = {path: _derivation(path, locations) for path in dependents[:MOST_DEPENDENTS]}
    needs = {
        path: {name for name, _ in read.input_derivations}
        for path, read in parsed.items()
        if read is not None
    }
    reached = {derivation}
    while new := [p for p, inputs in needs.items() if p not in reached and inputs & reached]:
        reached.update(new)
    waiting = {path: needs[path] for path in needs if path in reached}
    return tuple(
        build_name(path) for path in waiting if not any(path in n for n in waiting.values())
    )
