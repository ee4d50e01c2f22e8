"""`nbs notebook`, `nbs report` and `nbs console` on a real failed build, with Jupyter's programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernel.conftest import LIMIT_S
from tests.kernel.frontends.conftest import require
from tests.kernel.frontends.test_batch import text_of
from tests.kernel.frontends.test_console import Console
from tests.nix.world import NO_INTERPRETER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kernel.conftest import Home

pytestmark = pytest.mark.usefixtures("leaves_nothing")
NBS = (sys.executable, "-m", "sandbox.cli.nbs")


@pytest.fixture
def nbs(home: Home, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `nbs` in a directory of the test's own; the kernel's own build is one that is not there."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NBS, *words],
            env={**home.environment, "NBS_BUILD": "/nothing/here"},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return run


@pytest.fixture
def notebook(nbs, tmp_path: Path, failed_builds: tuple[str, str]) -> Path:
    """The notebook of the demonstration's failure, as it is written."""
    done = nbs("notebook", failed_builds[1], "it.ipynb", "--no-open")
    assert (done.returncode, done.stdout) == (0, "it.ipynb\n"), done.stderr
    return tmp_path / "it.ipynb"


def change(path: Path, **sources: str) -> None:
    """Other sources for these cells."""
    read = json.loads(path.read_text())
    for cell in read["cells"]:
        if cell["id"] in sources:
            cell["source"] = sources[cell["id"]]
    path.write_text(json.dumps(read))


def executed(home: Home, path: Path) -> dict[str, list[dict[str, object]]]:
    """The outputs of each cell by its id, with nbconvert itself, which stops at one that fails."""
    done = home.run("jupyter-nbconvert", "--execute", "--to", "notebook", "--output=done", path)
    assert done.returncode == 0, done.stderr
    cells = json.loads((path.parent / "done.ipynb").read_text())["cells"]
    return {cell["id"]: cell["outputs"] for cell in cells if cell["cell_type"] == "code"}


def test_a_notebook_runs_from_top_to_bottom_as_it_was_written(home, notebook):
    outputs = executed(home, notebook)
    assert text_of(outputs["enter"]).startswith("hello-1.0 failed in checkPhase")
    assert NO_INTERPRETER.search(text_of(outputs["again"]))
    assert [one["ename"] for one in outputs["again"] if one["output_type"] == "error"] == [
        "ExitStatus"
    ]
    assert text_of(outputs["definition"]).startswith("checkPhase ()")
    assert "runHook preCheck" in text_of(outputs["definition"])
    assert plain(outputs["changed"]).endswith(" against what the failure left: same\n")


def test_its_last_cell_tells_what_the_others_have_changed(home, notebook):
    repair = 'sed -i "s|/usr/bin/env bash|$SHELL|" test.sh; mkdir new; echo x > "new/a b"; echo y > $out\n'
    change(notebook, **{"try": repair})
    told = plain(executed(home, notebook)["changed"]).splitlines()
    assert "-#!/usr/bin/env bash" in told
    assert "+++ b/hello/new/a b" in [line.rstrip("\t") for line in told]
    assert any("/nix/store  1 added, +2 B" in line for line in told)


def plain(outputs):
    """What was written, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text_of(outputs))


def test_a_report_is_a_page_with_all_cells_whatever_its_name(nbs, notebook):
    # nbconvert takes names for patterns.
    named = notebook.rename(notebook.parent / "a [1]*.ipynb")
    done = nbs("report", "a [1]*.ipynb")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a [1]*.html\n", "")
    page = named.with_suffix(".html").read_text()
    assert "<title>a [1]*</title>" in page
    assert NO_INTERPRETER.search(page)
    assert "runHook preCheck" in page
    assert sorted(os.listdir(notebook.parent)) == ["a [1]*.html", "a [1]*.ipynb"]


def test_a_report_tells_which_cell_failed_and_has_all_of_them(nbs, notebook):
    change(notebook, **{"try": "echo before; (exit 3)"})
    done = nbs("report", "it.ipynb", "-o", "other name.html")
    assert (done.returncode, done.stdout) == (1, "other name.html\n")
    assert done.stderr.startswith("cell 4 failed: ExitStatus: ")
    page = (notebook.parent / "other name.html").read_text()
    assert "before" in page
    assert page.count("In\u00a0[") + page.count("In [") == 5


def test_a_report_of_a_build_that_is_gone_says_so_and_is_written(nbs, notebook):
    change(notebook, enter="%enter /nothing/there")
    done = nbs("report", "it.ipynb")
    assert done.returncode == 1
    assert "cell 1 failed: SandboxError: " in done.stderr
    assert notebook.with_suffix(".html").exists()


@pytest.mark.parametrize(
    ("page", "why"), [("missing/it.html", "No such file or directory"), (".", "Is a directory")]
)
def test_a_page_that_cannot_be_written_is_named_before_a_cell_runs(nbs, notebook, page, why):
    of_no_kernel(notebook)
    done = nbs("report", "it.ipynb", "-o", page)
    assert done.returncode == 125
    assert f"`{page}` cannot be written\n  {why}\n" in done.stderr
    assert "(notebook-refused, 125)" in done.stderr


def test_a_kernel_that_jupyter_does_not_know_is_told(nbs, notebook):
    of_no_kernel(notebook)
    done = nbs("report", "it.ipynb")
    assert done.returncode == 125
    assert "(kernel-not-installed, 125)" in done.stderr


def of_no_kernel(notebook):
    """Who runs it comes to this end first."""
    of_kernel(notebook, "no-such-kernel")


def of_kernel(notebook, name):
    read = json.loads(notebook.read_text())
    read["metadata"]["kernelspec"]["name"] = name
    notebook.write_text(json.dumps(read))


def test_cells_for_another_kernel_are_not_run_on_the_host(nbs, notebook, tmp_path):
    require(modules=("ipykernel",))
    ran = tmp_path / "ran"
    change(notebook, enter=f"open({str(ran)!r}, 'w')")
    of_kernel(notebook, "python3")
    done = nbs("report", "it.ipynb")
    assert (done.returncode, done.stdout) == (2, "")
    assert "(notebook-foreign, 2)" in done.stderr
    assert "`jupyter nbconvert --execute --to html it.ipynb`" in done.stderr
    assert not ran.exists()


def test_a_notebook_that_names_no_kernel_runs_in_the_sandbox(nbs, notebook, tmp_path):
    read = json.loads(notebook.read_text())
    del read["metadata"]["kernelspec"]
    notebook.write_text(json.dumps(read))
    change(notebook, **{"try": f"[ ! -e '{tmp_path}' ] && pwd"})
    done = nbs("report", "it.ipynb")
    assert (done.returncode, done.stderr) == (0, "")
    assert "/build/hello" in notebook.with_suffix(".html").read_text()


def test_an_entry_for_one_build_is_a_kernel_of_ours(home, nbs, notebook, failed_builds):
    done = nbs("kernel", "install", "--build", failed_builds[1], "--name", "mine")
    assert done.returncode == 0, done.stderr
    try:
        of_kernel(notebook, "mine")
        assert nbs("report", "it.ipynb").returncode == 0
    finally:
        shutil.rmtree(home.path / "jupyter/kernels/mine")


def test_the_first_cell_names_the_store_where_the_directory_does_not_lead_to_it(
    home, nbs, failed_builds, open_directory, tmp_path
):
    root = failed_builds[0].partition("/nix/var/")[0]
    place = open_directory / "nix-build-hello-1.0.drv-7"
    shutil.copytree(f"{failed_builds[0]}/build", place, symlinks=True)
    try:
        done = nbs("notebook", str(place), "it.ipynb", "--no-open", "--store", root)
        assert done.returncode == 0, done.stderr
        change(tmp_path / "it.ipynb", **{"try": "%reset\necho again in $name"})
        outputs = executed(home, tmp_path / "it.ipynb")
        assert text_of(outputs["enter"]).startswith("hello-1.0 failed in checkPhase")
        assert text_of(outputs["try"]).endswith("again in hello-1.0\n")
    finally:
        shutil.rmtree(place)


@pytest.mark.terminal
def test_the_console_opens_in_the_build_that_is_named(home, failed_builds):
    require(modules=("jupyter_console",))

    class Nbs(Console):
        command = (*NBS, "console")

    console = Nbs(home, failed_builds[1], NBS_BUILD="/nothing/here")
    try:
        console.sees("hello-1.0 failed in checkPhase")
        console.enter("echo =$name= in $PWD")
        console.sees("\n=hello-1.0= in /build/hello")
    finally:
        console.close()


@pytest.mark.terminal
def test_the_console_s_kernel_knows_the_store(home, failed_builds):
    require(modules=("jupyter_console",))
    root = failed_builds[0].partition("/nix/var/")[0]

    class Nbs(Console):
        command = (*NBS, "console", "--store", root)

    console = Nbs(home, "hello", NBS_BUILD="/nothing/here")
    try:
        console.enter("echo =$name=")
        console.sees("\n=hello-1.0=")
    finally:
        console.close()
