"""Magic commands on how cells are run and shown."""

from __future__ import annotations

from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError
from sandbox import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.bash.events import Outcome
    from nbs_kernel.magics.context import Context

SMALLEST_LIMIT = 1_000
LARGEST_LIMIT = 10**11
_NO_LIMIT = frozenset(["0", "off", "none"])


def size(text: str) -> int:
    """A number of bytes as it is typed, 0 for "off"; none of its kind raises `MagicError`.

    >>> size("500k"), size("2 MB"), size("off")
    (500000, 2000000, 0)
    """
    if text in _NO_LIMIT:
        return 0
    try:
        count = words.bytes_of(text)
    except ValueError:
        count = -1
    if not SMALLEST_LIMIT <= count <= LARGEST_LIMIT:
        raise MagicError(
            f"`{text[:80]}` is no limit: a size from 1k on is wanted, or `off`",
            reason="magic-usage",
            hint="`%limit 2M`",
        )
    return count


def _limit(context: Context, call: Call) -> Code | None:
    if call.arguments:
        context.change(context.settings.replace(limit_bytes=size(call.arguments[0])))
    count = context.settings.limit_bytes
    if count:
        context.write(f"the output of a cell is shown up to {words.size(count)}\n")
    else:
        context.write("the output of a cell is shown whole\n")
    return None


def _choice(call: Call, now: str) -> str:
    if not call.arguments:
        return now
    word = call.arguments[0]
    if word not in call.magic.choices:
        wanted = " or ".join(f"`{choice}`" for choice in call.magic.choices)
        raise MagicError(
            f"`%{call.magic.name}` takes {wanted}, not `{word[:80]}`",
            reason="magic-usage",
            hint=f"`%{call.magic.name} {call.magic.choices[0]}`",
        )
    return word


def _switch(field: str, told: dict[str, str]) -> Callable[[Context, Call], Code | None]:
    """A command that turns a setting on or off, or tells which it is.

    `told` has what to say of either, by the word that people use, the one for off first.
    """
    off, on = told

    def run(context: Context, call: Call) -> Code | None:
        choice = _choice(call, on if getattr(context.settings, field) else off)
        if call.arguments:
            context.change(context.settings.replace(**{field: choice == on}))
        context.write(told[choice])
        return None

    return run


_STREAMS = {
    "merged": "stdout and stderr are shown together, in the order they were written\n",
    "split": "stdout and stderr are shown apart; their order is not exact\n",
}
_STDIN = {
    "off": "a program that reads finds the end of its input at once, as in a build\n",
    "on": "a program that reads the terminal asks you\n",
}


def _time(context: Context, call: Call) -> Code | None:
    del context
    line = "\n" * (call.line - 1) + call.text
    body = call.body or ""
    if call.text.strip() and body.strip():
        body = line + body[call.line - 1 :]
    return Code(text=body if body.strip() else line, after=_took)


def _took(outcome: Outcome, seconds: float) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60)
    took = f"{int(minutes)} min {rest:.1f} s" if minutes else f"{rest:.3f} s"
    ending = f", status {outcome.status}" if outcome.status else ""
    return f"took {took}{ending}\n"


LIMIT = Magic(
    name="limit",
    usage="%limit [SIZE|off]",
    summary="show so much of a cell's output, or tell how much",
    help="SIZE is in bytes, or as in `500k` and `2M`. Of longer output the start and the end are\n"
    "shown, and all of it is in a file whose name is shown with it.",
    run=_limit,
    most=1,
    choices=("100k", "500k", "2M", "off"),
)
STREAMS = Magic(
    name="streams",
    usage="%streams [merged|split]",
    summary="show stdout and stderr in their exact order, or apart",
    help="As in Nix's log both go to one terminal (merged). Split, stderr can be told from stdout,"
    "\nbut what was written first is no longer certain.",
    run=_switch("split", _STREAMS),
    most=1,
    choices=("merged", "split"),
)
STDIN = Magic(
    name="stdin",
    usage="%stdin [on|off]",
    summary="let programs that read the terminal ask you",
    help="Off, they find the end of their input, as in a build. On, an answer of `^D`, or of the\n"
    "character Ctrl-D, is the end of the input.",
    run=_switch("terminal_input", _STDIN),
    most=1,
    choices=("on", "off"),
)
TIME = Magic(
    name="time",
    usage="%time CODE",
    summary="run the line and tell how long it took; `%%time`: the whole cell",
    run=_time,
    takes="code",
)
