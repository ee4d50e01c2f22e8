"""No part of the product is warned of by the Python that runs this, and the demonstration works.

`test_newer_nix.py` has this run by the Pythons of newer Debian releases: 3.13 and 3.14.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 120
SOURCES = sorted(path for top in ("sandbox", "nbs_kernel") for path in (ROOT / top).rglob("*.py"))
IMPORT_ALL = """\
import importlib
import sys

OF_OTHERS = {"zmq", "jupyter_client"}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in OF_OTHERS:
            raise
"""


def python(*argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python, for which and for whose children every warning is an error."""
    return subprocess.run(
        [sys.executable, *argv],
        cwd=home,
        env={
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "error",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_every_source_compiles_without_a_warning() -> None:
    """Imported modules may have been compiled before, and then say nothing."""
    for path in SOURCES:
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_every_module_is_imported_without_a_warning(tmp_path: Path) -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in SOURCES]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    done = python(
        "-c", IMPORT_ALL, *(n for n in names if not n.endswith("__main__")), home=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.namespaces
def test_the_demonstration_builds_fails_and_enters(tmp_path: Path) -> None:
    entered = python("-m", "sandbox.cli.nbs", "demo", "--", "bash", "-c", "exit 5", home=tmp_path)
    assert entered.returncode == 5, entered.stderr
    assert "Warning" not in entered.stderr
    assert "is what is left of a failed build" in entered.stderr
    assert os.listdir(tmp_path / ".cache/nix-build-shell/demo/nix/var/nix/builds")
