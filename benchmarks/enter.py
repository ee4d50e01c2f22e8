"""How long entering takes, side by side with what it can be compared to.

    python3 benchmarks/enter.py [--runs 15] [--only NAME]

Every case is a pair of commands run in turn, A B A B …, and the figure is the median of the ratios
(or differences) of the pairs, so that a machine whose speed drifts does not matter. Run it as an
ordinary user. It needs bubblewrap and `busybox` (static), and about 3 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
HASHES = "0123456789abcdfghijklmnpqrsvwxyz"
SCHEMA = """
create table ValidPaths (id integer primary key autoincrement not null, path text unique not null,
  hash text not null, registrationTime integer not null, deriver text, narSize integer,
  ultimate integer, sigs text, ca text);
create table Refs (referrer integer not null, reference integer not null,
  primary key (referrer, reference));
create index IndexReferrer on Refs(referrer);
create index IndexReference on Refs(reference);
create table DerivationOutputs (drv integer not null, id text not null, path text not null,
  primary key (drv, id));
create index IndexDerivationOutputs on DerivationOutputs(path);
"""


class World:
    """A store with `inputs` paths, Nix's database of it, and kept directories that failed in it."""

    def __init__(self, root: Path, inputs: int) -> None:
        self.root = root
        self.store = root / "nix/store"
        self.store.mkdir(parents=True)
        names = [f"{self._hash(n)}-input-{n}" for n in range(inputs)]
        for name in names:
            (self.store / name).mkdir()
        self.shell = names[0]
        (self.store / self.shell / "bin").mkdir()
        busybox = shutil.which("busybox") or "/bin/busybox"
        for name in ("sh", "true"):
            shutil.copy(busybox, self.store / self.shell / "bin" / name)
        self.out = f"{self._hash(900000)}-bench-1.0"
        self.drv = f"{self._hash(900001)}-bench-1.0.drv"
        sources = ",".join(f'"/nix/store/{n}"' for n in names)
        bash = f"/nix/store/{self.shell}/bin/sh"
        (self.store / self.drv).write_text(
            f'Derive([("out","/nix/store/{self.out}","","")],[],[{sources}],"x86_64-linux",'
            f'"{bash}",[],[("builder","{bash}"),("name","bench-1.0"),'
            f'("out","/nix/store/{self.out}")])'
        )
        self._database(names)

    @staticmethod
    def _hash(number: int) -> str:
        digits = ""
        for _ in range(32):
            digits = HASHES[number % 32] + digits
            number //= 32
        return digits

    def _database(self, names: list[str]) -> None:
        place = self.root / "nix/var/nix/db"
        place.mkdir(parents=True)
        with sqlite3.connect(place / "db.sqlite") as connection:
            connection.executescript(SCHEMA)
            rows = [(f"/nix/store/{n}", "sha256:0", 1) for n in [*names, self.drv]]
            connection.executemany(
                "insert into ValidPaths (path, hash, registrationTime) values (?, ?, ?)", rows
            )
            chain = [(n + 1, n) for n in range(1, len(names))]
            connection.executemany("insert into Refs values (?, ?)", chain)
            connection.execute(
                "insert into DerivationOutputs values (?, 'out', ?)",
                (len(rows), f"/nix/store/{self.out}"),
            )

    def kept(self, name: str) -> Path:
        """A new kept directory, empty but for its env-vars."""
        directory = self.root / "nix/var/nix/builds" / name / "build"
        directory.mkdir(parents=True)
        bash = f"/nix/store/{self.shell}/bin"
        (directory / "env-vars").write_text(
            f'export NIX_BUILD_TOP="/build"\nexport PATH="{bash}"\n'
            f'export SHELL="{bash}/sh"\nexport name="bench-1.0"\n'
            f'export out="/nix/store/{self.out}"\n'
        )
        return directory


def fill(directory: Path, files: int, size: int) -> None:
    """`files` files in folders of a hundred, `size` bytes together."""
    content = os.urandom(size // files)
    for number in range(files):
        folder = directory / f"d{number // 100}"
        if number % 100 == 0:
            folder.mkdir()
        (folder / f"f{number}").write_bytes(content)


def tool(kept: Path, *options: str) -> list[str]:
    """The command under measure. It is run as the installed one is, without `-m`."""
    code = "from sandbox.cli.nix_build_shell import main; main()"
    return [sys.executable, "-c", code, *options, str(kept), "true"]


def least(kept: Path) -> list[str]:
    """The least program that does the same, see `benchmarks/least.py`."""
    code = f"import sys; sys.path.insert(0, {str(HERE / 'benchmarks')!r}); import least"
    return [sys.executable, "-c", f"{code}; least.main(*sys.argv[1:])", str(kept), "true"]


def bubblewrap(kept: Path) -> list[str]:
    """The same mounts and the same command, by bubblewrap."""
    plan = json.loads(
        subprocess.run(
            [sys.executable, "-m", "sandbox.cli.nbs", "plan", str(kept), "--json"],
            capture_output=True,
            check=True,
            env=environment(),
        ).stdout
    )
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--uid", "1000", "--gid", "100"]
    command += ["--hostname", "localhost"]
    for entry in plan["sandbox"]["entries"]:
        match entry["type"]:
            case "Inputs":
                for name in entry["directories"] + entry["files"]:
                    path = f"{entry['path']}/{name}"
                    command += ["--ro-bind", f"{entry['source']}/{name}", path]
            case "Bind" if not entry["within"]:
                command += ["--dev-bind", entry["source"], entry["path"]]
            case "Directory" if entry["path"] != "/":
                command += ["--dir", entry["path"]]
            case "Symlink":
                command += ["--symlink", entry["target"], entry["path"]]
            case "BuildDirectory":
                command += ["--bind", entry["source"], entry["path"]]
            case "Filesystem":
                command += ["--proc" if entry["fstype"] == "proc" else "--tmpfs", entry["path"]]
    argv = plan["sandbox"]["process"]["argv"]
    return [*command, "--clearenv", "--chdir", "/build", *argv[:-1], "true"]


def environment() -> dict[str, str]:
    """The caller's, with this checkout's package."""
    return {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": ""}


def seconds(command: list[str]) -> float:
    """The wall time of one run, which must go well."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=environment())
    return time.perf_counter() - began


def pairs(first: list[list[str]], second: list[list[str]], runs: int) -> list[tuple[float, float]]:
    """The times of two sets of commands, each set's added up, run in turn after one to warm up."""
    both = [(sum(map(seconds, first)), sum(map(seconds, second))) for _ in range(runs + 1)]
    return both[1:]


def report(name: str, times: list[tuple[float, float]], limit: str, *, ratio: bool = True) -> None:
    """A line: the two medians, and the median of the ratios or differences with its spread."""
    first, second = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    values = sorted(a / b if ratio else (a - b) * 1000 for a, b in times)
    middle = statistics.median(values)
    unit = " times" if ratio else " ms"
    print(
        f"| {name} | {first:.1f} ms | {second:.1f} ms | {middle:.2f}{unit} "
        f"({values[0]:.2f} to {values[-1]:.2f}) | {limit} |",
        flush=True,
    )


def case_start(world: World, runs: int) -> None:
    kept = world.kept("start")
    python = [sys.executable, "-c", "pass"]
    times = pairs([tool(kept)], [python, bubblewrap(kept)], runs)
    report("enter, against Python's `pass` and bubblewrap", times, "at most 1.3")
    times = pairs([least(kept)], [python, bubblewrap(kept)], runs)
    report("the least program that enters, against the same", times, "")


def case_size(world: World, runs: int) -> None:
    empty, large = world.kept("empty"), world.kept("large")
    fill(large, 50_000, 1_000_000_000)
    times = pairs([tool(large)], [tool(empty)], runs)
    report("overlay: 50,000 files and 1 GB, against none", times, "at most 1.1")


def case_copy(world: World, runs: int) -> None:
    source = world.root / "nix/var/nix/builds/large/build"
    if not source.exists():
        fill(world.kept("large"), 50_000, 1_000_000_000)
    target = world.root / "copy"
    ours = (
        "import shutil, sys; from sandbox.workspace.copy import copy_tree; "
        f"copy_tree({str(source)!r}, {str(target)!r}, owner=None)"
    )
    times = []
    for _ in range(max(3, runs // 4)):
        row = []
        for command in (
            [sys.executable, "-c", ours],
            ["cp", "-a", "--reflink=auto", str(source), str(target)],
        ):
            row.append(seconds(command))
            shutil.rmtree(target)
        times.append((row[0], row[1]))
    report("copy of the same, against `cp -a --reflink=auto`", times, "at most 1.0")


def case_inputs(world: World, runs: int) -> None:
    many = World(world.root / "many", 3000)
    times = pairs([tool(many.kept("many"))], [tool(world.kept("few"))], runs)
    report("3,000 inputs more", times, "at most 80 ms", ratio=False)


def case_memory(world: World, runs: int) -> None:
    del runs
    kept = world.kept("memory")
    subprocess.run(tool(kept), check=True, stdin=subprocess.DEVNULL, env=environment())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"| peak memory of one process | {peak:.0f} MB | | | under 40 MB |", flush=True)


CASES = {
    "memory": case_memory,
    "start": case_start,
    "inputs": case_inputs,
    "size": case_size,
    "copy": case_copy,
}


def main() -> None:
    """Run the cases and print a table in Markdown."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--runs", type=int, default=15)
    made.add_argument("--only", choices=CASES)
    asked = made.parse_args()
    print("| case | A | B | figure (least to most) | aim |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("NBS_BENCH_DIR")) as directory:
        world = World(Path(directory) / "world", 20)
        for name, case in CASES.items():
            if asked.only in (None, name):
                case(world, asked.runs)


if __name__ == "__main__":
    main()
