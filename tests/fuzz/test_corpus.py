"""Every text of the fuzzer's corpus, those that once broke a parser among them."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.fuzz_parsers import CORPUS
from tests.fuzz.targets import TARGETS

ENTRIES = [
    (name, entry) for name in TARGETS for entry in sorted(os.listdir(os.path.join(CORPUS, name)))
]


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=["-".join(pair) for pair in ENTRIES])
def test_a_text_of_the_corpus_breaks_nothing(name: str, entry: str) -> None:
    with open(os.path.join(CORPUS, name, entry), "rb") as file:
        TARGETS[name](file.read())
