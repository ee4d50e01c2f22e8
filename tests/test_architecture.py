"""Folder = what the code may do: each file's imports, held to the layers of the project."""

from __future__ import annotations

import ast
import fnmatch
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Kept

ROOT = Path(__file__).resolve().parent.parent


AT_THE_ROOT = {
    *("nbs_kernel", "sandbox", "kernelspec", "notebooks", "tests", "benchmarks", "docs", "nix"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    *("pyproject.toml", "mkdocs.yml", "flake.nix", "package.nix", "test", ".ci", ".gitignore"),
}


class Layer(NamedTuple):
    """A folder's own rule. `allowed` are modules of this project, with what is below them."""

    purpose: str
    allowed: tuple[str, ...]
    forbidden: frozenset[str] = frozenset()


TOUCHES_THE_WORLD = frozenset(
    [
        "asyncio",
        "concurrent",
        "ctypes",
        "datetime",
        "fcntl",
        "glob",
        "io",
        "locale",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "pty",
        "pwd",
        "grp",
        "random",
        "resource",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "stat",
        "subprocess",
        "sys",
        "syslog",
        "tempfile",
        "termios",
        "threading",
        "time",
        "tty",
        "urllib",
        "uuid",
        "_sqlite3",
    ]
)
NETWORK = frozenset(
    ["asyncio", "ftplib", "http", "smtplib", "socketserver", "ssl", "urllib", "xmlrpc"]
)
OTHER_PROCESSES = frozenset(
    ["concurrent", "multiprocessing", "shutil", "subprocess", "tempfile", "threading"]
)

LAYERS = {
    "sandbox/errors.py": Layer("it names what can go wrong", (), TOUCHES_THE_WORLD),
    "sandbox/model": Layer(
        "model/ computes, host/ looks", ("sandbox.model", "sandbox.errors"), TOUCHES_THE_WORLD
    ),
    "sandbox/host": Layer(
        "host/ looks, and changes nothing",
        ("sandbox.host", "sandbox.model", "sandbox.errors"),
        NETWORK | {"shutil", "tempfile", "socket"},
    ),
    "sandbox/linux": Layer(
        "linux/ acts, and knows nothing of Nix",
        (
            "sandbox.linux",
            "sandbox.model.plan",
            "sandbox.model.spec",
            "sandbox.model.steps",
            "sandbox.model.value",
            "sandbox.errors",
        ),
        NETWORK | OTHER_PROCESSES,
    ),
    "sandbox/workspace": Layer(
        "workspace/ keeps writable copies",
        ("sandbox.workspace", "sandbox.linux", "sandbox.model", "sandbox.errors"),
        NETWORK | OTHER_PROCESSES | {"socket"},
    ),
    "sandbox/demo": Layer(
        "demo/ makes a failed build without Nix",
        ("sandbox.demo", "sandbox.model", "sandbox.errors"),
        NETWORK | {"socket"},
    ),
    "sandbox/__init__.py": Layer(
        "the front door puts the layers together",
        (
            "sandbox.host",
            "sandbox.linux",
            "sandbox.model",
            "sandbox.workspace",
            "sandbox.errors",
            "sandbox.session",
            "sandbox.repair",
            "sandbox.version",
        ),
        NETWORK | OTHER_PROCESSES | {"socket"},
    ),
    "sandbox/version.py": Layer("it says which release this is", (), TOUCHES_THE_WORLD),
    "sandbox/session": Layer(
        "a session is a plan, a workspace and processes",
        (
            "sandbox.session",
            "sandbox.linux",
            "sandbox.model",
            "sandbox.workspace",
            "sandbox.errors",
        ),
        NETWORK | OTHER_PROCESSES | {"socket"},
    ),
    "sandbox/session/asked.py": Layer(
        "a living session is asked over a socket",
        ("sandbox.session", "sandbox.model", "sandbox.workspace", "sandbox.errors"),
        NETWORK | OTHER_PROCESSES,
    ),
    "sandbox/session/kept.py": Layer(
        "a kept workspace is a case and a session",
        ("sandbox.session", "sandbox.host", "sandbox.model", "sandbox.workspace", "sandbox.errors"),
        NETWORK | OTHER_PROCESSES | {"socket"},
    ),
    "sandbox/session/roots.py": Layer(
        "Nix is asked to keep what a workspace needs",
        ("sandbox.host", "sandbox.model", "sandbox.workspace", "sandbox.errors"),
        NETWORK | {"shutil", "tempfile", "socket"},
    ),
    "sandbox/repair": Layer(
        "what a session has changed is compared, and carried home",
        (
            "sandbox.repair",
            "sandbox.session",
            "sandbox.host",
            "sandbox.linux.looked",
            "sandbox.model",
            "sandbox.workspace",
            "sandbox.errors",
        ),
        NETWORK | OTHER_PROCESSES | {"socket"},
    ),
    "sandbox/cli": Layer(
        "cli/ speaks, and goes in by the front door",
        ("sandbox", "sandbox.cli", "sandbox.demo", "sandbox.errors", "sandbox.model.value"),
    ),
    "nbs_kernel": Layer(
        "the kernel goes in by the front door", ("sandbox", "sandbox.errors", "nbs_kernel")
    ),
}
STANDARD_LIBRARY_ALONE = tuple(folder for folder in LAYERS if folder.startswith("sandbox"))
OPTIONAL_IN_CLI = frozenset({"argcomplete", "jupyter_client", "rich"})
PRINTS_AND_EXITS = frozenset({"print", "input", "breakpoint", "exit", "quit"})

HEAVY = frozenset(
    [
        "argparse",
        "dataclasses",
        "email",
        "enum",
        "inspect",
        "json",
        "logging",
        "pathlib",
        "re",
        "shutil",
        "socket",
        "sqlite3",
        "subprocess",
        "tempfile",
        "traceback",
        "typing",
    ]
)


ONE_COMMAND_NEEDS = {
    "": "errors",
    "cli": "arguments entering speak",
    "host": "builddir case closure database derivation inputs machine nixconf owners version",
    "linux": "apply launch looked mounts syscalls",
    "model": "aterm command envvars facts identity nixconf plan printable profile rules seccomp spec"
    " steps storepath stores value",
    "session": "run",
    "workspace": "ladder prepare remove workspace",
}
"""Modules by folder. Each costs every run a fifth of a millisecond: what is not used has no place here."""


class Import(NamedTuple):
    module: str
    line: int
    in_function: bool


def sources() -> list[str]:
    found = [path for part in ("sandbox", "nbs_kernel") for path in (ROOT / part).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def layer_of(source: str) -> str | None:
    """The most particular entry of the table that the file is in."""
    inside = [name for name in LAYERS if source == name or source.startswith(name + "/")]
    return max(inside, key=len, default=None)


def imports_of(source: str) -> list[Import]:
    """What a file imports when it runs; what is for the type checker alone is none."""
    tree = ast.parse((ROOT / source).read_text())
    return list(_imports(tree.body, source, in_function=False))


def _imports(nodes: list[ast.AST], source: str, *, in_function: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _import_from(node, source, in_function=in_function)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(node.orelse, source, in_function=in_function)
        else:
            deeper = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            children = list(ast.iter_child_nodes(node))
            yield from _imports(children, source, in_function=deeper)


def _import_from(node: ast.ImportFrom, source: str, *, in_function: bool) -> Iterator[Import]:
    assert node.level == 0, f"{source}:{node.lineno} imports by a relative name"
    for alias in node.names:
        whole = f"{node.module}.{alias.name}"
        is_module = (ROOT / (whole.replace(".", "/") + ".py")).exists()
        is_package = (ROOT / whole.replace(".", "/")).is_dir()
        name = whole if is_module or is_package else node.module
        yield Import(name or "", node.lineno, in_function)


def is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in ("sandbox", "nbs_kernel")


def is_allowed(module: str, layer: Layer) -> bool:
    # The front door is one module; to be let in there is not to be let in everywhere behind it.
    below = [name for name in layer.allowed if name != "sandbox"]
    return module in layer.allowed or any(module.startswith(name + ".") for name in below)


@pytest.mark.parametrize("source", sources())
def test_every_file_is_in_a_folder_of_the_table(source):
    assert layer_of(source), f"{source} is in no layer: add its folder to the table of layers"


@pytest.mark.parametrize("source", sources())
def test_a_file_imports_no_more_than_its_folder_may(source):
    layer = LAYERS[layer_of(source)]
    faults = [
        f"{source} may not import {found.module}: {layer.purpose} (line {found.line})"
        for found in imports_of(source)
        if (is_ours(found.module) and not is_allowed(found.module, layer))
        or found.module.split(".")[0] in layer.forbidden
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("source", sources())
def test_nothing_but_the_standard_library_is_needed(source):
    allowed = set(sys.stdlib_module_names)
    if layer_of(source) == "sandbox/cli":
        allowed |= OPTIONAL_IN_CLI
    if layer_of(source) not in STANDARD_LIBRARY_ALONE:
        pytest.skip("the kernel has dependencies")
    names = {
        found.module.split(".")[0] for found in imports_of(source) if not is_ours(found.module)
    }
    assert names <= allowed


ENTERS_WITH_ALL_IT_NEEDS = [
    s
    for s in sources()
    # The launcher stays outside, and listens before it imports the rest.
    if layer_of(s) in ("sandbox/linux", "nbs_kernel") and s != "nbs_kernel/launcher.py"
]
ONE_FILE_EACH = {"zmq": "nbs_kernel/channels.py", "jupyter_client": "nbs_kernel/channels.py"}


@pytest.mark.parametrize("source", [s for s in sources() if layer_of(s) == "nbs_kernel"])
def test_the_libraries_of_jupyter_are_known_to_one_file_each(source):
    names = {found.module.split(".")[0] for found in imports_of(source)}
    assert {name for name in names if ONE_FILE_EACH.get(name, source) != source} == set()
    assert "ipykernel" not in names


@pytest.mark.parametrize("source", ENTERS_WITH_ALL_IT_NEEDS)
def test_no_import_waits_for_a_function_between_the_fork_and_the_command(source):
    # Inside, the files of Python are out of sight.
    assert [found for found in imports_of(source) if found.in_function] == []


@pytest.mark.parametrize("source", sources())
def test_only_the_command_line_prints_and_exits(source):
    if layer_of(source) in ("sandbox/cli", "sandbox/demo", "nbs_kernel"):
        return
    calls = [
        node
        for node in ast.walk(ast.parse((ROOT / source).read_text()))
        if isinstance(node, ast.Call)
    ]
    named = {ast.unparse(call.func) for call in calls}
    assert named.isdisjoint(PRINTS_AND_EXITS | {"sys.exit", "sys.stdout.write", "sys.stderr.write"})


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import os", ["os"]),
        ("def f():\n    import os.path", ["os.path"]),
        ("try:\n    import json\nexcept ImportError:\n    import re", ["json", "re"]),
        ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import os\nelse:\n    import re", ["re"]),
        ("from sandbox import linux", ["sandbox.linux"]),
        ("from sandbox.linux import syscalls", ["sandbox.linux.syscalls"]),
        ("from sandbox.model.plan import Plan", ["sandbox.model.plan"]),
    ],
)
def test_the_check_sees_each_kind_of_import(text, modules):
    found = _imports(ast.parse(text).body, "text", in_function=False)
    assert [one.module for one in found] == modules


def test_the_front_door_does_not_open_all_that_is_behind_it():
    assert is_allowed("sandbox", LAYERS["sandbox/cli"])
    assert not is_allowed("sandbox.linux.launch", LAYERS["sandbox/cli"])


def test_the_sandbox_that_is_tested_is_the_one_of_this_checkout():
    assert Path(sandbox.__file__).resolve() == ROOT / "sandbox/__init__.py"


@pytest.mark.namespaces
def test_a_command_is_entered_without_any_heavy_module(kept_by_nix: Kept, tool_command):
    (python, *module), environment = tool_command("sandbox.cli.nix_build_shell")
    # -S: what an installation adds to Python's own start is not ours.
    options = ["-S", "-X", "importtime"]
    done = subprocess.run(
        [python, *options, *module, "--store", kept_by_nix.store, kept_by_nix.path, "true"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert loaded & HEAVY == set()
    ours = {name.removeprefix("sandbox.") for name in loaded if name.startswith("sandbox.")}
    wanted = {
        f"{f}.{n}".strip(".") for f, names in ONE_COMMAND_NEEDS.items() for n in names.split()
    }
    assert ours - ONE_COMMAND_NEEDS.keys() == wanted


def test_what_the_front_door_shows_to_the_type_checker_is_there_when_it_runs() -> None:
    tree = ast.parse((ROOT / "sandbox/__init__.py").read_text())
    for_the_checker = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in for_the_checker if isinstance(node, ast.ImportFrom)]
    shown = {alias.asname for node in imports for alias in node.names if alias.asname}
    assert len(shown) > 50
    assert {name for name in shown if not hasattr(sandbox, name)} == set()


def test_the_root_holds_what_it_is_known_for() -> None:
    if (ROOT / ".git").exists():
        # What somebody has beside it is nobody's business.
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
        names = {line.partition("/")[0] for line in listed.stdout.decode().splitlines()}
    else:
        ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
        names = {path.name for path in ROOT.iterdir()} - {"PKG-INFO"}
        names = {name for name in names if not any(fnmatch.fnmatch(name, one) for one in ignored)}
    assert names == AT_THE_ROOT
