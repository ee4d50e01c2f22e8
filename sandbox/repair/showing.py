"""What was changed in a workspace, line by line: a summary, then the difference of each file.

Lines are bytes, each with a word for its style; with `summary` in comments the whole of it is a
patch that patch(1) reads, byte by byte. `for_eyes` makes a line harmless for a terminal.
"""

from __future__ import annotations

from sandbox.model import patchfile, words
from sandbox.model.changetext import counted
from sandbox.model.printable import one_line, printable
from sandbox.model.textdiff import is_binary
from sandbox.workspace.snapshots import FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.workspace.changes import Entry
    from sandbox.workspace.compared import Comparison, Finding

    Line = tuple[str, bytes]

COLOURS = {
    "title": "1",
    "head": "1",
    "range": "36",
    "added": "32",
    "removed": "31",
    "note": "2",
    "warning": "2",
    "left out": "2",
}
SUMMARY = ("title", "count", "warning", "left out")
"""The styles of lines that a patch has as comments."""

MOST_NAMED = 10
FROM_A_DIRECTORY = "a directory on one side, and none on the other"
_HUNK_STYLES = {b"+": "added", b"-": "removed", b"@": "range", b"\\": "note"}


def for_eyes(style: str, line: bytes, *, colour: bool) -> str:
    """A line without its end, as a terminal may show it."""
    text = printable(line.decode("utf-8", "surrogateescape").rstrip("\n"))
    if style in SUMMARY:
        text = text.removeprefix("# ")
    return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if colour and style in COLOURS else text


def named(path: str) -> bytes:
    """A path for a program that reads lines, as git writes it: no name can be two of them."""
    return patchfile.quoted_name(path)


def counting(comparison: Comparison) -> tuple[Finding, ...]:
    """The changes, without directories that only came or went with what is in them."""
    above = {finding.path.rpartition("/")[0] for finding in comparison.findings}
    return tuple(
        finding
        for finding in comparison.findings
        if finding.path not in above or not _is_plain_directory(finding)
    )


def _is_plain_directory(finding: Finding) -> bool:
    sides = (finding.change.old, finding.change.new)
    return None in sides and all(side is None or side.kind == "directory" for side in sides)


def shown(
    comparison: Comparison, *, stat: bool = False, products: bool = False, later: bool = False
) -> Iterator[Line]:
    """The summary, and unless `stat` the differences; those of what the build made, with
    `products` alone. `later`: which sources the build itself had changed, too, where it is known.
    """
    findings = counting(comparison)
    yield from summary(comparison, findings)
    if later:
        yield from _changed_later(comparison.changed_later())
    if stat:
        return
    turned: tuple[str, ...] = ()
    for finding in findings:
        is_below = finding.path.startswith(turned)
        if _is_turned(finding):
            turned += (f"{finding.path}/",)
        if finding.product and not products:
            continue
        if is_below:
            yield _left_out(finding, FROM_A_DIRECTORY)
        else:
            yield from difference(comparison, finding)


def summary(comparison: Comparison, findings: tuple[Finding, ...]) -> Iterator[Line]:
    """How much was changed where."""
    since = comparison.since
    what = "what the failure left" if since == FAILED else f"the snapshot `{since}`"
    count = f"{len(findings)} change{'' if len(findings) == 1 else 's'}"
    yield _said("title", f"{comparison.kept.name} against {what}: {count if findings else 'same'}")
    yield from _directories(findings)
    for line in not_compared(comparison.unread, comparison.unread_count):
        yield _said("warning", f"  {line}")
    if findings and not comparison.told_apart:
        told = "what the build made is told by names and first bytes, not by unpacking again"
        yield _said("warning", f"  {told}")


def not_compared(unread: tuple[tuple[str, str], ...], count: int) -> tuple[str, ...]:
    """A line for each of the first that could not be compared; `count` are all."""
    lines = [
        one_line(f"not compared: {path or 'all of it'} ({why})")
        for path, why in unread[:MOST_NAMED]
    ]
    if count > MOST_NAMED:
        lines.append(f"not compared: {count - MOST_NAMED} more")
    return tuple(lines)


def _changed_later(paths: tuple[str, ...]) -> Iterator[Line]:
    """What postPatch, configure and the like did to sources: a patch does not find that yet."""
    for path in paths[:MOST_NAMED]:
        yield _said("warning", f"  the build itself changed it after `patches`: {path}")
    if len(paths) > MOST_NAMED:
        yield _said("warning", f"  the build itself changed {len(paths) - MOST_NAMED} more")


def _directories(findings: tuple[Finding, ...]) -> Iterator[Line]:
    """Sources first."""
    counts = [
        (count, product)
        for product in (False, True)
        for count in counted(
            tuple((f.path, f.change.what, _grown(f)) for f in findings if f.product == product)
        )
    ]
    width = max([len(one_line(count.directory)) for count, _ in counts], default=0)
    for count, product in counts:
        grown = f"{'-' if count.grown < 0 else '+'}{words.size(abs(count.grown))}"
        made = "  (made by a build)" if product and not count.directory.startswith("/") else ""
        name = one_line(count.directory)
        yield _said("count", f"  {name:{width}}  {count.words()}, {grown}{made}")


def _grown(finding: Finding) -> int:
    old, new = finding.change.old, finding.change.new
    return (new.size if new else 0) - (old.size if old else 0)


def _said(style: str, text: str) -> Line:
    return style, b"# " + one_line(text).encode("utf-8", "replace") + b"\n"


def difference(comparison: Comparison, finding: Finding) -> Iterator[Line]:
    """What is different in one file; of what no patch can carry, that it is.

    A header without content would make an empty file of a binary one, and of a directory git takes
    none: with one it applies nothing at all.
    """
    change, path = finding.change, finding.path.lstrip("/")
    if not _kinds_of(finding) <= {"file", "link"}:
        yield _left_out(finding, _kinds(change.old, change.new))
        return
    old, new, readable = sides(comparison, finding)
    if not readable:
        yield _left_out(finding, f"binary: {_sizes(change.old, change.new)}")
        return
    why = patchfile.hindrance(old, new, exact=True)
    if why:
        yield _left_out(finding, why)
        return
    for kind, piece in patchfile.pieces(path, old, new, exact=True):
        for line in piece[:-1].split(b"\n"):
            style = "head" if kind == "head" else _HUNK_STYLES.get(line[:1], "")
            yield style, line + b"\n"


def _kinds_of(finding: Finding) -> set[str]:
    sides = (finding.change.old, finding.change.new)
    return {entry.kind for entry in sides if entry is not None}


def _is_turned(finding: Finding) -> bool:
    """Is it a directory on one side, and something else on the other?"""
    kinds = _kinds_of(finding)
    return len(kinds) > 1 and "directory" in kinds


def _left_out(finding: Finding, why: str) -> Line:
    return _said("left out", f"not in this patch: {finding.path} ({why})")


def sides(
    comparison: Comparison, finding: Finding
) -> tuple[patchfile.Side | None, patchfile.Side | None, bool]:
    """A file before and after, and whether it is text on both sides: else without its content."""
    change = finding.change
    found: list[patchfile.Side | None] = []
    readable = True
    for which, entry in (("old", change.old), ("new", change.new)):
        if entry is None:
            found.append(None)
            continue
        content = comparison.side(finding, which) if change.content else b""
        if content is None or (entry.kind == "file" and is_binary(content)):
            content, readable = b"", False
        found.append(patchfile.Side(kind=entry.kind, mode=entry.mode, content=content))
    return found[0], found[1], readable


def _kinds(old: Entry | None, new: Entry | None) -> str:
    told = [f"{entry.kind} {entry.mode:04o}" if entry else "nothing" for entry in (old, new)]
    return f"{told[0]} before, {told[1]} now"


def _sizes(old: Entry | None, new: Entry | None) -> str:
    told = [f"{entry.size} bytes" if entry else "nothing" for entry in (old, new)]
    return f"{told[0]} before, {told[1]} now"
