"""`nbs notebook [BUILD] [FILE.ipynb]`: a notebook filled in from a failure, in JupyterLab."""

from __future__ import annotations

import os
import shlex

import sandbox
from sandbox.cli import jupyter, speak
from sandbox.cli.finding import find
from sandbox.cli.parser import Parser
from sandbox.errors import Error, MachineError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

LAST_LINES = 25
MOST_FILES = 30

EPILOG = """\
examples:
  nbs notebook                           of the newest failure, and JupyterLab with it
  nbs notebook hello fixing-hello.ipynb  of the newest of that name, in this file
  nbs notebook hello --no-open           only the file
  nbs report hello-1.0.ipynb             run it from top to bottom, as HTML
"""


def parser() -> Parser:
    """The options of `nbs notebook`."""
    made = Parser(
        prog="nbs notebook",
        description="Write a notebook that is filled in from a failed build, and open it.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD")
    made.add_argument("file", nargs="?", default="", metavar="FILE.ipynb")
    made.add_argument("--no-open", action="store_true", help="write the file, and no more")
    made.add_argument("--force", action="store_true", help="write over a file that is there")
    made.add_argument("--derivation", default="", metavar="DRV")
    made.add_argument("--store", default="", metavar="STORE")
    return made


def command(argv: list[str]) -> int:
    """Find the build, write its notebook, open that."""
    asked = _parsed(argv)
    found = find(asked.build, asked.store)
    failure = describe(found, store=asked.store, derivation=asked.derivation)
    file = write(failure, asked.file or sandbox.notebook_name(failure.name), force=asked.force)
    return 0 if asked.no_open else open_in_lab(file)


def _parsed(argv: list[str]) -> argparse.Namespace:
    asked = parser().parse_args(argv)
    if not asked.file and asked.build.endswith(".ipynb") and not os.path.isdir(asked.build):
        asked.build, asked.file = "", asked.build
    if asked.file and not asked.file.endswith(".ipynb"):
        words = shlex.join(["nbs", "notebook", asked.build, f"{asked.file}.ipynb"])
        raise UsageError(
            f"`{asked.file}` does not end as notebooks do",
            reason="notebook-name",
            hint=f"`{words}`",
        )
    return asked


def describe(kept: str, *, store: str = "", derivation: str = "") -> sandbox.Failure:
    """What a notebook tells of a kept directory. Raises `Error` as `sandbox.read` does."""
    store = os.path.abspath(store) if store else ""
    derivation = os.path.abspath(derivation) if derivation else ""
    # What its first cell could not enter gets no notebook.
    case = sandbox.read(kept, store=store, derivation=derivation, start=True, telling=True)
    given = (("--store", store), ("--derivation", derivation))
    enter = [word for name, value in given if value for word in (name, value)]
    failure = sandbox.Failure(
        name=case.kept.name_hint
        or sandbox.derivation_name(case.nix.derivation_path)
        or "this build",
        ending="",
        enter=(*enter, os.path.abspath(case.kept.outer)),
        facts=_facts(case),
        builder=sandbox.builder_words(case),
    )
    build = _logged(kept, store, case.nix.derivation_path)
    if build is None:
        return failure.replace(again=sandbox.phase_again(case, None))
    log = build.log
    excerpt_of, excerpt = _excerpt(log)
    return failure.replace(
        ending=sandbox.ending_text(log),
        phase=log.failing_phase,
        again=sandbox.phase_again(case, log),
        excerpt_of=excerpt_of,
        excerpt=excerpt,
        files=tuple(file.inside for file in sandbox.pointed_files(build)[:MOST_FILES]),
    )


def _facts(case: sandbox.Case) -> tuple[tuple[str, str], ...]:
    """With the time of the failure in the place of its age, which a notebook outlives."""
    import time

    failed = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(case.kept.mtime_ns / 1e9))
    pairs = sandbox.facts(case)
    return tuple(("failed", failed) if name == "age" else (name, text) for name, text in pairs)


def _excerpt(log: sandbox.BuildLog) -> tuple[str, tuple[str, ...]]:
    """The first error with what stands around it, else the end; and what it is."""
    error = log.error
    if error is None:
        return "No line looks like an error; the last ones", log.last_lines(LAST_LINES)
    marked = tuple(f"{mark} {text}" for mark, text in error.marked())
    return f"The first error, line {error.line} of {len(log.lines)}", marked


def _logged(kept: str, store: str, derivation: str) -> sandbox.LoggedBuild | None:
    """The build with its log, where that is kept and can be read; why not is said."""
    try:
        return sandbox.logged_build(kept, store=store, derivation=derivation)
    except Error as error:
        if error.reason != "log-missing":
            speak.say(sandbox.one_line(error.message))
        return None


def write(failure: sandbox.Failure, file: str, *, force: bool = False) -> str:
    """Write the notebook, say where, and give the path.

    Raises `UsageError` (`notebook-exists`), `MachineError` (`notebook-refused`).
    """
    import json

    text = json.dumps(sandbox.notebook(failure), indent=1, ensure_ascii=False) + "\n"
    try:
        if force:
            _replace(file, text)
        else:
            with open(file, "x", encoding="utf-8") as made:
                made.write(text)
    except FileExistsError:
        raise UsageError(
            f"`{file}` is there already",
            reason="notebook-exists",
            hint=f"`jupyter lab {shlex.quote(file)}` opens it, `--force` writes over it",
        ) from None
    except OSError as error:
        raise MachineError(
            f"`{file}` cannot be written",
            reason="notebook-refused",
            evidence=(error.strerror or str(error),),
            hint="`nbs notebook BUILD /tmp/FILE.ipynb` writes it elsewhere",
        ) from None
    print(sandbox.one_line(file), flush=True)
    return file


def _replace(file: str, text: str) -> None:
    """Never half a notebook in the place of a whole one."""
    new = f"{file}.{os.getpid()}"
    with open(new, "x", encoding="utf-8") as made:
        made.write(text)
    try:
        os.replace(new, file)
    except OSError:
        os.unlink(new)
        raise


def write_beside(failure: sandbox.Failure) -> str:
    """`write`, under the first name of the build's that no file has."""
    wanted = sandbox.notebook_name(failure.name)
    file, number = wanted, 1
    while os.path.lexists(file):
        number += 1
        file = f"{wanted.removesuffix('.ipynb')}-{number}.ipynb"
    return write(failure, file)


def open_in_lab(file: str) -> int:
    """Go on as JupyterLab, or say what would open the file."""
    path = os.path.abspath(file)
    words = shlex.join(["jupyter", "lab", path])
    program = jupyter.find("jupyter-lab")
    if not program:
        speak.say(f"JupyterLab is not installed: `{jupyter.installing('jupyter-lab')}`")
        speak.say(f"then: `{words}`")
        return 0
    jupyter.require_kernel(program)
    if os.geteuid() == 0:
        # It refuses to run as root, and whether it should is not for us to say.
        speak.say(f"JupyterLab is not started as root; it would be: `{words} --allow-root`")
        return 0
    return jupyter.become(program, path)
