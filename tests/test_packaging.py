"""What is built and installed: wheel and sdist are complete, and the commands run where they land."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from sandbox.cli import nbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
COMMANDS = tuple(PROJECT["project"]["scripts"])
BESIDE = ("notebooks", "kernelspec", "benchmarks", ".ci")
LEFT_BEHIND = (".git", ".venv", ".hypothesis", "__pycache__", ".*_cache", "dist", "*.pyc")
SOMEBODY = 12346


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that building changes nothing here."""
    place = tmp_path_factory.mktemp("packaging") / "checkout"
    shutil.copytree(ROOT, place, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    return place


def build(checkout: Path, target: str) -> Path:
    """Build with the backend itself: nothing is fetched."""
    destination = checkout.parent / target
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(destination)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = destination.iterdir()
    return built


@pytest.fixture(scope="session")
def wheel(checkout: Path) -> Path:
    return build(checkout, "wheel")


@pytest.fixture(scope="session")
def sdist(checkout: Path) -> Path:
    return build(checkout, "sdist")


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Iterator[Path]:
    """A virtual environment with the wheel alone, that every user can read."""
    place = Path(tempfile.mkdtemp(prefix="nbs-installed-"))
    place.chmod(0o755)
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    run = (python, "-m", "venv", "--without-pip", str(place / "venv"))
    subprocess.run(run, check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "venv/bin/python")]
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    yield place / "venv"
    shutil.rmtree(place)


def files_below(directory: str) -> list[str]:
    found = [p for p in (ROOT / directory).rglob("*") if p.is_file()]
    return [str(p.relative_to(ROOT)) for p in found if "__pycache__" not in p.parts]


def as_somebody() -> list[str]:
    """What makes root somebody without rights; nobody else needs it."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid", str(SOMEBODY), "--regid", str(SOMEBODY), "--clear-groups"]


def run_installed(installed: Path, *argv: str, **environment: str) -> str:
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"} | environment
    command = [*as_somebody(), str(installed / "bin" / argv[0]), *argv[1:]]
    done = subprocess.run(
        command, env=clean, cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_each_package(wheel: Path, package: str) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not set(files_below(package)) - names


def test_the_wheel_installs_manual_pages_and_completions_where_they_are_looked_for(
    wheel: Path,
) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for source, place in DATA.items():
        assert (ROOT / source).is_file(), source
        assert any(name.endswith(f".data/data/{place}") for name in names), place


def test_the_wheel_installs_every_notebook() -> None:
    # Their builds are made of the expressions of tests, in a clone alone.
    books = {
        str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").iterdir() if path.is_file()
    }
    assert books == {source for source in DATA if source.startswith("notebooks/")}


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    stem = f"nix_build_shell-{PROJECT['project']['version']}"
    assert top == {*PACKAGES, f"{stem}.data", f"{stem}.dist-info"}


def test_the_wheel_needs_no_other_package(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    wanted = re.findall(r"^Requires-Dist: (.*)$", archive.read(name).decode(), re.MULTILINE)
    assert all("extra ==" in line for line in wanted), wanted


def test_the_sdist_holds_what_building_testing_and_reading_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "test"]
    wanted += ["flake.nix", "package.nix", "mkdocs.yml"]
    for directory in (*PACKAGES, "tests", "docs", "nix", *BESIDE):
        wanted += files_below(directory)
    assert not {name for name in wanted if not name.endswith(".pyc")} - names


def test_the_version_is_said_once_and_the_same_everywhere() -> None:
    text = (ROOT / "sandbox/version.py").read_text()
    version = PROJECT["project"]["version"]
    assert f'VERSION = "{version}"' in text
    newest = re.findall(r"^## .*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    # There is nothing to fetch until there is a release.
    unpublished = "nothing is published yet" in (ROOT / "README.md").read_text()
    assert newest == f"## {version}" + ", not released yet" * unpublished


@pytest.mark.parametrize("command", COMMANDS)
def test_an_installed_command_explains_itself_to_any_user(installed: Path, command: str) -> None:
    assert run_installed(installed, command, "--help").startswith(f"usage: {command} ")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_installed_command_tells_its_version(installed: Path, command: str) -> None:
    told = run_installed(installed, command, "--version")
    assert told == f"{command} {PROJECT['project']['version']}\n"


def blocks_of_readme() -> list[str]:
    text = (ROOT / "README.md").read_text()
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_after_what_the_readme_says_the_commands_are_found(installed: Path, tmp_path: Path) -> None:
    (block,) = (text for text in blocks_of_readme() if "nbs demo" in text)
    (tmp_path / ".venv").symlink_to(installed)
    # The environment is made and filled already; entering is not what is tried here.
    stands_in = "python3() { :; }; pip() { :; }\n"
    script = f"{stands_in}{block.replace('nbs demo', 'nbs --version')}command -v nbs; command -v nix-build-shell"
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, *found = done.stdout.splitlines()
    assert version == f"nbs {PROJECT['project']['version']}"
    assert found == [f"{installed}/bin/nbs", f"{installed}/bin/nix-build-shell"]


def refused(*command: str, **environment: str) -> str:
    """What is said by a command that fails, on its standard error."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"} | environment
    done = subprocess.run(
        [*as_somebody(), *command], env=clean, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stderr


def test_a_hint_names_a_program_that_path_has_not_by_its_path(installed: Path) -> None:
    program = f"{installed}/bin/nbs"
    assert f"hint: `{program} --help` lists the verbs" in refused(program, "none")
    within = {"PATH": f"{installed}/bin:/usr/bin:/bin"}
    assert "hint: `nbs --help` lists the verbs" in refused(program, "none", **within)
    assert f"\n  {program} " in run_installed(installed, "nbs")


def test_packages_are_brought_by_what_may_install_them(installed: Path) -> None:
    told = refused(f"{installed}/bin/nbs", "kernel", "list")
    python = f"{installed}/bin/python"
    assert f"hint: `uv pip install --python {python} jupyter_client pyzmq`" in told
    (installed.parent / "with-pip/pip").mkdir(parents=True)
    (installed.parent / "with-pip/pip/__init__.py").touch()
    with_pip = {"PYTHONPATH": f"{installed.parent}/with-pip"}
    told = refused(f"{installed}/bin/nbs", "kernel", "list", **with_pip)
    assert f"hint: `{python} -m pip install jupyter_client pyzmq`" in told


def test_the_python_of_the_system_is_left_as_it_is() -> None:
    script = "from sandbox.cli.pasteable import installing; print(installing('pyzmq'))"
    command = ["/usr/bin/python3", "-c", script]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if not list(Path("/usr/lib").glob("python3.*/EXTERNALLY-MANAGED")):
        pytest.skip("this system lets pip install where its own packages are")
    assert told == (
        f"/usr/bin/python3 -m venv .venv && .venv/bin/pip install {shlex.quote(str(ROOT))} pyzmq\n"
    )


def test_what_is_installed_beside_the_packages_is_found(installed: Path) -> None:
    script = (
        "from sandbox.cli import installed as i;"
        "print(i.directory(i.NOTEBOOKS), i.directory(i.KERNELSPEC))"
    )
    share = f"{installed}/share"
    found = run_installed(installed, "python", "-c", script).split()
    assert found == [f"{share}/nix-build-shell/notebooks", f"{share}/jupyter/kernels/nbs"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_an_installed_nbs_prints_the_completion_of_each_shell(installed: Path, shell: str) -> None:
    printed = run_installed(installed, "nbs", "completion", shell)
    name = {"bash": "nbs.bash", "zsh": "_nbs", "fish": "nbs.fish"}[shell]
    assert printed == (ROOT / "sandbox/cli/completions" / name).read_text()


@pytest.mark.parametrize("verb", list(nbs.VERBS))
def test_an_installed_verb_has_all_that_it_imports(installed: Path, verb: str) -> None:
    assert f"nbs {verb}" in run_installed(installed, "nbs", verb, "--help")
