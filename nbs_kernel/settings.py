"""What a user can change of a running kernel."""

from __future__ import annotations

from sandbox import Value

DEFAULT_LIMIT = 500_000


class Settings(Value):
    """`limit_bytes`: so much of a cell's output is shown, 0: all. `split`: stdout and stderr on
    terminals of their own. `terminal_input`: a program that reads the terminal asks the front end.
    `snapshot_each`: a snapshot is taken before each cell.
    """

    limit_bytes: int = DEFAULT_LIMIT
    split: bool = False
    terminal_input: bool = False
    snapshot_each: bool = False


def settings_of(pairs: tuple[tuple[str, int], ...]) -> Settings:
    """Those that another kernel left, as far as they are known."""
    given = dict(pairs)
    default = Settings()
    return Settings(
        limit_bytes=max(0, given.get("limit_bytes", default.limit_bytes)),
        split=bool(given.get("split", default.split)),
        terminal_input=bool(given.get("terminal_input", default.terminal_input)),
        snapshot_each=bool(given.get("snapshot_each", default.snapshot_each)),
    )


def pairs_of(settings: Settings) -> tuple[tuple[str, int], ...]:
    """As they are left to another kernel."""
    return tuple((name, int(value)) for name, value in settings.fields().items())
