"""Magic commands on the build that the kernel is in."""

from __future__ import annotations

from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.requests import Enter
from nbs_kernel.typed.shown import one_line, plain, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.magics.context import Context, KnownBuild

_OPTIONS = ("--store", "--derivation")
_WORKSPACE, _TOOL = "--ws", "--with-tool"


def _known(context: Context) -> KnownBuild:
    known = context.known
    if known is None or not (known.name or known.facts or known.plan):
        raise MagicError(
            "this kernel is in no build yet",
            reason="magic-no-build",
            hint="`%enter BUILD` takes a kept directory, a .drv or a name",
        )
    return known


def _enter(context: Context, call: Call) -> Code | None:
    words = list(call.arguments)
    given: dict[str, str] = {}
    tools: tuple[str, ...] = ()
    while len(words) > 1 and words[0] in (*_OPTIONS, _WORKSPACE, _TOOL):
        name, value, *words = words
        if name == _TOOL:
            tools = (*tools, value)
        else:
            given[name] = value
    if given.get(_WORKSPACE) and len(given) == 1 and not words:
        context.enter(Enter(build="", workspace=given[_WORKSPACE], tools=tools))
        return None
    if len(words) != 1 or not words[0] or _WORKSPACE in given:
        raise MagicError(
            "one build is to be entered, and its name is not empty",
            reason="magic-usage",
            hint=f"`{ENTER.usage}`",
        )
    store, derivation = (given.get(option, "") for option in _OPTIONS)
    context.enter(Enter(build=words[0], store=store, derivation=derivation, tools=tools))
    return None


def _build(context: Context, call: Call) -> Code | None:
    del call
    known = _known(context)
    rows = tuple((one_line(name), plain(value)) for name, value in known.facts)
    title = known.label or known.name
    width = max([len(name) for name, _ in rows], default=0)
    lines = [f"{name:{width}}  {_indented(value, width + 2)}" for name, value in rows]
    context.display(
        {
            "text/plain": "\n".join([one_line(title), *lines]),
            "text/html": table(("build", title), rows),
        },
        {},
    )
    return None


def _indented(text: str, width: int) -> str:
    return text.rstrip("\n").replace("\n", "\n" + " " * width)


def _plan(context: Context, call: Call) -> Code | None:
    del call
    known = _known(context)
    rows: list[tuple[str, ...]] = []
    section = ""
    for row in known.plan_rows:
        # Each section is named once.
        rows.append((row[0] if row[0] != section else "", *row[1:]))
        section = row[0]
    context.display(
        {
            "text/plain": plain(known.plan).rstrip("\n"),
            "text/html": table(("", "what", "how", "rule"), tuple(rows)),
        },
        {},
    )
    return None


def _restart(context: Context, call: Call) -> Code | None:
    del call
    context.restart()
    context.write("a fresh shell in the same workspace\n")
    return None


def _reset(context: Context, call: Call) -> Code | None:
    del call
    context.reset()
    context.write("the workspace is as it was kept, and the shell is a fresh one\n")
    return None


ENTER = Magic(
    name="enter",
    usage="%enter [--store STORE] [--derivation DRV] [--with-tool NAME]… BUILD | %enter --ws NAME",
    summary="move into the sandbox of another failed build, or a kept workspace",
    help="BUILD and the options are those of `nbs shell`: a kept directory, a .drv, or a name.\n"
    "A directory has to tell of a build itself, by an env-vars or a name that Nix gives; with\n"
    "--derivation, too. Any other is for `nbs shell --derivation DRV DIR`, in a terminal.\n"
    "The kernel and its notebook stay; shell, variables and files are those of the other build.\n"
    "--ws NAME is a workspace that a shell or a kernel left: `nbs ws ls`.\n"
    "--with-tool NAME gives the cells a program of the host, found on PATH: `tool NAME …`.\n"
    "What was changed here is kept as one.\n"
    "What comes after it in the cell is done there.",
    run=_enter,
    least=1,
    most=-1,
    choices=(*_OPTIONS, _WORKSPACE, _TOOL),
    offers=(
        (_WORKSPACE, "workspaces"),
        *((option, "paths") for option in _OPTIONS),
        ("", "builds"),
    ),
)
BUILD = Magic(
    name="build", usage="%build", summary="show what is known of the failed build", run=_build
)
PLAN = Magic(
    name="plan",
    usage="%plan",
    summary="show how the sandbox is made, each line with the rule it follows",
    run=_plan,
)
RESTART = Magic(
    name="restart",
    usage="%restart",
    summary="start a fresh shell; the files stay as they are",
    help="What runs in the background ends. Variables and functions are the build's own again.",
    run=_restart,
)
RESET = Magic(
    name="reset",
    usage="%reset",
    summary="put the workspace back as it was kept, with a fresh shell",
    help="What was changed in this kernel is kept as a workspace, whose name is told.",
    run=_reset,
)
