"""Each notebook tells of a real failing build, runs from top to bottom, and what it tells is true.

What a cell must show stands in its metadata, which a notebook keeps when it is edited: `nbs.shows`
are pieces of its text, `nbs.displays` is a format of a picture or table, `nbs.fails` the name of the
error with which it has to fail.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nbs_kernel.magics.registry import MAGICS
from tests.conftest import _cache
from tests.documentation.likeness import missing
from tests.documentation.written import pages
from tests.kernel.conftest import ROOT, prepare
from tests.notebooks.pages import NOTEBOOKS, PAGES, differs, executed, page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RunTool
    from tests.kernel.conftest import Home

BUILDS = sorted(path.stem for path in (ROOT / "notebooks/builds").glob("*.nix"))
OF_THE_DEMONSTRATION = [path for path in NOTEBOOKS if path.stem[:2] in {"01", "02"}]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# What other people's programs warn of is theirs to mend.
pytestmark = pytest.mark.filterwarnings("default")


def cells_of(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def build_of(path: Path) -> str:
    """The name that the first cell of code enters."""
    found = re.match(r"%enter ([a-z]+)\n?", source(cells_of(path)[0]))
    assert found, "the first cell says which build it is about"
    return found[1]


@pytest.fixture(scope="module")
def make_home(
    tool_command: Callable[..., tuple[list[str], dict[str, str]]], open_directory: Path
) -> Callable[[str], Home]:
    """A home whose Jupyter has the kernel, and whose kernel is told of no build."""
    _, environment = tool_command("nbs_kernel")
    return lambda name: prepare(open_directory / name, "/nothing/here", environment)


@pytest.fixture(scope="module")
def tutorial(make_home: Callable[[str], Home]) -> Iterator[Home]:
    """The home of a reader who has Nix, and has made the builds with the command that is told."""
    home = make_home("tutorial")
    done = make(home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": failed as it should, ") == len(BUILDS)
    yield home
    assert make(home, "--remove").returncode == 0
    assert not (home.path / ".cache/nix-build-shell/notebooks").exists()


@pytest.fixture(scope="module")
def without_nix(make_home: Callable[[str], Home], run_nbs: RunTool) -> Home:
    """The home of a reader who has `nbs demo`."""
    home = make_home("tutorial-without-nix")
    given = {name: home.environment[name] for name in ("HOME", "PATH")}
    done = run_nbs("demo", "--", "true", env=given)
    assert done.returncode == 0, done.stderr.decode()
    return home


def make(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "notebooks/builds/make.py"),
            "--packages",
            str(_cache()),
            *words,
        ],
        env=home.environment,
        cwd=home.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def holds(path: Path, ran: list[dict[str, Any]]) -> None:
    """What each cell shows is what its metadata says."""
    outputs = {cell["id"]: cell.get("outputs", []) for cell in ran}
    for cell in cells_of(path):
        told, shown = cell["metadata"].get("nbs", {}), outputs[cell["id"]]
        text = "".join(text_of(output) for output in shown)
        for piece in told.get("shows", ()):
            assert piece in text, f"{cell['id']} shows {text!r}"
        formats = {kind for output in shown for kind in output.get("data", {})}
        assert {told["displays"]} <= formats if "displays" in told else not formats, cell["id"]
        errors = [output["ename"] for output in shown if output["output_type"] == "error"]
        assert errors == ([told["fails"]] if "fails" in told else []), f"{cell['id']}: {text}"


def text_of(output: dict[str, Any]) -> str:
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))


@pytest.mark.nix
@pytest.mark.jupyter
@pytest.mark.namespaces
@each_notebook
def test_a_notebook_runs_as_it_tells_and_as_its_page_shows(tutorial, path, tmp_path):
    ran = executed(tutorial, path, tmp_path)
    holds(path, ran)
    assert differs(path, page(path, ran, tutorial)) == ""


@pytest.mark.jupyter
@pytest.mark.namespaces
@pytest.mark.parametrize("path", OF_THE_DEMONSTRATION, ids=lambda path: path.stem)
def test_the_first_ones_do_so_where_there_is_no_nix(without_nix, path, tmp_path):
    holds(path, executed(without_nix, path, tmp_path))


@pytest.mark.nix
@pytest.mark.jupyter
@pytest.mark.namespaces
def test_the_patch_of_the_notebook_is_that_of_the_recipe_and_is_verified(tutorial, tmp_path):
    path = ROOT / "notebooks/06-repair-and-patch.ipynb"
    executed(tutorial, path, tmp_path)
    own = {**tutorial.environment, "NBS_STATE_HOME": str(tmp_path / "state"), "USER": "reader"}
    terminal = next(page for page in pages() if page.name == str(path.relative_to(ROOT)))
    for step in terminal.steps:
        program, *words = shlex.split(step.command)
        assert program == "nbs"
        done = subprocess.run(
            [sys.executable, "-m", "sandbox.cli.nbs", *words],
            env=own,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert missing(step.shown, (done.stdout + done.stderr).splitlines()) == ""
    told, begin, hunks = (tmp_path / "ledger.patch").read_text().partition("diff --git ")
    assert "ledger-1.0" in told
    assert begin + hunks == (ROOT / "notebooks/builds/ledger.patch").read_text()


@pytest.mark.nix
@pytest.mark.namespaces
def test_nix_builds_each_with_the_repair(tutorial):
    done = make(tutorial, "--repaired")
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == BUILDS


@pytest.mark.nix
@pytest.mark.namespaces
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_the_phase_shows_the_error_that_the_build_had(tutorial, run_nbs, path):
    done = run_nbs("log", build_of(path), env={"HOME": tutorial.environment["HOME"]})
    symptom = next(cell for cell in cells_of(path) if cell["id"] == "symptom")
    assert symptom["metadata"]["nbs"]["shows"][0] in done.stdout.decode()


def test_each_build_has_its_notebook_which_says_how_it_is_made():
    assert {build_of(path) for path in NOTEBOOKS} == set(BUILDS)
    for path in NOTEBOOKS:
        first = source(cells_of(path, "markdown")[0])
        assert f"`notebooks/builds/make.py {build_of(path)}`" in first, path


@each_notebook
def test_it_is_kept_as_it_was_before_it_ran(path):
    nbformat = pytest.importorskip("nbformat")
    read = json.loads(path.read_text())
    nbformat.validate(read)
    assert read["metadata"]["kernelspec"]["name"] == "nbs"
    assert path.read_text() == json.dumps(read, indent=1, ensure_ascii=False) + "\n"
    for cell in cells_of(path):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


@each_notebook
def test_the_cells_that_must_fail_are_those_that_say_how(path):
    for cell in cells_of(path):
        metadata = cell["metadata"]
        tagged = "raises-exception" in metadata.get("tags", ())
        assert tagged == ("fails" in metadata.get("nbs", {})), cell["id"]


@each_notebook
def test_what_it_links_to_is_there(path):
    for cell in cells_of(path, "markdown"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", source(cell)):
            assert "://" in target or (path.parent / target).exists(), target


@each_notebook
def test_the_magic_commands_that_it_names_are_there(path):
    for cell in cells_of(path, "markdown") + cells_of(path):
        named = re.findall(r"(?:^|`)%([a-z]+)", source(cell), re.MULTILINE)
        assert set(named) <= MAGICS.keys(), source(cell)


def test_each_notebook_has_its_page_in_the_documentation_and_there_is_no_other():
    assert sorted(path.stem for path in PAGES.glob("*.md")) == [path.stem for path in NOTEBOOKS]
    text = "".join(path.read_text() for path in [ROOT / "docs/tutorial.md", *PAGES.glob("*.md")])
    assert not [f.name for f in PAGES.iterdir() if f"{f.name})" not in text]


def test_a_build_that_is_not_there_is_named(tmp_path):
    command = [sys.executable, str(ROOT / "notebooks/builds/make.py"), "no-such"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "no build is called `no-such`" in done.stderr
