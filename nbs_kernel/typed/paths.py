"""Names of files that go on where a word stops, quoted as the word is."""

from __future__ import annotations

import os

from nbs_kernel.typed.quoting import quote
from nbs_kernel.typed.words import ASSIGNMENT, Piece, Place
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.typed.files import Entry
    from nbs_kernel.typed.surroundings import Surroundings

_CLOSES = {'"': '"', "'": "'", "$'": "'"}


class _Stem(Value):
    """A word as far as it is typed: `path` is what it stands for.

    What is typed from `start` on, where `quote` is open, will be written anew: it stands for
    `path[kept:]`.
    """

    path: str
    start: int
    quote: str
    kept: int


def complete_path(
    place: Place, following: str, around: Surroundings, only: str
) -> tuple[list[str], int]:
    """Texts that complete the file's name, and where they begin. `following` is what comes next.

    `only`: "files" (all), "directories", or "programs" (with the directories that may hold some).
    What is behind an unquoted `=` or, in an assignment, `:` counts as a name of its own.
    """
    if place.kind == "assignment":
        return _behind(place, following, around, only, "=:")
    found, start = _whole(place.pieces, place, following, around, only)
    if not found and (ASSIGNMENT.match(place.text) or place.text.startswith("-")):
        return _behind(place, following, around, only, "=")
    return found, start


def _behind(
    place: Place, following: str, around: Surroundings, only: str, separators: str
) -> tuple[list[str], int]:
    pieces, start, opened = _after_last(place.pieces, separators)
    if start < 0:
        return [], place.start
    behind = place.replace(start=start)
    return _whole(_with_tilde(pieces), behind, following, around, only, opened)


def _after_last(pieces: tuple[Piece, ...], separators: str) -> tuple[tuple[Piece, ...], int, str]:
    """What is behind the last of the separators, where it begins and in what quotes."""
    for index in range(len(pieces) - 1, -1, -1):
        piece = pieces[index]
        if piece.kind != "text" or not piece.is_plain:
            continue
        at = max(piece.text.rfind(separator) for separator in separators)
        if at >= 0:
            start = piece.start + at + 1
            rest = piece._replace(text=piece.text[at + 1 :], start=start)
            return (rest, *pieces[index + 1 :]), start, piece.quote
    return (), -1, ""


def _with_tilde(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    first = pieces[0]
    if first.quote or not first.text.startswith("~"):
        return pieces
    slash = first.text.find("/")
    size = len(first.text) if slash < 0 else slash
    middle = first.start + size
    tilde = first._replace(kind="tilde", text=first.text[:size], end=middle)
    return (tilde, first._replace(text=first.text[size:], start=middle), *pieces[1:])


def _whole(
    pieces: tuple[Piece, ...],
    place: Place,
    following: str,
    around: Surroundings,
    only: str,
    opened: str = "",
) -> tuple[list[str], int]:
    stem = _stem(pieces, _Stem(path="", start=place.start, quote=opened, kept=0), around)
    if stem is None:
        return [], place.start
    slash = stem.path.rfind("/") + 1
    directory = os.path.join(around.directory, stem.path[:slash])
    found = [
        entry
        for entry in around.listing(directory, stem.path[slash:])
        if entry.is_directory or only == "files" or (only == "programs" and entry.is_program)
    ]
    return [_text(entry, stem, place.quote, following) for entry in found], stem.start


def _stem(pieces: tuple[Piece, ...], stem: _Stem, around: Surroundings) -> _Stem | None:
    for piece in pieces:
        if piece.kind == "text":
            stem = _longer(stem, piece)
            continue
        value = _known(piece, around)
        if value is None or "\0" in value:
            return None
        path = stem.path + value
        stem = _Stem(path=path, start=piece.end, quote=piece.quote, kept=len(path))
    return stem


def _known(piece: Piece, around: Surroundings) -> str | None:
    if piece.kind == "tilde":
        return around.value("HOME") if piece.text == "~" else None
    return around.value(piece.text) if piece.kind == "variable" else None


def _longer(stem: _Stem, piece: Piece) -> _Stem:
    path = stem.path + piece.text
    at = piece.text.rfind("/") + 1
    if not at or (not piece.is_plain and at < len(piece.text)):
        return stem.replace(path=path)
    if piece.is_plain:
        kept = len(stem.path) + at
        return _Stem(path=path, start=piece.start + at, quote=piece.quote, kept=kept)
    return _Stem(path=path, start=piece.end, quote=piece.quote, kept=len(path))


def _text(entry: Entry, stem: _Stem, wanted: str, following: str) -> str:
    slash = stem.path.rfind("/") + 1
    name = stem.path[stem.kept : slash] + entry.name if stem.kept < slash else entry.name
    if stem.kept > slash:
        name = entry.name[stem.kept - slash :]
    elif stem.kept == 0 and name.startswith("~"):
        return "./" + _quoted(entry, name, stem, wanted, following)
    return _quoted(entry, name, stem, wanted, following)


def _quoted(entry: Entry, name: str, stem: _Stem, wanted: str, following: str) -> str:
    closes = bool(wanted) and following == _CLOSES[wanted]
    is_open = bool(wanted) and (entry.is_directory or closes)
    name += "/" * entry.is_directory
    return quote(name, stem.quote, wanted, is_open=is_open)
