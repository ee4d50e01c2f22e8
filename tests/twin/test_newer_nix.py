"""The session once more with newer releases of Nix, and newer Pythons, than the installed ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.twin.with_nix import SUITES, roots

pytestmark = [pytest.mark.nix, pytest.mark.namespaces]
MAKING_ONE_S = 900


@pytest.mark.parametrize("release", SUITES)
def test_a_session_goes_as_well_with(release: str) -> None:
    """Making the root takes minutes and the network; `with_nix.py --prepare` does it beforehand."""
    if os.getuid() != 0:
        pytest.skip("only root can enter another root")
    if not (roots() / SUITES[release]).exists() and shutil.which("mmdebstrap") is None:
        missing = f"mmdebstrap is not installed, which would get Nix {release}"
        if os.environ.get("CI"):
            pytest.fail(f"CI must be able to run this: {missing}", pytrace=False)
        pytest.skip(missing)
    command = [sys.executable, str(ROOT / "tests/twin/with_nix.py"), release]
    done = subprocess.run(
        [*command, "-q", "tests/twin/test_session.py", "tests/twin/test_python.py"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=MAKING_ONE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "skipped" not in done.stdout
