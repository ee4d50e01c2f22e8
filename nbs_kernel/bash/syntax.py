"""What bash's parser says of a text, read from the messages of `bash -n`."""

from __future__ import annotations

import re

from nbs_kernel.bash.events import Syntax

OPTIONS = ("--noprofile", "--norc", "-n", "-O", "extglob")
"""Of a bash that only parses. With extglob, which a cell may turn on before it needs it."""

_LINE = re.compile(r"^.*?: line (\d{1,9}): (.*)$")
_UNFINISHED = re.compile(r"unexpected end of file|unexpected EOF|delimited by end-of-file")
_OPENS = re.compile(r"(?:^|[\s;&|(])(?:do|then|else|in|\{|\()\s*(?:#.*)?$")
_COMMENT = re.compile(r"(?:^|\s)#")
_WARNING = "warning: "
_BACKSLASHES = re.compile(r"(\\*)\n?\Z")


def verdict(code: str, status: int, messages: str) -> Syntax:
    """What a bash that ended with `status` and wrote `messages` found in `code`."""
    found = [m for m in map(_LINE.match, messages.split("\n")) if m]
    if _UNFINISHED.search(messages) or (status == 0 and _goes_on(code)):
        line = found[0] if found else None
        return Syntax(
            state="incomplete",
            indent=_indent(code),
            line=int(line[1]) if line else 0,
            message=line[2] if line else "the last line goes on after its backslash",
        )
    # Up to 5.2 bash goes on after what is wrong in `[[ ]]`, and its status says nothing.
    found = [m for m in found if not m[2].startswith(_WARNING)]
    if status == 0 and not found:
        return Syntax(state="complete")
    if not found:
        return Syntax(state="invalid", message=messages.strip().split("\n")[0])
    return Syntax(state="invalid", line=int(found[0][1]), message=found[0][2])


def _goes_on(code: str) -> bool:
    """The last line ends in a backslash that is no comment's."""
    backslashes = _BACKSLASHES.search(code)
    last = code.rstrip("\n").rpartition("\n")[2]
    return bool(backslashes and len(backslashes[1]) % 2 and not _COMMENT.search(last))


def _indent(code: str) -> str:
    last = code.rstrip().rpartition("\n")[2]
    own = last[: len(last) - len(last.lstrip())]
    return own + ("  " if _OPENS.search(last) else "")
