"""A derivation with one more of `patches`, as an override of its recipe would have made it.

Nixpkgs: `patchPhase` in stdenv's setup applies each of `patches` with `patchFlags`, between the
hooks prePatch and postPatch.
"""

from __future__ import annotations

import re

from sandbox.model import storepath
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.model.aterm import Derivation
    from sandbox.model.recipe import Attribute

LONGEST_NAME = 80
_STRIP = re.compile(r" (?:-p ?|--strip[= ])([0-9]{1,2})(?= )")
_REVERSE = frozenset(("-R", "--reverse"))


class PatchFile(Value):
    """A patch file: its name in the store, and what is in it."""

    name: str
    content: bytes

    def path(self, store_dir: str) -> str:
        """Where Nix puts it when a recipe names it. Nix: `Store::addToStore`, recursive, sha256."""
        from hashlib import sha256  # noqa: PLC0415  loads libcrypto, and few runs need a hash

        digest = sha256(archive(self.content)).hexdigest()
        return storepath.make_store_path("source", f"sha256:{digest}", self.name, store_dir)


class Repair(Value):
    """What a build is tried with: a patch, attributes that its recipe could have, or both."""

    patch: PatchFile | None = None
    attributes: tuple[Attribute, ...] = ()

    def __str__(self) -> str:
        names = (self.patch.name,) if self.patch is not None else ()
        return ", ".join((*names, *(one.name for one in self.attributes)))


def repaired(derivation: Derivation, repair: Repair, store_dir: str) -> Derivation:
    """`derivation` as a recipe with the repair would give it. Its outputs' paths stay as they are.

    Raises `EvidenceError` (`attributes-syntax`).
    """
    given = placed(derivation, {one.name: one.value for one in repair.attributes})
    if derivation.structured_attributes:
        derivation = _with_values(derivation, given)
    else:
        derivation = derivation.replace(
            env=tuple(sorted({**dict(derivation.env), **given}.items()))
        )
    patch = repair.patch
    return derivation if patch is None else with_patch(derivation, patch.path(store_dir))


def placed(derivation: Derivation, given: dict[str, str]) -> dict[str, Any]:
    """The attributes `given` where its recipe has them: those of `env` as a new `env`.

    With structured attributes the set-up exports what is in `env`, over any attribute beside it.
    Raises `EvidenceError` (`attributes-syntax`).
    """
    old = environment(derivation)
    changed = {name: value for name, value in given.items() if name in old}
    if not changed:
        return {**given}
    others = {name: value for name, value in given.items() if name not in old}
    return {**others, "env": {**old, **changed}}


def environment(derivation: Derivation) -> dict[str, Any]:
    """The attribute `env`, where that is a set beside the others.

    Raises `EvidenceError` (`attributes-syntax`).
    """
    found = _attributes(derivation).get("env") if derivation.structured_attributes else None
    return found if isinstance(found, dict) else {}


def store_name(file_name: str) -> str:
    """A name that Nix allows, with the ending by which patchPhase tells how to unpack it.

    >>> store_name("it's a fix.patch.gz")
    'it-s-a-fix.patch.gz'
    """
    allowed = "".join(c if c in storepath.NAME_CHARACTERS else "-" for c in file_name).lstrip(".")
    return allowed[-LONGEST_NAME:].lstrip(".") or "repair.patch"


def archive(content: bytes) -> bytes:
    """A regular file as a Nix archive. Nix: `dumpString` in libutil/archive.cc."""
    words = (b"nix-archive-1", b"(", b"type", b"regular", b"contents", content, b")")
    return b"".join(
        len(word).to_bytes(8, "little") + word + bytes(-len(word) % 8) for word in words
    )


def with_patch(derivation: Derivation, path: str) -> Derivation:
    """`derivation` with `path` behind those of its `patches`. Its outputs' paths stay as they are.

    Raises `EvidenceError` (`attributes-syntax`).
    """
    if derivation.structured_attributes:
        return _with_json(derivation, path)
    old = derivation.get("patches")
    new = path if old is None else f"{old} {path}"
    others = (pair for pair in derivation.env if pair[0] != "patches")
    return derivation.replace(env=tuple(sorted((*others, ("patches", new)))))


def _with_json(derivation: Derivation, path: str) -> Derivation:
    old = _attributes(derivation).get("patches")
    new = f"{old} {path}" if isinstance(old, str) else [*(old or ()), path]
    return _with_values(derivation, {"patches": new})


def _with_values(derivation: Derivation, new: dict[str, Any]) -> Derivation:
    from sandbox.model.attributes import dump  # noqa: PLC0415  json, as below

    text = dump({**_attributes(derivation), **new})
    env = tuple((n, text if n == "__json" else v) for n, v in derivation.env)
    return derivation.replace(env=env)


def why_not(derivation: Derivation | None) -> str:
    """Why a patch among `patches` would not be applied by this build; empty if it would.

    What set-up hooks and a recipe's own commands do beside that cannot be known.
    """
    if derivation is None:
        return "its derivation was not found"
    value = _values(derivation)
    phases, own = value("phases"), value("patchPhase")
    listed = phases.split() if isinstance(phases, str) else phases
    reasons = (
        (not value("stdenv"), "it does not use stdenv, and so has no patchPhase"),
        (
            value("buildCommand") or value("buildCommandPath"),
            "it is made by a buildCommand, and so has no patchPhase",
        ),
        (value("dontUnpack"), "dontUnpack is set: there is no source to patch"),
        (value("dontPatch"), "dontPatch is set: its patchPhase is left out"),
        (listed and "patchPhase" not in listed, "its `phases` leave patchPhase out"),
        (
            isinstance(own, str) and own and "patches" not in own and "patchPhase" not in own,
            "it has a patchPhase of its own, which does not look at `patches`",
        ),
    )
    return next((text for holds, text in reasons if holds), "")


def has_patches(derivation: Derivation) -> bool:
    """Are there any already?"""
    return bool(_words(_values(derivation)("patches")))


def strip_of(derivation: Derivation) -> tuple[int, str]:
    """How many directories patchPhase takes away from the names in a patch, and what else is said
    of `patchFlags` that a patch cannot go by; empty if nothing is.
    """
    flags = _words(_values(derivation)("patchFlags"))
    if not flags:
        return 1, ""
    text = " ".join(flags)
    found = _STRIP.findall(f" {text} ")
    if not found:
        return 1, f"its patchFlags are `{text}`, without -p: patch(1) goes by last names alone then"
    if _REVERSE.intersection(flags):
        return int(found[-1]), f"its patchFlags are `{text}`: patches are taken back by it"
    return int(found[-1]), ""


def _words(value: Any) -> list[str]:
    return value.split() if isinstance(value, str) else [str(one) for one in value or ()]


def _values(derivation: Derivation) -> Callable[[str], Any]:
    """Its attributes by name, None for those that it has not."""
    return _attributes(derivation).get if derivation.structured_attributes else derivation.get


def _attributes(derivation: Derivation) -> dict[str, Any]:
    from sandbox.model import attributes  # noqa: PLC0415  json costs more than the rest together

    return attributes.read(derivation.get("__json") or "{}")
