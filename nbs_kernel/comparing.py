"""What was changed in the workspace of a kernel, looked at from outside."""

from __future__ import annotations

import sandbox
from nbs_kernel.requests import Refused, Shown
from sandbox import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.requests import Diff
    from sandbox import Session

LONGEST_DIFFERENCE = 8 << 20
"""Characters of a difference that are handed to a notebook."""


def difference(session: Session, asked: Diff) -> Shown | Refused:
    """What was changed in a workspace that a kernel lives in."""
    lines = []
    left = LONGEST_DIFFERENCE
    try:
        kept = sandbox.find_workspace(session.name)
        shown = sandbox.compared(
            kept,
            lambda one: sandbox.showing.shown(one, stat=asked.stat),
            since=asked.since,
            paths=asked.paths,
        )
        for style, line in shown:
            lines.append(sandbox.showing.for_eyes(style, line, colour=True))
            left -= len(lines[-1])
            if left < 0:
                lines.append(f"and more: `nbs diff {kept.name}` shows all of it")
                break
    except Error as error:
        return Refused.of(error)
    return Shown(text="\n".join([*lines, ""]))
