"""The magic command %env: what differs from the environment of the build."""

from __future__ import annotations

from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.typed.shown import one_line, table
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.magics.context import Context

    Pairs = tuple[tuple[str, str], ...]

LONGEST = 300
_OF_THE_SHELL = frozenset(["_", "OLDPWD", "PWD", "SHLVL"])


class Difference(Value):
    """A variable that is not as it was: None where it is not exported."""

    name: str
    before: str | None
    now: str | None


def pairs(answer: tuple[str, ...]) -> Pairs:
    """Names and values, of what `("environment",)` was answered."""
    return tuple(zip(answer[::2], answer[1::2], strict=False))


def differences(before: Pairs, now: Pairs) -> tuple[Difference, ...]:
    """What was exported, changed or is gone, by name; not what the shell itself changes."""
    old, new = dict(before), dict(now)
    names = sorted((old.keys() | new.keys()) - _OF_THE_SHELL)
    return tuple(
        Difference(name=name, before=old.get(name), now=new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )


def _env(context: Context, call: Call) -> Code | None:
    answer = context.shell.ask(("environment",)) if context.shell is not None else None
    if answer is None:
        raise MagicError(
            "the shell does not tell its environment now",
            reason="magic-no-shell",
            hint="`%restart` starts a fresh one",
        )
    before, now = context.environment, pairs(answer)
    if call.arguments:
        _show_some(context, call.arguments, before, now)
    else:
        _show(context, differences(before, now))
    return None


def _show(context: Context, found: tuple[Difference, ...]) -> None:
    if not found:
        context.write("the environment is that of the build\n")
        return
    rows = tuple((_sign(one), one_line(one.name), _value(one)) for one in found)
    context.display(
        {
            "text/plain": "\n".join(f"{sign} {name}{text}" for sign, name, text in rows),
            "text/html": table(
                ("", "variable", "in the build", "now"),
                tuple((_sign(d), d.name, _cell(d.before), _cell(d.now)) for d in found),
            ),
        },
        {},
    )


def _sign(one: Difference) -> str:
    if one.before is None:
        return "+"
    return "-" if one.now is None else "~"


def _value(one: Difference) -> str:
    if one.now is None or one.before is None:
        return f"={_cell(one.before if one.now is None else one.now)}"
    return f"={_cell(one.now)}\n    was {_cell(one.before)}"


def _cell(value: str | None) -> str:
    return "" if value is None else one_line(value, LONGEST)


def _show_some(context: Context, names: tuple[str, ...], before: Pairs, now: Pairs) -> None:
    old, new = dict(before), dict(now)
    lines: list[str] = []
    for name in names:
        if name not in new and name not in old:
            lines.append(f"{one_line(name)} is not exported")
            continue
        text = one_line(new[name]) if name in new else "(not exported any more)"
        lines.append(f"{one_line(name)}={text}")
        if old.get(name) != new.get(name):
            was = one_line(old[name]) if name in old else "(not exported)"
            lines.append(f"    in the build {was}")
    context.write("\n".join(lines) + "\n")


ENV = Magic(
    name="env",
    usage="%env [NAME…]",
    summary="show what differs from the environment of the build",
    help="`+` is new, `-` is gone, `~` has changed since the shell was started with what the build "
    "had.\nWith names: what they are, and what they were.",
    run=_env,
    most=-1,
    offers=(("", "variables"),),
)
