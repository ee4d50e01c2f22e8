"""The magic command %display: shows a file as what it is."""

from __future__ import annotations

import os

from nbs_kernel import display
from nbs_kernel.magics.context import Call, Code, Magic
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.typed.surroundings import described, value_of
from nbs_kernel.typed.words import expanded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.magics.context import Context


def _display(context: Context, call: Call) -> Code | None:
    shell = context.shell
    if shell is None:
        raise MagicError(
            "there is no shell whose files could be shown",
            reason="magic-no-shell",
            hint="`%restart` starts a fresh one",
        )

    def value(name: str) -> str | None:
        known = described(shell.ask(("describe", name)))
        return value_of(known.get("variable", ""))

    paths: list[str] = []
    for word in call.words:
        path = expanded(word, value)
        if not path:
            raise MagicError(
                f"what argument {len(paths) + 1} of `%display` stands for is not known",
                reason="magic-usage",
                hint="`display FILE`, without `%`, where bash puts all in",
            )
        paths.append(path)
    for path in paths:
        context.display(display.load(os.path.join(shell.directory, path), path), {})
    return None


DISPLAY = Magic(
    name="display",
    usage="%display FILE…",
    summary="show an image, HTML, JSON, Markdown or CSV file",
    help="PNG, JPEG, GIF, SVG, HTML, JSON, Markdown, CSV and TSV, told by the end of the name.\n"
    "`display FILE…` does the same as a command of bash, anywhere in a cell. HTML and SVG come\n"
    "from the build: no script in them runs, and they load nothing. In scripts `display` is the\n"
    "program of that name, as is `command display` in a cell.",
    run=_display,
    takes="paths",
    least=1,
    most=16,
)
