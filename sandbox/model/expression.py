"""A Nix expression that gives a derivation again, with one more of `patches`.

It is what `derivation` was called with: the attributes as the .drv has them, and the inputs as the
context of a string. Nix: `prim_derivationStrict` and `prim_appendContext` in libexpr. Without the
patch it gives the very same derivation.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.model import attributes
from sandbox.model.patched import placed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.model.aterm import Derivation

_ESCAPED = {"\\": "\\\\", '"': '\\"', "${": "\\${", "\r": "\\r"}
_LARGEST = 2**63 - 1
_MORE = 'builtins.concatStringsSep "" (map (file: " ${file}") patches)'
_BOOLEANS = ("__structuredAttrs", "__contentAddressed", "__impure")
"""Attributes that Nix wants as booleans: they are not variables, or are empty ones."""

_FORM = """\
# What {path} was made of{told}.
{{ {arguments} }}:

let
  inputs = {{
{inputs}  }};
in
derivation ({{
{attributes}}}{added})
"""


def expression_of(
    derivation: Derivation,
    *,
    derivation_path: str,
    patch: str,
    name: str,
    attributes: tuple[tuple[str, str], ...] = (),
) -> str:
    """The text of a .nix file: a function of `patches`, which are the file `patch` unless given.

    `patch` is an absolute path of the host, `name` what it is called in the store; without a path
    there is none. With `attributes`, which are put over its own, it is a function of these, too.
    Raises `EvidenceError` (`derivation-refused`, `attributes-syntax`).
    """
    if derivation.dynamic_inputs:
        raise EvidenceError(
            f"an input of `{derivation_path}` is made by what another derivation builds",
            reason="derivation-refused",
        )
    values = list(_attributes(derivation))
    has_patches = any(key == "patches" for key, _ in values)
    file = f"(builtins.path {{ path = /. + {string(patch)}; name = {string(name)}; }}) "
    arguments = f"patches ? [ {file if patch else ''}]"
    told = ", with `patches` behind its own"
    if attributes:
        given = placed(derivation, dict(attributes))
        pairs = "".join(f"{_key(key)} = {literal(value)}; " for key, value in given.items())
        arguments += f", attributes ? {{ {pairs}}}"
        told += " and `attributes` over them"
    return _FORM.format(
        path=derivation_path,
        told=told,
        arguments=arguments,
        inputs="".join(f"    {line}\n" for line in _inputs(derivation)),
        attributes="".join(f"  {_key(key)} = {value};\n" for key, value in values),
        added=("" if has_patches else f" // {_added(derivation)}")
        + (" // attributes" if attributes else ""),
    )


def _added(derivation: Derivation) -> str:
    new = "patches" if derivation.structured_attributes else "toString patches"
    return f"(if patches == [ ] then {{ }} else {{ patches = {new}; }})"


def _inputs(derivation: Derivation) -> Iterator[str]:
    """Each input with what is wanted of it, as `builtins.getContext` shows a context."""
    for path, outputs in derivation.input_derivations:
        wanted = " ".join(string(output) for output in outputs)
        yield f"{string(path)}.outputs = [ {wanted} ];"
    for path in derivation.input_sources:
        yield f"{string(path)}.path = true;"


def _attributes(derivation: Derivation) -> Iterator[tuple[str, str]]:
    """The arguments of `derivation`. Outputs' paths are no arguments: Nix adds them."""
    yield "builder", f"builtins.appendContext {string(derivation.builder)} inputs"
    yield "args", literal(list(derivation.args))
    if any(output.floating for output in derivation.outputs):
        yield "__contentAddressed", "true"
    if any(output.impure for output in derivation.outputs):
        yield "__impure", "true"
    if derivation.structured_attributes:
        yield from _structured(derivation)
    else:
        yield from _plain(derivation)


def _structured(derivation: Derivation) -> Iterator[tuple[str, str]]:
    yield "__structuredAttrs", "true"
    for key, value in attributes.read(derivation.get("__json") or "").items():
        if key == "patches":
            words = isinstance(value, str)
            more = _MORE if words else 'map (file: "${file}") patches'
            yield (
                key,
                f"{literal(value)} + {more}" if words else f"{literal(value or [])} ++ {more}",
            )
        elif key not in ("builder", "args"):
            yield key, literal(value)


def _plain(derivation: Derivation) -> Iterator[tuple[str, str]]:
    outputs = {output.name for output in derivation.outputs}
    for key, value in derivation.env:
        if key == "patches":
            yield key, f"{string(value)} + {_MORE}"
        elif key == "outputs":
            yield key, literal(value.split())
        elif key in _BOOLEANS:
            yield key, "true" if value else "false"
        elif key not in outputs and key not in ("builder", "args"):
            yield key, string(value)


def literal(value: object) -> str:
    """What JSON can hold, as Nix writes it.

    >>> literal({"a": [1, None, "b"]})
    '{ "a" = [ 1 null "b" ]; }'
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return "[ " + "".join(_element(item) + " " for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + "".join(f"{string(k)} = {literal(v)}; " for k, v in value.items()) + "}"
    if isinstance(value, int) and 0 <= value <= _LARGEST:
        return str(value)
    return f"builtins.fromJSON {string(attributes.dump(value))}"


def _element(value: object) -> str:
    text = literal(value)
    return f"({text})" if text.startswith("builtins.") else text


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() and name not in KEYWORDS else string(name)


KEYWORDS = frozenset(("assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"))


def string(text: str) -> str:
    """`text` between double quotes. Nix reads a carriage return there as a newline, if it is bare.

    >>> string('${x} "$y" $${z}')
    '"\\\\${x} \\\\"$y\\\\" $\\\\${z}"'
    """
    for plain, escaped in _ESCAPED.items():
        text = text.replace(plain, escaped)
    return f'"{text}"'
