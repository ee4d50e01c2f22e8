"""The file env-vars: what a real shell wrote is read as that shell would read it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.model import envvars
from sandbox.model.envvars import Variable
from tests.model.strategies import environments, raw_values

SHELLS = {
    "bash": ["bash", "--norc", "-c", "export"],
    "bash in posix mode": ["bash", "--posix", "--norc", "-c", "export"],
    "dash": ["dash", "-c", "export -p"],
    "busybox": ["busybox", "sh", "-c", "export -p"],
}
LOCALES = ["C", "C.UTF-8"]

shell_settings = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def listing(shell: str, environment: dict[str, bytes], locale: str) -> bytes:
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{SHELLS[shell][0]} is not installed")
    whole = {"LC_ALL": locale.encode(), "PATH": os.environb[b"PATH"], **environment}
    return subprocess.run(SHELLS[shell], env=whole, capture_output=True, check=True).stdout


def scalars(data: bytes) -> dict[str, bytes]:
    return {v.name: os.fsencode(v.value) for v in envvars.parse(data) if v.value is not None}


def drawn_ones(found: dict[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in found.items() if name.startswith("T_")}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("shell", SHELLS)
@given(environment=environments)
@shell_settings
def test_what_a_shell_wrote_is_what_it_had(
    shell: str, locale: str, environment: dict[str, bytes]
) -> None:
    data = listing(shell, environment, locale)
    assert drawn_ones(scalars(data)) == environment
    for name, value in environment.items():
        assert os.fsencode(envvars.lookup(data, name) or "") == value


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("shell", SHELLS)
def test_long_values_with_everything_that_needs_quoting_are_read(shell: str, locale: str) -> None:
    environment = {
        "T_long": bytes(range(1, 256)) * 400,
        "T_text": b'it\'s "quoted" \\ $HOME `id`\n' * 3_000,
        "T_last": b"end",
    }
    assert drawn_ones(scalars(listing(shell, environment, locale))) == environment


@given(
    st.lists(
        st.sampled_from(
            [
                b"\\",
                b"a",
                b"c",
                b"e",
                b"x",
                b"u",
                b"U",
                b"0",
                b"1",
                b"7",
                b"9",
                b"f",
                b"n",
                b'"',
                b"\\'",
                b"?",
                b"\xff",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
@settings(max_examples=200, deadline=None)
def test_every_escape_of_bash_means_what_bash_means(inside: bytes) -> None:
    if envvars.end_of_quoted(inside + b"'", 0, b"'") != len(inside):
        return
    word = b"$'" + inside + b"'"
    bash = subprocess.run(
        ["bash", "--norc", "-c", b"printf '%s.' " + word],
        env={"LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    assert scalars(b"declare -x A=" + word)["A"] + b"." == bash.stdout


@given(st.binary() | raw_values)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    for variable in envvars.parse(data):
        assert variable.name.isidentifier()
        assert "\0" not in (variable.value or "")


@given(
    st.lists(
        raw_values | st.sampled_from([b"\ndeclare -x A=", b"\nexport A=", b"$'", b'"\n', b"\0"])
    ).map(b"".join)
)
def test_looking_up_one_finds_what_reading_all_finds(data: bytes) -> None:
    found = {v.name: v.value for v in envvars.parse(data) if v.value is not None}
    assert envvars.select(data, "A", "B") == {n: v for n, v in found.items() if n in {"A", "B"}}


def test_attributes_and_arrays_and_names_without_a_value_are_told_apart() -> None:
    script = "declare -rx r=1; declare -ax a=([0]='x )' [1]=$'y\\n'); declare -Ax m=([k]=v); export n; declare -ix i=4; export z=9; export"
    environment = {"PATH": os.environ["PATH"]}
    data = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, check=True
    ).stdout
    found = {v.name: v for v in envvars.parse(data)}
    assert found["r"] == Variable(name="r", value="1", attributes="rx")
    assert found["n"] == Variable(name="n", value=None)
    assert found["i"].value == "4"
    assert found["z"].value == "9"
    assert found["a"] == Variable(name="a", attributes="ax", array="([0]=\"x )\" [1]=$'y\\n')")
    assert found["m"].array == '([k]="v" )'


def test_an_array_in_quotes_as_old_bash_wrote_it_is_no_scalar() -> None:
    (variable,) = envvars.parse(b"declare -ax a='([0]=\"x\")'\n")
    assert variable == Variable(name="a", attributes="ax", array='([0]="x")')


def test_a_value_over_several_lines_as_old_bash_wrote_it_hides_nothing() -> None:
    data = b'declare -x a="one\ndeclare -x SHELL=\\"/evil\\"\n"\ndeclare -x b="two"\n'
    assert scalars(data) == {"a": b'one\ndeclare -x SHELL="/evil"\n', "b": b"two"}
    assert envvars.lookup(data, "SHELL") is None


def test_lines_that_export_nothing_are_passed_over() -> None:
    data = b'f () \n{ \n    declare -x a="no"\n}\ndeclare -r q="no"\n# junk\nexport 1=2\n\ndeclare -x b="yes"'
    assert scalars(data) == {"b": b"yes"}


def test_a_file_that_was_cut_short_keeps_what_was_whole() -> None:
    assert scalars(b'declare -x a="1"\ndeclare -x b="tw') == {"a": b"1"}


def test_the_last_of_two_statements_counts() -> None:
    data = b'declare -x a="1"\ndeclare -x a="2"\ndeclare -x a\n'
    assert envvars.lookup(data, "a") == "2"
    assert envvars.select(data, "a", "b") == {"a": "2"}


def test_nothing_in_the_file_is_evaluated() -> None:
    assert scalars(b'declare -x a="$(id) `id` $HOME"\n') == {"a": b"$(id) `id` $HOME"}
