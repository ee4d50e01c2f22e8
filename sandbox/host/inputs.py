"""The input closure of a build: which store paths it saw, and which of them are still there."""

from __future__ import annotations

import os

from sandbox.errors import CommandError, EvidenceError
from sandbox.host.closure import closure_by_nix, closure_by_references, kinds
from sandbox.host.derivation import read_derivation, store_option
from sandbox.model import storepath
from sandbox.model.command import shell_word
from sandbox.model.facts import StoreObjects
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.host.database import Database
    from sandbox.host.derivation import Found
    from sandbox.host.nixconf import NixLocations
    from sandbox.model.aterm import Derivation
    from sandbox.model.facts import KeptDirectory

MOST_NAMED = 10


class InputPaths(Value):
    """The paths that exist, those that do not any more, and where the answer comes from.

    `missing` is more than nothing only where the derivation or its closure is not known: what is
    gone is refused otherwise.
    """

    objects: StoreObjects
    missing: tuple[str, ...]
    source: str


NO_INPUTS = InputPaths(objects=StoreObjects(), missing=(), source="references")
"""Of a derivation that names none: all that its builder sees is what the settings show."""

WHOLE_STORE = InputPaths(objects=StoreObjects(), missing=(), source="whole-store")
"""The store as it is, with what the build did not see. Asked for by name only."""


def roots_of(
    derivation: Derivation, locations: NixLocations, database: Database | None
) -> tuple[str, ...]:
    """What the derivation names itself: its sources, and those outputs of others that it asks for.

    Nix: `DerivationGoal::inputsRealised`. The derivation files are not among them.
    """
    roots = list(derivation.input_sources)
    for path, wanted in derivation.input_derivations:
        rows = database.output_paths(path, wanted) if database is not None else {}
        if len(rows) < len(wanted):
            rows = {**_written_outputs(path, wanted, locations), **rows}
        roots += rows.values()
    return tuple(dict.fromkeys(roots))


def _written_outputs(path: str, wanted: tuple[str, ...], locations: NixLocations) -> dict[str, str]:
    if not storepath.is_store_path(path, locations.store_dir):
        return {}
    try:
        derivation = read_derivation(path, locations)
    except EvidenceError:
        return {}
    return {o.name: o.path for o in derivation.outputs if o.name in wanted and o.path}


def find_inputs(
    roots: tuple[str, ...],
    kept: KeptDirectory,
    locations: NixLocations,
    database: Database | None,
    build: Found | None = None,
) -> InputPaths:
    """The closure of `roots`: from Nix's database, else `nix-store -qR` if the store is the
    machine's own, else by references.

    `build` is the derivation whose inputs they are, and says what makes one that is gone.
    Raises `EvidenceError` (`inputs-missing`) when a root has been deleted, and `inputs-unknown`
    when nothing tells what the build saw.
    """
    roots = tuple(r for r in roots if storepath.is_store_path(r, locations.store_dir))
    if not roots:
        raise _unknown(kept, locations)
    paths, source = _closure(roots, locations, database)
    # A database can be somebody else's, too: a name that is none of the store's never gets far.
    more = (p for p in paths.difference(roots) if storepath.is_store_path(p, locations.store_dir))
    valid = sorted((*roots, *more))
    objects, missing = kinds(valid, locations)
    if missing:
        raise _missing(kept, missing, locations, build)
    return InputPaths(objects=objects, missing=missing, source=source)


def _closure(
    roots: tuple[str, ...], locations: NixLocations, database: Database | None
) -> tuple[set[str], str]:
    if database is not None:
        paths = database.closure(roots)
        if database.exact and paths.issuperset(roots):
            return paths, "database"
    if len(kinds(roots, locations)[0]) < len(roots):
        # Nothing knows the closure of what is gone; naming the roots that are gone helps most.
        return set(roots), "references"
    asked = closure_by_nix(roots, locations, os.environ)
    if asked is not None:
        return asked, "nix-store"
    return closure_by_references(roots, locations), "references"


def named_and_gone(
    kept: KeptDirectory, outputs: tuple[str, ...], locations: NixLocations
) -> tuple[str, ...]:
    """What env-vars names of the store and is not there, but for what the build itself made.

    Told and not refused: a variable may name what was no input. Compared by the hash alone, for
    where a name ends in a text is not certain. The outputs of a build have its name in theirs.
    """
    try:
        there = {name[: storepath.HASH_LENGTH] for name in os.listdir(locations.real_store_dir)}
    except OSError:
        return ()
    made = filter(None, (*outputs, storepath.store_path_of(kept.env_vars.out, locations.store_dir)))
    own = tuple(storepath.split(path)[1] for path in made)
    gone = []
    for path in kept.env_vars.references:
        digest, name = storepath.split(path)
        if digest not in there and not name.endswith(".drv") and not name.startswith(own):
            gone.append(path)
    return tuple(gone)


def require_shell(kept: KeptDirectory, locations: NixLocations, build: Found | None = None) -> None:
    """See that the build's SHELL is still there, which everything inside begins with.

    Raises `EvidenceError` (`inputs-missing`) where its store path is gone, and `CommandError`
    (`command-not-found`) where only the file in it is.
    """
    shell = kept.env_vars.shell
    path = storepath.store_path_of(shell, locations.store_dir)
    if path is None or os.path.lexists(locations.real(shell)):
        return
    if not os.path.lexists(locations.real(path)):
        raise _missing(kept, (path,), locations, build)
    raise CommandError(
        f"`{shell}` is not there",
        reason="command-not-found",
        evidence=("env-vars names it as SHELL",),
    )


def _unknown(kept: KeptDirectory, locations: NixLocations) -> EvidenceError:
    build = shell_word(kept.outer)
    option = store_option(kept, locations)
    seen = "env-vars names no path of the store"
    hint = f"`nix-build-shell {option}--whole-store {build}` shows the whole store instead"
    if kept.env_vars.references:
        # All of them gone is rare, and the whole store would not have them either.
        seen = f"nothing that env-vars names is in {locations.real_store_dir}"
        hint = f"`nix-build-shell --store STORE {build}` names the store, if the build had another"
    return EvidenceError(
        f"nothing tells which inputs `{kept.name_hint or kept.outer}` had",
        reason="inputs-unknown",
        evidence=(f"its derivation was not found, and {seen}",),
        hint=hint,
    )


def _missing(
    kept: KeptDirectory, gone: tuple[str, ...], locations: NixLocations, build: Found | None
) -> EvidenceError:
    count = f"{len(gone)} of the inputs" if len(gone) > 1 else "one of the inputs"
    verb = "are" if len(gone) > 1 else "is"
    shown = gone[:MOST_NAMED]
    more = (f"… and {len(gone) - len(shown)} more",) if len(gone) > len(shown) else ()
    return EvidenceError(
        f"{count} of `{kept.name_hint or kept.outer}` {verb} no longer in the store",
        reason="inputs-missing",
        evidence=(*shown, *more),
        hint=_way_back(gone, locations, build),
    )


def _way_back(gone: tuple[str, ...], locations: NixLocations, build: Found | None) -> str:
    """The command that makes what is gone again: by its path alone, Nix only fetches it."""
    nix_store = "nix-store"
    if locations.root:
        nix_store += f" --store {shell_word(locations.root)}"
    makers = _makers(build.derivation, locations) if build is not None else {}
    wanted = tuple(dict.fromkeys(makers.get(path, path) for path in gone))
    if makers.keys() >= set(gone):
        named = " ".join(wanted)
        if build is not None and len(wanted) > MOST_NAMED and _is_there(build.path, locations):
            named = f"$({nix_store} --query --references {build.path})"
        return f"`{nix_store} --realise {named}` brings them back"
    named = " ".join(wanted[:MOST_NAMED])
    return f"`{nix_store} --realise {named}` brings them back, if a binary cache has them"


def _is_there(path: str, locations: NixLocations) -> bool:
    return storepath.is_store_path(path, locations.store_dir) and os.path.lexists(
        locations.real(path)
    )


def _makers(derivation: Derivation, locations: NixLocations) -> dict[str, str]:
    """Inputs that are outputs, and the derivation of each, if it is in the store."""
    return {
        output: path
        for path, wanted in derivation.input_derivations
        for output in _written_outputs(path, wanted, locations).values()
    }
