"""Is what a terminal shows what a page shows?

Lines may come between those of the page. Hashes, numbers and the place of temporary directories may
differ, and `…` stands for anything.
"""

from __future__ import annotations

import re

LOOSE = re.compile(
    r"/nix/store/[0-9a-z]{8,}…?|/tmp/|0x[0-9a-f]+|\bkept$| \(exit \d+\)|"
    r"\d[\d.]* (?:files?|[kMG]?B)\b|\d[\d.]*|\s+|."
)
"""What of a line may be otherwise, else single characters."""


def pattern(line: str) -> str:
    """What a terminal may show for a line of a page."""
    return LOOSE.sub(_loosely, line.strip())


def _loosely(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("/nix/store/"):
        return "/nix/store/[0-9a-z]{8,32}…?"
    if text.startswith("0x"):
        return "0x[0-9a-f]+"
    if text[0].isdigit():
        unit = text.rpartition(" ")[2][-1]
        return r"[\d.]+" + {"e": " files?", "s": " files?", "B": " [kMG]?B"}.get(unit, "")
    if text.isspace():
        return r"\s+"
    if text.startswith(" (exit"):
        # Older releases of Nix do not write it into the log.
        return r"( \(exit \d+\))?"
    others = {"…": ".*", "/tmp/": r"\S*/", "kept": "kept(, a copy)?"}
    return others.get(text, re.escape(text))


def missing(shown: tuple[str, ...], lines: list[str]) -> str:
    """The first line of these that is not among those, in order; "" if there is none."""
    rest = iter(lines)
    for line in shown:
        if line.strip() != "…" and not any(
            re.fullmatch(pattern(line), seen.strip()) for seen in rest
        ):
            return line
    return ""
