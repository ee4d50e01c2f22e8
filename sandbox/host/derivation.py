"""Which derivation was built in a kept directory: found by content, never trusted by name.

The strongest proof is an output path: `out` in env-vars is in one derivation only, unless the
output is fixed. A name on a directory only says where to look, and then the store must agree: the
outputs of a build that failed are not valid, and its log is as old as its directory.
"""

from __future__ import annotations

import os

from sandbox.errors import DerivationSyntaxError, EvidenceError
from sandbox.host.builddir import is_of_a_build, read_bounded
from sandbox.model import aterm, storepath
from sandbox.model.command import shell_word
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.host.database import Database
    from sandbox.host.nixconf import NixLocations
    from sandbox.model.aterm import Derivation
    from sandbox.model.facts import KeptDirectory

MOST_DERIVATION_BYTES = 64 << 20
SAME_BUILD_NS = 120 * 1_000_000_000
"""How far apart a build's directory and its log may be written; a log ends when the build does."""
AT_ONCE_NS = 1_000_000_000
"""Nix closes the log and then opens what is kept to others: within milliseconds, as measured."""


class Found(Value):
    """A derivation and how it was found, in words."""

    path: str
    derivation: Derivation
    how: str


class Finder:
    """Looks for the derivation of one kept directory in one store."""

    def __init__(
        self, kept: KeptDirectory, locations: NixLocations, database: Database | None
    ) -> None:
        self.kept = kept
        self.locations = locations
        self.database = database
        self.refused = ""
        """Why the first candidate that is no derivation is none."""

    def find(self) -> Found | None:
        """The derivation that was built, or None where nothing leads to one.

        Raises `EvidenceError` (`derivation-unclear`) with all candidates when several fit.
        """
        out = self.kept.env_vars.out
        if storepath.is_store_path(out, self.locations.store_dir):
            found = self._by_output(out)
            if found is not None:
                return found
        if (self.kept.env_vars.state == "read" and out) or not is_of_a_build(self.kept):
            return None
        return self._by_name()

    def _by_output(self, out: str) -> Found | None:
        paths: tuple[str, ...] = ()
        if self.database is not None:
            paths = self.database.derivers_of_output(out)
        how = "its output is `out` in env-vars"
        found = [f for p in paths if (f := self._read(p, how)) is not None]
        if not found:
            found = self._scan(out, how)
        return self._only(found)

    def _scan(self, out: str, how: str) -> list[Found]:
        """Without a row in the database, as for floating outputs: read the derivations of that
        name.
        """
        name = storepath.split(out)[1]
        stems = {name}
        while "-" in name:
            name = name.rpartition("-")[0]
            stems.add(name)
        paths = self._in_store(f"-{stem}.drv" for stem in stems)
        found = [f for p in paths if (f := self._read(p, how)) is not None]
        return [f for f in found if out in dict(self._outputs(f)).values()]

    def _outputs(self, found: Found) -> list[tuple[str, str]]:
        store_dir = self.locations.store_dir
        return [
            (o.name, o.path or storepath.scratch_path(found.path, o.name, store_dir))
            for o in found.derivation.outputs
        ]

    def _by_name(self) -> Found | None:
        """env-vars says nothing: the directory's name says where to look, the store what fits."""
        hint = self.kept.name_hint
        ends = (f"-{hint}.drv",) if hint else (".drv",)
        how = "the only one of that name that failed" if hint else "the only one that failed then"
        failed = [p for p in self._in_store(ends) if hint or self._failed_then(p)]
        found = [f for p in failed if (f := self._read(p, how)) is not None and self._failed(f)]
        return self._only(self._named(found))

    def _named(self, found: list[Found]) -> list[Found]:
        """Those whose outputs env-vars names, if it says anything.

        A builder has each output in a variable, also where none is called `out`; of structured
        attributes, a set-up may export them or not.
        """
        references = frozenset(self.kept.env_vars.references)
        named = [f for f in found if any(path in references for _, path in self._outputs(f))]
        silent = self.kept.structured or not references
        named = [f.replace(how="its outputs are in env-vars") for f in named]
        return named or (found if silent else [])

    def _failed_then(self, path: str) -> bool:
        """Was this derivation's log last written with the directory?"""
        written = log_time(path, self.locations.log_dir)
        near = abs(written - self.kept.mtime_ns) < SAME_BUILD_NS or self._ended_then(path)
        return written > 0 and near

    def _built_since(self, path: str) -> bool:
        """Was its log written with the directory, or later? Each attempt writes it anew."""
        written = log_time(path, self.locations.log_dir)
        return written > self.kept.mtime_ns - SAME_BUILD_NS

    def _ended_then(self, path: str) -> bool:
        """Was this derivation's log closed when the directory was opened to others?

        That is the last change of the directory's mode, if nobody has made another one.
        """
        try:
            opened = os.lstat(self.kept.path).st_ctime_ns
        except OSError:
            return False
        return abs(log_time(path, self.locations.log_dir) - opened) < AT_ONCE_NS

    def _failed(self, found: Found) -> bool:
        """Not all outputs are valid: a derivation whose outputs are all there did not fail last."""
        outputs = [path for _, path in self._outputs(found)]
        if self.database is None:
            return True
        return self.database.valid(outputs) != set(outputs)

    def _in_store(self, ends: Iterable[str]) -> list[str]:
        wanted = tuple(ends)
        try:
            names = os.listdir(self.locations.real_store_dir)
        except OSError:
            return []
        return sorted(f"{self.locations.store_dir}/{n}" for n in names if n.endswith(wanted))

    def _read(self, path: str, how: str) -> Found | None:
        try:
            derivation = read_derivation(path, self.locations)
        except EvidenceError as error:
            self.refused = self.refused or error.message
            return None
        return Found(path=path, derivation=derivation, how=how)

    def _only(self, found: list[Found]) -> Found | None:
        if len(found) < 2:  # noqa: PLR2004
            return found[0] if found else None
        ended = [f for f in found if self._ended_then(f.path)]
        since = [f for f in found if self._built_since(f.path)]
        for those, how in (
            (ended, "its log ended when this was kept"),
            (since, "no other has been built since"),
        ):
            if len(those) == 1:
                return those[0].replace(how=f"{those[0].how}, and {how}")
        raise unclear(self.kept, [f.path for f in found], self.locations)


def unclear(kept: KeptDirectory, paths: list[str], locations: NixLocations) -> EvidenceError:
    """Several derivations fit, and choosing would be a guess."""
    options = f"{store_option(kept, locations)}--derivation {paths[0]}"
    return EvidenceError(
        f"`{kept.outer}` may belong to {len(paths)} derivations",
        reason="derivation-unclear",
        evidence=tuple(paths),
        hint=f"say which: `nix-build-shell {options} {shell_word(kept.outer)}`",
    )


def store_option(kept: KeptDirectory, locations: NixLocations) -> str:
    """What a command has to be told of the store, and a blank; nothing if `kept` lies in it."""
    if not locations.root or kept.outer.startswith(locations.root + "/"):
        return ""
    return f"--store {shell_word(locations.root)} "


def read_derivation(path: str, locations: NixLocations) -> Derivation:
    """The derivation at `path`, a path in the store or any file.

    Raises `EvidenceError` (`derivation-missing`, `store-redirected`), `DerivationSyntaxError`.
    """
    real = path
    if storepath.is_store_path(path, locations.store_dir):
        real = locations.real_store_dir + path[len(locations.store_dir) :]
    data, state, _ = read_bounded(real, MOST_DERIVATION_BYTES)
    if state != "read":
        raise EvidenceError(
            f"`{path}` is not a derivation: it is {state}",
            reason="derivation-missing",
            hint="`nix-store --query --deriver PATH` prints the derivation of a store path",
        )
    try:
        return aterm.parse(data)
    except DerivationSyntaxError as error:
        raise DerivationSyntaxError(error.detail, offset=error.offset, path=path) from None


def behind_link(path: str) -> str:
    """The derivation that a link `….drv` leads to, as `nix-instantiate --add-root` makes them.

    `path` itself if it is none. One step, to a name: what lies there is not looked at.
    """
    try:
        target = os.readlink(path) if path.endswith(".drv") else ""
    except (OSError, ValueError):
        return path
    return target if target.startswith("/") and target.endswith(".drv") else path


def log_time(derivation_path: str, log_dir: str) -> int:
    """When the newest log of a derivation was written, in nanoseconds since 1970; 0 without one."""
    base = derivation_path.rpartition("/")[2]
    for path in (f"{log_dir}/drvs/{base[:2]}/{base[2:]}", f"{log_dir}/drvs/{base}"):
        for end in (".bz2", ""):
            try:
                return os.lstat(path + end).st_mtime_ns
            except OSError:
                continue
    return 0
