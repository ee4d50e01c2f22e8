"""`docs/differences.md` and the twin test say the same, and each point of the list is held."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.twin.differences import DIFFERENCES, INTERACTIVE

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/differences.md").read_text()
POINTS = re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", TEXT, re.MULTILINE)
HOLDERS = sorted({pair for _, _, held in POINTS for pair in re.findall(r"`(\w+): ([^`]+)`", held)})
PATTERNS = [what for kind, what in HOLDERS if kind == "probe"]
"""The keys of the probe that a point names; `test_twin.py` has a test that they are told."""


def test_the_list_has_every_point() -> None:
    assert [int(number) for number, _, _ in POINTS] == list(range(1, 81))


def test_each_point_is_held_by_something() -> None:
    assert all(re.search(r"`(probe|test): ", held) for _, _, held in POINTS)


def test_the_document_lists_the_differences_that_are_allowed_and_no_other() -> None:
    tables = TEXT.partition("## Differences that the probe does not see")[0]
    written = re.findall(r"^\| `([\w-]+)` \|", tables, re.MULTILINE)
    assert written == [difference.name for difference in (*DIFFERENCES, *INTERACTIVE)]


@pytest.mark.parametrize("name", [what for kind, what in HOLDERS if kind == "difference"])
def test_a_difference_that_a_point_names_is_there(name: str) -> None:
    assert name in {difference.name for difference in (*DIFFERENCES, *INTERACTIVE)}


@pytest.mark.parametrize("reference", [what for kind, what in HOLDERS if kind == "test"])
def test_a_test_that_a_point_names_is_there(reference: str) -> None:
    path, _, name = reference.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text()
