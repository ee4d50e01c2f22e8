"""How long `nbs diff` takes on a large tree with a few changed files, beside git and cp.

    python3 benchmarks/differences.py [--runs 11] [--files 50000] [--megabytes 1000]

The commands of a pair run in turn, A B A B …, and the figure is the median of the pairs' ratios.
It needs git and, for the copies, four times the tree's size of disk for a while.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from sandbox.workspace.kept import Kept, as_record  # noqa: E402  found by the line above

CHANGED = 5
PER_DIRECTORY = 100
GIT = ["git", "-c", "user.name=b", "-c", "user.email=b@b", "-c", "core.fsync=none"]


def make_tree(root: Path, files: int, size: int) -> list[Path]:
    """Text files of one size, a hundred in a directory."""
    made = []
    for number in range(files):
        directory = root / f"source/d{number // PER_DIRECTORY // 20}/e{number // PER_DIRECTORY}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        path = directory / f"file{number}.c"
        line = f"line of {number}, and some words to make it as long as lines are\n".encode()
        path.write_bytes((line * (size // len(line) + 1))[:size])
        made.append(path)
    return made


def make_workspace(state: Path, kept: Path, name: str, method: str) -> Path:
    """A kept workspace as a session leaves it; its upper directory."""
    path = state / "ws" / name
    for part in ("upper", "tmp", "outputs"):
        (path / part).mkdir(parents=True)
    record = Kept(
        name=name,
        path=str(path),
        kept=str(kept),
        build=str(kept),
        identity=(0, 0),
        build_name=name,
        method=method,
        prepared_ns=1,
    )
    (path / "workspace.json").write_text(as_record(record))
    return path / "upper"


def change(upper: Path, kept: Path, files: list[Path]) -> None:
    """One line more in a few files that lie far from each other."""
    for path in files[:: len(files) // CHANGED][:CHANGED]:
        target = upper / path.relative_to(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes() + b"one more line\n")


def timed(command: list[str], place: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds, and the peak memory of the process in kB."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=None
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{command} = {process.returncode}")
    return time.perf_counter() - begun, used.ru_maxrss


def compare(
    name: str,
    ours: list[str],
    theirs: list[str],
    runs: int,
    place: Path,
    environment: dict[str, str],
) -> None:
    """Print the medians of both, and that of the ratios."""
    pairs = []
    for number in range(runs + 1):
        (first, memory), (second, _) = (timed(c, place, environment) for c in (ours, theirs))
        for copy in place.glob("copy-*"):
            shutil.rmtree(copy)
        if number:  # the first warms the caches
            pairs.append((first, second, memory))
    ratios = sorted(a / b for a, b, _ in pairs)
    print(
        f"{name:42} {statistics.median(a for a, _, _ in pairs) * 1000:8.0f} ms"
        f" {statistics.median(b for _, b, _ in pairs) * 1000:8.0f} ms"
        f"   {statistics.median(ratios):.3f} times ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        f"   {max(m for _, _, m in pairs) // 1024} MB",
        flush=True,
    )


def main() -> None:
    """Make the trees, measure, remove them."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=11)
    options.add_argument("--files", type=int, default=50_000)
    options.add_argument("--megabytes", type=int, default=1000)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="nbs-differences-", dir="/var/tmp") as made:
        place = Path(made)
        kept = place / "kept"
        files = make_tree(kept, asked.files, asked.megabytes * 1_000_000 // asked.files)
        state = place / "state"
        state.mkdir(mode=0o700)
        change(make_workspace(state, kept, "overlay", "overlay"), kept, files)
        copied = make_workspace(state, kept, "copied", "copy")
        subprocess.run(["cp", "-a", f"{kept}/.", copied], check=True)
        change(copied, kept, files)
        work = place / "work"
        subprocess.run(["cp", "-a", kept, work], check=True)
        subprocess.run([*GIT, "init", "-q"], cwd=work, check=True)
        subprocess.run([*GIT, "add", "."], cwd=work, check=True)
        subprocess.run([*GIT, "commit", "-qm", "kept"], cwd=work, check=True)
        change(work, kept, files)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": made,
            "NBS_STATE_HOME": str(state),
            "PYTHONPATH": str(HERE),
            "GIT_OPTIONAL_LOCKS": "0",
        }
        nbs = [sys.executable, "-m", "sandbox.cli.nbs", "diff"]
        status = ["git", "-C", "work", "status", "--porcelain"]
        difference = ["git", "-C", "work", "diff"]
        copy = ["cp", "-a", str(kept), "copy-of-it"]
        compare(
            "overlay, against git status", [*nbs, "overlay"], status, asked.runs, place, environment
        )
        compare(
            "overlay, against git diff",
            [*nbs, "overlay"],
            difference,
            asked.runs,
            place,
            environment,
        )
        few = max(2, asked.runs // 4)
        compare("overlay, against cp -a", [*nbs, "overlay"], copy, few, place, environment)
        compare("a whole copy, against cp -a", [*nbs, "copied"], copy, few, place, environment)


if __name__ == "__main__":
    main()
