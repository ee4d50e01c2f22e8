"""Notebooks that run without anybody: nbconvert, papermill, nbmake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbformat import v4

from tests.kernel.conftest import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kernel.conftest import Home

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture
def notebook(home: Home, tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook of these cells; a cell may be source and tags."""
    del home

    def write(*cells: str | tuple[str, list[str]]) -> Path:
        made = []
        for cell in cells:
            source, tags = cell if isinstance(cell, tuple) else (cell, [])
            made.append(v4.new_code_cell(source, metadata={"tags": tags}))
        metadata = {"kernelspec": {"name": "nbs", "display_name": "nbs", "language": "bash"}}
        path = tmp_path / "cells.ipynb"
        nbformat.write(v4.new_notebook(cells=made, metadata=metadata), path)
        return path

    return write


def outputs(path: Path) -> list[list[dict[str, Any]]]:
    """What each code cell of a notebook shows."""
    cells = json.loads(path.read_text())["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


def text_of(cell: list[dict[str, Any]]) -> str:
    return "".join("".join(o["text"]) for o in cell if o["output_type"] == "stream")


def convert(
    home: Home, path: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = ["jupyter-nbconvert", "--execute", "--to", "notebook", "--output", "done.ipynb"]
    return home.run(*command, *options, path, **environment)


def test_nbconvert_runs_a_notebook_in_the_sandbox_of_the_build(home, notebook):
    path = notebook("echo $name; echo $NIX_BUILD_TOP; id -u", "cat > made <<E\nkept\nE", "cat made")
    done = convert(home, path)
    assert done.returncode == 0, done.stderr
    first, _, last = map(text_of, outputs(path.parent / "done.ipynb"))
    assert first.endswith("hello-1.0\n/build\n1000\n")
    assert last == "kept\n"


@pytest.fixture
def the_newest(failed_builds) -> Iterator[dict[str, str]]:
    """With this environment a kernel finds one of the failed builds, newer than all on the machine."""
    inner = f"{failed_builds[1]}/build"
    before = os.stat(inner)
    os.utime(inner, (before.st_atime, time.time() + 1_000_000))
    yield {"NBS_BUILD": "", "XDG_CACHE_HOME": inner.partition("/nix-build-shell/")[0]}
    os.utime(inner, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_first_cell_says_which_build_is_entered_where_nobody_has_named_one(
    home, notebook, the_newest
):
    path = notebook("%limit 64k\necho one", "echo two")
    done = convert(home, path, **the_newest)
    assert done.returncode == 0, done.stderr
    first, second = outputs(path.parent / "done.ipynb")
    (told,) = [o["text"] for o in first if o.get("name") == "stderr"]
    assert "the newest failed build, hello-1.0 checkPhase: " in "".join(told)
    assert "`%enter BUILD` takes another" in "".join(told)
    assert text_of(second) == "two\n"


def test_nbconvert_stops_at_a_cell_that_fails_and_says_which(home, notebook):
    path = notebook("echo before", "make --file /nothing check", "echo after > /tmp/after")
    done = convert(home, path)
    assert done.returncode != 0
    assert "make --file /nothing check" in done.stderr
    assert "ExitStatus" in done.stderr
    assert not (path.parent / "done.ipynb").exists()


def test_nbconvert_goes_on_after_a_cell_that_is_allowed_to_fail(home, notebook):
    path = notebook(("exit 3", ["raises-exception"]), "echo after")
    done = convert(home, path)
    assert done.returncode == 0, done.stderr
    failed, after = outputs(path.parent / "done.ipynb")
    assert [o["ename"] for o in failed if o["output_type"] == "error"] == ["Exited"]
    assert text_of(after) == "after\n"


def test_a_cell_that_takes_too_long_is_interrupted_and_the_next_ones_run(home, notebook):
    path = notebook(("sleep 1000; echo never", ["raises-exception"]), "echo after")
    settings = path.parent / "limits.py"
    settings.write_text(
        "c.ExecutePreprocessor.interrupt_on_timeout = True\n"
        "c.ExecutePreprocessor.timeout_func = lambda cell: 2 if 'sleep' in cell.source else None\n"
    )
    done = convert(home, path, f"--config={settings}")
    assert done.returncode == 0, done.stderr
    stopped, after = outputs(path.parent / "done.ipynb")
    assert "never" not in text_of(stopped)
    assert text_of(after) == "after\n"


def test_a_cell_that_takes_too_long_ends_nbconvert_without_leaving_the_cell_running(home, notebook):
    path = notebook("sleep 1000")
    done = convert(home, path, "--ExecutePreprocessor.timeout=2")
    assert done.returncode != 0
    assert "CellTimeoutError" in done.stderr


def test_html_has_the_colours_of_bash_and_what_the_cells_have_shown(home, notebook):
    path = notebook("for word in one two; do echo $word; done")
    done = home.run("jupyter-nbconvert", "--execute", "--to", "html", path)
    assert done.returncode == 0, done.stderr
    page = (path.parent / "cells.html").read_text()
    assert '<span class="k">for</span>' in page
    # A message of output for each piece that came by itself: nbconvert shows them one below the other.
    shown = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert "".join(shown[-2:]).endswith("one\ntwo\n")


def test_papermill_stops_at_a_cell_that_fails_and_shows_it_in_what_it_writes(home, notebook):
    path = notebook("echo before", "false", "echo after")
    written = path.parent / "done.ipynb"
    done = home.run("papermill", "--no-progress-bar", path, written)
    assert done.returncode != 0
    assert "PapermillExecutionError" in done.stderr
    cells = json.loads(written.read_text())["cells"]
    shown = {"".join(cell["source"]): cell["outputs"] for cell in cells if cell.get("outputs")}
    assert shown["false"][-1]["ename"] == "ExitStatus"
    assert "echo after" not in shown


def test_papermill_runs_a_notebook_to_its_end(home, notebook):
    path = notebook("x=1", "echo $((x + 1))")
    written = path.parent / "done.ipynb"
    done = home.run("papermill", "--no-progress-bar", path, written)
    assert done.returncode == 0, done.stderr
    assert text_of(outputs(written)[-1]) == "2\n"


@pytest.mark.parametrize(("cell", "status"), [("test -e env-vars || cd ..; true", 0), ("false", 1)])
def test_nbmake_tests_a_notebook(home, notebook, cell, status):
    path = notebook(cell)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbmake"]
    done = subprocess.run(
        [*command, "--rootdir", path.parent, path],
        env=home.environment,
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == status, done.stdout


def test_a_notebook_names_its_build_in_its_first_cell(home, notebook, failed_builds):
    path = notebook(f"%enter {failed_builds[1]}", "echo here > mine; cat mine", "echo $name")
    done = home.run(
        *("jupyter-nbconvert", "--execute", "--to", "notebook", "--output", "done.ipynb", path),
        NBS_BUILD="/nothing/here",
    )
    assert done.returncode == 0, done.stderr
    banner, here, name = map(text_of, outputs(path.parent / "done.ipynb"))
    assert "hello-1.0" in banner
    assert (here, name) == ("here\n", "hello-1.0\n")
    assert os.path.exists(failed_builds[1])
