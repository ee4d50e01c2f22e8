"""What tests of the documentation share: the run of `nbs demo` that the README shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.documentation.terminal_picture import demonstration, words

if TYPE_CHECKING:
    from pathlib import Path

once = pytest.mark.skipif(
    os.getuid() == 0 and "CI" in os.environ, reason="as a user without rights it is run, too"
)


@dataclass(frozen=True, kw_only=True)
class Demonstrated:
    """The lines of the terminal in which it ran, and the cache in which its build lies now."""

    lines: list[str]
    cache: Path

    @property
    def words(self) -> list[str]:
        """The lines without their colours."""
        return [words(line) for line in self.lines]


@pytest.fixture(scope="session")
def demonstrated(open_directory: Path) -> Demonstrated:
    place = open_directory / "demonstrated"
    place.mkdir()
    return Demonstrated(lines=demonstration(place), cache=place / "home/.cache")
