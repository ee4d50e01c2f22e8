"""What is wrong with a magic command, in the project's one tree of errors."""

from __future__ import annotations

from sandbox import Error


class MagicError(Error):
    """A line that begins with `%` asks for what is not there or cannot be. `reason`: "magic-…"."""

    exit_code = 2
