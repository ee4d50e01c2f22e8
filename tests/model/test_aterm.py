"""Derivations: every text that Nix writes is understood, and every other refused in one way."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import DerivationSyntaxError
from sandbox.model import aterm
from sandbox.model.aterm import Derivation, DynamicInput, Output
from tests.model.strategies import derivations

HELLO = (
    b'Derive([("out","/nix/store/q-hello","","")],[("/nix/store/d-bash.drv",["out","dev"])],'
    b'["/nix/store/s-builder.sh"],"x86_64-linux","/nix/store/b-bash/bin/bash",'
    b'["-e","builder.sh"],[("name","hello"),("script","a \\"b\\"\\n\\tc\\\\n\\r"),("out","/q")])'
)


def derivation(*outputs: Output, **fields: object) -> Derivation:
    return Derivation(system="x86_64-linux", builder="/b", outputs=outputs, **fields)


def test_each_part_of_a_derivation_is_read() -> None:
    assert aterm.parse(HELLO) == Derivation(
        outputs=(Output(name="out", path="/nix/store/q-hello"),),
        input_derivations=(("/nix/store/d-bash.drv", ("out", "dev")),),
        input_sources=("/nix/store/s-builder.sh",),
        system="x86_64-linux",
        builder="/nix/store/b-bash/bin/bash",
        args=("-e", "builder.sh"),
        env=(("name", "hello"), ("script", 'a "b"\n\tc\\n\r'), ("out", "/q")),
    )


def test_a_text_is_written_as_it_was_read() -> None:
    assert aterm.unparse(aterm.parse(HELLO)) == HELLO


@given(derivations)
def test_what_is_written_is_read_back_the_same(drawn: Derivation) -> None:
    assert aterm.parse(aterm.unparse(drawn)) == drawn


@given(
    st.binary()
    | st.lists(st.sampled_from([b"Derive(", b"[", b"]", b'"', b"\\", b",", b"(", b")", b"a"])).map(
        b"".join
    )
)
def test_any_bytes_give_a_derivation_or_the_one_error(data: bytes) -> None:
    try:
        aterm.parse(data)
    except DerivationSyntaxError as error:
        assert 0 <= error.offset <= len(data)  # noqa: PT017  either outcome is right


@given(derivations, st.data())
def test_a_text_that_is_cut_short_is_refused(drawn: Derivation, data: st.DataObject) -> None:
    text = aterm.unparse(drawn)
    with pytest.raises(DerivationSyntaxError):
        aterm.parse(text[: data.draw(st.integers(0, len(text) - 1))])


def test_a_text_that_goes_on_is_refused_where_it_should_end() -> None:
    with pytest.raises(DerivationSyntaxError, match="goes on") as caught:
        aterm.parse(HELLO + b"\n")
    assert caught.value.offset == len(HELLO)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[]", ()),
        ('[""]', ("",)),
        ('["","]",","]', ("", "]", ",")),
        (r'["a\",\"b","c\"]","d"]', ('a","b', 'c"]', "d")),
        ('["a\n","b"]', ("a\n", "b")),
    ],
)
def test_a_list_ends_where_nix_ends_it(written: str, read: tuple[str, ...]) -> None:
    text = f'Derive([("out","","","")],[],{written},"x86_64-linux","/bin/sh",[],[])'
    assert aterm.parse(text.encode()).input_sources == read


@pytest.mark.parametrize("written", ['["a"b"]', '["a""b"]', '["a",]', '["a","b]', '[,"a"]', '"a"]'])
def test_a_list_that_nix_would_not_write_is_refused(written: str) -> None:
    with pytest.raises(DerivationSyntaxError):
        aterm.parse(f'Derive([("out","","","")],[],{written},"s","/bin/sh",[],[])'.encode())


def test_an_unknown_escape_stands_for_its_letter_as_in_nix() -> None:
    text = aterm.unparse(derivation()).replace(b'"/b"', b'"\\/\\b\\\\\\""')
    assert aterm.parse(text).builder == '/b\\"'


def test_outputs_of_outputs_are_read() -> None:
    text = (
        b'DrvWithVersion("xp-dyn-drv",[],[("/d",(["out"],[("out",(["x"],[("x",["y"])]))])),'
        b'("/e",["out"])],[],"s","/b",[],[])'
    )
    deepest = DynamicInput(name="x", outputs=("y",))
    drawn = aterm.parse(text)
    assert drawn.input_derivations == (("/d", ("out",)), ("/e", ("out",)))
    assert drawn.dynamic_inputs == (
        ("/d", (DynamicInput(name="out", outputs=("x",), inner=(deepest,)),)),
    )
    assert aterm.unparse(drawn) == text


def test_outputs_of_outputs_need_the_version_that_has_them() -> None:
    with pytest.raises(DerivationSyntaxError):
        aterm.parse(b'Derive([],[("/d",(["out"],[("out",["x"])]))],[],"s","/b",[],[])')


def test_a_version_of_the_future_is_refused_by_name() -> None:
    with pytest.raises(DerivationSyntaxError, match="version"):
        aterm.parse(b'DrvWithVersion("xp-new",[],[],[],"s","/b",[],[])')


def test_endless_nesting_is_refused_and_not_followed() -> None:
    with pytest.raises(DerivationSyntaxError):
        aterm.parse(b'DrvWithVersion("xp-dyn-drv",[],[("/d",' + b'(["o"],[("o",' * 100_000)


@pytest.mark.parametrize(
    ("output", "kinds"),
    [
        (Output(name="out", path="/p"), set()),
        (Output(name="out", path="/p", hash_algo="sha256", hash="00"), {"fixed_output"}),
        (Output(name="out", hash_algo="r:sha256"), set()),
        (Output(name="out", hash_algo="r:sha256", hash="impure"), {"impure"}),
        (Output(name="out"), {"deferred"}),
    ],
)
def test_the_kind_of_a_derivation_follows_from_its_output(output: Output, kinds: set[str]) -> None:
    every = ("fixed_output", "impure", "deferred")
    assert {kind for kind in every if getattr(derivation(output), kind)} == kinds


def test_of_two_variables_with_one_name_the_last_counts() -> None:
    assert derivation(env=(("a", "1"), ("a", "2"))).get("a") == "2"
    assert derivation().get("a") is None


def test_structured_attributes_are_told_by_the_one_variable_that_holds_them() -> None:
    assert derivation(env=(("__json", "{}"),)).structured_attributes
    assert not derivation(env=(("out", "/p"),)).structured_attributes


@pytest.mark.nix
def test_nix_reads_the_same_in_what_it_wrote(tmp_path) -> None:
    expression = r"""
        derivation {
          name = "a"; system = "x86_64-linux"; builder = "/bin/sh"; outputs = [ "out" "dev" ];
          args = [ "-c" "a\"b\\c\n\r\td" ]; "a-b" = "ü \\n \\\\"; empty = "";
          input = derivation { name = "b"; system = "s"; builder = "/b"; };
          source = builtins.toFile "c" "text";
        }"""
    store = ["--store", str(tmp_path)]
    environ = {**os.environ, "USER": "probe"}  # Nix insists on a name, which not every id has
    path = subprocess.run(
        ["nix-instantiate", *store, "-E", expression],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    verb = ["show-derivation"] if _has_show_derivation() else ["derivation", "show"]
    nix = ["nix", "--extra-experimental-features", "nix-command", *verb, *store, path]
    answer = json.loads(subprocess.run(nix, env=environ, check=True, capture_output=True).stdout)
    shown = answer[path] if path in answer else _as_before(answer, path)
    data = (tmp_path / path.lstrip("/")).read_bytes()
    read = aterm.parse(data)
    assert aterm.unparse(read) == data
    assert dict(read.env) == shown["env"]
    assert list(read.args) == shown["args"]
    assert {name: list(outputs) for name, outputs in read.input_derivations} == shown["inputDrvs"]
    assert list(read.input_sources) == shown["inputSrcs"]
    assert {o.name: {"path": o.path} for o in read.outputs} == shown["outputs"]
    assert (read.system, read.builder) == (shown["system"], shown["builder"])


def _as_before(answer: dict[str, Any], path: str) -> dict[str, Any]:
    """What Nix 2.34 shows of a derivation, in the form that it had up to 2.31."""
    shown = answer["derivations"][os.path.basename(path)]
    inputs, outputs = shown["inputs"], shown["outputs"].items()
    return shown | {
        "inputDrvs": {f"/nix/store/{d}": of["outputs"] for d, of in inputs["drvs"].items()},
        "inputSrcs": [f"/nix/store/{source}" for source in inputs["srcs"]],
        "outputs": {name: {"path": f"/nix/store/{of['path']}"} for name, of in outputs},
    }


def _has_show_derivation() -> bool:
    return not subprocess.run(
        ["nix", "show-derivation", "--help"], capture_output=True, check=False
    ).returncode
