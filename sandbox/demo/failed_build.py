"""A small store and one derivation in it, made without Nix: what `nbs demo` builds and enters.

The paths are named as Nix names them and the derivation is written as Nix writes it, so everything
that works on a real store works on this one. There is no database: closures are found by reference.
"""

from __future__ import annotations

import hashlib
import os
import shutil

from sandbox.demo import recipe
from sandbox.model import aterm, storepath
from sandbox.model.aterm import Derivation, Output
from sandbox.model.value import Value

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "hello-1.0"
STORE = "/nix/store"


class Demo(Value):
    """Where the demonstration lies: its root is a diverted store (`--store ROOT`)."""

    root: str
    derivation_path: str


def prepare(root: str, system: str) -> Demo:
    """Fill the store below `root` and write the derivation into it. What is there is kept.

    Raises OSError, and RecipeError when a program of the host is missing.
    """
    _require_tools()
    store = f"{root}{STORE}"
    os.makedirs(store, mode=0o755, exist_ok=True)
    components = recipe.build_all(store, f"{HERE}/setup.sh")
    source = _add(store, f"{HERE}/hello", "hello")
    builder = _add(store, f"{HERE}/default-builder.sh", "default-builder.sh")
    first = _add(store, f"{HERE}/source-stdenv.sh", "source-stdenv.sh")
    derivation = _derivation(system, components, source, (first, builder))
    data = aterm.unparse(derivation)
    path = storepath.make_store_path("text", _digest(data), f"{NAME}.drv", STORE)
    _write_once(root + path, data)
    return Demo(root=root, derivation_path=path)


def _require_tools() -> None:
    """The recipes do without a compiler where there is none; this build cannot."""
    if recipe.find_gcc() is None:
        raise recipe.RecipeError("gcc is not in /usr")
    if recipe.find_program("make") is None:
        raise recipe.RecipeError("make is not on PATH")
    recipe.find_patchelf()


def _derivation(
    system: str, components: dict[str, str], source: str, scripts: tuple[str, str]
) -> Derivation:
    shell = f"{components['bash']}/bin/bash"
    out = storepath.make_store_path(
        "output:out",
        _digest(f"{source} {scripts} {sorted(components.items())}".encode()),
        NAME,
        STORE,
    )
    env = {
        "builder": shell,
        "doCheck": "1",
        "name": NAME,
        "out": out,
        "outputs": "out",
        "src": source,
        "stdenv": components["stdenv"],
        "system": system,
    }
    return Derivation(
        outputs=(Output(name="out", path=out, hash_algo="", hash=""),),
        input_derivations=(),
        input_sources=tuple(sorted((components["stdenv"], source, *scripts))),
        system=system,
        builder=shell,
        args=("-e", *scripts),
        env=tuple(sorted(env.items())),
    )


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _add(store: str, source: str, name: str) -> str:
    """Copy a file or directory of this package into the store, under a name made of its content."""
    digest = hashlib.sha256()
    for directory, folders, files in os.walk(source):
        folders.sort()
        for file in sorted(files):
            digest.update(file.encode() + _content(f"{directory}/{file}"))
    if os.path.isfile(source):
        digest.update(_content(source))
    path = storepath.make_store_path("source", f"sha256:{digest.hexdigest()}", name, STORE)
    real = store + path[len(STORE) :]
    if not os.path.lexists(real):
        temporary = f"{real}.{os.getpid()}"
        if os.path.isdir(source):
            shutil.copytree(source, temporary, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, temporary)
        os.rename(temporary, real)
    return path


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write_once(path: str, data: bytes) -> None:
    if not os.path.exists(path):
        with open(f"{path}.{os.getpid()}", "wb") as file:
            file.write(data)
        os.rename(f"{path}.{os.getpid()}", path)
