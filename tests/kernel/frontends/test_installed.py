"""The kernel as pip installs it: Jupyter sees it, from a wheel and from a checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LEFT_BEHIND = (".git", ".ci", ".venv", ".hypothesis", "__pycache__", ".*_cache", "dist", "*.pyc")


@pytest.fixture(scope="module", params=["wheel", "editable"])
def environment(request, tmp_path_factory) -> Path:
    """A virtual environment that has this project, and this environment's packages."""
    place = tmp_path_factory.mktemp("installed")
    venv = place / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    mine = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "others.pth").write_text("\n".join(mine))
    checkout = place / "checkout"
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    command = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--quiet"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command += ["--editable", checkout] if request.param == "editable" else [checkout]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return venv


def run(venv: Path, *argv: str, home: Path) -> str:
    clean = {"PATH": f"{venv}/bin:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"}
    # As a person has it who has activated the environment.
    clean |= {
        "VIRTUAL_ENV": str(venv),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    done = subprocess.run(
        [venv / "bin/python", *argv],
        env=clean,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_jupyter_lists_the_kernel_with_its_logos(environment, tmp_path):
    listed = run(environment, "-m", "jupyter_client.kernelspecapp", "list", "--json", home=tmp_path)
    found = json.loads(listed)["kernelspecs"]["nbs"]
    assert found["resource_dir"] == f"{environment}/share/jupyter/kernels/nbs"
    assert found["spec"]["interrupt_mode"] == "message"
    logos = {name for name in os.listdir(found["resource_dir"]) if name.startswith("logo-")}
    assert logos == {"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}


def test_the_kernel_explains_itself_where_it_was_installed(environment, tmp_path):
    specification = json.loads((environment / "share/jupyter/kernels/nbs/kernel.json").read_text())
    options = specification["argv"][1 : specification["argv"].index("-f")]
    assert run(environment, *options, "--help", home=tmp_path).startswith("usage: ")


def test_the_installed_command_shows_the_kernel_to_other_jupyters(environment, tmp_path):
    other = tmp_path / "other"
    run(
        environment,
        "-m",
        "sandbox.cli.nbs",
        "kernel",
        "install",
        "--prefix",
        str(other),
        home=tmp_path,
    )
    written = json.loads((other / "share/jupyter/kernels/nbs/kernel.json").read_text())
    assert written["argv"][0] == f"{environment}/bin/python"
    assert (other / "share/jupyter/kernels/nbs/logo-64x64.png").exists()
