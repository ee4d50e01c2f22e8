"""The notebook of a failed build, filled in from the failure: nbformat 4.5, as data for JSON.

What comes from the build may be hostile. In prose it stands between backticks, of which there are
more than it has itself: nothing in it is a link, an element of HTML, or a formula. In cells it
stands in quotes of the shell.
"""

from __future__ import annotations

import re

from sandbox.model.command import is_identifier, shell_word
from sandbox.model.printable import one_line, printable
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Cell = dict[str, Any]

KERNEL = "nbs"
LONGEST_EXCERPT_LINE = 1000

_BACKTICKS = re.compile("`+")
_HARMLESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ,.:+-]*[A-Za-z0-9])?")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9+._-]+")

SOURCE = """\
(
  noDumpEnvVars=1 NIX_LOG_FD=
  if [ -e "$NIX_BUILD_TOP/.attrs.sh" ]; then source "$NIX_BUILD_TOP/.attrs.sh"; fi
  source "$stdenv/setup" >/dev/null 2>&1
  trap - EXIT; set +eu
  # The variable comes before the function, as for the build.
  if [ -n "${PHASE-}" ]; then printf '%s\\n' "$PHASE"; else declare -f PHASE; fi
) || echo "PHASE is not a phase of \\$stdenv/setup"
"""
OF_BUILD_COMMAND = """\
(
  if [ -e "$NIX_BUILD_TOP/.attrs.sh" ]; then source "$NIX_BUILD_TOP/.attrs.sh"; fi
  if [ -f "${buildCommandPath-}" ]; then cat "$buildCommandPath"
  else printf '%s\\n' "${buildCommand-}"; fi
)
"""
CHANGES = "%diff"


class Failure(Value):
    """What a notebook tells of a failed build.

    `enter` are the words behind `%enter`; `facts` pairs of a word of our own and a text; `again`
    the line that runs what failed once more, with the word `phase`, empty if none can; `builder`
    its words, as far as they are known; `excerpt` lines of the log, `excerpt_of` our words for what
    they are; `files` those that the log points to.
    """

    name: str
    ending: str
    enter: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    phase: str = ""
    again: str = ""
    builder: tuple[str, ...] = ()
    excerpt_of: str = ""
    excerpt: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def document(failure: Failure) -> dict[str, Any]:
    """The whole notebook."""
    return {
        "cells": [
            _markdown("failure", _title(failure)),
            _code("enter", f"%enter {' '.join(map(quoted, failure.enter))}"),
            _markdown("log", _log(failure)),
            *_phase(failure),
            _markdown("investigation", "## Investigation\n\nWhat is here, and what is not?"),
            _code("try", ""),
            _markdown(
                "changes",
                "## What was changed\n\nIn the build tree, in /tmp and in the outputs since the "
                "first cell. `nbs patch` makes a patch for the recipe of what is source.",
            ),
            _code("changed", CHANGES),
        ],
        "metadata": {
            "kernelspec": {
                "display_name": "Nix build (nbs)",
                "language": "bash",
                "name": KERNEL,
            },
            "language_info": {
                "codemirror_mode": "shell",
                "file_extension": ".sh",
                "mimetype": "text/x-sh",
                "name": "bash",
                "pygments_lexer": "bash",
            },
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def file_name(name: str) -> str:
    """What the notebook of a build of that name is called, where nobody calls it otherwise."""
    stem = _NOT_IN_NAMES.sub("-", name)[:100].strip("-.")
    return f"{stem or 'build'}.ipynb"


def _title(failure: Failure) -> str:
    ended = f" ({inline(failure.ending)})" if failure.ending else ""
    where = f" in {inline(failure.phase)}" if failure.phase else ""
    facts = [f"- {name.strip()}: {inline(value)}" for name, value in failure.facts]
    lines = [f"# {inline(failure.name)} failed{where}{ended}", "", *facts]
    there = inline(f"%enter {' '.join(map(quoted, (failure.name,)))}")
    way = (
        "The next cell takes this notebook into the sandbox of that build, in a fresh workspace: "
        "it can be run from top to bottom as often as you like. On another machine, or after "
        f"another failure, name the build there: {there}."
    )
    return "\n".join([*lines, "", way])


def _log(failure: Failure) -> str:
    if not failure.excerpt:
        return "## The log\n\nNix has kept none that can be read."
    lines = ["## The log", "", f"{failure.excerpt_of}:", "", fenced(failure.excerpt)]
    if failure.files:
        lines += ["", "It points to these files:", ""]
        lines += [f"- {inline(path)}" for path in failure.files]
    return "\n".join(lines)


def _phase(failure: Failure) -> list[Cell]:
    what = failure.again.removeprefix("phase ")
    if not is_identifier(what):
        name = inline(failure.phase) if failure.phase else "The builder"
        return [_markdown("phase", f"## {name}\n\n{_why_not_again(failure.builder)}")]
    name = "The builder" if what == "builder" else what
    return [
        _markdown("phase", f"## {name}\n\nOnce more, as the build ran it. The cell may fail."),
        _code("again", failure.again, "raises-exception"),
        _markdown("source", f"What {name} does:"),
        _code("definition", _source(what, failure.builder)),
    ]


def _why_not_again(builder: tuple[str, ...]) -> str:
    if builder and builder[0].rpartition("/")[2] != "bash":
        words = inline(" ".join(map(quoted, builder)))
        return f"It is not bash: {words}. In a terminal, `nbs phase BUILD builder` runs it again."
    return "Nothing tells which phase failed: `phase` lists those that there are."


def _source(name: str, builder: tuple[str, ...]) -> str:
    """A cell that shows what is run: the text of a phase, or the builder's words, a line each."""
    if name == "builder":
        return f"printf '%s\\n' {' '.join(map(quoted, builder))}"
    return OF_BUILD_COMMAND if name == "buildCommand" else SOURCE.replace("PHASE", name)


def _markdown(name: str, source: str) -> Cell:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(source)}


def _code(name: str, source: str, *tags: str) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": _lines(source),
    }


def _lines(source: str) -> list[str]:
    """As notebooks are kept in files: a string for each line, with its end."""
    parts = source.rstrip("\n").split("\n")
    return [f"{part}\n" for part in parts[:-1]] + parts[-1:] if source else []


def inline(text: str) -> str:
    """Text within a line of Markdown, as code if it has a character that could mean something.

    >>> inline("exit 2"), inline("<b>"), inline("a`b")
    ('exit 2', '`<b>`', '``a`b``')
    """
    text = one_line(text).strip() or "-"
    if _HARMLESS.fullmatch(text):
        return text
    marks = "`" * (_longest_run(text) + 1)
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{marks}{space}{text}{space}{marks}"


def fenced(lines: tuple[str, ...]) -> str:
    """Lines as a block of Markdown that no line of it can end."""
    shown = [printable(line.replace("\n", " "))[:LONGEST_EXCERPT_LINE] for line in lines]
    fence = "`" * max(3, 1 + max(map(_longest_run, shown), default=0))
    return "\n".join([f"{fence}text", *shown, fence])


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)


def quoted(word: str) -> str:
    r"""A word of bash on one line, whatever is in it.

    >>> quoted("/tmp/a"), quoted("it's"), quoted("a\nb")
    ('/tmp/a', "'it'\\''s'", "$'a\\x0ab'")
    """
    if word.isprintable():
        return shell_word(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in "/-._"):
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
