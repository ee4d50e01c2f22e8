"""A kept workspace and a state of it, side by side: the build tree, /tmp, the outputs.

The state is a snapshot, or `failed`: as the failure left it, with nothing in /tmp, and of the
outputs what the build had written. Both sides are only read; a session may change them meanwhile.
Beside them are the sources, the tree after `patches`, if somebody has had them made.
"""

from __future__ import annotations

import os

from sandbox.errors import EvidenceError, UsageError
from sandbox.model.value import Value
from sandbox.workspace import changes, sources
from sandbox.workspace.kept import read_inputs
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.layers import Layer, View
from sandbox.workspace.lower import open_lower, open_store
from sandbox.workspace.origins import Origins
from sandbox.workspace.sizes import is_of_ours
from sandbox.workspace.snapshots import FAILED, expect, layers
from sandbox.workspace.ways import Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from sandbox.workspace.changes import Change, Differences, Entry
    from sandbox.workspace.kept import Kept

BUILD, TMP, OUTPUTS = "build", "tmp", "outputs"
LARGEST_TEXT = 16 << 20


class Where(Value):
    """Where things lie inside: the top of the build tree, and the store.

    `root` is the source root, relative to the top of the build tree; empty if it is not known.
    """

    top: str
    store: str
    root: str = ""


class Finding(Value):
    """A change, where it is (`place`: "build", "tmp" or "outputs"), and under which path to show
    it: relative to the build tree, or as it is called inside. `product`: the build made it.
    """

    place: str
    path: str
    change: Change
    product: bool


class Comparison:
    """Open for as long as its texts are wanted: a context manager.

    `told_apart`: sources and products are known and not guessed. `unread` as in `Differences`; the
    outputs that are `lost` are in it as a whole, where `since` is `failed`: see
    `lower.lost_outputs`.
    """

    def __init__(
        self,
        kept: Kept,
        where: Where,
        since: str = FAILED,
        paths: tuple[str, ...] = (),
        lost: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.kept = kept
        self.where = where
        self.since = since or FAILED
        self.told_apart = sources.are_made(kept.path)
        self.findings: tuple[Finding, ...] = ()
        self.unread: tuple[tuple[str, str], ...] = ()
        self.unread_count = 0
        self._ways = Ways(kept.path)
        self._layers: dict[str, Layer] = {}
        self._views: dict[str, tuple[View, View]] = {}
        self._paths = paths
        self._lost = dict(lost) if self.since == FAILED else {}

    def __enter__(self) -> Self:
        """Compare. Raises UsageError `snapshot-unknown`, `path-elsewhere` and `path-unknown`, and
        EvidenceError `workspace-build-gone`, and MachineError `workspace-rearranged`.
        """
        try:
            self._compare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for layer in self._layers.values():
            layer.close()
        self._layers.clear()
        self._ways.__exit__()

    def side(self, finding: Finding, which: str) -> bytes | None:
        """What is in the file, or what the link says, on the side "old" or "new".

        None if it cannot be read, or is too much to be compared as text.
        """
        view = self._views[finding.place][which == "new"]
        entry = finding.change.new if which == "new" else finding.change.old
        if entry is None:
            return b""
        try:
            return changes.read_side(view, finding.change.path, LARGEST_TEXT)
        except OSError:
            return None

    def source(self, path: str) -> tuple[Entry | None, bytes | None]:
        """What the sources have at a path of the build tree; its content as `side` gives it."""
        view = self._sources()
        if view is None:
            return None, b""
        try:
            parts = changes.parts_of(path)
            entry = changes.entry_of(view.lookup(parts), parts)
            if entry is None or entry.kind not in ("file", "link"):
                return entry, b""
            return entry, changes.read_side(view, path, LARGEST_TEXT)
        except OSError:
            return None, None

    def changed_later(self) -> tuple[str, ...]:
        """The paths of sources that the build itself had changed, or removed, when it failed.

        Everything of both is looked at, and none of the paths that were asked for matters.
        """
        view = self._sources()
        if view is None:
            return ()
        found = changes.compare(view, self._view(self.kept.kept)).changes
        return tuple(
            change.path
            for change in found
            if change.old is not None
            and change.old.kind != "directory"
            and change.path != "env-vars"
        )

    def _sources(self) -> View | None:
        return self._view(sources.place_of(self.kept.path)) if self.told_apart else None

    def _failed(self) -> View | None:
        """The build tree as the failure left it; a copy and its snapshots do without."""
        try:
            return self._view(self.kept.kept) if self.told_apart else None
        except (OSError, EvidenceError):
            return None

    def _compare(self) -> None:
        base = self._base()
        for place, asked in self._wanted().items():
            try:
                self._compare_at(place, asked, base)
            except PermissionError as error:
                # The top of it is closed by its own mode.
                self._cannot_read(self._prefix(place).rstrip("/"), error.strerror or "")

    def _compare_at(self, place: str, asked: tuple[str, ...], base: str) -> None:
        if place == BUILD:
            old, new = self._build()
        elif place == TMP:
            old, new = self._tmp(base)
        else:
            old, new, names = self._outputs(base)
            for path in asked:
                if path.split("/")[0] not in names:
                    raise self._unknown(place, path)
            asked = self._not_lost(asked or names)
            if not asked:
                return
        self._views[place] = (old, new)
        found = changes.compare(old, new, asked)
        if found.absent:
            raise self._unknown(place, found.absent[0])
        self._take(place, found)

    def _cannot_read(self, path: str, why: str) -> None:
        self.unread += ((path, why),)
        self.unread_count += 1

    def _not_lost(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """Without those in outputs that there is nothing to compare with, which are noted."""
        for name in dict.fromkeys(path.split("/")[0] for path in paths):
            if name in self._lost:
                self._cannot_read(self._prefix(OUTPUTS) + name, self._lost[name])
        return tuple(path for path in paths if path.split("/")[0] not in self._lost)

    def _prefix(self, place: str) -> str:
        """What stands before a path of that place where it is shown."""
        return {BUILD: "", TMP: "/tmp/", OUTPUTS: f"{self.where.store}/"}[place]  # noqa: S108

    def _unknown(self, place: str, path: str) -> UsageError:
        return UsageError(
            f"there is no `{self._prefix(place)}{path}`, on neither side",
            reason="path-unknown",
            hint=f"paths are those inside, or relative to {self.where.top}",
        )

    def _take(self, place: str, found: Differences) -> None:
        old, new = self._views[place]
        origins = Origins(old, new, self.where.root, self._sources(), self._failed())
        prefix = self._prefix(place)
        self.findings += tuple(
            Finding(
                place=place,
                path=prefix + change.path,
                change=change,
                product=place != BUILD or origins.is_product(change),
            )
            for change in found.changes
            if place != TMP or not self._is_of_ours(change)
        )
        self.unread += tuple((prefix + path, why) for path, why in found.unread)
        self.unread_count += found.unread_count

    def _is_of_ours(self, change: Change) -> bool:
        """What preparing made in /tmp, the shell or the kernel, and no person."""
        is_directory = change.new is not None and change.new.kind == "directory"
        return is_of_ours(change.path) or (is_directory and change.path in self.kept.places)

    def _base(self) -> str:
        """The directory of the snapshot to compare with; empty for `failed`."""
        if self.since == FAILED:
            return ""
        expect(self.kept.path, self.since)
        return f"{self.kept.snapshots}/{self.since}"

    def _layer(self, path: str) -> Layer | None:
        """A directory, opened once; None if it is not there."""
        if path not in self._layers:
            try:
                self._layers[path] = Layer(self._open(path))
            except (FileNotFoundError, NotADirectoryError):
                return None
        return self._layers[path]

    def _open(self, path: str) -> int:
        if path == self.kept.kept:
            return open_lower(self.kept)
        if path in self._stores():
            return open_store(path)
        return os.open(path, OPEN_DIRECTORY)

    def _view(self, *paths: str) -> View:
        return View(*(layer for layer in map(self._layer, paths) if layer is not None))

    def _within(self, place: str) -> View:
        """A directory that a session may be using, if there is one."""
        if self._ways.is_missing(place):
            return View()
        return self._view(f"{self._ways.directory(place)}/.")

    def _build(self) -> tuple[View, View]:
        kept = self.kept
        overlay = kept.method == "overlay"
        old = self._view(*layers(kept.path, self.since, kept.kept, overlay=overlay))
        return old, self._view(*kept.layers)

    def _tmp(self, base: str) -> tuple[View, View]:
        old = self._view(f"{base}/tmp") if base else View()  # noqa: S108
        return old, self._within(self.kept.tmp_place)

    def _outputs(self, base: str) -> tuple[View, View, tuple[str, ...]]:
        """Of the store only the outputs that the build had begun are looked at."""
        kept = self.kept
        now = set(self._ways.names(kept.outputs_place)) - self._inputs()
        if base:
            before, old = set(_listed(f"{base}/outputs")), self._view(f"{base}/outputs")
        else:
            before, old = set(kept.partial), self._view(*self._stores())
        new = self._within(kept.outputs_place)
        return old if before else View(), new, tuple(sorted(now | before))

    def _stores(self) -> tuple[str, ...]:
        """Where those lie that were copied. Of a diverted store Nix 2.8 moves them to /nix/store
        itself.
        """
        start = f"{self.kept.store_place}/"
        found = [one[1] for one in self.kept.copies if one[0].startswith(start)]
        return tuple(dict.fromkeys(map(os.path.dirname, found)))

    def _inputs(self) -> frozenset[str]:
        """Names that a session has beside the outputs."""
        if not self.kept.session:
            return frozenset()
        try:
            directory = os.open(self.kept.path, OPEN_DIRECTORY)
        except OSError:
            return frozenset()
        try:
            return read_inputs(directory)
        finally:
            os.close(directory)

    def _wanted(self) -> dict[str, tuple[str, ...]]:
        """The places to look at, and there the paths; none means all."""
        if not self._paths:
            return {BUILD: (), TMP: (), OUTPUTS: ()}
        wanted: dict[str, tuple[str, ...]] = {}
        whole = set()
        for path in self._paths:
            place, inner = self._place_of(path)
            wanted[place] = (*wanted.get(place, ()), inner)
            if not inner:
                whole.add(place)
        return {place: () if place in whole else inner for place, inner in wanted.items()}

    def _place_of(self, path: str) -> tuple[str, str]:
        plain = os.path.normpath(path)
        if not plain.startswith("/"):
            plain = os.path.normpath(f"{self.where.top}/{plain}")
        tops = ((BUILD, self.where.top), (TMP, "/tmp"), (OUTPUTS, self.where.store))  # noqa: S108
        for place, top in tops:
            if plain == top or plain.startswith(f"{top}/"):
                return place, plain[len(top) + 1 :]
        raise UsageError(
            f"`{path}` is neither in the build tree nor in /tmp nor an output",
            reason="path-elsewhere",
            hint=f"paths are those inside, or relative to {self.where.top}",
        )


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
