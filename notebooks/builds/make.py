#!/usr/bin/env python3
"""The failing builds of the notebooks, made by Nix in a store of their own.

Nothing of the machine's own Nix is read or changed, and root is not needed. The packages are made
of this machine's programs; the first time takes some seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

import sandbox  # noqa: E402  the path to it has to be set first
from tests.nix.world import NixError, NixWorld  # noqa: E402

BUILDS = sorted(path.stem for path in HERE.glob("*.nix"))


def main() -> int:
    """Make what is named, and say where it is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(BUILDS)}; or all")
    parser.add_argument("--repaired", action="store_true", help="with the repair: it must succeed")
    parser.add_argument("--remove", action="store_true", help="remove all that was ever made")
    parser.add_argument("--packages", metavar="DIR", help="where finished packages are kept")
    given = parser.parse_args()
    for name in given.name:
        if name not in BUILDS:
            parser.error(f"no build is called `{name}`; there are {', '.join(BUILDS)}")
    if given.remove:
        world_of_the_tutorial().remove()
        return 0
    if shutil.which("nix-build") is None:
        sys.stderr.write(
            "Nix is not on PATH. `nbs demo -- true` makes the build `hello` without.\n"
        )
        return 1
    world = prepare(given.packages)
    for name in given.name or BUILDS:
        recipe = str(HERE / f"{name}.nix")
        try:
            if given.repaired:
                path = world.build(recipe, "--arg", "repaired", "true")
                sys.stdout.write(f"{name}: built, {path}\n")
            else:
                sys.stdout.write(f"{name}: failed as it should, {world.fail(recipe).kept}\n")
        except NixError as error:
            sys.stderr.write(f"{name}: not as it should\n{error}\n")
            return 1
    return 0


def prepare(packages: str | None) -> NixWorld:
    """Nix with a store that `nbs` knows, in which the packages are made."""
    world = world_of_the_tutorial()
    if not world.tmp.exists():
        sys.stderr.write(f"making packages of this machine's programs, in {world.root} …\n")
    world.tmp.mkdir(parents=True, exist_ok=True)
    world.build_stdenv(packages)
    return world


def world_of_the_tutorial() -> NixWorld:
    """Its kept directories lie where its store has a place for them: `nbs` then knows the store."""
    store = sandbox.tutorial_root(os.environ)
    world = NixWorld(os.path.dirname(store))
    world.tmp = Path(store) / "nix/var/nix/builds"
    return world


if __name__ == "__main__":
    sys.exit(main())
