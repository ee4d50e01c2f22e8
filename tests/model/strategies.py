"""How hypothesis makes derivations, environments and the texts they are read from."""

from __future__ import annotations

from hypothesis import strategies as st

from sandbox.model.aterm import DYNAMIC_DERIVATIONS, Derivation, DynamicInput, Output

QUOTING = [b'"', b"'", b"\\", b"$", b"`", b"!", b"\n", b"\r", b"\t", b"\x1b", b"\x7f", b"\xff"]
WORDS = [
    b"a",
    b"0",
    b" ",
    b"=",
    b"declare -x A=",
    b"export B=",
    b"\xc3\xa9",
    b"c",
    b"x",
    b"u",
    b"(",
]

raw_values = st.one_of(
    st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"")),
    st.lists(st.sampled_from(QUOTING + WORDS), max_size=20).map(b"".join),
)
"""Bytes that a variable can hold, most of them hard to quote."""

values = raw_values.map(lambda data: data.decode("utf-8", "surrogateescape"))
identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
names = st.one_of(identifiers, st.sampled_from(["a-b", "a.b", "out", "passAsFile", ""]), values)

environments = st.dictionaries(identifiers.map(lambda name: f"T_{name}"), raw_values, max_size=8)
"""Variables that no shell sets or changes by itself."""

outputs = st.builds(Output, name=values, path=values, hash_algo=values, hash=values)

dynamic_inputs = st.recursive(
    st.builds(DynamicInput, name=values, outputs=st.lists(values, max_size=2).map(tuple)),
    lambda inner: st.builds(
        DynamicInput,
        name=values,
        outputs=st.lists(values, max_size=2).map(tuple),
        inner=st.lists(inner, max_size=2).map(tuple),
    ),
    max_leaves=6,
)

input_derivations = st.lists(
    st.tuples(values, st.lists(values, max_size=3).map(tuple)),
    max_size=4,
    unique_by=lambda pair: pair[0],
).map(tuple)

_plain = st.builds(
    Derivation,
    outputs=st.lists(outputs, max_size=3).map(tuple),
    input_derivations=input_derivations,
    input_sources=st.lists(values, max_size=3).map(tuple),
    system=values,
    builder=values,
    args=st.lists(values, max_size=3).map(tuple),
    env=st.lists(st.tuples(names, values), max_size=5).map(tuple),
)


@st.composite
def _dynamic(draw: st.DrawFn) -> Derivation:
    derivation = draw(_plain)
    paths = [path for path, _ in derivation.input_derivations if draw(st.booleans())]
    inner = st.lists(dynamic_inputs, min_size=1, max_size=2).map(tuple)
    return derivation.replace(
        version=DYNAMIC_DERIVATIONS,
        dynamic_inputs=tuple((path, draw(inner)) for path in paths),
    )


derivations = st.one_of(_plain, _dynamic())
