"""Asking Nix to keep what a workspace needs of the store, from a session on and after that.

nix-store(1), `--add-root --indirect`: Nix takes the links in a directory of the workspace as roots
of its garbage collection, and forgets them by itself when they are gone. The inputs are asked for
by being realised, and the derivation, which that would build, by being imported: Nix then makes
nothing of it. Where there is no Nix, it does not let this user do that, or its store is another
user's, in whose name it would write, they are as little protected as those of the failed build. A
store that no Nix knows of, as that of `nbs demo`, is collected by none.
"""

from __future__ import annotations

import os
import subprocess
import time

from sandbox.host.closure import is_of_nix, nix_may_be_asked
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.host.version import find_program
from sandbox.model import storepath
from sandbox.workspace.kept import DERIVATION, ROOTS, Kept, inputs_of
from sandbox.workspace.session import Session

INPUT = "input"
"""The name of the first link; Nix puts a number behind it for the others."""
MOST = 20_000
"""So many paths fit into the arguments of one program."""
PATIENCE_S = 30
NEITHER_BUILD_NOR_FETCH = ("--option", "substitute", "false", "--max-jobs", "0")
ANY_PATH = ("--option", "restrict-eval", "false", "--option", "pure-eval", "false")


class ProtectedSession(Session):
    """A session in a kept workspace whose inputs Nix is asked to keep, beside all else."""

    _asking: tuple[subprocess.Popen[bytes], ...] = ()

    def started(self, pid: int) -> None:
        """As for `Session`. Nix is asked meanwhile: nobody waits for it before the first prompt."""
        super().started(pid)
        if self.kept is not None and not is_protected(self.kept):
            self._asking = ask(self.kept, self.inputs())

    def __exit__(self, *problem: object) -> None:
        """As for `Session`, when Nix writes no links there any more."""
        if self.is_mine():
            until = time.monotonic() + PATIENCE_S
            for process in self._asking:
                _wait(process, until)
            self._asking = ()
        super().__exit__(*problem)


def _wait(process: subprocess.Popen[bytes], until: float) -> None:
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_protected(kept: Kept) -> bool:
    """Has Nix been asked to keep all inputs and the derivation, with success?"""
    try:
        links = os.listdir(f"{kept.path}/{ROOTS}")
        inputs = inputs_of(kept)
    except OSError:
        return False
    if "--whole-store" in dict(kept.options):
        # What of it the build saw is not known.
        return False
    has_derivation = DERIVATION in links or not _is_of_the_store(kept)
    return has_derivation and len(set(links) - {DERIVATION}) >= len(inputs)


def is_collectable(kept: Kept) -> bool:
    """Could Nix collect the inputs? Not where it keeps them, nor in a store that no Nix knows."""
    locations = find_locations(os.environ, read_settings(os.environ), kept.store)
    return is_of_nix(locations) and not is_protected(kept)


def _is_of_the_store(kept: Kept) -> bool:
    """Is its derivation Nix's, and not a file of somebody's? Only then can it be collected."""
    path = kept.derivation
    return storepath.is_store_path(path, kept.store_dir) and path.endswith(".drv")


def ask(kept: Kept, names: frozenset[str]) -> tuple[subprocess.Popen[bytes], ...]:
    """Have Nix make the links; the processes that do, none where none can be started.

    What is not valid is not built for it, and not fetched.
    """
    locations = find_locations(os.environ, read_settings(os.environ), kept.store)
    if len(names) > MOST or not kept.store_dir or not nix_may_be_asked(locations):
        return ()
    asking = []
    if names:
        paths = (f"{kept.store_dir}/{name}" for name in sorted(names))
        asking.append(_add_roots(kept, "nix-store", ("--realise", *paths), INPUT))
    if _is_of_the_store(kept):
        # A name in the store has no character that ends a string, or begins something in it.
        words = (*ANY_PATH, "--expr", f'import "{kept.derivation}"')
        asking.append(_add_roots(kept, "nix-instantiate", words, DERIVATION))
    return tuple(process for process in asking if process is not None)


def _add_roots(
    kept: Kept, name: str, words: tuple[str, ...], link: str
) -> subprocess.Popen[bytes] | None:
    program = find_program(name, os.environ)
    if not program:
        return None
    try:
        os.makedirs(f"{kept.path}/{ROOTS}", mode=0o700, exist_ok=True)
        return subprocess.Popen(
            [
                program,
                *(("--store", kept.store) if kept.store else ()),
                *NEITHER_BUILD_NOR_FETCH,
                *words,
                *("--add-root", f"{kept.path}/{ROOTS}/{link}", "--indirect"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
