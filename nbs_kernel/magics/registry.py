"""All magic commands, by name."""

from __future__ import annotations

from nbs_kernel.magics.build import BUILD, ENTER, PLAN, RESET, RESTART
from nbs_kernel.magics.changes import DIFF
from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.environment import ENV
from nbs_kernel.magics.session import LIMIT, STDIN, STREAMS, TIME
from nbs_kernel.magics.showing import DISPLAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.magics.context import Context


def _list(context: Context, call: Call) -> Code | None:
    del call
    width = max(len(magic.usage) for magic in MAGICS.values())
    lines = [f"{magic.usage:{width}}  {magic.summary}" for magic in MAGICS.values()]
    context.write("\n".join([*lines, "", "`%name?` tells more about one.", ""]))
    return None


LSMAGIC = Magic(name="lsmagic", usage="%lsmagic", summary="list the magic commands", run=_list)

MAGICS: dict[str, Magic] = {
    magic.name: magic
    for magic in (
        ENTER,
        BUILD,
        PLAN,
        DIFF,
        ENV,
        DISPLAY,
        TIME,
        RESTART,
        RESET,
        LIMIT,
        STREAMS,
        STDIN,
        LSMAGIC,
    )
}
