"""The changes to the sources of a build as a patch for its `patches`.

`patches` are applied before the recipe itself changes anything, in postPatch, configure or later.
Where the sources are known as they are then, the changes are carried over to them; what the build
has changed at the same place cannot be, and is left out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from sandbox.errors import Error, EvidenceError
from sandbox.host.buildlog import logged_build
from sandbox.host.summary import ending_text
from sandbox.model import patched, patchfile
from sandbox.model.textdiff import is_binary
from sandbox.model.textmerge import carry
from sandbox.model.value import Value
from sandbox.repair.comparison import compared
from sandbox.repair.showing import FROM_A_DIRECTORY, counting, sides
from sandbox.session.kept import derivation_in
from sandbox.workspace.compared import BUILD
from sandbox.workspace.snapshots import FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sandbox.model.patchfile import Side
    from sandbox.workspace.compared import Comparison, Finding
    from sandbox.workspace.kept import Kept

_LATER = "the build itself changes it after `patches`"
_NO_TEXT = "binary, or too large for a text"


class Patch(Value):
    """`text` is for patch(1) in the source root, empty if there is nothing to carry.

    `files` are in it, relative to the source root. `left_out` are pairs of a source file that it
    cannot carry, or lines of it, and why; `products` what the build made; `outside` changes beyond
    the source root. `carried` are those of `files` that the build itself changes after `patches`.
    `unread`, `unread_count` and `told_apart` are those of the comparison. `strip` is what the
    build's patchPhase takes away of names, `has_patches` whether it has others already, and
    `cautions` why it may not apply this one, where that is known.
    """

    text: bytes
    files: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    products: tuple[str, ...]
    outside: tuple[str, ...]
    carried: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    unread_count: int = 0
    told_apart: bool = True
    strip: int = 1
    has_patches: bool = False
    cautions: tuple[str, ...] = ()


def patch_of(
    kept: Kept,
    exclude: tuple[str, ...] = (),
    *,
    everything: bool = False,
    since: str = FAILED,
    root: str = "",
) -> Patch:
    """What was changed in a workspace since `since`, as `patch` makes it.

    `root` as for `compare_workspace`. Raises as that, and as `patch`.
    """

    derivation = derivation_in(kept)
    strip, unusual = patched.strip_of(derivation) if derivation is not None else (1, "")

    def work(comparison: Comparison) -> Iterator[dict[str, Any]]:
        yield patch(comparison, exclude, everything=everything, strip=strip).fields()

    made = Patch(**next(compared(kept, work, since=since, root=root)))
    if derivation is None:
        return made
    cautions = (patched.why_not(derivation), unusual)
    return made.replace(
        has_patches=patched.has_patches(derivation), cautions=tuple(filter(None, cautions))
    )


def environment_in(kept: Kept) -> frozenset[str]:
    """The names that the recipe has in the attribute `env`, where the build has that as a set."""
    derivation = derivation_in(kept)
    return frozenset(patched.environment(derivation)) if derivation is not None else frozenset()


def patch(
    comparison: Comparison,
    exclude: tuple[str, ...] = (),
    *,
    everything: bool = False,
    strip: int = 1,
) -> Patch:
    """The patch, for `patch -p` with the number `strip`. What one of the globs `exclude` matches is
    left alone: the path relative to the source root, a directory on the way or the last name.
    `everything`: what the build made, too.

    Raises EvidenceError `source-root-unknown`.
    """
    sorted_out = _SortedOut(comparison, exclude, everything=everything, strip=strip)
    for finding in counting(comparison):
        if finding.place == BUILD:
            sorted_out.add(finding)
    text = b"".join(part for _, part in sorted(sorted_out.parts.items()))
    return Patch(
        text=_header(comparison.kept, sorted_out) + text if text else b"",
        files=tuple(sorted(sorted_out.parts)),
        left_out=tuple(sorted_out.left_out),
        products=tuple(sorted_out.products),
        outside=tuple(sorted_out.outside),
        carried=tuple(sorted_out.carried),
        unread=comparison.unread,
        unread_count=comparison.unread_count,
        told_apart=comparison.told_apart,
        strip=strip,
    )


class _SortedOut:
    def __init__(
        self, comparison: Comparison, exclude: tuple[str, ...], *, everything: bool, strip: int
    ) -> None:
        root = comparison.where.root
        if not root:
            raise EvidenceError(
                "nothing tells which directory of the build is the source root",
                reason="source-root-unknown",
                hint="`nbs patch --source-root DIRECTORY` names it, relative to the build tree",
            )
        self.comparison = comparison
        self.prefix = "" if root == "." else f"{root}/"
        self.exclude = exclude
        self.everything = everything
        self.strip = strip
        self.parts: dict[str, bytes] = {}
        self.left_out: list[tuple[str, str]] = []
        self.products: list[str] = []
        self.outside: list[str] = []
        self.carried: list[str] = []
        self._turned: list[str] = []

    def add(self, finding: Finding) -> None:
        if not finding.path.startswith(self.prefix):
            if not finding.product:
                self.outside.append(finding.path)
            return
        path = finding.path[len(self.prefix) :]
        if _is_excluded(path, self.exclude):
            return
        if finding.product and not self.everything:
            self.products.append(path)
            return
        why = self._hindrance(finding)
        if why:
            self.left_out.append((path, why))

    def _hindrance(self, finding: Finding) -> str:
        """Why this cannot be carried; else it is added to the parts."""
        change, path = finding.change, finding.path[len(self.prefix) :]
        kinds = [entry.kind for entry in (change.old, change.new) if entry is not None]
        if len(set(kinds)) > 1 and "directory" in kinds:
            self._turned.append(f"{path}/")
            return FROM_A_DIRECTORY
        if path.startswith(tuple(self._turned)):
            return FROM_A_DIRECTORY
        if not {"file", "link"}.issuperset(kinds):
            return f"{kinds[-1]}, {change.what}"
        old, new, readable = sides(self.comparison, finding)
        if not readable:
            return _NO_TEXT
        if self.comparison.told_apart:
            why = self._carry_over(finding, path, old, new)
        else:
            why = self._take(path, old, new)
        lost = patchfile.lost_mode(old, new)
        if lost and not why:
            self.left_out.append((f"{path}, its mode", lost))
        return why

    def _take(self, path: str, old: Side | None, new: Side | None) -> str:
        why = patchfile.hindrance(old, new)
        if not why:
            names = patchfile.prefixes(self.strip)
            self.parts[path] = patchfile.file_patch(path, old, new, names)
        return why

    def _carry_over(self, finding: Finding, path: str, old: Side | None, new: Side | None) -> str:
        """The same, to what the file is when `patches` are applied."""
        entry, content = self.comparison.source(finding.path)
        if content is None:
            return _NO_TEXT
        if entry is None:
            return self._take(path, None, new) if new else "the source has no such file"
        if not finding.change.content:
            content = b""
        base = patchfile.Side(kind=entry.kind, mode=entry.mode, content=content)
        if old is not None and _are_alike(base, old):
            return self._take(path, old, new)
        if old is None or new is None or not base.kind == old.kind == new.kind == "file":
            return _LATER
        return _NO_TEXT if is_binary(content) else self._merge(path, base, old, new)

    def _merge(self, path: str, base: Side, old: Side, new: Side) -> str:
        merged = carry(base.content, old.content, new.content)
        mode = base.mode if patchfile.git_mode(old) == patchfile.git_mode(new) else new.mode
        goal = patchfile.Side(kind="file", mode=mode, content=merged.content)
        if _are_alike(base, goal):
            return _LATER
        why = self._take(path, base, goal)
        if not why:
            self.left_out += [(f"{path}, {_lines(*place)}", _LATER) for place in merged.left_out]
            self.carried.append(path)
        return why


def _are_alike(one: Side, other: Side) -> bool:
    return (one.kind, patchfile.git_mode(one), one.content) == (
        other.kind,
        patchfile.git_mode(other),
        other.content,
    )


def _lines(first: int, behind: int) -> str:
    return f"lines {first}-{behind - 1}" if behind - first > 1 else f"line {first}"


def _is_excluded(path: str, globs: tuple[str, ...]) -> bool:
    names = path.split("/")
    tried = [names[-1], *("/".join(names[: end + 1]) for end in range(len(names)))]
    return any(fnmatchcase(one, glob.rstrip("/")) for glob in globs for one in tried)


def _header(kept: Kept, sorted_out: _SortedOut) -> bytes:
    """What the patch repairs, and what it does not; nothing that differs between two runs."""
    name = kept.build_name or kept.name
    lines = [f"{name}: changes to the source, made in the sandbox of its failed build"]
    try:
        build = logged_build(kept.build, store=kept.store, derivation=kept.derivation)
    except Error:
        build = None
    derivation = kept.derivation or (build.derivation if build is not None else "")
    if derivation:
        lines.append(f"derivation: {derivation}")
    if sorted_out.strip != 1:
        lines.append(f"for patch -p{sorted_out.strip}, as patchFlags of the build say")
    if build is not None:
        log = build.log
        ended = ending_text(log)
        if log.failing_phase or ended:
            how = f" ({ended})" if ended else ""
            lines.append(f"failed in: {log.failing_phase or 'the builder'}{how}")
        if log.error is not None:
            lines.append(f"first error: {log.error.text}")
    lines += [f"the build itself changes it after `patches`: {path}" for path in sorted_out.carried]
    lines += [f"not in this patch: {path} ({why})" for path, why in sorted_out.left_out]
    return patchfile.comment(*lines) + b"\n"
