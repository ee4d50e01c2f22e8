"""Magic commands on snapshots of the workspace."""

from __future__ import annotations

import time

from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.typed.shown import columns, one_line, table
from sandbox import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.bash.events import Outcome
    from nbs_kernel.magics.context import Context, Taken

KEPT_OF_CELLS = 10
OF_CELLS = "cell-"
_SWITCH = {"on": True, "off": False}


def _snapshot(context: Context, call: Call) -> Code | None:
    words = call.arguments
    if words[:1] == ("--each",):
        _each(context, words[1:])
    elif words[:1] == ("--remove",) and len(words) > 1:
        context.remove_snapshot(words[1])
        context.write(f"removed: {one_line(words[1])}\n")
    elif len(words) > 1 or words[:1] == ("--remove",):
        raise MagicError("that is not understood", reason="magic-usage", hint=f"`{SNAPSHOT.usage}`")
    else:
        taken = context.snapshot(words[0] if words else "")
        context.write(f"snapshot {one_line(taken.name)}: {_holds(taken)}\n")
    if call.body is None or not call.body.strip():
        return None
    return Code(text=call.body, after=_nothing_to_say)


def _nothing_to_say(_: Outcome, __: float) -> str:
    return ""


def _each(context: Context, words: tuple[str, ...]) -> None:
    if len(words) != 1 or words[0] not in _SWITCH:
        raise MagicError(
            "`--each` is turned `on` or `off`",
            reason="magic-usage",
            hint="`%snapshot --each on`",
        )
    context.change(context.settings.replace(snapshot_each=_SWITCH[words[0]]))
    if _SWITCH[words[0]]:
        context.write(
            f"before each cell that runs something a snapshot is taken, `{OF_CELLS}NUMBER`; "
            f"the last {KEPT_OF_CELLS} are kept\n`%restore` takes the last cell back\n"
        )
    else:
        context.write("no snapshots are taken unless you ask for one\n")


def _restore(context: Context, call: Call) -> Code | None:
    kill = "--kill" in call.arguments
    names = [word for word in call.arguments if word != "--kill"]
    if len(names) > 1:
        raise MagicError("that is one name too many", reason="magic-usage", hint=RESTORE.usage)
    for line in context.restore(names[0] if names else "", kill=kill):
        context.write(f"{one_line(line)}\n")
    return None


def _snapshots(context: Context, call: Call) -> Code | None:
    del call
    rows = [("failed", "by the failure itself", "the state as it was kept")]
    for one in context.snapshots():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created))
        rows.append((one_line(one.name), when, _holds(one)))
    context.display(
        {
            "text/plain": columns(tuple(rows)),
            "text/html": table(("snapshot", "taken", "holds"), tuple(rows)),
        },
        {},
    )
    return None


def _holds(one: Taken) -> str:
    return holds(one.name, one.files, one.bytes)


SNAPSHOT = Magic(
    name="snapshot",
    usage="%snapshot [NAME] | --remove NAME | --each on|off",
    summary="keep the files as they are; `%%snapshot`: before the cell runs",
    help="The build's directory, /tmp and the outputs. Without NAME it gets the next number.\n"
    f"--each on takes one before each cell; of those the last {KEPT_OF_CELLS} are kept.",
    run=_snapshot,
    takes="cell",
    most=2,
    choices=("--each", "--remove"),
    offers=(("--remove", "snapshots"), ("--each", "on off")),
)
RESTORE = Magic(
    name="restore",
    usage="%restore [NAME] [--kill]",
    summary="put the files back to a snapshot, the last one, or `failed`",
    help="The shell stays as it is, with its variables and in its directory. What is replaced\n"
    "is the snapshot `undone`. Programs in the background are in the way, and named; --kill\n"
    "ends them.",
    run=_restore,
    most=2,
    choices=("failed", "--kill"),
    offers=(("", "snapshots"),),
)
SNAPSHOTS = Magic(
    name="snapshots", usage="%snapshots", summary="list the snapshots", run=_snapshots
)
