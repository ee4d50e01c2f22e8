"""What is read in the texts of phases, under the host's bash: nothing of them is run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

TEXTS = Path(__file__).resolve().parents[2] / "sandbox/phases/texts.bash"
OF_GO = r"""
exclude='\(/_\|examples\|testdata'  # as nixpkgs' buildGoModule has it
# no=assignment; at=all
if [[ -n "$excludedPackages" ]]; then
  IFS=' ' read -r -a excludedArr <<<$excludedPackages
  exclude+='\|'"$excludedAlternates"
fi
buildGoDir() {
  local cmd="$1" dir="$2"
  declare -a flags
  flags+=($buildFlags "${buildFlagsArray[@]}")
  if ! OUT="$(go $cmd "${flags[@]}" $dir 2>&1)"; then return 1; fi
}
function getGoDirs {
  find . -name \*$1.go | grep -v "$exclude"
}
for pkg in $(getGoDirs ""); do buildGoDir install "$pkg"; done
"""


def bash(script: str, *words: str) -> str:
    command = ["/bin/bash", "-euc", f"source {TEXTS}\n{script}", "bash", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def read(text: str) -> dict[str, str]:
    """Name -> how it is set, `local`, or `defined`."""
    show = """
        __nbs_read_text "$1"
        for name in "${!__nbs_sets[@]}"; do echo "$name ${__nbs_sets[$name]}"; done
        for name in "${!__nbs_defines[@]}"; do echo "$name defined"; done
        for name in "${!__nbs_locals[@]}"; do echo "$name local"; done
    """
    pairs = [line.split() for line in bash(show, text).splitlines()]
    return {name: how for name, how in pairs if name not in ("local", "declare", "for", "read")}


def test_a_phase_of_nixpkgs_is_read():
    assert read(OF_GO) == {
        "exclude": "=",
        "excludedArr": "=",
        "buildGoDir": "defined",
        "cmd": "local",
        "dir": "local",
        "flags": "local",
        "OUT": "=",
        "getGoDirs": "defined",
        "pkg": "=",
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a=1 b=2", {"a": "=", "b": "="}),
        ("CC=gcc make; LC_ALL=C sort <x", {}),
        ("export GOFLAGS=-x HOME=$(mktemp -d)", {"GOFLAGS": "x", "HOME": "x"}),
        ("makeFlagsArray+=(CC=gcc LD=ld)", {"makeFlagsArray": "+"}),
        ("flags=(\n  CC=gcc\n  LD=ld\n)\nafter=1", {"flags": "=", "after": "="}),
        (': "${configureScript=x}"; : ${cmakeDir:=..}', {"configureScript": "+", "cmakeDir": "+"}),
        ("appendToVar installFlags --x", {"installFlags": "+"}),
        ("names[3]=x", {"names": "="}),
        ("if true; then f() { :; }; else x=1; fi", {"f": "defined", "x": "="}),
        ("case $a in b) x=1 ;; esac", {"x": "="}),
        ("make CC=gcc", {}),
        ("echo 'a=1'", {}),
    ],
)
def test_what_a_text_sets_and_defines(text, names):
    assert read(text) == names


def test_reading_runs_nothing(tmp_path):
    evil = f"touch {tmp_path}/evil"
    read(f"a=$({evil}); `{evil}`; }}; {evil}; {{ b[$({evil})]=1; f() {{ {evil}; }}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "name", "read"),
    [
        ("echo $name", "name", True),
        ('"${name[@]}"', "name", True),
        ("echo name; names=$names", "name", False),
        ("concatTo flagsArray makeFlags makeFlagsArray", "makeFlagsArray", True),
        ("makeFlagsArray=1", "makeFlagsArray", False),
    ],
)
def test_what_a_text_reads(text, name, read):
    assert bash('__nbs_text_reads "$@" && echo yes || echo no', text, name) == (
        "yes\n" if read else "no\n"
    )


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("for x in $(check a); do", True),
        ("if check; then", True),
        ("a && check", True),
        ("make check", False),
        ("checkPhase", False),
        ("echo check", False),
    ],
)
def test_what_a_text_calls(text, calls):
    assert bash('__nbs_text_calls "$@" && echo yes || echo no', text, "check") == (
        "yes\n" if calls else "no\n"
    )
