"""All magic commands, by name."""

from __future__ import annotations

from nbs_kernel.magics.build import BUILD, ENTER, PLAN, RESET, RESTART
from nbs_kernel.magics.changes import DIFF, PATCH, VERIFY
from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.environment import ENV
from nbs_kernel.magics.session import LIMIT, STDIN, STREAMS, TIME
from nbs_kernel.magics.showing import DISPLAY
from nbs_kernel.magics.snapshots import RESTORE, SNAPSHOT, SNAPSHOTS
from nbs_kernel.typed.shown import code, columns, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.magics.context import Context


def _list(context: Context, call: Call) -> Code | None:
    del call
    more = "`%name?` tells more about one."
    named = tuple((f"%{magic.name}", magic.summary) for magic in MAGICS.values())
    used = tuple((magic.usage, magic.summary) for magic in MAGICS.values())
    context.display(
        {
            "text/plain": f"{columns(named)}\n\n{more}",
            "text/html": table(("command", "what it does"), used) + f"<p>{code(more)}</p>",
        },
        {},
    )
    return None


LSMAGIC = Magic(name="lsmagic", usage="%lsmagic", summary="list the magic commands", run=_list)

MAGICS: dict[str, Magic] = {
    magic.name: magic
    for magic in (
        ENTER,
        BUILD,
        PLAN,
        DIFF,
        PATCH,
        VERIFY,
        ENV,
        DISPLAY,
        TIME,
        SNAPSHOT,
        RESTORE,
        SNAPSHOTS,
        RESTART,
        RESET,
        LIMIT,
        STREAMS,
        STDIN,
        LSMAGIC,
    )
}
