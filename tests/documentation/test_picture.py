"""The picture and the transcript of the README are what `nbs demo` shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.documentation.conftest import once
from tests.documentation.likeness import missing, pattern
from tests.documentation.terminal_picture import PICTURE, pieces, svg, words, words_of
from tests.documentation.written import FENCE, ROOT

if TYPE_CHECKING:
    from tests.documentation.conftest import Demonstrated

HINT = "python -m tests.documentation.terminal_picture makes it anew"


def transcript() -> list[str]:
    blocks = [found[2] for found in FENCE.finditer((ROOT / "README.md").read_text())]
    return next(block for block in blocks if "making a small store" in block).splitlines()


@once
@pytest.mark.namespaces
@pytest.mark.terminal
def test_the_picture_shows_what_a_run_shows(demonstrated: Demonstrated) -> None:
    pictured = words_of(PICTURE.read_text())
    assert len(pictured) == len(demonstrated.words), HINT
    for line, seen in zip(pictured, demonstrated.words, strict=True):
        assert re.fullmatch(pattern(line), seen.strip()), f"{line}\n{seen}\n{HINT}"


@once
@pytest.mark.namespaces
@pytest.mark.terminal
def test_the_transcript_is_of_that_run(demonstrated: Demonstrated) -> None:
    assert missing(tuple(transcript()), demonstrated.words) == ""


def test_the_picture_is_well_formed_and_loads_nothing() -> None:
    text = PICTURE.read_text()
    assert ET.fromstring(text).tag.endswith("}svg")
    assert re.findall(r"https?://[^\"]+|url\(|href", text) == ["http://www.w3.org/2000/svg"]


def test_each_look_of_a_line_has_its_columns_and_its_colour() -> None:
    line = "\x1b[1m\x1b[34m[x]\x1b[0m\x1b[39m $ \x1b[31m<&>"
    assert [(p.column, p.text, p.classes) for p in pieces(line)] == [
        (0, "[x]", ("bold", "c34")),
        (3, " $ ", ()),
        (6, "<&>", ("c31",)),
    ]
    assert words_of(svg([line])) == [words(line)] == ["[x] $ <&>"]
