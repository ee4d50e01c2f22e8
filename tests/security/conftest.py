"""What the tests of security share."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Kept


@pytest.fixture(scope="module")
def kept_with(hand_made: Kept, unprivileged: int) -> Callable[[Path, str, str], str]:
    """Copy the least kept directory to a place, with a C program in it: `(place, name, text)`."""

    def make(place: Path, name: str, text: str) -> str:
        if shutil.which("gcc") is None:
            assert not os.environ.get("CI"), "CI must be able to run this: no gcc"
            pytest.skip("no gcc")
        shutil.copytree(hand_made.path, place)
        command = ["gcc", "-static", "-O1", "-xc", "-", "-o", str(place / name)]
        subprocess.run(command, input=text.encode(), check=True, capture_output=True)
        if os.getuid() == 0:
            for path in (place, *place.iterdir()):
                os.chown(path, unprivileged, unprivileged)
        return str(place)

    return make
