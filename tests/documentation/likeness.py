"""Is what a terminal shows what a page shows?

Lines may come between those of the page. Hashes, numbers and the place of temporary directories may
differ, and `…` stands for anything.
"""

from __future__ import annotations

import re

LIKE = (
    (r"/nix/store/[0-9a-z]{8,}…?", r"/nix/store/[0-9a-z]{8,}…?"),
    (r"/tmp/", r"\S*/"),
    (r"0x[0-9a-f]+", r"0x[0-9a-f]+"),
    (r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b", r"[A-Z][a-z]{2}"),
    # As root, and on some file systems, there is no overlay.
    (r"\bkept$", r"kept(, a copy)?"),
    # Older releases of Nix do not write it into the log.
    (r" \(exit \d+\)", r"( \(exit \d+\))?"),
    (r"\d[\d.]* files?\b", r"[\d.]+ files?"),
    (r"\d[\d.]* [kMG]?B\b", r"[\d.]+ [kMG]?B"),
    (r"\d[\d.]*", r"[\d.]+"),
    (r"\s+", r"\s+"),
    (r"…", r".*"),
)
"""What of a line may be otherwise, and how."""
PIECES = re.compile("|".join(f"({told})" for told, _ in LIKE) + "|.")


def pattern(line: str) -> str:
    """What a terminal may show for a line of a page."""
    return PIECES.sub(_like, line.strip())


def _like(found: re.Match[str]) -> str:
    return LIKE[found.lastindex - 1][1] if found.lastindex else re.escape(found[0])


def missing(shown: tuple[str, ...], lines: list[str]) -> str:
    """The first line of these that is not among those, in order; "" if there is none."""
    rest = iter(lines)
    for line in shown:
        wanted = re.compile(pattern(line))
        if line.strip() != "…" and not any(wanted.fullmatch(seen.strip()) for seen in rest):
            return line
    return ""
