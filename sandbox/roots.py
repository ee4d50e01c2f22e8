"""Asking Nix to keep the inputs of a workspace: a session during which, and after which, they stay.

nix-store(1), `--add-root --indirect`: Nix takes the links in a directory of the workspace as roots
of its garbage collection, and forgets them by itself when they are gone. Where there is no Nix, it
does not let this user do that, or its store is another user's, in whose name it would write, the
inputs are as little protected as those of the failed build. A store that no Nix knows of, as that
of `nbs demo`, is collected by none.
"""

from __future__ import annotations

import os
import subprocess

from sandbox.host.closure import is_of_nix, nix_may_be_asked
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.host.version import find_program
from sandbox.workspace.kept import ROOTS, Kept
from sandbox.workspace.session import Session

MOST = 20_000
"""So many paths fit into the arguments of one program."""
PATIENCE_S = 30


class ProtectedSession(Session):
    """A session in a kept workspace whose inputs Nix is asked to keep, beside all else."""

    def __init__(self, state: str, *, kept: Kept | None = None, name: str = "") -> None:
        super().__init__(state, kept=kept, name=name)
        self._asking: subprocess.Popen[bytes] | None = None

    def started(self, pid: int) -> None:
        """As for `Session`. Nix is asked meanwhile: nobody waits for it before the first prompt."""
        super().started(pid)
        if self.kept is not None and not is_protected(self.kept):
            self._asking = ask(self.kept, self.inputs())

    def __exit__(self, *problem: object) -> None:
        """As for `Session`, when Nix writes no links there any more."""
        if self._asking is not None and self.is_mine():
            try:
                self._asking.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._asking.kill()
                self._asking.wait()
            self._asking = None
        super().__exit__(*problem)


def is_protected(kept: Kept) -> bool:
    """Has Nix been asked to keep the inputs, with success?"""
    try:
        return bool(os.listdir(f"{kept.path}/{ROOTS}"))
    except OSError:
        return False


def is_collectable(kept: Kept) -> bool:
    """Could Nix collect the inputs? Not where it keeps them, nor in a store that no Nix knows."""
    locations = find_locations(os.environ, read_settings(os.environ), kept.store)
    return is_of_nix(locations) and not is_protected(kept)


def ask(kept: Kept, names: frozenset[str]) -> subprocess.Popen[bytes] | None:
    """Have Nix make the links; the process that does, or None where none can be started.

    What is not valid is not built for it, and not fetched.
    """
    program = find_program("nix-store", os.environ)
    if not program or not 0 < len(names) <= MOST or not kept.store_dir:
        return None
    locations = find_locations(os.environ, read_settings(os.environ), kept.store)
    if not nix_may_be_asked(locations):
        return None
    try:
        os.makedirs(f"{kept.path}/{ROOTS}", mode=0o700, exist_ok=True)
        return subprocess.Popen(
            [
                program,
                *(("--store", kept.store) if kept.store else ()),
                *("--option", "substitute", "false"),
                "--realise",
                *(f"{kept.store_dir}/{name}" for name in sorted(names)),
                *("--add-root", f"{kept.path}/{ROOTS}/input", "--indirect"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
