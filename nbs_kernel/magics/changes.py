"""The magic command %diff: what was changed in the workspace."""

from __future__ import annotations

import os

from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.magics.context import Context


def _diff(context: Context, call: Call) -> Code | None:
    words = list(call.arguments)
    stat, since, paths = False, "", []
    while words:
        word = words.pop(0)
        if word == "--stat":
            stat = True
        elif word == "--since" and words:
            since = words.pop(0)
        elif word.startswith("-") or not word:
            raise MagicError(
                f"`%diff` has no option `{word}`", reason="magic-usage", hint=f"`{DIFF.usage}`"
            )
        else:
            paths.append(_inside(context, word))
    context.write(context.diff(tuple(paths), since, stat=stat))
    return None


def _inside(context: Context, path: str) -> str:
    """Relative to where the shell is, as for a command of it."""
    shell = context.shell
    return os.path.join(shell.directory, path) if shell is not None else path


DIFF = Magic(
    name="diff",
    usage="%diff [--stat] [--since SNAPSHOT] [PATH…]",
    summary="show what was changed in the build tree, in /tmp and in the outputs",
    help="A summary by directory, then the differences of source files; `--stat`: the summary "
    "alone.\nIt is compared with what the failure left, or with a snapshot.",
    run=_diff,
    most=-1,
    choices=("--stat", "--since"),
    offers=(("--since", "snapshots"), ("", "paths")),
)
