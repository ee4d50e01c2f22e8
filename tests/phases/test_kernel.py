"""The word `phase` in cells, by way of a real client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.workspace.tried import noted
from tests.nix.world import NO_INTERPRETER

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("zmq")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Kept

LIMIT_S = 60


class Cells:
    """A kernel in the sandbox of a build, and its client."""

    def __init__(self, command: list[str], environment: dict[str, str], place: Path) -> None:
        from jupyter_client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        # Of ports that are free now, another program may have one before the kernel has it.
        path, _ = write_connection_file(
            str(place / "connection.json"), transport="ipc", ip=str(place / "ipc")
        )
        self.state = Path(environment["NBS_STATE_HOME"])
        argv = [sys.executable, "-m", "nbs_kernel", "-f", path, *command]
        self.process = subprocess.Popen(argv, env=environment, cwd="/")
        self.client = BlockingKernelClient()
        self.client.load_connection_file(path)
        # Not with its heart, which takes a kernel for dead that was busy for a second.
        self.client.start_channels(hb=False)
        self.client.wait_for_ready(LIMIT_S)

    def run(self, code: str) -> tuple[str, dict[str, object]]:
        """What a cell prints, and the content of its reply."""
        printed: list[str] = []

        def take(message: dict[str, dict[str, str]]) -> None:
            printed.append(message["content"].get("text", ""))

        reply = self.client.execute_interactive(code, output_hook=take, timeout=LIMIT_S)
        return "".join(printed), reply["content"]

    def close(self) -> None:
        self.client.shutdown()
        self.client.stop_channels()
        self.process.wait(LIMIT_S)


@pytest.fixture
def cells(kept_by_nix: Kept, tool_command) -> Iterator[Cells]:
    _, environment = tool_command("nbs_kernel")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The path of a socket is a short one.
    with tempfile.TemporaryDirectory(prefix="nbs-cells-", dir="/tmp") as place:
        environment = {**environment, "PYTHONPATH": root, "NBS_STATE_HOME": f"{place}/state"}
        cells = Cells(["--store", kept_by_nix.store, kept_by_nix.path], environment, Path(place))
        yield cells
        cells.close()


def test_a_cell_can_list_run_and_repair_a_phase(cells: Cells):
    printed, _ = cells.run("phase")
    assert "* checkPhase           function" in printed
    printed, reply = cells.run("mine=1; phase check")
    assert "checkPhase failed: exit status 2" in printed
    failed = (reply["ename"], reply["evalue"])
    assert failed == ("ExitStatus", "phase check: exit status 2")
    told = "\n".join(reply["traceback"])  # type: ignore[arg-type]
    assert "cell line 1" in told
    assert re.search(r"\n  make .*\n  at \S+/setup:\d+, in runMake\n  phase check\n", told)
    assert "__nbs" not in "\n".join(reply["traceback"])  # type: ignore[arg-type]
    printed, reply = cells.run("echo $mine; phase check preCheck='patchShebangs test.sh'")
    assert printed.startswith("1\nRunning phase: checkPhase")
    assert reply["status"] == "ok"
    cells.run(
        "phase check checkTarget=hello preCheck=$'echo one\n\n'; phase check x=1 preCheck=false"
    )
    cells.run("%snapshots")
    (path,) = cells.state.glob("ws/*/attributes")
    assert [(a.name, a.value, a.tried) for a in noted(str(path.parent))] == [
        ("checkTarget", "hello", "check"),
        ("preCheck", "echo one\n\n", "check"),
    ]


def test_what_cells_define_does_not_reach_a_phase(cells: Cells):
    cells.run("exit() { echo no; }; make() { echo no; }; export -f make; export preCheck='cd /'")
    printed, reply = cells.run("set -eu; phase check")
    assert NO_INTERPRETER.search(printed)
    assert reply["status"] == "error"
    _, reply = cells.run("kept=alive; echo $unset")
    assert reply["ename"] == "UnsetVariable"
    assert "  echo $unset" in reply["traceback"]  # type: ignore[operator]
    printed, _ = cells.run("echo $kept")
    assert printed == "alive\n"


def test_the_word_and_its_phases_are_completed_and_explained_in_a_fresh_shell(cells: Cells):
    def offered(code: str) -> list[str]:
        reply = cells.client.complete(code, len(code), reply=True, timeout=LIMIT_S)
        return reply["content"]["matches"]

    def explained(code: str) -> str:
        reply = cells.client.inspect(code, len(code), reply=True, timeout=LIMIT_S)
        return reply["content"]["data"].get("text/plain", "")

    assert "checkPhase" in offered("phase che")
    assert {"--failing", "--trace-fd"} <= {*offered("phase --")}
    assert offered("phase check preC") == ["preCheck=", "preConfigure="]
    assert explained("phase").rstrip() == cells.run("phase --help")[0].rstrip()
    for code in ("phase check", "checkPhase"):
        assert "runs the function of /nix/store/" in explained(code)
        assert "checkTarget" in explained(code)
    assert cells.run("type checkPhase")[1]["status"] == "error"


def test_an_error_of_the_word_is_not_laid_out_for_a_terminal(cells: Cells):
    for words, reason in (("--nothing", "option-unknown"), ("nothing", "phase-unknown")):
        printed, reply = cells.run(f"phase {words}")
        assert printed.endswith(f"\n({reason}, 2)\n")
        assert reply["evalue"] == f"phase {words}: exit status 2"
