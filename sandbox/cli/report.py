"""`nbs report FILE.ipynb`: a notebook run from top to bottom by nobody, as a page of HTML."""

from __future__ import annotations

import errno
import os
import shlex

import sandbox
from sandbox.cli import jupyter, speak
from sandbox.cli.parser import Parser
from sandbox.errors import MachineError, UsageError
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Notebook = dict[str, Any]

MAY_FAIL = "raises-exception"
EPILOG = """\
A notebook for another kernel, whose cells would run on this machine itself, is refused.

Exit status 1 if a cell failed that is not tagged `raises-exception`; the page is written all the
same, with every cell.

examples:
  nbs report hello-1.0.ipynb                  hello-1.0.html beside it
  nbs report hello-1.0.ipynb -o /tmp/it.html
"""


class Failed(Value):
    """A cell that failed: its number among the cells with code, from 1, and what it said."""

    number: int
    text: str


def parser() -> Parser:
    """The options of `nbs report`."""
    made = Parser(
        prog="nbs report",
        description="Run a notebook from top to bottom, and write what comes of it as HTML.",
        epilog=EPILOG,
    )
    # Not required for argparse, which would rather miss it than tell of an option it does not know.
    made.add_argument("file", nargs="?", default="", metavar="FILE.ipynb")
    made.add_argument("-o", "--output", default="", metavar="FILE.html")
    return made


def command(argv: list[str]) -> int:
    """Run it, write the page, and say which cells failed."""
    from tempfile import TemporaryDirectory

    asked = parser().parse_args(argv)
    if not asked.file:
        parser().error("FILE.ipynb is wanted")
    name = _kernel_name(_read(asked.file))
    page = asked.output or os.path.splitext(asked.file)[0] + ".html"
    # Before the cells run, which may take hours.
    _require_place(page)
    program = jupyter.require("jupyter-nbconvert")
    jupyter.require_kernel(program, name)
    if not jupyter.starts_ours(program, name):
        raise _foreign(asked.file, name)
    with TemporaryDirectory() as made:
        done = _run(program, asked.file, name, made)
        html = _convert(program, done, made, "--to", "html")
        _move(html, page)
        failed = tuple(_failed(_read(done)))
    print(sandbox.one_line(page), flush=True)
    for one in failed:
        speak.say(sandbox.one_line(f"cell {one.number} failed: {one.text}"))
    return 1 if failed else 0


def _read(file: str) -> Notebook:
    """Raises `UsageError` (`notebook-unreadable`)."""
    import json

    try:
        with open(file, encoding="utf-8") as opened:
            read = json.load(opened)
    except (OSError, ValueError) as error:
        raise _unreadable(file, str(error)) from None
    if not isinstance(read, dict) or not isinstance(read.get("cells"), list):
        raise _unreadable(file, "it has no cells")
    return read


def _unreadable(file: str, why: str) -> UsageError:
    return UsageError(
        f"`{file}` is no notebook that can be read",
        reason="notebook-unreadable",
        evidence=(why,),
        hint="`nbs notebook BUILD FILE.ipynb` writes one",
    )


def _kernel_name(notebook: Notebook) -> str:
    try:
        return str(notebook["metadata"]["kernelspec"]["name"])
    except (KeyError, TypeError):
        return jupyter.KERNEL


def _foreign(file: str, name: str) -> UsageError:
    words = shlex.join(["jupyter", "nbconvert", "--execute", "--to", "html", file])
    return UsageError(
        f"the cells of `{file}` are not for the kernel of this program, but for `{name}`",
        reason="notebook-foreign",
        evidence=("they would run on this machine itself, in no sandbox",),
        hint=f"if you trust whoever wrote it: `{words}`",
    )


def _run(program: str, file: str, kernel: str, place: str) -> str:
    """The notebook with the outputs of its cells, under its own name."""
    # Else the file, which may be another by now, would say once more whose cells they are.
    chosen = f"--ExecutePreprocessor.kernel_name={kernel}"
    options = ("--to", "notebook", "--execute", "--allow-errors", chosen)
    done = _convert(program, file, place, *options)
    named = f"{place}/{os.path.basename(file)}"
    os.replace(done, named)
    return named


def _convert(program: str, file: str, place: str, *options: str) -> str:
    """The file that nbconvert makes in a directory. Raises `MachineError` (`report-failed`)."""
    import glob
    import subprocess

    before = set(os.listdir(place))
    # nbconvert takes names for patterns, and runs cells beside the notebook.
    path = glob.escape(os.path.abspath(file))
    done = subprocess.run(
        [program, *options, "--output-dir", place, path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    new = sorted(name for name in os.listdir(place) if name not in before)
    if done.returncode != 0 or not new:
        said = done.stderr.decode("utf-8", "replace").rstrip().splitlines()
        raise MachineError(
            f"nbconvert made nothing of `{file}`",
            reason="report-failed",
            evidence=tuple(said[-5:]) or (f"status {done.returncode}",),
            hint="`nbs doctor` tries what the kernel needs",
        )
    return f"{place}/{new[0]}"


def _require_place(page: str) -> None:
    """Raises `MachineError` (`notebook-refused`) where no such file can be written."""
    place = page if os.path.lexists(page) else os.path.dirname(page) or "."
    if os.path.isdir(page):
        raise _refused(page, os.strerror(errno.EISDIR))
    if not os.path.exists(place):
        raise _refused(page, os.strerror(errno.ENOENT))
    if not os.access(place, os.W_OK):
        raise _refused(page, os.strerror(errno.EACCES))


def _move(html: str, page: str) -> None:
    import shutil

    try:
        shutil.copyfile(html, page)
    except OSError as error:
        raise _refused(page, error.strerror or str(error)) from None


def _refused(page: str, why: str) -> MachineError:
    return MachineError(
        f"`{page}` cannot be written",
        reason="notebook-refused",
        evidence=(why,),
        hint="`nbs report FILE.ipynb -o /tmp/FILE.html` writes it elsewhere",
    )


def _failed(notebook: Notebook) -> Iterator[Failed]:
    cells = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    for number, cell in enumerate(cells, 1):
        if MAY_FAIL in cell.get("metadata", {}).get("tags", ()):
            continue
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error":
                yield Failed(number=number, text=f"{output.get('ename')}: {output.get('evalue')}")
