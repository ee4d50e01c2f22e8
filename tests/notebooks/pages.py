"""The notebooks as pages of the documentation, with what a run of them shows:

    python -m tests.notebooks.pages

has Nix make the builds, runs the notebooks and writes docs/notebooks/. A notebook itself is kept without
outputs. What differs from one machine to the next is left out or shortened; the tests hold the rest to
each run of theirs.
"""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests.conftest import _cache
from tests.documentation.likeness import pattern
from tests.documentation.terminal_picture import neutral
from tests.kernel.conftest import PATH, ROOT, Home, prepare

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = ROOT / "docs/notebooks"
MADE = "<!-- `python -m tests.notebooks.pages` makes this page, of a run of notebooks/{}. -->\n"
SCROLLED = 12
"""So many lines are shown of what a notebook shows in a box to scroll in."""
OF_THE_MACHINE = re.compile(r"^(?:\| )?`?(?:owner|age|kept directory|store|/dev/kvm)\b")
MADE_UP = re.compile(r"\btmp\.\w{10}\b")
"""What mktemp makes."""
ANSI = re.compile(r"\x1b\[[\d;]*m")

Cell = dict[str, Any]


@dataclass
class Page:
    """Markdown, and the pictures that it shows by name."""

    text: str = ""
    pictures: dict[str, str] = field(default_factory=dict)

    def add(self, *lines: str) -> None:
        """A block, with an empty line behind it."""
        self.text += "\n".join(lines).rstrip() + "\n\n"


def main() -> None:
    """Make all of them."""
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        home = prepare(Path(directory) / "home", "/nothing/here", {"PATH": PATH, "LANG": "C.UTF-8"})
        make = [sys.executable, ROOT / "notebooks/builds/make.py", "--packages", _cache()]
        subprocess.run([*map(str, make)], env=home.environment, cwd=home.path, check=True)
        for path in NOTEBOOKS:
            write(path, page(path, executed(home, path, home.path / path.stem), home))


def executed(home: Home, path: Path, place: Path) -> list[Cell]:
    """The cells, run, with `place` for what comes of it: no workspace of another run is seen. A cell
    that fails without being tagged ends the run.
    """
    place.mkdir(exist_ok=True)
    result = place / "done.ipynb"
    command = ("jupyter-nbconvert", "--execute", "--to", "notebook", "--output", result)
    done = home.run(*command, path, NBS_STATE_HOME=str(place / "state"))
    assert done.returncode == 0, done.stderr
    cells: list[Cell] = json.loads(result.read_text())["cells"]
    return cells


def differs(path: Path, made: Page) -> str:
    """Where a page of this run is another than that of the documentation; "" if nowhere."""
    kept = {f"{path.stem}.md": made.text, **made.pictures}
    for name, text in kept.items():
        told, seen = (PAGES / name).read_text().splitlines(), text.splitlines()
        for line, now in zip_longest(told, seen, fillvalue=""):
            if not re.fullmatch(pattern(line), now.strip()):
                return f"{name}: {line!r} is {now!r}; python -m tests.notebooks.pages makes it anew"
    return ""


def write(path: Path, made: Page) -> None:
    """Into the documentation."""
    (PAGES / f"{path.stem}.md").write_text(made.text)
    for name, picture in made.pictures.items():
        (PAGES / name).write_text(picture)


def page(path: Path, cells: list[Cell], home: Home) -> Page:
    """The page of a notebook whose cells have been run in that home."""
    made = Page()
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            made.add(re.sub(r"\]\((\d\d-[\w-]+)\.ipynb\)", r"](\1.md)", source))
        else:
            made.add("```bash", source, "```")
            _outputs(made, cell, home, f"{path.stem[:2]}-{cell['id']}")
        if number == 0:
            made.add(MADE.format(path.name))
    made.text = made.text.rstrip() + "\n"
    return made


def _outputs(made: Page, cell: Cell, home: Home, name: str) -> None:
    """What is displayed, each by itself; what is printed, and an error, as one text."""
    printed, scrolled = "", cell["metadata"].get("scrolled", False)
    for output in cell["outputs"]:
        data = output.get("data", {})
        picture = re.search(r"data:image/svg\+xml;base64,([^\"]+)", str(data.get("text/html", "")))
        if picture:
            made.pictures[f"{name}.svg"] = base64.b64decode(picture[1]).decode()
            made.add(f"![{_plain(data)}]({name}.svg)")
        elif "text/html" in data:
            rows = _told(_table("".join(data["text/html"])), home)
            made.add(*(_cut(rows) if scrolled else rows))
        elif "application/json" in data:
            shown = json.dumps(data["application/json"], indent=2)
            made.add("```json", *_told(shown.splitlines(), home), "```")
        else:
            printed += "".join(output.get("text", ())) + "\n".join(output.get("traceback", ()))
    lines = _told(printed.rstrip().splitlines(), home)
    if lines:
        made.add("```text", *(_cut(lines) if scrolled else lines), "```")


def _cut(lines: list[str]) -> list[str]:
    """A table without an empty line before the `…` has it as a row."""
    return [*lines[:SCROLLED], *(["…"] if len(lines) > SCROLLED else [])]


def _plain(data: dict[str, Any]) -> str:
    return "".join(data["text/plain"]).partition(":")[0].rpartition("/")[2]


def _told(lines: list[str], home: Home) -> list[str]:
    bare = [neutral(ANSI.sub("", line), home.path).rstrip() for line in lines]
    bare = [MADE_UP.sub("tmp.…", line) for line in bare]
    return [line for line in bare if not OF_THE_MACHINE.match(line)]


def _table(text: str) -> list[str]:
    """A table in HTML as one in Markdown."""
    rows = [_cells(row) for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)]
    return [_row(rows[0]), _row(["---"] * len(rows[0])), *map(_row, rows[1:])]


def _cells(row: str) -> list[str]:
    found = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
    return [_cell("<code>" in cell, html.unescape(re.sub(r"<[^>]+>", "", cell))) for cell in found]


def _cell(is_code: bool, text: str) -> str:
    words = " ".join(text.split()).replace("|", "\\|")
    if not is_code or not words:
        return words
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
