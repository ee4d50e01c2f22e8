"""Magic commands on what was changed in the workspace: seen, as a patch, and whether it repairs."""

from __future__ import annotations

import os

from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.typed.phases import STDENV_PHASES

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
        elif word == "--since":
            since = _value(call, word, words)
        elif word.startswith("-") or not word:
            raise MagicError(
                f"`%diff` has no option `{word}`", reason="magic-usage", hint=f"`{DIFF.usage}`"
            )
        else:
            paths.append(_inside(context, word))
    context.write(context.diff(tuple(paths), since, stat=stat))
    return None


def _patch(context: Context, call: Call) -> Code | None:
    _require_options(call, with_value=("--since", "--exclude"))
    status = context.run_outside("patch", call.arguments)
    # With 1 it has said that there is nothing to carry.
    if status > 1:
        raise _failed("patch", status)
    return None


def _verify(context: Context, call: Call) -> Code | None:
    _require_options(call, with_value=("--until",))
    status = context.run_outside("verify", call.arguments)
    if status:
        raise _failed("verify", status)
    return None


def _require_options(call: Call, *, with_value: tuple[str, ...]) -> None:
    words = list(call.arguments)
    while words:
        word = words.pop(0)
        if word in with_value:
            _value(call, word, words)
        elif word not in call.magic.choices:
            raise MagicError(
                f"`%{call.magic.name}` does not understand `{word}`",
                reason="magic-usage",
                hint=f"`{call.magic.usage}`",
            )


def _value(call: Call, option: str, words: list[str]) -> str:
    """The word behind an option, which is taken from `words`."""
    if words and not words[0].startswith("-"):
        return words.pop(0)
    raise MagicError(
        f"`{option}` of `%{call.magic.name}` needs a value",
        reason="magic-usage",
        hint=f"`{call.magic.usage}`",
    )


def _failed(name: str, status: int) -> MagicError:
    return MagicError(
        f"`%{name}` ended with exit status {status}",
        reason="magic-command-failed",
        evidence=("what it has said is above",),
    )


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
PATCH = Magic(
    name="patch",
    usage="%patch [--all] [--quick] [--since SNAPSHOT] [--exclude GLOB]…",
    summary="show the changes to source files as a patch for the recipe",
    help="As `nbs patch` does, which also writes it to a file: `nbs patch NAME -o FIX`, outside.\n"
    "The source is unpacked again for it, once; not with --quick. --all: what the build made, too.",
    run=_patch,
    most=-1,
    choices=("--all", "--quick", "--since", "--exclude"),
    offers=(("--since", "snapshots"), ("--exclude", "")),
)
VERIFY = Magic(
    name="verify",
    usage="%verify [--until PHASE | --to-end]",
    summary="run the phases from the first one, with that patch",
    help="As `nbs verify` does: in a fresh sandbox that begins with an empty directory, up to the\n"
    "phase that failed. The cell fails if they do.",
    run=_verify,
    most=2,
    choices=("--until", "--to-end"),
    offers=(("--until", " ".join(STDENV_PHASES)),),
)
