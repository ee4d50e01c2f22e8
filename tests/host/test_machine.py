"""What is said of this machine is what its kernel does."""

from __future__ import annotations

import subprocess

import pytest

from sandbox.host.machine import beyond_execve

LONGEST = 128 << 10
FULL = {f"n{number}": "x" * 100_000 for number in range(80)}


def starts(variables: dict[str, str]) -> bool:
    try:
        subprocess.run(["/bin/true"], env=variables, check=True)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"a": "x" * (LONGEST - 3), "b": "y"}, []),
        ({"a": "x" * (LONGEST - 2), "b": "y"}, ["a"]),
        ({"a": "ü" * (LONGEST // 2), "b": "y" * 2 * LONGEST}, ["b", "a"]),
        ({"a": "y" * 2 * LONGEST, "b": "x" * (LONGEST - 3)}, ["a"]),
        ({f"n{n}": str(n) for n in range(100)}, []),
    ],
)
def test_variables_are_beyond_execve_when_the_kernel_refuses_them(variables, names):
    found = beyond_execve(variables.items())
    assert [name for name, _ in found] == names
    assert starts(variables) == (not names)
    assert starts({n: v for n, v in variables.items() if n not in names})


def test_all_together_can_be_too_long_and_some_of_them_are_named():
    found = dict(beyond_execve(FULL.items()))
    assert not starts(FULL)
    assert 0 < len(found) < len(FULL)
    assert starts({name: value for name, value in FULL.items() if name not in found})
