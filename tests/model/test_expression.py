"""The Nix expression of a derivation: its strings, its numbers, and what is no argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.model.aterm import DynamicInput, Output
from sandbox.model.expression import expression_of, literal, string
from tests.model import strategies
from tests.model.made import DRV, FIXED, IMPURE, derivation

HARD = st.lists(
    st.sampled_from(["$", "{", "}", '"', "\\", "''", "\n", "\r", "\t", "a", "n", "é", "\udcff"])
).map("".join)


def read(text: str) -> str:
    """What Nix reads between double quotes: the state STRING of its lexer, and `unescapeStr`."""
    assert text[0] == text[-1] == '"'
    found, at, inside = "", 0, text[1:-1]
    while at < len(inside):
        char = inside[at]
        assert char != '"', "the string ends too early"
        assert inside[at : at + 2] != "${", "an expression begins in it"
        if char == "\\":
            at += 1
            found += {"n": "\n", "r": "\r", "t": "\t"}.get(inside[at], inside[at])
        elif inside[at : at + 2] == "$$":
            # Two of them are one token, and what follows begins a new one.
            found += "$$"
            at += 1
        else:
            found += "\n" if char == "\r" else char
        at += 1
    return found


@given(st.one_of(HARD, strategies.values))
def test_nix_reads_from_a_string_what_was_written(text) -> None:
    assert read(string(text)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (42, "42"),
        (-1, 'builtins.fromJSON "-1"'),
        (2**63, 'builtins.fromJSON "9223372036854775808"'),
        (1.5, 'builtins.fromJSON "1.5"'),
        ([1.5, "a"], '[ (builtins.fromJSON "1.5") "a" ]'),
        ({"a b": [], "${x}": {}}, '{ "a b" = [ ]; "\\${x}" = { }; }'),
    ],
)
def test_what_json_holds_is_written_as_nix_has_it(value, text) -> None:
    assert literal(value) == text


def test_outputs_are_no_arguments_but_their_names_are() -> None:
    made = derivation(Output(name="out", path="/o"), out="/o", outputs="out", a="1", **{"a-b": "2"})
    text = expression(made)
    assert "  out = " not in text
    assert '  outputs = [ "out" ];\n' in text
    assert '  "a-b" = "2";\n' in text


@pytest.mark.parametrize(
    ("output", "argument"),
    [
        (Output(name="out", hash_algo="r:sha256"), "__contentAddressed"),
        (IMPURE, "__impure"),
    ],
)
def test_how_an_output_comes_about_is_an_argument(output, argument) -> None:
    assert f"  {argument} = true;\n" in expression(derivation(output))
    assert argument not in expression(derivation(FIXED))


def test_a_boolean_that_nix_wants_as_one_is_one() -> None:
    assert "  __structuredAttrs = false;\n" in expression(derivation(__structuredAttrs=""))


def test_a_keyword_is_quoted_where_it_is_a_name() -> None:
    assert '  "with" = "1";\n' in expression(derivation(**{"with": "1"}))


def test_inputs_are_the_context_of_the_builder() -> None:
    made = derivation().replace(input_derivations=(("/nix/store/a.drv", ("dev", "out")),))
    text = expression(made)
    assert '    "/nix/store/a.drv".outputs = [ "dev" "out" ];\n' in text
    assert f'    "{made.input_sources[0]}".path = true;\n' in text
    assert f'builder = builtins.appendContext "{made.builder}" inputs;' in text


def test_a_derivation_of_a_derivation_is_refused() -> None:
    made = derivation().replace(dynamic_inputs=(("/x", (DynamicInput(name="out", outputs=()),)),))
    with pytest.raises(EvidenceError) as caught:
        expression(made)
    assert caught.value.reason == "derivation-refused"


@given(strategies.derivations)
def test_every_derivation_has_one_or_is_refused(made) -> None:
    try:
        text = expression(made)
    except EvidenceError:
        return
    assert text.startswith("# ")
    assert text.count("{ patches ? [ ") == 1


def expression(made) -> str:
    return expression_of(made, derivation_path=DRV, patch="/HOST/fix.patch", name="fix.patch")
