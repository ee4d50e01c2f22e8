"""Structured attributes, as Nix puts them into the build directory.

Nix: `ParsedDerivation::prepareStructuredAttrs` and `writeStructuredAttrsShell` in
libstore/parsed-derivations.cc. Only a derivation with `__structuredAttrs = true` needs this module.
"""

from __future__ import annotations

import json

from sandbox.errors import EvidenceError
from sandbox.model.storepath import store_path_of
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_LARGEST_INTEGER = 2**64 - 1
_INT_RANGE = 1 << 32
_WIDEST_PLAIN_FLOAT = 1e15
_INTEGER_LENGTH = 21


class PathInfo(Value):
    """What Nix's database knows of one valid path.

    `nar_hash` is `sha256:` and 52 digits of Nix's base 32, `nar_size` is in bytes.
    """

    path: str
    nar_hash: str = ""
    nar_size: int = 0
    references: tuple[str, ...] = ()
    content_address: str = ""


def read(text: str) -> dict[str, Any]:
    """The attributes in the JSON text of `__json`. Raises EvidenceError (`attributes-syntax`)."""
    try:
        attributes = json.loads(text, parse_int=_integer, parse_constant=_refuse)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise EvidenceError(
            "the structured attributes of the derivation are not JSON",
            reason="attributes-syntax",
            evidence=(str(error),),
        ) from error
    if not isinstance(attributes, dict):
        raise EvidenceError(
            "the structured attributes of the derivation are not a set",
            reason="attributes-syntax",
        )
    return attributes


def strings(attributes: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of strings among the attributes; empty if it is not there or is something else."""
    value = attributes.get(name)
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value if isinstance(item, str))


def files(
    attributes: Mapping[str, Any],
    *,
    outputs: Mapping[str, str],
    graphs: Mapping[str, list[dict[str, Any]]],
    rewrite: Callable[[str], str],
) -> tuple[tuple[str, bytes], ...]:
    """The files `.attrs.json` and `.attrs.sh`, with their names.

    `outputs` maps each output to its path in the sandbox, `graphs` each name in
    `exportReferencesGraph` to what `describe` makes of that closure.
    """
    whole = {**attributes, "outputs": dict(outputs), **graphs}
    try:
        as_json = dump(whole)
        contents = ((".attrs.json", as_json), (".attrs.sh", to_shell(whole)))
        return tuple((name, rewrite(text).encode()) for name, text in contents)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(
            "the structured attributes of the derivation cannot be written as Nix writes them",
            reason="attributes-syntax",
            evidence=(str(error),),
        ) from error


def graph_roots(attributes: Mapping[str, Any], store_dir: str) -> dict[str, tuple[str, ...]]:
    """The store paths under each name in `exportReferencesGraph`."""
    graphs = attributes.get("exportReferencesGraph")
    if not isinstance(graphs, dict):
        return {}
    return {
        name: tuple(p for p in (store_path_of(q, store_dir) for q in strings(graphs, name)) if p)
        for name in graphs
    }


def describe(closure: Iterable[PathInfo], *, valid: bool = False) -> list[dict[str, Any]]:
    """A closure as `exportReferencesGraph` shows it in JSON; `valid` says of each path that it is.

    Nix: `Store::pathInfoToJSON`, later `pathInfoToJSON` of libstore/parsed-derivations.cc.
    """
    infos = {info.path: info for info in closure}
    described: list[dict[str, Any]] = []
    for path in sorted(infos):
        info = infos[path]
        entry: dict[str, Any] = {
            "path": path,
            "narHash": info.nar_hash,
            "narSize": info.nar_size,
            "references": sorted(info.references),
            "closureSize": _closure_size(path, infos),
        }
        if info.content_address:
            entry["ca"] = info.content_address
        if valid:
            entry["valid"] = True
        described.append(entry)
    return described


def _closure_size(root: str, infos: Mapping[str, PathInfo]) -> int:
    seen = {root}
    left = [root]
    size = 0
    while left:
        info = infos.get(left.pop())
        if info is None:
            continue
        size += info.nar_size
        new = set(info.references) - seen
        seen |= new
        left.extend(new)
    return size


def to_shell(attributes: Mapping[str, Any]) -> str:
    """What bash can hold of the attributes, as it would declare them.

    A name that is no shell variable, a float with a fraction, and sets and lists that hold more
    than plain values are left out.
    """
    lines = []
    for key in sorted(attributes):
        value = attributes[key]
        if not (key.isascii() and key.isidentifier()):
            continue
        if (plain := _plain(value)) is not None:
            lines.append(f"declare {key}={plain}\n")
        elif isinstance(value, list):
            items = [_plain(item) for item in value]
            if None not in items:
                lines.append(f"declare -a {key}=({''.join(f'{item} ' for item in items)})\n")
        elif isinstance(value, dict):
            pairs = [(_shell_escape(name), _plain(value[name])) for name in sorted(value)]
            if all(item is not None for _, item in pairs):
                inside = "".join(f"[{name}]={item} " for name, item in pairs)
                lines.append(f"declare -A {key}=({inside})\n")
    return "".join(lines)


def _plain(value: object) -> str | None:
    """Nix: `handleSimpleType`. None for what it leaves out."""
    if isinstance(value, str):
        return _shell_escape(value)
    if value is None:
        return "''"
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, int):
        return str(_wrapped(value))
    if isinstance(value, float) and value.is_integer():
        return str(_wrapped(int(value)) if abs(value) < _INT_RANGE // 2 else -_INT_RANGE // 2)
    return None


def _wrapped(number: int) -> int:
    """Nix goes through a C int, so a large number comes out as its lower 32 bits."""
    return (number + _INT_RANGE // 2) % _INT_RANGE - _INT_RANGE // 2


def _shell_escape(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _integer(digits: str) -> int | float:
    """As Nix's JSON library does, which has no integers beyond 64 bits."""
    if len(digits) >= _INTEGER_LENGTH:
        return float(digits)
    number = int(digits)
    return number if -(2**63) <= number <= _LARGEST_INTEGER else float(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def dump(value: object) -> str:
    """JSON the way Nix's library writes it: compact, keys in order, nothing escaped needlessly."""
    if isinstance(value, dict):
        pairs = (f"{dump(key)}:{dump(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value, ensure_ascii=False)


def _float(number: float) -> str:
    """The library turns to exponents one digit before Python does."""
    text = json.dumps(number, allow_nan=False)
    if not _WIDEST_PLAIN_FLOAT <= abs(number) < 10 * _WIDEST_PLAIN_FLOAT:
        return text
    digits = text.removesuffix(".0").replace(".", "").lstrip("-").rstrip("0")
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if number < 0 else ''}{digits[0]}{fraction}e+15"
