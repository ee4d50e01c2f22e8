"""The packages made of the host's programs run without the host's libraries."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox.demo import recipe

SETUP = str(Path(recipe.__file__).with_name("setup.sh"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store that is seen where it lies, so that its programs run as they are."""
    store = str(tmp_path_factory.mktemp("store"))
    return recipe.build_all(store, SETUP, logical_store=store)


def test_a_program_maps_no_library_of_the_host(packages: dict[str, str]) -> None:
    done = subprocess.run(
        [f"{packages['coreutils']}/bin/cat", "/proc/self/maps"],
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    files = {line.split()[5] for line in done.stdout.splitlines() if "/" in line}
    store = os.path.dirname(packages["coreutils"])
    assert any("libc.so" in file for file in files)
    assert {file for file in files if not file.startswith(store)} == set()


@pytest.mark.parametrize(
    ("component", "program", "arguments"),
    [
        ("bash", "bash", ["--version"]),
        ("binutils", "ld", ["--version"]),
        ("dash", "sh", ["-c", "exit 0"]),
        ("findutils", "find", ["/dev/null"]),
        ("gawk", "awk", ["BEGIN {}"]),
        ("gcc", "gcc", ["--version"]),
        ("gnumake", "make", ["--version"]),
        ("gzip", "gunzip", ["--help"]),
        ("inetutils", "hostname", []),
        ("iproute2", "ip", ["-V"]),
        ("util-linux", "unshare", ["--version"]),
    ],
)
def test_a_program_of_each_kind_runs(
    packages: dict[str, str], component: str, program: str, arguments: list[str]
) -> None:
    command = [f"{packages[component]}/bin/{program}", *arguments]
    path = ":".join(f"{packages[name]}/bin" for name in ("coreutils", "gnused", "gzip"))
    subprocess.run(command, env={"PATH": path}, stdout=subprocess.DEVNULL, check=True)


def test_a_component_names_the_components_it_needs(packages: dict[str, str]) -> None:
    for name in recipe.INITIAL_PATH.split():
        assert packages[name] in Path(packages["stdenv"], "setup").read_text()
    assert packages["host-libs"].encode() in Path(packages["bash"], "bin/bash").read_bytes()


def test_a_compiled_program_uses_the_libraries_of_the_store(
    packages: dict[str, str], tmp_path: Path
) -> None:
    source = tmp_path / "sine.c"
    source.write_text(
        "#include <linux/seccomp.h>\n#include <math.h>\n#include <pthread.h>\n#include <stdio.h>\n"
        'int main(int argc, char **argv) { printf("%.3f\\n", sin(argc)); return 0; }\n'
    )
    sine = tmp_path / "sine"
    gcc = f"{packages['gcc']}/bin/gcc"
    path = {"PATH": f"{packages['coreutils']}/bin"}
    subprocess.run([gcc, "-o", sine, source, "-lm"], env=path, check=True)
    done = subprocess.run([sine], capture_output=True, text=True, check=True)
    assert done.stdout == "0.841\n"
    assert f"{packages['host-libs']}/lib".encode() in sine.read_bytes()


def test_a_program_at_a_fixed_address_is_the_host_s_own_started_by_the_loader(
    packages: dict[str, str],
) -> None:
    cc1 = recipe.ask_gcc("-print-prog-name", "cc1")
    if cc1 is None or not recipe.has_fixed_address(cc1):
        pytest.skip("this machine's compiler is position-independent")
    (copied,) = Path(packages["gcc-unwrapped"]).rglob("loaded/cc1")
    assert copied.read_bytes() == Path(cc1).read_bytes()
    started = (copied.parent.parent / "cc1").read_text()
    assert started.startswith(
        f"#!{packages['bash']}/bin/bash\nexec {packages['host-libs']}/lib/ld-"
    )
    assert str(copied) in started


def test_a_store_that_is_there_is_kept(packages: dict[str, str]) -> None:
    store = os.path.dirname(packages["bash"])
    before = {path: os.stat(path).st_ino for path in packages.values()}
    assert recipe.build_all(store, SETUP, logical_store=store) == packages
    assert {path: os.stat(path).st_ino for path in packages.values()} == before


def test_files_of_the_store_are_read_only_and_old(packages: dict[str, str]) -> None:
    bash = os.stat(f"{packages['bash']}/bin/bash")
    assert bash.st_mode & 0o7777 == 0o555
    assert bash.st_mtime == 1
