"""Ages and sizes in words that fit into a column, the same wherever a person reads one."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400


def age(seconds: float) -> str:
    """`8 s`, `12 min`, `3 h`, `5 d`."""
    if seconds < MINUTE:
        return f"{max(0, int(seconds))} s"
    if seconds < 2 * HOUR:
        return f"{int(seconds // MINUTE)} min"
    return f"{int(seconds // HOUR)} h" if seconds < 2 * DAY else f"{int(seconds // DAY)} d"


def size(count: int) -> str:
    """Bytes with a decimal unit: `512 B`, `1.2 MB`."""
    if count < 1000:  # noqa: PLR2004
        return f"{count} B"
    amount = count / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def bytes_of(text: str) -> int:
    """The reverse of `size`: `500M`, `1.5 GB`, `4096`. Units are decimal, `KiB` and so on binary.

    Raises ValueError for anything else; no text is 0.
    """
    word = text.strip().upper().replace(" ", "").removesuffix("B")
    if not word:
        return 0
    base = 1024 if word.endswith("I") else 1000
    word = word.removesuffix("I")
    power = "KMGT".find(word[-1]) + 1
    amount = float(word[:-1] if power else word)
    if not 0 <= amount < float("inf"):
        raise ValueError(text)
    return int(amount * base**power)
