"""The documentation as a site: built without a warning, and with nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OUTSIDE = {
    "https://github.com/Mic92/cntr",
    "https://nix.dev/manual/nix/latest/command-ref/new-cli/nix3-develop",
    "https://nix.dev/manual/nix/latest/command-ref/nix-shell",
    "https://nixos.org/manual/nixpkgs/stable/#breakpointhook",
    "https://semver.org",
}
"""Links that no test follows: whoever adds one has looked whether it is there."""


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


def test_every_picture_is_on_a_page() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in DOCUMENTS
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    }
    assert shown == {*(ROOT / "docs/pictures").iterdir(), *(ROOT / "docs/notebooks").glob("*.svg")}
