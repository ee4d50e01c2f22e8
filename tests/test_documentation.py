"""The documentation as pages: built without a warning, and with commands that are there and work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.cli import arguments, nbs
from tests.conftest import FAILS_IN_CHECK_PHASE

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OUTSIDE = {
    "https://github.com/Mic92/cntr",
    "https://nix.dev/manual/nix/latest/command-ref/new-cli/nix3-develop",
    "https://nix.dev/manual/nix/latest/command-ref/nix-shell",
    "https://nixos.org/manual/nixpkgs/stable/#breakpointhook",
    "https://semver.org",
}
"""Links that no test follows: whoever adds one has looked whether it is there."""
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LOOKS = ("ls", "show", "log", "plan", "doctor")
"""Verbs that only look, so that what is written can be run as it is."""


def commands() -> list[tuple[str, str]]:
    """Every command of ours in a block for shells: the page and the line, comments left out."""
    found = []
    for page in DOCUMENTS:
        for block in BLOCK.findall(page.read_text()):
            for line in block.splitlines():
                bare = re.sub(r"\s+#\s.*$", "", line).strip().removeprefix("$ ")
                if re.match(r"(nbs|nix-build-shell) ", bare):
                    found.append((str(page.relative_to(ROOT)), bare))
    return found


def words_of(line: str) -> list[str]:
    """The words of the first command of a line."""
    return shlex.split(re.split(r" (?:\||>|\|\||&&) ?| 2>", line)[0])


def help_of(verb: str) -> str:
    command = [sys.executable, "-m", "sandbox.cli.nbs", verb, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()
    assert not re.findall(r"^WARNING.*", done.stderr, re.MULTILINE)


def test_the_pages_fetch_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    fetched = r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"'
    texts = [page.read_text() for page in tmp_path.rglob("*.html")]
    assert not [url for text in texts for url in re.findall(fetched, text)]


def test_every_link_that_leads_elsewhere_is_listed() -> None:
    texts = [page.read_text() for page in DOCUMENTS]
    links = {url for text in texts for url in re.findall(r"\]\((https?://[^)\s]+)\)", text)}
    assert links == OUTSIDE


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda text: str(text)[:60])
def test_a_command_that_is_written_is_one_that_there_is(page: str, line: str) -> None:
    program, *words = words_of(line)
    if program == "nbs":
        verb, *words = words
        assert verb in {*nbs.VERBS, "VERB", "--help"}
        known = help_of(verb) if verb in nbs.VERBS else "--help"
    else:
        known = " ".join((*arguments.FLAGS, *arguments.WITH_VALUE))
    own = words[: words.index("--")] if "--" in words else words
    entering = {*arguments.FLAGS, *arguments.WITH_VALUE, arguments.REPEATED, "--help"}
    said = {word.partition("=")[0] for word in own if word.startswith("--")}
    # `phase` takes the options of the word, which its own tests have.
    if program == "nbs" and verb == "phase":
        known = (ROOT / "docs/reference/commands.md").read_text()
    assert not [option for option in said - entering if option not in known]


@pytest.fixture(scope="module")
def with_hello(nix_world):
    """Where `hello` is what failed last."""
    nix_world.fail(FAILS_IN_CHECK_PHASE)
    return {"TMPDIR": str(nix_world.tmp), "NIX_REMOTE": str(nix_world.root / "store")}


def runnable() -> list[str]:
    """Each once; what names another build than `hello`, or a place to fill in, is left out."""
    lines = dict.fromkeys(line for _, line in commands())
    plain = [line for line in lines if not re.search(r"[A-Z…]{2,}|~|\$|first|world|mystore", line)]
    return [line for line in plain if words_of(line)[1] in LOOKS]


@pytest.mark.parametrize("line", runnable())
def test_a_command_that_only_looks_works_as_it_is_written(run_nbs, with_hello, line: str) -> None:
    done = run_nbs(*words_of(line)[1:], env=with_hello)
    assert done.returncode == 0, done.stderr
    assert done.stdout
