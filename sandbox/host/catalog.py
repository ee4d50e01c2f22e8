"""The failed builds of this machine, and which one a person means: by path, .drv, name, or the
newest.
"""

from __future__ import annotations

import os

from sandbox.errors import EvidenceError, UsageError
from sandbox.host.database import open_database
from sandbox.host.derivation import behind_link
from sandbox.host.nixconf import find_locations, home, read_settings
from sandbox.host.version import installed_profile
from sandbox.model.storepath import derivation_name
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.host.places import KeptPlace
    from sandbox.model.profile import Profile


class NixSurvey(Value):
    """What is known of this machine's Nix. `database`: "read", "missing", or why it is not read."""

    profile: Profile | None
    store_dir: str
    state_dir: str
    database: str
    sandbox: str


def survey_nix(environ: Mapping[str, str]) -> NixSurvey:
    """Look at the installed Nix, its store, database and settings."""
    settings = read_settings(environ)
    locations = find_locations(environ, settings)
    try:
        database = open_database(locations.state_dir)
        state = "read" if database is not None else "missing"
        if database is not None:
            database.close()
    except EvidenceError as error:
        state = error.message
    return NixSurvey(
        profile=installed_profile(environ),
        store_dir=locations.real_store_dir,
        state_dir=locations.state_dir,
        database=state,
        sandbox=settings.sandbox,
    )


def has_flakes(environ: Mapping[str, str]) -> bool:
    """Do the settings allow `nix build` of a flake?"""
    return {"flakes", "nix-command"} <= set(read_settings(environ).experimental_features)


def demo_root(environ: Mapping[str, str]) -> str:
    """The store of `nbs demo`, below the caller's cache directory."""
    return f"{_cache(environ)}/demo"


def tutorial_root(environ: Mapping[str, str]) -> str:
    """The store of the tutorial's builds, which `notebooks/builds/make.py` fills."""
    return f"{_cache(environ)}/notebooks/store"


def _cache(environ: Mapping[str, str]) -> str:
    cache = environ.get("XDG_CACHE_HOME", "")
    if not cache.startswith("/"):
        cache = f"{home(environ)}/.cache"
    return f"{cache}/nix-build-shell"


def kept_builds(environ: Mapping[str, str], store: str = "") -> tuple[KeptPlace, ...]:
    """Every kept failure here, those of `nbs demo` and the tutorial too, the newest first."""
    from sandbox.host.places import kept_places

    settings = read_settings(environ)
    stores = [store] if store else ["", demo_root(environ), tutorial_root(environ)]
    found = {}
    for name in stores:
        if name and not os.path.isdir(name):
            continue
        for place in kept_places(find_locations(environ, settings, name), settings, environ):
            found[place.path] = place
    return tuple(sorted(found.values(), key=lambda p: (-p.mtime_ns, p.path)))


def newest_kept_below(root: str) -> str:
    """The newest kept directory in the store whose root is `root`; empty if there is none."""
    builds = f"{root}/nix/var/nix/builds"
    try:
        names = [n for n in os.listdir(builds) if os.path.isdir(f"{builds}/{n}/build")]
    except OSError:
        return ""
    paths = [f"{builds}/{name}" for name in names]
    return max(paths, key=lambda path: os.lstat(path).st_mtime_ns, default="")


def find_build(build: str, *, store: str = "") -> str:
    """The kept directory that `build` means: a path, a .drv, a name, or "" for the newest.

    A word without a slash is a name first: a directory that is called like a build, as its source
    often is, has to be the only thing of that name. Raises `UsageError` (`build-unknown`) and
    `EvidenceError` (`nothing-kept`).
    """
    if is_path(build):
        return build
    build = behind_link(build)
    places = kept_builds(os.environ, store)
    try:
        return _among(places, build, store)
    except (EvidenceError, UsageError):
        if build and os.path.isdir(build):
            return build
        raise


def is_path(build: str) -> bool:
    """Is it a path by its form?"""
    if build in (".", ".."):
        return True
    return "/" in build and (os.path.isdir(build) or not build.endswith(".drv"))


def _among(places: tuple[KeptPlace, ...], build: str, store: str) -> str:
    if not places:
        raise EvidenceError(
            "no failed build was kept on this machine",
            reason="nothing-kept",
            hint="`nix-build --keep-failed` keeps what a failure leaves; `nbs demo` makes one",
        )
    if not build:
        return next((p for p in places if p.readable), places[0]).path
    wanted = build.rpartition("/")[2].removesuffix(".drv")
    if build.endswith(".drv"):
        return _by_derivation(build, wanted, places, store)
    for place in places:
        if is_called(name_of(place, store), wanted):
            return place.path
    raise _unknown(build, places, store)


def _by_derivation(build: str, base: str, places: tuple[KeptPlace, ...], store: str) -> str:
    """The name narrows the search; the derivation found in each directory decides."""
    from sandbox.host.case import derivation_of

    wanted = base.partition("-")[2]
    for place in places:
        name = name_of(place, store)
        if is_called(name, wanted) or not name:
            try:
                found = derivation_of(place.path, store)
            except (EvidenceError, UsageError):
                continue
            if found.rpartition("/")[2] == build.rpartition("/")[2]:
                return place.path
    raise _unknown(build, places, store)


def name_of(place: KeptPlace, store: str = "") -> str:
    """The derivation's name: from the directory's, else from what lies in it, else empty."""
    if place.name_hint:
        return place.name_hint
    from sandbox.host.case import derivation_of, name_in_env_vars

    name = name_in_env_vars(place.inner)
    if not name:
        try:
            name = derivation_name(derivation_of(place.path, store))
        except (EvidenceError, UsageError):
            return ""
    return name.removesuffix(".drv")


def is_called(name: str, wanted: str) -> bool:
    """Is `wanted` the name, or the name without its version?"""
    return name == wanted or (
        name.startswith(wanted + "-") and name[len(wanted) + 1 :][:1].isdigit()
    )


def _unknown(build: str, places: tuple[KeptPlace, ...], store: str) -> UsageError:
    names = dict.fromkeys(filter(None, (name_of(place, store) for place in places)))
    return UsageError(
        f"no kept build is called `{build}`",
        reason="build-unknown",
        evidence=("kept: " + ", ".join(list(names)[:10]),) if names else (),
        hint="`nbs ls` lists those of this machine",
    )
