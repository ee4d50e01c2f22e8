"""How the kernel compares with ipykernel's own Python kernel and with bash_kernel.

    python3 benchmarks/kernel.py [--runs 15] [--only CASE] [--without bash_kernel]

Every case runs the kernels in turn, A B C A B C …, and a figure is the median of the ratios to
ipykernel of the same round, so that a machine whose speed drifts does not matter. Run it as an
ordinary user, with the packages of the `dev` group. It makes a failed build with `nbs demo`, or
takes the one that `NBS_BUILD` names. The memory of a kernel that is not dumpable is for root alone
to see.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from enter import SCHEMA
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 60
SLOW_S = 180
MEGABYTE = 1_000_000
NOT_MEASURED = float("nan")

KERNELS = ("nbs", "python3", "bash_kernel")
BASE = "python3"
NOTHING = {"nbs": ":", "python3": "pass", "bash_kernel": ":"}
FOREVER = {
    "nbs": "sleep 1000",
    "python3": "import time; time.sleep(1000)",
    "bash_kernel": "sleep 1000",
}
PREPARE = {"nbs": "%limit off"}
LINE = "x" * 79
BYTES = {
    "nbs": f"yes {LINE} | head -c {{count}}",
    "python3": f"for _ in range({{count}} // 80): print('{LINE}')",
    "bash_kernel": f"yes {LINE} | head -c {{count}}",
}
AT_ONCE = {
    "nbs": "head -c {count} /dev/zero | tr '\\0' x",
    "python3": "import sys\nfor _ in range({count} // 50_000): sys.stdout.write('x' * 50_000)",
}
LINES = {
    "nbs": "seq 100000",
    "python3": "for n in range(1, 100001): print(n)",
    "bash_kernel": "seq 100000",
}


class Running:
    """A kernel and its client, from the start of its process on."""

    def __init__(self, name: str) -> None:
        self.name = name
        began = time.perf_counter()
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(stderr=subprocess.DEVNULL)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels(stdin=False, hb=False)
        self.client.kernel_info()
        self.client.get_shell_msg(timeout=LIMIT_S)
        self.start_s = time.perf_counter() - began
        self._until_it_is_heard()
        if name in PREPARE:
            self.run(PREPARE[name])

    def _until_it_is_heard(self) -> None:
        """The subscription comes by another socket than the request, perhaps later."""
        heard = False
        while not heard:
            self.client.kernel_info()
            self.client.get_shell_msg(timeout=LIMIT_S)
            with contextlib.suppress(queue.Empty):
                heard = bool(self.client.get_iopub_msg(timeout=0.2))

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.manager.provisioner.process.pid)  # type: ignore[union-attr]

    def run(self, code: str, limit_s: float = LIMIT_S) -> tuple[float, int, int, int]:
        """Seconds until idle, and of the output: characters, lines, messages."""
        began = time.perf_counter()
        message = self.client.execute(code, store_history=False)
        end = began + limit_s
        characters = lines = messages = 0
        while True:
            got = self.client.get_iopub_msg(timeout=max(0.0, end - time.perf_counter()))
            if got["parent_header"].get("msg_id") != message:
                continue
            if got["msg_type"] == "stream":
                text = got["content"]["text"]
                characters, lines = characters + len(text), lines + text.count("\n")
                messages += 1
            elif got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                break
        took = time.perf_counter() - began
        self.client.get_shell_msg(timeout=LIMIT_S)
        return took, characters, lines, messages

    def interrupt(self) -> float:
        """Seconds from the interrupt of a sleeping cell until idle."""
        message = self.client.execute(FOREVER[self.name], store_history=False)
        self._status(message, "busy")
        time.sleep(0.3)  # until the program sleeps; nothing tells
        began = time.perf_counter()
        self.manager.interrupt_kernel()
        self._status(message, "idle")
        return time.perf_counter() - began

    def _status(self, message: str, state: str) -> None:
        while True:
            got = self.client.get_iopub_msg(timeout=LIMIT_S)
            if got["parent_header"].get("msg_id") == message and (
                got["content"].get("execution_state") == state
            ):
                return

    def tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def running(name: str) -> Iterator[Running]:
    kernel = Running(name)
    try:
        yield kernel
    finally:
        kernel.stop()


def pss(processes: list[psutil.Process]) -> float:
    """Megabytes of memory, what is shared with others counted in parts."""
    total = 0.0
    for process in processes:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except ProcessLookupError:
            continue  # a process of the kernel proper alone has memory
        except PermissionError:
            return NOT_MEASURED  # the kernel shows itself to nobody but root
        total += sum(int(t.split()[1]) / 1000 for t in text.splitlines() if t.startswith("Pss:"))
    return total


def cpu_ms(processes: list[psutil.Process]) -> float:
    """Processor time so far, from the scheduler's own account, to the nanosecond."""
    total = 0.0
    for process in processes:
        for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0]) / 1e6
    return total


Rounds = list[dict[str, float]]
REMARKS: list[str] = []


def in_turn(kernels: tuple[str, ...], runs: int, measure: Callable[[str], float]) -> Rounds:
    """A figure of each kernel in each round, after one round to warm up."""
    rounds = [{name: measure(name) for name in kernels} for _ in range(runs + 1)]
    return rounds[1:]


def with_all(kernels: tuple[str, ...]) -> contextlib.AbstractContextManager[dict[str, Running]]:
    """All kernels at once, each idle while another is measured."""

    @contextlib.contextmanager
    def started() -> Iterator[dict[str, Running]]:
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(running(name)) for name in kernels}

    return started()


def case_start(kernels: tuple[str, ...], runs: int) -> None:
    def measure(name: str) -> float:
        with running(name) as kernel:
            return kernel.start_s * 1000

    report("start to first kernel_info_reply", "ms", in_turn(kernels, runs, measure), "0.9")


def case_latency(kernels: tuple[str, ...], runs: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in kernels}
    rounds, tails = [], []
    with with_all(kernels) as started:
        for _ in range(runs):
            for name, kernel in started.items():
                count = 4 if name == "bash_kernel" else 20
                times[name] = [kernel.run(NOTHING[name])[0] * 1000 for _ in range(count)]
            rounds.append({name: statistics.median(t) for name, t in times.items()})
            tails.append({name: sorted(t)[int(len(t) * 0.95)] for name, t in times.items()})
    report("`:` to idle, median", "ms", rounds, "0.65")
    report("`:` to idle, 95 of 100", "ms", tails, "0.65")


def case_bytes(kernels: tuple[str, ...], runs: int) -> None:
    _output("50 MB in lines", kernels, max(2, runs // 4), BYTES, 50 * MEGABYTE, "0.9")


def case_at_once(kernels: tuple[str, ...], runs: int) -> None:
    chosen = tuple(name for name in kernels if name in AT_ONCE)
    _output("50 MB in one line", chosen, max(2, runs // 4), AT_ONCE, 50 * MEGABYTE, "")


def case_lines(kernels: tuple[str, ...], runs: int) -> None:
    _output("100,000 lines", kernels, max(3, runs // 3), LINES, 588_895, "0.15")


def _output(
    what: str,
    kernels: tuple[str, ...],
    runs: int,
    code: dict[str, str],
    count: int,
    aim: str,
) -> None:
    lost: dict[str, int] = dict.fromkeys(kernels, 0)
    slow: set[str] = set()

    def measure(name: str) -> float:
        if name in slow:
            return NOT_MEASURED
        with running(name) as kernel:
            try:
                took, characters, _, _ = kernel.run(code[name].format(count=count), SLOW_S)
            except queue.Empty:
                slow.add(name)
                return NOT_MEASURED
        # bash_kernel has a terminal of its own between: it adds a carriage return or a newline.
        if characters < count:
            lost[name] += 1
        if took > LIMIT_S / 2:
            slow.add(name)  # once is enough
        return took * 1000

    rounds = in_turn(kernels, runs, measure)
    remarks = [f"{name} not done in {SLOW_S} s or once only" for name in sorted(slow)]
    remarks += [f"{name} lost output in {n} of {runs + 1}" for name, n in lost.items() if n]
    report(what, "ms", rounds, aim, "; ".join(remarks))


def case_idle(kernels: tuple[str, ...], runs: int) -> None:
    memory, work = [], []
    for _ in range(max(2, runs // 5)):
        with with_all(kernels) as started:
            for name, kernel in started.items():
                kernel.run(NOTHING[name])
            time.sleep(1)
            trees = {name: kernel.tree() for name, kernel in started.items()}
            before = {name: cpu_ms(tree) for name, tree in trees.items()}
            began = time.monotonic()
            time.sleep(5)
            seconds = time.monotonic() - began
            work.append({n: (cpu_ms(tree) - before[n]) / seconds for n, tree in trees.items()})
            memory.append({name: pss(tree) for name, tree in trees.items()})
    report("idle: memory (PSS of all processes)", "MB", memory, "1.1")
    report("idle: processor time of a second", "ms", work, "none")


def case_interrupt(kernels: tuple[str, ...], runs: int) -> None:
    with with_all(kernels) as started:
        rounds = in_turn(kernels, runs, lambda name: started[name].interrupt() * 1000)
    report("interrupt of `sleep` to idle", "ms", rounds, "20 ms")


def report(what: str, unit: str, rounds: Rounds, aim: str, remark: str = "") -> None:
    """A line: each kernel's median, and the median ratio to ipykernel with its spread."""
    cells = [what]
    for name in KERNELS:
        values = [row[name] for row in rounds if row.get(name, NOT_MEASURED) == row.get(name)]
        cells.append(f"{statistics.median(values):.4g} {unit}" if values else "-")
    ratios = sorted(row["nbs"] / row[BASE] for row in rounds if {"nbs", BASE} <= row.keys())
    if ratios:
        middle = statistics.median(ratios)
        cells.append(f"{middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    else:
        cells.append("-")
    cells.append(aim)
    print("| " + " | ".join(cells) + " |", flush=True)
    if remark:
        REMARKS.append(f"{what}: {remark}")


CASES = {
    "start": case_start,
    "latency": case_latency,
    "bytes": case_bytes,
    "at-once": case_at_once,
    "lines": case_lines,
    "idle": case_idle,
    "interrupt": case_interrupt,
}


def environment(place: Path) -> dict[str, str]:
    """A Jupyter that knows the three kernels and nothing else of this machine."""
    kernels = place / "jupyter/kernels"
    shutil.copytree(ROOT / "kernelspec", kernels / "nbs")
    _specify(kernels / "nbs", "nbs_kernel")
    _specify(kernels / "bash_kernel", "bash_kernel")
    _specify(kernels / "python3", "ipykernel_launcher")
    return {
        "HOME": str(place),
        "IPYTHONDIR": f"{place}/ipython",
        "JUPYTER_CONFIG_DIR": f"{place}/config",
        "JUPYTER_DATA_DIR": f"{place}/jupyter",
        "JUPYTER_RUNTIME_DIR": f"{place}/runtime",
        "NBS_STATE_HOME": f"{place}/state",
        "PYTHONPATH": str(ROOT),
    }


def _specify(place: Path, module: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", module, "-f", "{connection_file}"]
    known: dict[str, Any] = {"display_name": module, "language": "bash"}
    if (place / "kernel.json").exists():
        known = json.loads((place / "kernel.json").read_text())
    (place / "kernel.json").write_text(json.dumps({**known, "argv": argv}))


def demonstration() -> str:
    """A kept directory of `nbs demo`, whose store gets the database that Nix would have kept."""
    command = [sys.executable, "-m", "sandbox.cli.nbs", "demo", "--", "true"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    line = next(line for line in done.stderr.splitlines() if "is what is left" in line)
    kept = line.partition(" is what is left")[0]
    _register(Path(kept.partition("/nix/var/")[0]), Path(kept, "build/env-vars"))
    return kept


def _register(root: Path, variables: Path) -> None:
    """Each path of the store is valid, and refers to one other, so that one closure has all."""
    names = sorted(path.name for path in (root / "nix/store").iterdir())
    names.sort(key=lambda name: name.endswith(".drv"))
    output = re.search(r'declare -x out="([^"]*)"', variables.read_text())
    place = root / "nix/var/nix/db"
    place.mkdir(parents=True)
    with sqlite3.connect(place / "db.sqlite") as connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "insert into ValidPaths (path, hash, registrationTime) values (?, 'sha256:0', 1)",
            [(f"/nix/store/{name}",) for name in names],
        )
        chain = [(number + 1, number) for number in range(1, len(names))]
        connection.executemany("insert into Refs values (?, ?)", [*chain, (1, len(names) - 1)])
        connection.execute(
            "insert into DerivationOutputs values (?, 'out', ?)",
            (len(names), output[1] if output else ""),
        )


def main() -> None:
    """Run the cases and print a table in Markdown."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--runs", type=int, default=15)
    made.add_argument("--only", choices=CASES)
    made.add_argument("--without", choices=KERNELS, action="append", default=[])
    asked = made.parse_args()
    kernels = tuple(name for name in KERNELS if name not in asked.without)
    heads = ["case", *KERNELS, "nbs ÷ python3 (least to most)", "aim: at most"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        os.environ.update(environment(Path(directory)))
        os.environ.setdefault("NBS_BUILD", demonstration())
        for name, case in CASES.items():
            if asked.only in (None, name):
                case(kernels, asked.runs)
    print("".join(f"\n- {remark}" for remark in REMARKS))


if __name__ == "__main__":
    main()
