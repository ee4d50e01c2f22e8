"""Everything that was found about one failed build, gathered in the order in which it is needed."""

from __future__ import annotations

import os

from sandbox.errors import OUT_OF_DESCRIPTORS, EvidenceError
from sandbox.host.builddir import is_of_a_build, read_env_vars, read_kept_directory
from sandbox.host.database import open_database
from sandbox.host.derivation import Finder, Found, behind_link, read_derivation
from sandbox.host.inputs import (
    NO_INPUTS,
    WHOLE_STORE,
    InputPaths,
    find_inputs,
    named_and_gone,
    require_shell,
    roots_of,
)
from sandbox.host.machine import beyond_execve, read_machine
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.host.owners import is_ours, look_at, look_at_store
from sandbox.host.version import find_profile
from sandbox.model import aterm, storepath
from sandbox.model.command import is_bash
from sandbox.model.facts import EnvVars, KeptDirectory, MachineFacts, NixFacts
from sandbox.model.stores import diverted_root
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.host.database import Database
    from sandbox.host.nixconf import NixLocations
    from sandbox.model.aterm import Derivation
    from sandbox.model.environment import BuildEnvironment
    from sandbox.model.logs import BuildLog
    from sandbox.model.nixconf import NixSettings
    from sandbox.model.profile import Profile
    from sandbox.model.spec import Looked


class Recalled(Value):
    """What was known of a build when a workspace of it was begun: Nix may have forgotten it since.

    `path` is the derivation's, `text` what it said; `inputs` are all store paths that the build
    saw.
    """

    path: str
    text: bytes
    inputs: tuple[str, ...]


class Case(Value):
    """A failed build: what was kept, what Nix knows of it, and the machine it lies on."""

    kept: KeptDirectory
    nix: NixFacts
    machine: MachineFacts
    locations: NixLocations


def read(
    build: str,
    *,
    store: str = "",
    derivation: str = "",
    profile: str = "",
    whole: bool = False,
    start: bool = False,
    recalled: Recalled | None = None,
    telling: bool = False,
) -> Case:
    """Look at the kept directory `build` and at what Nix knows about it.

    `store` as for Nix's `--store`, `derivation` a .drv, `profile` a version of Nix; `whole` shows
    the whole store instead of the inputs; `start` finds out what Nix started the build with even
    where env-vars says all that a command wants. `recalled` counts where the derivation is gone.
    `telling`: the directory has to tell itself that a build ran in it, also where `derivation` or
    `whole` would do without.
    Raises `UsageError` and `EvidenceError`.
    """
    settings = read_settings(os.environ)
    locations = find_locations(os.environ, settings, store or store_of(build))
    kept = read_kept_directory(build, locations.store_dir)
    if telling:
        _require_of_a_build(kept)
    chosen = find_profile(kept, os.environ, profile)
    if recalled is not None and os.path.lexists(locations.real(recalled.path)):
        recalled = None
    asked = None
    if recalled is not None:
        how = "written down when the workspace was begun"
        asked = Found(path=recalled.path, derivation=aterm.parse(recalled.text), how=how)
    elif derivation:
        path = derivation if derivation.startswith("/") else os.path.abspath(derivation)
        linked = behind_link(path)
        if storepath.is_store_path(linked, locations.store_dir):
            path = linked
        asked = Found(path=path, derivation=read_derivation(path, locations), how="asked for")
    inputs = recalled.inputs if recalled is not None else ()
    return _case(kept, asked, settings, locations, *chosen, whole=whole, start=start, known=inputs)


def _case(
    kept: KeptDirectory,
    found: Found | None,
    settings: NixSettings,
    locations: NixLocations,
    profile: Profile,
    profile_from: str,
    *,
    whole: bool = False,
    start: bool = False,
    known: tuple[str, ...] = (),
) -> Case:
    store = _store_of_others(locations.real_store_dir)
    database = open_database(locations.state_dir)
    finder = Finder(kept, locations, database)
    try:
        if found is None:
            found = finder.find()
        if found is None and not whole:
            _require_of_a_build(kept)
        kept = _with_shell(_named(kept, found), found, locations)
        inputs = _inputs(kept, locations, database, found, settings, whole=whole, known=known)
        if not whole:
            require_shell(kept, locations, found)
        environment = _environment(kept, locations, found, settings, profile, start=start)
        partial = _partial(found, locations, database)
    finally:
        if database is not None:
            database.close()
    nix = NixFacts(
        profile=profile,
        profile_from=profile_from,
        settings=settings,
        store_dir=locations.store_dir,
        real_store_dir=locations.real_store_dir,
        derivation_path=found.path if found else "",
        derivation=found.derivation if found else None,
        derivation_from=found.how if found else "",
        derivation_refused="" if found else finder.refused,
        environment=environment,
        overlong=beyond_execve(environment.variables) if environment is not None else (),
        inputs=inputs.objects,
        inputs_from=inputs.source,
        missing_inputs=inputs.missing,
        outputs=_outputs(found, locations.store_dir),
        partial=partial,
        looked=(*store, *_looked(partial)),
    )
    machine = read_machine(settings)
    return Case(kept=kept, nix=nix, machine=machine, locations=locations)


def _named(kept: KeptDirectory, found: Found | None) -> KeptDirectory:
    """With the name of its derivation where nothing in the directory tells one.

    From Nix 2.30 on the directory's own name does not, and structured attributes have no `name`
    in env-vars.
    """
    if found is None or kept.name_hint:
        return kept
    return kept.replace(name_hint=storepath.derivation_name(found.path))


def _with_shell(kept: KeptDirectory, found: Found | None, locations: NixLocations) -> KeptDirectory:
    """With the builder's bash in the place of a SHELL that is no bash of the store.

    Recipes set SHELL for the programs that they run, also to what no sandbox has. env-vars was
    written by the builder.
    """
    shell = kept.env_vars.shell
    builder = found.derivation.builder if found is not None else ""
    if not shell or _is_bash(shell, locations) or not _is_bash(builder, locations):
        return kept
    return kept.replace(env_vars=kept.env_vars.replace(shell=builder))


def _is_bash(path: str, locations: NixLocations) -> bool:
    return is_bash(path) and storepath.store_path_of(path, locations.store_dir) is not None


def _require_of_a_build(kept: KeptDirectory) -> None:
    """Raises EvidenceError `not-a-build` where the directory itself says nothing of a build."""
    if is_of_a_build(kept):
        return
    raise EvidenceError(
        f"`{kept.outer}` is not the kept directory of a build",
        reason="not-a-build",
        evidence=("there is no env-vars in it, and its name is none that Nix gives",),
        hint="`nbs ls` lists the kept directories of this machine",
    )


def read_unbuilt(derivation: str, *, store: str = "", profile: str = "") -> Case:
    """The case of a build that has not begun: a derivation, and nothing kept.

    Raises `EvidenceError`.
    """
    settings = read_settings(os.environ)
    locations = find_locations(os.environ, settings, store)
    parsed = read_derivation(derivation, locations)
    found = Found(path=derivation, derivation=parsed, how="asked for")
    kept = KeptDirectory(
        outer="",
        path="",
        layout="pid-build",
        name_hint=storepath.split(derivation)[1].removesuffix(".drv"),
        uid=os.geteuid(),
        gid=os.getegid(),
        mode=0o700,
        mtime_ns=0,
        env_vars=EnvVars(state="absent"),
    )
    return _case(kept, found, settings, locations, *find_profile(kept, os.environ, profile))


def of_derivation(case: Case, derivation: Derivation) -> Case:
    """The same case with another derivation than was built, of the same inputs and outputs.

    Raises `EvidenceError` where Nix would not start such a build.
    """
    found = Found(path=case.nix.derivation_path, derivation=derivation, how="asked for")
    settings, profile = case.nix.settings, case.nix.profile
    environment = _environment(case.kept, case.locations, found, settings, profile, start=True)
    return case.replace(
        nix=case.nix.replace(
            derivation=derivation, derivation_from=found.how, environment=environment
        )
    )


def log_path(case: Case) -> str:
    """Where Nix writes the log of the case's derivation when it does not compress it."""
    base = case.nix.derivation_path.rpartition("/")[2]
    return f"{case.locations.log_dir}/drvs/{base[:2]}/{base[2:]}"


def store_of(build: str) -> str:
    """The root of the diverted store that keeps `build`, as for `--store`; empty for /nix."""
    return diverted_root(os.path.realpath(build), os.path.isdir)


def _inputs(
    kept: KeptDirectory,
    locations: NixLocations,
    database: Database | None,
    found: Found | None,
    settings: NixSettings,
    *,
    whole: bool,
    known: tuple[str, ...],
) -> InputPaths:
    if whole:
        return WHOLE_STORE
    if known:
        roots = known
    elif found is not None:
        roots = roots_of(found.derivation, locations, database)
    else:
        # Without the derivation, what env-vars mentions is what the build had; its own outputs are
        # mentioned too, but they are not in the store.
        roots = kept.env_vars.references
        roots = tuple(r for r in roots if _exists(r, locations) and r != kept.env_vars.out)
    shown = _shown_by_settings(settings, locations)
    if found is not None and not roots and not shown and _names_no_input(found.derivation):
        return NO_INPUTS
    inputs = find_inputs((*roots, *shown), kept, locations, database, found)
    if found is not None and inputs.source != "references":
        return inputs
    outputs = tuple(path for _, path in _outputs(found, locations.store_dir))
    return inputs.replace(missing=named_and_gone(kept, outputs, locations))


def _names_no_input(derivation: Derivation) -> bool:
    return not derivation.input_sources and not derivation.input_derivations


def _shown_by_settings(settings: NixSettings, locations: NixLocations) -> tuple[str, ...]:
    """Store paths that `sandbox-paths` shows, and with each its closure. Nix: getPathsInSandbox."""
    sources = (p.source for p in settings.sandbox_paths)
    paths = (storepath.store_path_of(source, locations.store_dir) for source in sources)
    return tuple(p for p in paths if p is not None and _exists(p, locations))


def _exists(path: str, locations: NixLocations) -> bool:
    return os.path.lexists(locations.real_store_dir + path[len(locations.store_dir) :])


def _environment(
    kept: KeptDirectory,
    locations: NixLocations,
    found: Found | None,
    settings: NixSettings,
    profile: Profile,
    *,
    start: bool,
) -> BuildEnvironment | None:
    """Nix's own variables. They are needed where env-vars has none of them, or not all."""
    if found is None:
        return None
    complete = kept.env_vars.state == "read" and all(_is_plain(n) for n, _ in found.derivation.env)
    if complete and kept.env_vars.shell and not start:
        return None
    # A slow path: most builds have an env-vars that says all.
    from sandbox.model.environment import NixBehaviour, build_environment
    from sandbox.model.rules import was_sandboxed

    diverted = locations.real_store_dir != locations.store_dir
    inside = was_sandboxed(kept, settings, found.derivation, diverted=diverted)
    cores = len(os.sched_getaffinity(0))
    try:
        return build_environment(
            found.derivation,
            derivation_path=found.path,
            store_dir=locations.store_dir,
            build_dir=settings.sandbox_build_dir if inside else kept.path,
            host_build_dir=kept.path,
            nix=NixBehaviour(
                version=profile.version,
                lix=profile.lix,
                cores=cores if settings.cores is None else settings.cores,
                machine_cores=cores,
            ),
        )
    except EvidenceError:
        # It is for the phases alone, and the rest does not need it.
        if complete and kept.env_vars.shell:
            return None
        raise


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _outputs(found: Found | None, store_dir: str) -> tuple[tuple[str, str], ...]:
    """Names and paths. What lies at them is copied, so a path that is not the store's is refused.

    Nix registers no such derivation, but the file may be from elsewhere.
    """
    if found is None:
        return ()
    for output in found.derivation.outputs:
        if output.path and not storepath.is_store_path(output.path, store_dir):
            raise EvidenceError(
                f"Nix would refuse `{found.path}`: an output of it is not in the store",
                reason="derivation-refused",
                evidence=(f"{output.name} is {output.path}",),
            )
    return tuple(
        (o.name, o.path or storepath.scratch_path(found.path, o.name, store_dir))
        for o in found.derivation.outputs
    )


def _partial(
    found: Found | None, locations: NixLocations, database: Database | None
) -> tuple[tuple[str, str], ...]:
    """Outputs that are there although the build failed, and where: not valid, left by this build.

    Nix 2.8 moves those of a diverted store to their names in /nix/store itself.
    """
    left = []
    paths = [path for _, path in _outputs(found, locations.store_dir)]
    # A valid one was made whole by a later build, and is not what this one left.
    valid = database.valid(paths) if database is not None else set()
    for path in paths:
        if path in valid:
            continue
        real = locations.real_store_dir + path[len(locations.store_dir) :]
        for place in dict.fromkeys((real, path)):
            if os.path.lexists(place):
                left.append((path, place))
                break
    return tuple(left)


def _store_of_others(store: str) -> tuple[Looked, ...]:
    """The store, if others than root and the caller can exchange it.

    Raises EvidenceError `store-redirected`.
    """
    try:
        return () if is_ours(store) else (look_at_store(store),)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
            raise
        # There is none. What is looked for in it will be missing.
        return ()


def _looked(partial: tuple[tuple[str, str], ...]) -> tuple[Looked, ...]:
    """What lies at the places of outputs."""
    try:
        return tuple(look_at(place) for _, place in partial)
    except OSError as error:
        raise EvidenceError(
            f"`{error.filename}` went while it was looked at",
            reason="evidence-changed",
            evidence=(error.strerror or str(error),),
            hint="start again",
        ) from None


def build_log(case: Case) -> BuildLog | None:
    """The log of the last attempt at the build, read; None where Nix kept none.

    Raises `EvidenceError` (`log-unreadable`).
    """
    # Only people want logs; entering a sandbox does not pay for reading them.
    from sandbox.host.logs import parsed, read_log_of

    if not case.nix.derivation_path:
        return None
    file = read_log_of(case.nix.derivation_path, case.locations.log_dir)
    return None if file is None else parsed(file, case.kept)


def readable_log(case: Case) -> BuildLog | None:
    """The log of the build where it can be read: no reason not to go on without it."""
    try:
        return build_log(case)
    except EvidenceError:
        return None


def derivation_of(build: str, store: str = "") -> str:
    """The path of the derivation that was built in a kept directory; empty if nothing leads to it.

    Raises `UsageError` and `EvidenceError` as `read` does.
    """
    settings = read_settings(os.environ)
    locations = find_locations(os.environ, settings, store or store_of(build))
    kept = read_kept_directory(build, locations.store_dir)
    found = find_derivation(kept, locations)
    return found.path if found else ""


def find_derivation(kept: KeptDirectory, locations: NixLocations) -> Found | None:
    """The derivation that was built in `kept`, or None.

    Raises `EvidenceError` as `Finder.find` and `open_database`, and `store-redirected`.
    """
    _store_of_others(locations.real_store_dir)
    database = open_database(locations.state_dir)
    try:
        return Finder(kept, locations, database).find()
    finally:
        if database is not None:
            database.close()


def name_in_env_vars(directory: str) -> str:
    """The derivation's name by a build directory's env-vars; empty if it cannot be read."""
    try:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return read_env_vars(opened, "/nix/store").name
    finally:
        os.close(opened)
