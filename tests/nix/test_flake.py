"""For those who have Nix: package, flake and modules, with a stand-in for nixpkgs.

What nixpkgs itself would say is not known here: `tests/nix/nixpkgs` has the functions that the files
use, and builds with this machine's Python what `package.nix` describes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.nix.world import NixWorld
from tests.test_packaging import DATA, PROJECT, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.nix

STUB = ROOT / "tests/nix/nixpkgs"
FILES = [ROOT / "flake.nix", ROOT / "package.nix", *sorted((ROOT / "nix").glob("*.nix"))]
SYSTEM = f"{os.uname().machine}-linux"
CONFIG = "{ security.allowUserNamespaces = true; programs.nix-build-shell = SETTINGS; }"
EVALUATED = """\
let
  pkgs = import STUB { };
  plain = value:
    if builtins.isAttrs value && value._type or "" == "if" then
      (if value.condition then plain value.content else null)
    else if builtins.isAttrs value && !(value ? outPath) then builtins.mapAttrs (_: plain) value
    else value;
  module = import MODULE { inherit pkgs; inherit (pkgs) lib; config = CONFIG; };
in
"""


@pytest.fixture(scope="module")
def world(open_directory: Path) -> Iterator[NixWorld]:
    """A Nix with flakes, whose builds see this machine."""
    made = NixWorld(
        open_directory / "nix-flake",
        sandbox="false",
        diverted=False,
        experimental=("nix-command", "flakes"),
    )
    yield made
    made.remove()


@pytest.fixture(scope="module")
def flake(open_directory: Path) -> Path:
    """The checkout's files, and none of what lies beside them."""
    place = open_directory / "flake"
    place.mkdir()
    for name in ("flake.nix", "package.nix", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    ours = ("sandbox", "nbs_kernel", "kernelspec", "notebooks")
    for name in ("nix", "docs/man", *ours, "tests/nix/nixpkgs"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def of_flake(world: NixWorld, flake: Path, *words: str) -> str:
    """A command about the flake, `words[-1]` its attribute, with the stand-in as its nixpkgs."""
    *verb, attribute = words
    stub = ["--override-input", "nixpkgs", f"path:{flake}/tests/nix/nixpkgs"]
    target = f"path:{flake}" + (f"#{attribute}" if attribute else "")
    command = ["nix", *verb, target, *stub, "--no-write-lock-file", "--offline"]
    environment = world.environment | {"NBS_STUB_PYTHON": sys.executable}
    done = subprocess.run(
        command, env=environment, cwd=world.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def evaluate(world: NixWorld, expression: str) -> object:
    command = ("nix-instantiate", "--eval", "--strict", "--json", "-E", expression)
    return json.loads(world.output(*command))


def module(world: NixWorld, name: str, settings: str, question: str) -> object:
    text = EVALUATED.replace("STUB", str(STUB)).replace("MODULE", str(ROOT / "nix" / name))
    return evaluate(world, text.replace("CONFIG", CONFIG.replace("SETTINGS", settings)) + question)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_nix_file_is_nix(world: NixWorld, path: Path) -> None:
    world.output("nix-instantiate", "--parse", str(path))


def test_the_flake_has_what_the_documentation_names(world: NixWorld, flake: Path) -> None:
    assert json.loads(of_flake(world, flake, "eval", "--json", "--apply", "builtins.attrNames", ""))
    for app, program in {"default": "nbs", "nix-build-shell": "nix-build-shell"}.items():
        found = json.loads(of_flake(world, flake, "eval", "--json", f"apps.{SYSTEM}.{app}"))
        assert found["type"] == "app"
        assert found["program"].endswith(
            f"-nix-build-shell-{PROJECT['project']['version']}/bin/{program}"
        )


def test_the_flake_passes_the_check_of_nix(world: NixWorld, flake: Path) -> None:
    of_flake(world, flake, "flake", "check", "--no-build", "")


@pytest.fixture(scope="module")
def built(world: NixWorld, flake: Path) -> Path:
    link = world.root / "result"
    what = f"packages.{SYSTEM}.default"
    of_flake(world, flake, "build", "--impure", "--out-link", str(link), what)
    return link.resolve()


def test_the_package_has_commands_pages_and_completions_where_a_profile_shows_them(
    built: Path,
) -> None:
    for command in PROJECT["project"]["scripts"]:
        done = subprocess.run(
            [built / "bin" / command, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{command} {PROJECT['project']['version']}\n"
    assert not [place for place in DATA.values() if not (built / place).is_file()]


def test_the_kernel_of_the_package_has_an_interpreter_that_finds_it(built: Path) -> None:
    spec = json.loads((built / "share/jupyter/kernels/nbs/kernel.json").read_text())
    assert spec["argv"][0] == f"{built}/libexec/nbs-python"
    found = "import nbs_kernel; print(nbs_kernel.__file__)"
    done = subprocess.run(
        [spec["argv"][0], "-c", found], cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{built}/")


def test_a_kernel_that_the_package_installs_is_started_by_that_interpreter(
    built: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jupyter_client")
    program = [sys.executable, "-c", "from sandbox.cli import nbs; nbs.main()", "kernel", "install"]
    place = next((built / "lib").rglob("site-packages"))
    environment = os.environ | {"PYTHONPATH": str(place)}
    command = [*program, "--prefix", str(tmp_path)]
    done = subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    spec = json.loads((tmp_path / "share/jupyter/kernels/nbs/kernel.json").read_text())
    assert spec["argv"][0] == f"{built}/libexec/nbs-python"


def test_every_option_of_a_module_says_what_it_is(world: NixWorld) -> None:
    for name in ("nixos.nix", "home-manager.nix"):
        question = """
          builtins.mapAttrs (_: o: { inherit (o) description; type = o.type.name; })
            module.options.programs.nix-build-shell"""
        options = module(world, name, "{ }", question)
        assert isinstance(options, dict)
        assert all(o["description"] and o["type"] for o in options.values()), name


def test_a_machine_with_the_module_has_the_commands_and_the_kernel(world: NixWorld) -> None:
    settings = '{ enable = true; keepFailed = true; package = { outPath = "/nix/store/x"; }; }'
    made = module(world, "nixos.nix", settings, "plain module.config")
    assert made == {
        "assertions": [
            {
                "assertion": True,
                "message": "programs.nix-build-shell needs security.allowUserNamespaces",
            }
        ],
        "environment": {
            "systemPackages": ["/nix/store/x"],
            "sessionVariables": {"JUPYTER_PATH": ["/nix/store/x/share/jupyter"]},
        },
        "nix": {"settings": {"keep-failed": True}},
    }


def test_a_home_with_the_module_has_the_commands_and_the_kernel(world: NixWorld) -> None:
    settings = '{ enable = true; package = { outPath = "/nix/store/x"; }; }'
    assert module(world, "home-manager.nix", settings, "plain module.config") == {
        "home": {"packages": ["/nix/store/x"]},
        "xdg": {
            "dataFile": {
                "jupyter/kernels/nbs": {"source": "/nix/store/x/share/jupyter/kernels/nbs"}
            }
        },
    }


def test_a_module_that_is_not_enabled_does_nothing(world: NixWorld) -> None:
    for name in ("nixos.nix", "home-manager.nix"):
        assert module(world, name, "{ enable = false; }", "plain module.config") is None
