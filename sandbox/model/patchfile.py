r"""Patches as git writes them and GNU patch 2.7 and newer applies: file after file, in bytes.

What GNU patch cannot carry, `hindrance` tells: a binary file, or the removal of an empty one, for
which it asks whether the patch is reversed. Of a mode only the bit counts that makes a file
executable, as for git.
"""

from __future__ import annotations

import hashlib

from sandbox.model.textdiff import hunks, is_binary
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Prefix = tuple[str, str]

_EXECUTABLE = 0o100
_REGULAR = 0o100000
_LONGEST_COMMENT = 200
_ESCAPES = {0x07: b"a", 0x08: b"b", 0x09: b"t", 0x0A: b"n", 0x0B: b"v", 0x0C: b"f", 0x0D: b"r"}
_QUOTED = b'"\\'
GIT = ("a/", "b/")
"""What git puts before names, for `patch -p1`."""
_FIRST, _LAST = 0x20, 0x7E


class Side(Value):
    """A file before or after: `kind` "file" or "link"; a link's content is what it says."""

    kind: str
    mode: int
    content: bytes


def comment(*lines: str) -> bytes:
    r"""Lines for the head of a patch, none of which patch(1) can take for part of it.

    >>> comment("one", "two\n--- a/three")
    b'# one\n# two --- a/three\n'
    """
    shown = [" ".join(line.split())[:_LONGEST_COMMENT] for line in lines]
    return b"".join(f"# {line}".rstrip().encode(errors="surrogateescape") + b"\n" for line in shown)


def hindrance(old: Side | None, new: Side | None, *, exact: bool = False) -> str:
    """Why GNU patch cannot carry this change; empty if it can. `exact`: as for `pieces`."""
    sides = [side for side in (old, new) if side is not None]
    if any(side.kind == "file" and is_binary(side.content) for side in sides):
        return "binary"
    if any(side.kind == "link" and set(side.content) & {0, 0x0A} for side in sides):
        return "a link that says more than one line"
    if old is not None and new is None and not old.content:
        return "the removal of an empty file"
    if exact or old is None or new is None or old.content != new.content:
        return ""
    if git_mode(old) != git_mode(new):
        return ""
    return f"mode {lost_mode(old, new)}"


def lost_mode(old: Side | None, new: Side | None) -> str:
    """What a patch that carries the content does not carry of a mode; empty for nothing.

    >>> script = Side(kind="file", mode=0o755, content=b"")
    >>> lost_mode(script.replace(mode=0o644), script), lost_mode(None, script.replace(mode=0o700))
    ('', '0700')
    """
    before = old if old is not None and old.kind == "file" else None
    if new is None or new.kind != "file" or (before is not None and before.mode == new.mode):
        return ""
    is_told = before is None or git_mode(before) != git_mode(new)
    if is_told and git_mode(new, exact=True) == git_mode(new):
        return ""
    return f"{new.mode:04o}" if before is None else f"{before.mode:04o} to {new.mode:04o}"


def git_mode(side: Side, *, exact: bool = False) -> str:
    """The kind and mode of a file in six octal digits; `exact`: with all bits.

    >>> git_mode(Side(kind="file", mode=0o700, content=b""))
    '100755'
    """
    if side.kind == "link":
        return "120000"
    if exact:
        return f"{_REGULAR | side.mode:06o}"
    return "100755" if side.mode & _EXECUTABLE else "100644"


def prefixes(strip: int) -> Prefix:
    """What has to stand before the names of a file, that `patch -p` with this number takes away.

    >>> prefixes(0), prefixes(1), prefixes(3)
    (('', ''), ('a/', 'b/'), ('a/a/a/', 'b/b/b/'))
    """
    return GIT[0] * strip, GIT[1] * strip


def file_patch(path: str, old: Side | None, new: Side | None, prefix: Prefix = GIT) -> bytes:
    """The part of a patch that turns `old` into `new` at `path`; None is a file that is not there.

    A file that has become a link, or a link a file, is removed and made anew.
    """
    return b"".join(piece for _, piece in pieces(path, old, new, prefix=prefix))


def pieces(
    path: str, old: Side | None, new: Side | None, *, exact: bool = False, prefix: Prefix = GIT
) -> Iterator[tuple[str, bytes]]:
    """The same piece by piece, each a "head" or a "hunk"; `exact`: modes with all their bits."""
    if old is not None and new is not None and old.kind != new.kind:
        yield from pieces(path, old, None, exact=exact, prefix=prefix)
        yield from pieces(path, None, new, exact=exact, prefix=prefix)
        return
    names = name_lines(path, old, new, prefix)
    head = head_lines(path, old, new, exact=exact, prefix=prefix)
    for hunk in hunks(old.content if old else b"", new.content if new else b""):
        if head:
            yield "head", head + names
            head = b""
        yield "hunk", hunk
    if head:
        yield "head", head


def head_lines(
    path: str, old: Side | None, new: Side | None, *, exact: bool = False, prefix: Prefix = GIT
) -> bytes:
    """The line `diff --git`, and those of modes."""
    lines = [head_name(path, prefix)[:-1]]
    modes = [git_mode(side, exact=exact) for side in (old, new) if side is not None]
    if old is None:
        lines.append(f"new file mode {modes[0]}".encode())
    elif new is None:
        lines.append(f"deleted file mode {modes[0]}".encode())
    elif modes[0] != modes[1]:
        lines += [f"old mode {modes[0]}".encode(), f"new mode {modes[1]}".encode()]
    elif old.kind == "link":
        # Only by this line does patch(1) know that it is one.
        lines.append(f"index {_blob(old.content)}..{_blob(new.content)} 120000".encode())
    return b"\n".join(lines) + b"\n"


def head_name(path: str, prefix: Prefix = GIT) -> bytes:
    """The line `diff --git` alone."""
    # Without a hunk patch(1) takes both names from here, and parts them at the first blank.
    names = [quoted_name(f"{before}{path}", blanks=" " in path) for before in prefix]
    return b"diff --git " + b" ".join(names) + b"\n"


def name_lines(path: str, old: Side | None, new: Side | None, prefix: Prefix = GIT) -> bytes:
    """The lines `---` and `+++`."""
    before, after = (quoted_name(f"{before}{path}") for before in prefix)
    names = [
        b"--- " + (b"/dev/null" if old is None else before + _end(before)),
        b"+++ " + (b"/dev/null" if new is None else after + _end(after)),
    ]
    return b"\n".join(names) + b"\n"


def _blob(content: bytes) -> str:
    """What git calls a file of this content."""
    name = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return name.hexdigest()[:12]


def quoted_name(path: str, *, blanks: bool = False) -> bytes:
    r"""As git writes a name: in quotes with C's escapes if it has any but plain characters; also
    if a blank begins or ends it, which patch(1) would take away, or for its `blanks`.

    >>> quoted_name("a/b c"), quoted_name("a/\n"), quoted_name("a/b ")
    (b'a/b c', b'"a/\\n"', b'"a/b "')
    """
    raw = path.encode("utf-8", "surrogateescape")
    is_plain = all(_FIRST <= byte <= _LAST and byte not in _QUOTED for byte in raw)
    if is_plain and not blanks and raw == raw.strip(b" "):
        return raw
    return b'"' + b"".join(map(_escaped, raw)) + b'"'


def _escaped(byte: int) -> bytes:
    if byte in _QUOTED:
        return b"\\%c" % byte
    if byte in _ESCAPES:
        return b"\\" + _ESCAPES[byte]
    return b"%c" % byte if _FIRST <= byte <= _LAST else b"\\%03o" % byte


def _end(name: bytes) -> bytes:
    """A tab ends a name that has a space: patch(1) would take what follows for a date."""
    return b"\t" if b" " in name and not name.startswith(b'"') else b""
