"""The references that are made from the code are as the code is now.

`python3 tests/test_reference.py` writes the table of magic commands anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nbs_kernel.magics.registry import MAGICS  # noqa: E402  the path to it has to be set first

PAGE = ROOT / "docs/reference/magics.md"
BEGIN, END = "<!-- from nbs_kernel/magics/registry.py -->\n", "<!-- end -->\n"
# What is read for others: of Nix, of the system, of Jupyter; and what a build's own is given.
ENVIRONMENT = ROOT / "docs/reference/environment.md"
ASKED = re.compile(r'environ(?:\.get\(|\[)"([A-Z][A-Z0-9_]*)"')


def generated() -> str:
    rows = ["| command | what it does |", "|---|---|"]
    for magic in MAGICS.values():
        usage = magic.usage.replace("|", "\\|")
        rows.append(f"| `{usage}` | {magic.summary} |")
    parts = ["\n".join(rows) + "\n"]
    for magic in MAGICS.values():
        text = magic.help.strip("\n")
        if text:
            parts.append(f"## {magic.name}\n\n```text\n{magic.usage}\n\n{text}\n```\n")
    return "\n".join(parts)


def test_the_page_of_magic_commands_is_what_the_kernel_itself_says() -> None:
    inner = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert inner == generated(), "`python3 tests/test_reference.py` writes it anew"


def test_every_variable_that_is_read_is_in_the_reference_and_no_other_of_ours() -> None:
    sources = [p for d in ("sandbox", "nbs_kernel") for p in (ROOT / d).rglob("*.py")]
    read = {name for path in sources for name in ASKED.findall(path.read_text())}
    explained = set(
        re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", ENVIRONMENT.read_text(), re.MULTILINE)
    )
    assert read <= explained
    ours = {name for name in explained if name.startswith("NBS_")}
    text = "\n".join(path.read_text() for path in sources)
    assert ours == set(re.findall(r"\bNBS_[A-Z_]+\b", text))


if __name__ == "__main__":
    text = PAGE.read_text()
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(head + BEGIN + generated() + END + tail)
