"""The picture of `nbs demo` in the README, made anew of a real run:

    python -m tests.documentation.terminal_picture [FILE]

It needs tmux. What is typed is what the README's transcript types. Hashes are shortened and the home
is `~`; all else is what the terminal showed, with its colours.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tests.documentation.terminal import Terminal
from tests.documentation.written import ROOT, pages

PICTURE = ROOT / "docs/pictures/demo.svg"
COLUMNS, ROWS = 120, 50
ESCAPE = re.compile(r"\x1b\[([\d;]*)m")
# A character's cell, and what is around the text, in pixels.
WIDTH, HEIGHT, MARGIN, BAR = 8.4, 19, 18, 36
STYLE = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d8dee9; \
white-space: pre }
.bold { font-weight: bold } .title { fill: #8f99a8; text-anchor: middle }
.c30 { fill: #66707f } .c31 { fill: #ef7f85 } .c32 { fill: #a5cf8b } .c33 { fill: #ebcb8b }
.c34 { fill: #7db4f0 } .c35 { fill: #cc9bd0 } .c36 { fill: #82cfd6 } .c37 { fill: #eceff4 }"""
LIGHTS = ("#ef7f85", "#ebcb8b", "#a5cf8b")


@dataclass(frozen=True)
class Piece:
    """Characters of one look, from a column on."""

    column: int
    text: str
    classes: tuple[str, ...]


def main() -> None:
    """Run it, and write the picture where it is named, or where the README looks for it."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with tempfile.TemporaryDirectory() as directory:
        target.write_text(svg(demonstration(Path(directory))))


def story() -> list[str]:
    """What the README types in the sandbox."""
    readme = next(page for page in pages() if page.name == "README.md")
    return [step.command for step in readme.steps if step.where == "inside" and step.command]


def demonstration(place: Path) -> list[str]:
    """The lines of a terminal in which `nbs demo` ran for the first time, in a home in `place`."""
    programs, home = place / "bin", place / "home"
    programs.mkdir()
    home.mkdir()
    program = programs / "nbs"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sandbox.cli.nbs "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
    }
    terminal = Terminal(environment, home, prompt="$ ", columns=COLUMNS, rows=ROWS)
    for line in ("nbs demo", *story()):
        terminal.ask(line)
    lines = terminal.coloured()
    terminal.leave()
    return [neutral(line, home) for line in lines]


def neutral(line: str, home: Path) -> str:
    """A line without what differs from one person to the next, and hashes at a length for people."""
    return re.sub(r"(/nix/store/[0-9a-z]{8})[0-9a-z]{24}-", r"\1…-", line.replace(str(home), "~"))


def words(line: str) -> str:
    """A line without its colours."""
    return ESCAPE.sub("", line).rstrip()


def words_of(picture: str) -> list[str]:
    """The lines that a picture shows."""
    found = re.findall(r'^<text class="line".*?</text>$', picture, re.MULTILINE)
    bare = [re.sub(r"<[^>]+>", "", line) for line in found]
    return [
        re.sub("&(lt|gt|amp);", lambda m: {"lt": "<", "gt": ">", "amp": "&"}[m[1]], b) for b in bare
    ]


def pieces(line: str) -> list[Piece]:
    """The line cut where its looks change; colours are the eight that have numbers from 30 on."""
    found: list[Piece] = []
    bold, colour, column = False, "", 0
    for number, part in enumerate(ESCAPE.split(line)):
        if number % 2 == 0:
            classes = (*(("bold",) if bold else ()), *((colour,) if colour else ()))
            found += [Piece(column, part, classes)] if part else []
            column += len(part)
            continue
        for code in part.split(";"):
            bold = code == "1" or (bold and code not in ("", "0", "22"))
            if re.fullmatch(r"[39][0-7]", code):
                colour = f"c3{code[1]}"
            elif code in ("", "0", "39"):
                colour = ""
    return found


def svg(lines: list[str]) -> str:
    """A dark window with the lines in it; the text is text, each look in its own columns."""
    columns = max(len(words(line)) for line in lines)
    width = round(columns * WIDTH + 2 * MARGIN)
    height = BAR + len(lines) * HEIGHT + MARGIN
    lights = "".join(
        f'<circle cx="{MARGIN + 4 + 20 * n}" cy="{BAR / 2}" r="6" fill="{fill}"/>'
        for n, fill in enumerate(LIGHTS)
    )
    shown = [_line(line, BAR + HEIGHT * number + 14) for number, line in enumerate(lines)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img">',
            "<title>A terminal in which nbs demo runs</title>",
            f"<style>\n{STYLE}\n</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#22272e"/>',
            lights,
            f'<text class="title" x="{width / 2:g}" y="23">nbs demo</text>',
            *shown,
            "</svg>",
            "",
        ]
    )


def _line(line: str, y: float) -> str:
    spans = [
        f'<tspan x="{MARGIN + piece.column * WIDTH:g}" textLength="{len(piece.text) * WIDTH:g}"'
        f"{_class(piece)}>{escape(piece.text)}</tspan>"
        for piece in pieces(line.rstrip())
    ]
    return f'<text class="line" y="{y:g}" xml:space="preserve">{"".join(spans)}</text>'


def _class(piece: Piece) -> str:
    return f' class="{" ".join(piece.classes)}"' if piece.classes else ""


if __name__ == "__main__":
    main()
