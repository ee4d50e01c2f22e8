"""The expression of a derivation, given to a real Nix."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.model import aterm
from sandbox.model.expression import expression_of, literal, string
from sandbox.model.patched import PatchFile, with_patch
from sandbox.model.recipe import Attribute, attribute_lines, can_be_written
from tests.model.strategies import values
from tests.nix.world import CASES

CONTENT = b"--- a/x\n+++ b/x\n"
FEATURES = ("--option", "experimental-features", "ca-derivations")
HARD = r"""
derivation {
  name = "hard-1.0";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" "\${x} $${y} ''z'' \\" "a\r\nb" (builtins.placeholder "out") ];
  outputs = [ "out" "dev" ];
  "a.b" = "a name with a dot";
  "with" = "a keyword";
  __structuredAttrs = false;
  __noChroot = true;
  nothing = null;
  list = [ 1 "two" ./. ];
  passAsFile = [ "list" ];
  text = builtins.readFile ./latin;
}
"""
STRUCTURED = r"""
derivation {
  name = "structured-1.0";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  __structuredAttrs = true;
  outputs = [ "out" "dev" ];
  patches = [ ./latin ];
  numbers = [ 0 (-1) 1.5 1.0e3 9223372036854775807 ];
  deep = { a."b c".${"\${d}"} = [ [ ] { } null true false ]; };
}
"""


@pytest.fixture
def directory(nix_world, tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9 \x01\n")
    (tmp_path / "fix.patch").write_bytes(CONTENT)
    (tmp_path / "hard.nix").write_text(HARD)
    (tmp_path / "structured.nix").write_text(STRUCTURED)
    return tmp_path


def instantiate(world, path, *words: str) -> str:
    return world.output("nix-instantiate", *FEATURES, str(path), *words).partition("!")[0]


@pytest.mark.parametrize(
    "source", [*sorted(p.stem for p in CASES.glob("*.nix")), "hard.nix", "structured.nix"]
)
def test_it_gives_the_same_derivation_and_with_a_patch_the_one_that_is_computed(
    nix_world, directory, source
) -> None:
    path = directory / source if source.endswith(".nix") else CASES / f"{source}.nix"
    drv = instantiate(nix_world, path)
    derivation = read(nix_world, drv)
    written = directory / "written.nix"
    name = {"derivation_path": drv, "patch": f"{directory}/fix.patch", "name": "fix.patch"}
    text = expression_of(derivation, **name)
    written.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert instantiate(nix_world, written, "--arg", "patches", "[ ]") == drv
    repaired = read(nix_world, instantiate(nix_world, written))
    patch = PatchFile(name="fix.patch", content=CONTENT).path("/nix/store")
    assert own(repaired) == own(with_patch(derivation, patch))
    assert set(repaired.input_sources) == {*derivation.input_sources, patch}


def read(world, drv: str) -> aterm.Derivation:
    return aterm.parse(Path(world.physical(drv)).read_bytes())


def own(derivation: aterm.Derivation) -> list[tuple[str, str]]:
    """The environment without the outputs: their paths follow from all else."""
    outputs = {output.name for output in derivation.outputs}
    return [pair for pair in derivation.env if pair[0] not in outputs]


@settings(max_examples=10, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(values, min_size=50, max_size=100))
def test_nix_reads_from_a_string_what_was_written(nix_world, tmp_path, texts) -> None:
    path = tmp_path / "strings.nix"
    listed = " ".join(string(text) for text in texts)
    question = f'toString (map (builtins.hashString "sha256") [ {listed} ])'
    path.write_bytes(question.encode("utf-8", "surrogateescape"))
    answer = nix_world.output("nix-instantiate", "--eval", str(path)).strip('"').split()
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    assert answer == [hashlib.sha256(data).hexdigest() for data in encoded]


def test_nix_reads_numbers_as_they_were(nix_world) -> None:
    numbers = [0, -1, 2**63 - 1, -(2**63), 1.5, -0.25, 1e300]
    question = f"builtins.toJSON {literal(numbers)}"
    answer = nix_world.output("nix-instantiate", "--eval", "-E", question)
    assert answer == '"[0,-1,9223372036854775807,-9223372036854775808,1.5,-0.25,1e+300]"'


WORDS = ["a", " ", "  ", "\n", "\t", "''", "'", "${", "$", "{x}", '"', "\\", "é", "$$", "#"]
VALUES = (
    *("", "1", "\n", "a\nb", "a\nb\n", "  a\n b", "a\n  b\n", "a\n  ", "\n\na\n\n", "a\n\tb"),
    *("echo ${x} ''y''\nz", "'${x}\ny", "it's\n'", "sed -i 's/a/b/' x\nmake\n", "\\n\nb"),
)


def test_nix_reads_an_attribute_for_a_recipe_as_what_was_tried(nix_world, tmp_path):
    values = (*VALUES, *map("".join, itertools.product(WORDS, repeat=3)))
    attributes = [Attribute(name=f"x{n}", value=v, tried="check") for n, v in enumerate(values)]
    assert all(map(can_be_written, attributes))
    text = "\n".join(line for one in attributes for line in attribute_lines(one))
    (tmp_path / "written.nix").write_text(f"{{ {text}\n}}")
    command = ("nix-instantiate", "--eval", "--strict", "--json", f"{tmp_path}/written.nix")
    told = json.loads(nix_world.output(*command))
    assert told == {one.name: one.value for one in attributes}


def test_a_line_of_text_is_a_line_in_the_recipe():
    value = "patchShebangs test.sh\nmake ${x}\n"
    assert list(attribute_lines(Attribute(name="preCheck", value=value, tried="check"))) == [
        "# `phase check` has passed with it",
        "preCheck = ''",
        "  patchShebangs test.sh",
        "  make ''${x}",
        "'';",
    ]


@pytest.mark.parametrize(("name", "value"), [("x", "\x1b[2J"), ("x", "a\rb"), ("with", "1")])
def test_what_nix_cannot_say_in_a_recipe_is_not_written(name, value):
    assert not can_be_written(Attribute(name=name, value=value))
