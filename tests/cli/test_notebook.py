"""`nbs notebook`, `console` and `report`: what is written, what hostile builds cannot do with it,
and what is said where Jupyter is not there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from nbs_kernel.magics.cell import prepare
from sandbox.cli import build, console, jupyter, notebook, report
from sandbox.errors import Error
from sandbox.model.notebook import SOURCE, Failure, document, file_name, quoted
from tests.host.made_store import MadeStore, env_vars, output, store_path

EVIL = (
    "<script>alert(1)</script>",
    "``` </code></pre> <b>x</b>",
    "`````",
    "~~~",
    "$$x$$ \\(x\\) \\begin{x}y\\end{x}",
    "[a](javascript:alert) ![b](http://x/y.png) <http://x>",
    "# head\n- item\n| a | b |",
    "&lt;i&gt; &#60;",
    "\x1b[2J\u202e\udcff",
    "`a",
    "a`",
    " ` ",
)
FAILURE = Failure(
    name="hello-1.0",
    ending="exit 2",
    enter=("/tmp/nix-build-hello-1.0.drv-0",),
    facts=(("name", "hello-1.0"), ("env-vars", "read")),
    phase="checkPhase",
    again="phase checkPhase",
    excerpt_of="The first error, line 2 of 3",
    excerpt=("  make check", "> ./test.sh: not found"),
)


def cells(failure: Failure) -> dict[str, str]:
    """The source of each cell by its id."""
    return {cell["id"]: "".join(cell["source"]) for cell in document(failure)["cells"]}


def reason_of(command, *argv: str) -> str:
    with pytest.raises(Error) as caught:
        command(list(argv))
    return caught.value.reason


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A kept hello that failed in its check phase; the current directory is an empty one."""
    store = MadeStore(tmp_path / "s")
    shell = store.add_shell()
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"), sources=(shell,), stdenv="/x")
    variables = env_vars(
        out=store_path("hello-1.0", "a"),
        name="hello-1.0",
        NIX_BUILD_TOP="/build",
        SHELL=f"{shell}/bin/bash",
    )
    outer = store.keep("nix-1-2", env_vars=variables)
    (outer / "build/config.log").write_text("x")
    store.log(drv, "Running phase: checkPhase\na.c:1: error: ``` <b>\nsee config.log\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return str(outer)


def written(name: str = "hello-1.0.ipynb") -> dict:
    with open(name, encoding="utf-8") as file:
        return json.load(file)


def test_the_cells_tell_the_failure_in_order():
    assert list(cells(FAILURE)) == [
        "failure",
        "enter",
        "log",
        "phase",
        "again",
        "source",
        "definition",
        "investigation",
        "try",
        "changes",
        "changed",
    ]
    text = cells(FAILURE)
    assert text["failure"].startswith("# hello-1.0 failed in checkPhase (exit 2)\n")
    assert text["enter"] == "%enter /tmp/nix-build-hello-1.0.drv-0"
    assert "> ./test.sh: not found" in text["log"]
    assert (text["again"], text["try"]) == ("phase checkPhase", "")


def test_only_the_phase_may_fail():
    tagged = [cell["id"] for cell in document(FAILURE)["cells"] if cell["metadata"]]
    assert tagged == ["again"]


def test_without_a_phase_there_is_no_cell_that_runs_one():
    text = cells(FAILURE.replace(phase="", again=""))
    assert not {"again", "definition"} & set(text)
    assert "Nothing tells which phase failed" in text["phase"]
    text = cells(FAILURE.replace(phase="", again="", builder=("/x/python3", "-c", "a b")))
    assert "It is not bash: `/x/python3 -c 'a b'`." in text["phase"]


def test_a_build_command_and_a_builder_are_run_again_and_shown(tmp_path):
    text = cells(FAILURE.replace(again="phase builder", builder=("/x/bash", "-ec", "a\nb")))
    assert text["phase"].startswith("## The builder\n")
    assert bash(text["definition"]).stdout == "/x/bash\n-ec\na\nb\n"
    text = cells(FAILURE.replace(again="phase buildCommand"))
    assert text["phase"].startswith("## buildCommand\n")
    there = {"NIX_BUILD_TOP": str(tmp_path), "PATH": os.environ["PATH"]}
    (tmp_path / "text").write_text("in a file\n")
    assert bash(text["definition"], buildCommand="a b", **there).stdout == "a b\n"
    in_file = bash(text["definition"], buildCommandPath=f"{tmp_path}/text", **there)
    assert in_file.stdout == "in a file\n"
    (tmp_path / ".attrs.sh").write_text("declare buildCommand='of a list'\n")
    assert bash(text["definition"], **there).stdout == "of a list\n"


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_of_a_hostile_phase_is_in_a_cell(evil):
    made = document(FAILURE.replace(phase=evil, again=f"phase {evil}"))["cells"]
    code = ["".join(cell["source"]) for cell in made if cell["cell_type"] == "code"]
    assert not {"again", "definition"} & {cell["id"] for cell in made}
    assert not [text for text in code if evil in text]


@pytest.mark.parametrize("evil", ["", *EVIL])
def test_a_notebook_is_valid_whatever_the_build_says(evil):
    nbformat = pytest.importorskip("nbformat")
    failure = Failure(
        name=evil,
        ending=evil,
        enter=("--store", f"/{evil}", f"/{evil}"),
        facts=(("name", evil),),
        phase=evil,
        excerpt=(evil,),
        excerpt_of="x",
        files=(evil,),
    )
    text = json.dumps(document(failure), ensure_ascii=False)
    text.encode()
    nbformat.validate(nbformat.reads(text, as_version=4))


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = self.outside_code = ""
        self._in_code = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self._in_code += tag in ("code", "pre")

    def handle_endtag(self, tag) -> None:
        self._in_code -= tag in ("code", "pre")

    def handle_data(self, data) -> None:
        self.text += data
        self.outside_code += "" if self._in_code else data


@pytest.mark.parametrize("evil", EVIL)
def test_prose_of_a_hostile_build_is_text_and_nothing_else(evil):
    markdown = pytest.importorskip("nbconvert.filters.markdown_mistune")
    failure = FAILURE.replace(
        name=evil,
        ending=evil,
        phase=evil,
        facts=(("name", evil),),
        excerpt=("  before", f"> {evil}", evil, "  after"),
        files=(evil,),
    )
    for name in ("failure", "log", "phase"):
        page = Page(markdown.markdown2html_mistune(cells(failure)[name]))
        known = {"h1", "h2", "ul", "li", "p", "code", "pre", "div", "span", "a"}
        assert page.elements <= known
        assert page.attributes <= {"class", "href", "id"}
        # What is outside of code is typeset, if it is a formula.
        assert "$" not in page.outside_code
        assert "\\" not in page.outside_code
        if name == "log":
            assert page.text.count("  after") == 1
            assert page.outside_code.count("after") == 0


@pytest.mark.parametrize(
    "word",
    [
        "/a b",
        "/it's",
        "/a\nb",
        "/\u202eevil",
        "/\udcff\udc80",
        "/$HOME",
        "/`x`",
        "/\x1b[2J",
        "/é\né",
    ],
)
def test_the_path_of_a_build_is_one_word_on_one_line(word):
    line = f"%enter --store /s {quoted(word)}"
    assert line.isprintable()
    (call,) = prepare(line + "\necho").calls
    assert call.arguments == ("--store", "/s", word)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("hello-1.0", "hello-1.0.ipynb"),
        ("../../etc/passwd", "etc-passwd.ipynb"),
        ("-rf", "rf.ipynb"),
        ("", "build.ipynb"),
        ("\n", "build.ipynb"),
        ("x" * 300, "x" * 100 + ".ipynb"),
    ],
)
def test_a_file_is_called_after_its_build_and_lies_here(name, file):
    assert file_name(name) == file


def bash(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/bash", "--norc", "--noprofile", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("setup", "shown"),
    [
        ("set -eu; echo noise; xPhase() { true; }; trap 'echo bye' EXIT", "xPhase () \n{ \n    true\n}\n"),
        ("xPhase='make check'; xPhase() { false; }", "make check\n"),
        ("", "xPhase is not a phase of $stdenv/setup\n"),
        ("exit 3", "xPhase is not a phase of $stdenv/setup\n"),
        ("set -e; false", "xPhase is not a phase of $stdenv/setup\n"),
        (None, "xPhase is not a phase of $stdenv/setup\n"),
    ],
)  # fmt: skip
def test_the_source_of_a_phase_is_shown_without_an_error(tmp_path, setup, shown):
    if setup is not None:
        (tmp_path / "setup").write_text(setup)
    script = SOURCE.replace("PHASE", "xPhase")
    done = bash(script, stdenv=str(tmp_path), NIX_BUILD_TOP=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, shown)


def test_the_source_of_a_phase_of_structured_attributes_is_found(tmp_path):
    (tmp_path / "setup").touch()
    (tmp_path / ".attrs.sh").write_text("declare xPhase='make it'\n")
    script = SOURCE.replace("PHASE", "xPhase")
    done = bash(script, stdenv=str(tmp_path), NIX_BUILD_TOP=str(tmp_path))
    assert done.stdout == "make it\n"


def test_a_notebook_is_written_and_its_path_said(kept, capsys):
    assert notebook.command([kept, "--no-open"]) == 0
    assert capsys.readouterr().out == "hello-1.0.ipynb\n"
    text = {cell["id"]: "".join(cell["source"]) for cell in written()["cells"]}
    assert text["enter"] == f"%enter {kept}"
    assert "````text\n" in text["log"]
    assert "- /build/config.log" in text["log"].replace("`", "")
    assert text["again"] == "phase checkPhase"


def test_store_and_derivation_are_in_the_cell_that_enters(kept):
    root = os.path.abspath("../s")
    drv = f"{root}{store_path('hello-1.0.drv', 'a')}"
    options = ["--no-open", "--store", "../s", "--derivation", os.path.relpath(drv)]
    assert notebook.command([kept, "it.ipynb", *options]) == 0
    (cell,) = [cell for cell in written("it.ipynb")["cells"] if cell["id"] == "enter"]
    assert cell["source"][0] == f"%enter --store {root} --derivation {drv} {kept}"


def test_a_file_that_is_there_is_left_alone_unless_forced(kept):
    for name in ("hello-1.0.ipynb", "link.ipynb"):
        os.symlink("/nowhere", name) if name == "link.ipynb" else open(name, "w").close()
        assert reason_of(notebook.command, kept, name, "--no-open") == "notebook-exists"
        assert notebook.command([kept, name, "--no-open", "--force"]) == 0
        assert written(name)["nbformat_minor"] == 5
    assert sorted(os.listdir()) == ["hello-1.0.ipynb", "link.ipynb"]


def test_a_place_that_cannot_be_written_is_named(kept):
    for more in ([], ["--force"]):
        argv = [kept, "missing/x.ipynb", "--no-open", *more]
        assert reason_of(notebook.command, *argv) == "notebook-refused"


def test_a_notebook_is_called_as_jupyter_wants(kept):
    assert reason_of(notebook.command, kept, "notes.txt") == "notebook-name"


def test_one_word_that_ends_as_a_notebook_is_the_file(kept, monkeypatch):
    monkeypatch.setattr("sandbox.find_build", lambda build, **_: kept if not build else "")
    assert notebook.command(["mine.ipynb", "--no-open"]) == 0
    assert written("mine.ipynb")["cells"]


def test_after_a_build_no_file_is_in_the_way(kept, capsys):
    failure = notebook.describe(kept)
    names = [notebook.write_beside(failure) for _ in range(3)]
    assert names == ["hello-1.0.ipynb", "hello-1.0-2.ipynb", "hello-1.0-3.ipynb"]


@pytest.fixture
def programs(monkeypatch):
    """Jupyter's programs are `/j/NAME`, know the kernels that are returned, and are not run."""
    known, run = ["nbs"], []
    monkeypatch.setattr(jupyter, "find", lambda program: f"/j/{program}")
    monkeypatch.setattr(jupyter, "_kernels", lambda _: known)

    def execute(path, argv):
        run.append(argv)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execv", execute)
    return known, run


def test_jupyterlab_is_started_on_the_file(kept, programs, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert reason_of(notebook.command, kept) == "front-end-missing"
    assert programs[1] == [["/j/jupyter-lab", os.path.abspath("hello-1.0.ipynb")]]


def test_jupyterlab_is_not_made_to_run_as_root(kept, programs, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert notebook.command([kept]) == 0
    assert programs[1] == []
    assert "hello-1.0.ipynb --allow-root`" in capsys.readouterr().err


def test_without_jupyterlab_the_way_on_is_said(kept, monkeypatch, capsys):
    monkeypatch.setattr(jupyter, "find", lambda _: "")
    assert notebook.command([kept]) == 0
    said = capsys.readouterr().err
    assert " jupyter_client pyzmq jupyterlab`" in said
    assert f"then: `jupyter lab {os.path.abspath('hello-1.0.ipynb')}`" in said


def test_the_console_gets_the_build_and_its_store(kept, programs):
    assert reason_of(console.command, kept, "--store", "../s") == "front-end-missing"
    store = ["--store", os.path.abspath("../s")]
    assert programs[1] == [["/j/jupyter-console", "--kernel", "nbs", "--", *store, kept]]


@pytest.mark.parametrize("command", [console.command, notebook.command])
def test_a_jupyter_that_does_not_know_the_kernel_is_told_of_it(kept, programs, command):
    programs[0][:] = ["python3"]
    with pytest.raises(Error) as caught:
        command([kept])
    assert caught.value.reason == "kernel-not-installed"
    assert "`nbs kernel install`" in caught.value.hint


def test_without_the_console_or_nbconvert_the_error_tells_how_to_get_it(kept, monkeypatch):
    monkeypatch.setattr(jupyter, "find", lambda _: "")
    assert notebook.command([kept, "x.ipynb", "--no-open"]) == 0
    for command, word in ((console.command, kept), (report.command, "x.ipynb")):
        with pytest.raises(Error) as caught:
            command([word])
        assert caught.value.reason == "front-end-missing"
        assert " jupyter_client pyzmq " in caught.value.hint


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"cells": 1}', "\xff"])
def test_a_report_of_what_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "x.ipynb"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    assert reason_of(report.command, str(path)) == "notebook-unreadable"


def test_a_program_beside_this_python_comes_before_one_on_the_path(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "jupyter-lab").write_text("#!/bin/sh\n")
        (tmp_path / name / "jupyter-lab").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "b"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere/python"))
    assert jupyter.find("jupyter-lab") == str(tmp_path / "b/jupyter-lab")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a/python"))
    assert jupyter.find("jupyter-lab") == str(tmp_path / "a/jupyter-lab")
    assert jupyter.find("jupyter-console") == ""


@pytest.mark.parametrize("option", ["--copy", "--inputs=rw", "--whole-store"])
def test_a_build_s_notebook_has_no_options_of_entering(option):
    assert reason_of(build.command, "--notebook", option, "--", "-A", "x") == "option-value"


def test_writing_a_notebook_needs_nothing_of_jupyter(kept):
    code = "import sys; from sandbox.cli import notebook; notebook.command(sys.argv[1:]);"
    code += "print({'nbformat', 'jupyter_client', 'zmq', 'traitlets'} & set(sys.modules))"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-S", "-c", code, kept, "--no-open"]
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_a_directory_that_no_cell_can_enter_gets_no_notebook(kept, tmp_path):
    (tmp_path / "copy").mkdir()
    store = str(tmp_path / "s")
    drv = store_path("hello-1.0.drv", "a")
    words = ("--no-open", "--store", store, "--derivation", drv, str(tmp_path / "copy"))
    assert reason_of(notebook.command, *words) == "not-a-build"
