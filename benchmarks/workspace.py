"""How long entering, a snapshot and a restore take on a large tree, beside cp and git.

    python3 benchmarks/workspace.py [--runs 5] [--files 50000] [--megabytes 1000] [--changed 20]

A kept directory with so many files is made in a temporary directory. In a kept workspace of it,
once over an overlay and once as a copy, some files have been changed. Each figure is the median of
the runs; the ratios are to `cp -a` of the tree and to `git status` in it, taken in turn with the
rest. Run it as an ordinary user: what belongs to root is copied. It needs git, `busybox` (static),
and some six times the tree's size of disk for a while.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

import sandbox  # noqa: E402  found by the line above
from sandbox.session.residence import settle  # noqa: E402
from sandbox.workspace.remove import remove_tree  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

PER_DIRECTORY = 100
SHELL = "00000000000000000000000000000000-shell"


def make_tree(root: Path, files: int, size: int) -> None:
    """Files of one size, a hundred in a directory, in a git repository."""
    for number in range(files):
        directory = root / f"source/d{number // PER_DIRECTORY // 20}/e{number // PER_DIRECTORY}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        line = f"line of {number}, and some words to make it as long as lines are\n".encode()
        content = (line * (size // len(line) + 1))[:size]
        (directory / f"file{number}.c").write_bytes(content)
    git = ["git", "-C", str(root), "-c", "user.name=b", "-c", "user.email=b@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "as it was"]):
        subprocess.run([*git, "-c", "core.fsync=none", *words], check=True)


def make_store(root: Path) -> Path:
    """A store of one input, which has a shell."""
    store = root / "store"
    (store / "nix/store" / SHELL / "bin").mkdir(parents=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, store / "nix/store" / SHELL / "bin/bash")
    return store


class Case:
    """A session in a workspace of the tree, and what is measured in it."""

    def __init__(self, kept: Path, store: Path, *, copy: bool, changed: int) -> None:
        case = sandbox.read(str(kept), store=str(store), whole=True)
        request = sandbox.Request(command=("true",), copy=copy, whole_store=True)
        self.described = sandbox.describe(case, request)
        self.session = sandbox.new_session(case, self.described)
        self.enter_s = timed(self.enter)
        self.upper = Path(self.session.upper)
        self.changed = changed
        self.change(kept)

    def enter(self) -> None:
        def life(_: object) -> int:
            time.sleep(10_000)
            return 0

        self.residence = settle(self.described, life, session=self.session)

    def change(self, kept: Path) -> None:
        """One line more in some files, as an overlay or a copy holds it."""
        files = sorted(kept.glob("source/*/*/*.c"))
        for path in files[:: len(files) // self.changed][: self.changed]:
            target = self.upper / path.relative_to(kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes() + b"one more line\n")

    @property
    def living(self) -> sandbox.Living:
        assert self.residence.living is not None
        return self.residence.living


def timed(function: Callable[[], object]) -> float:
    """The seconds that it takes."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def measure(case: Case, kept: Path, place: Path, runs: int) -> dict[str, list[float]]:
    """The seconds of each, run after run."""
    found: dict[str, list[float]] = {name: [] for name in ("snapshot", "restore", "cp", "git")}
    for number in range(runs):
        name = f"n{number}"
        found["snapshot"].append(timed(lambda n=name: case.living.snapshot(n)))  # type: ignore[misc]
        found["restore"].append(timed(lambda n=name: case.living.restore(n)))  # type: ignore[misc]
        copied = place / "copied"
        found["cp"].append(timed(lambda: run("cp", "-a", str(kept), str(place / "copied"))))
        remove_tree(str(copied))
        found["git"].append(timed(lambda: run("git", "-C", str(kept), "status", "--short")))
        case.living.remove(name)
    return found


def run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def report(method: str, enter_s: float, found: dict[str, list[float]]) -> None:
    median = {name: statistics.median(times) for name, times in found.items()}
    print(f"{method}: cp -a {median['cp']:.2f} s, git status {median['git']:.2f} s")
    for name, seconds in (("enter", enter_s), *((n, median[n]) for n in ("snapshot", "restore"))):
        of_cp, of_git = seconds / median["cp"], seconds / median["git"]
        print(f"  {name:9} {seconds:7.3f} s  {of_cp:6.3f} of cp -a  {of_git:6.2f} of git status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for option, default in (("runs", 5), ("files", 50_000), ("megabytes", 1000), ("changed", 20)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--only", choices=("overlay", "copy"), default="")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="nbs-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    place.chmod(0o755)
    os.environ |= {"NBS_STATE_HOME": str(place / "state"), "NIX_CONF_DIR": str(place)}
    try:
        kept, store = place / "kept", make_store(place)
        kept.mkdir()
        make_tree(kept, given.files, given.megabytes * 1_000_000 // given.files)
        shell = f"/nix/store/{SHELL}/bin/bash"
        (kept / "env-vars").write_text(f'declare -x SHELL="{shell}"\n')
        for copy in (False, True):
            if given.only == ("overlay" if copy else "copy"):
                continue
            case = Case(kept, store, copy=copy, changed=given.changed)
            try:
                found = measure(case, kept, place, given.runs)
                kept_as = case.session.kept
                report(kept_as.method if kept_as is not None else "", case.enter_s, found)
            finally:
                case.residence.close()
                remove_tree(f"{place}/state")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        print(f"peak memory: {peak:.0f} MB, of a process that was started {children:.0f} MB")
    finally:
        remove_tree(str(place))


if __name__ == "__main__":
    main()
