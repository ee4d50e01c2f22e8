"""The documents say what the code does: reasons, options, files, links, manual pages."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.cli import arguments, nbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(
    path
    for folder in ("sandbox", "nbs_kernel")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
PAGES = sorted((ROOT / "docs/man").glob("*.1"))
VERBS_THAT_ENTER = ("replay", "verify")
VERBS_WITH_ARGPARSE = (
    "ls",
    "cp",
    "log",
    "diff",
    "patch",
    "notebook",
    "console",
    "report",
    "show",
    "plan",
    "doctor",
)


def reasons_in(tree: ast.Module) -> Iterator[str]:
    """What `reason=` can be, and what a function of the same file is given as its `reason`."""
    places = {
        function.name: [a.arg for a in function.args.args].index("reason")
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and "reason" in [a.arg for a in function.args.args]
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        given = [k.value for k in call.keywords if k.arg == "reason"]
        if isinstance(call.func, ast.Name) and call.func.id in places:
            given += call.args[places[call.func.id] :][:1]
        for value in given:
            # A word, or one of two: `"disk-full" if full else "workspace-refused"`.
            results = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            for result in results:
                if isinstance(result, ast.Constant):
                    yield result.value


def reasons_in_scripts() -> set[str]:
    """Those of the word `phase`, which tells of errors in the same form."""
    told = r"""complain (?:"(?:[^"\\]|\\.)*"|'[^']*') ([a-z-]+) """
    scripts = (ROOT / "sandbox/phases").glob("*.bash")
    return {reason for path in scripts for reason in re.findall(told, path.read_text())}


def words_in_first_column(path: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", (ROOT / path).read_text(), re.MULTILINE)


def help_of(*argv: str) -> str:
    command = [sys.executable, "-m", *argv, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def section(title: str) -> str:
    """What `commands.md` says below one heading."""
    text = (ROOT / "docs/reference/commands.md").read_text()
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_reason_of_the_code_is_explained_and_no_other() -> None:
    used = {reason for path in SOURCES for reason in reasons_in(ast.parse(path.read_text()))}
    used |= reasons_in_scripts()
    explained = words_in_first_column("docs/reference/errors.md")
    assert sorted(explained) == sorted(set(explained))
    assert set(explained) == used


def test_every_file_is_on_the_map_and_every_file_on_the_map_is_there() -> None:
    maps = ("docs/code-map.md", "docs/kernel.md")
    mapped = [word for path in maps for word in words_in_first_column(path)]
    files = {str(p.relative_to(ROOT)) for p in SOURCES if p.name != "__init__.py"}
    assert set(mapped) == files | {"sandbox/__init__.py"}
    assert len(mapped) == len(set(mapped))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    local = [t for t in targets if "://" not in t]
    assert not [t for t in local if not (document.parent / t).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    named = re.findall(
        r"`((?:sandbox|nbs_kernel|tests|docs|benchmarks)/[\w./-]+)`", document.read_text()
    )
    planned = {
        "sandbox/cli/path.py",
        "tests/cli/",
        "docs/reference/json/path.schema.json",
    }  # CONTRIBUTING.md shows how to add them
    assert not [n for n in named if n not in planned and not (ROOT / n).exists()]


def test_the_reference_has_the_options_of_entering() -> None:
    known = {*arguments.FLAGS, *arguments.WITH_VALUE, arguments.REPEATED}
    assert options_in(section("nix-build-shell")) - {"--keep-failed"} == known
    assert options_in(help_of("sandbox.cli.nix_build_shell")) == known


@pytest.mark.parametrize("verb", [*VERBS_WITH_ARGPARSE, *VERBS_THAT_ENTER])
def test_the_reference_has_the_options_of_each_verb(verb: str) -> None:
    own = options_in(help_of("sandbox.cli.nbs", verb)) - {"--help"}
    entering = {*arguments.FLAGS, *arguments.WITH_VALUE}
    said = options_in(section(f"nbs {verb}"))
    assert said <= own
    assert own - said <= (entering if "OPTIONS" in section(f"nbs {verb}") else set())


def test_the_reference_has_every_verb() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text()
    assert set(re.findall(r"^## nbs (\w+)$", text, re.MULTILINE)) == set(nbs.VERBS)


def test_the_manual_has_every_verb_and_every_option() -> None:
    entering, verbs = (
        p.read_text() for p in sorted(PAGES, key=lambda p: p.name != "nix-build-shell.1")
    )
    for name in (*arguments.FLAGS, *arguments.WITH_VALUE, arguments.REPEATED):
        assert f"-{name.removeprefix('--')}" in entering
    for verb in nbs.VERBS:
        assert f".It Cm {verb}\n" in verbs
        if verb in (*VERBS_WITH_ARGPARSE, *VERBS_THAT_ENTER):
            for name in options_in(help_of("sandbox.cli.nbs", verb)) - {"--help"}:
                assert f"-{name.removeprefix('--')}" in verbs + entering


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_manual_page_is_without_fault(page: Path) -> None:
    program = shutil.which("mandoc")
    if program is None and os.environ.get("CI"):
        pytest.fail("CI must be able to run this: mandoc is not installed", pytrace=False)
    if program is None:
        pytest.skip("mandoc is not installed")
    command = [program, "-T", "lint", "-W", "warning", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_readme_names_the_command_that_the_checks_run() -> None:
    assert "\n./test\n" in (ROOT / "README.md").read_text()
    runs = (ROOT / ".ci/run").read_text()
    # In parts: what one leaves out, another has.
    assert 'first=("${second[@]/#/--ignore=}")' in runs
    for part in ('./test "${second[@]}"', 'pytest "${first[@]}"'):
        assert part in runs
    assert len(re.findall(r'as_user "\$\{(?:first|second)\[@\]\}"', runs)) == 2
    assert os.access(ROOT / "test", os.X_OK)


def test_the_readme_fits_lines_of_120_columns() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert not [line for line in lines if len(line) > 120 and not line.startswith("|")]


def test_every_page_can_be_reached_from_the_first() -> None:
    docs = ROOT / "docs"
    reached, waiting = set(), [docs / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#:]+\.md)(?:#[^)\s]*)?\)", page.read_text())
        targets = {(page.parent / link).resolve() for link in links}
        waiting += [t for t in targets - reached if t.is_relative_to(docs) and t not in waiting]
    assert reached == set(docs.rglob("*.md"))


def test_every_page_that_tells_how_to_do_something_is_on_the_first() -> None:
    first = (ROOT / "docs/index.md").read_text()
    pages = [*(ROOT / "docs/how-to").glob("*.md"), *(ROOT / "docs/reference").glob("*.md")]
    paths = [str(page.relative_to(ROOT / "docs")) for page in [*pages, ROOT / "docs/tutorial.md"]]
    assert [path for path in sorted(paths) if f"({path})" not in first] == []
