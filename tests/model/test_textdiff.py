"""Differences of texts: what patch(1) and git make of them is the new text."""

from __future__ import annotations

import doctest
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.model import patchfile, textdiff

PIECES = [b"a\n", b"b\n", b"\n", b"c\r\n", b"\xff\xfe\n", b"--- x\n", b"@@ -1 +1 @@\n", b"\\ No\n"]
ENDS = [b"", b"end", b"\r", b"-"]
TEXTS = st.builds(
    lambda lines, end: b"".join(lines) + end,
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.sampled_from(ENDS),
)
FEW = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def edited(draw):
    """A text, and the same with a few lines changed."""
    lines = draw(st.lists(st.sampled_from(PIECES), max_size=120))
    new = list(lines)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(new)))
        new[at : at + draw(st.integers(0, 3))] = draw(st.lists(st.sampled_from(PIECES), max_size=3))
    ends = st.sampled_from(ENDS)
    return b"".join(lines) + draw(ends), b"".join(new) + draw(ends)


def side(content, mode=0o644):
    return None if content is None else patchfile.Side(kind="file", mode=mode, content=content)


def applied(tool, place, old, new, name="file"):
    """What a program makes of the old text with the patch."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if old is not None:
        (place / name).write_bytes(old)
    patch = patchfile.file_patch(name, side(old), side(new))
    done = subprocess.run(tool, input=patch, cwd=place, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr, patch)
    assert not list(place.glob("*.orig"))
    assert not list(place.glob("*.rej"))
    path = place / name
    return path.read_bytes() if path.exists() else None


def programs():
    return [
        pytest.param(["patch", "-p1", "--fuzz=0"], id="patch"),
        pytest.param(["git", "apply", "-p1", "--unsafe-paths", "--whitespace=nowarn"], id="git"),
    ]


def version_of_patch():
    told = subprocess.run(["patch", "--version"], capture_output=True, text=True, check=True)
    return tuple(int(n) for n in told.stdout.splitlines()[0].split()[-1].split(".")[:2])


def test_the_examples_are_right():
    for module in (textdiff, patchfile):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("strip", [0, 1, 3])
def test_a_patch_is_made_for_any_number_of_directories_to_be_taken_away(tmp_path, strip):
    changes = {
        "d/changed": (side(b"old\n"), side(b"new\n", 0o755)),
        "d/gone": (side(b"old\n"), None),
        "new/script": (None, side(b"#!\n", 0o755)),
        "new/empty": (None, side(b"")),
        "link": (None, patchfile.Side(kind="link", mode=0o777, content=b"d/changed")),
    }
    (tmp_path / "d").mkdir()
    for name, (old, _) in changes.items():
        if old is not None:
            (tmp_path / name).write_bytes(old.content)
    prefix = patchfile.prefixes(strip)
    text = b"".join(patchfile.file_patch(n, *pair, prefix) for n, pair in sorted(changes.items()))
    command = ["patch", f"-p{strip}", "--fuzz=0"]
    subprocess.run(command, input=text, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "d/changed").read_bytes() == b"new\n"
    assert not (tmp_path / "d/gone").exists()
    assert all((tmp_path / n).stat().st_mode & 0o100 for n in ("d/changed", "new/script"))
    assert (tmp_path / "new/empty").read_bytes() == b""
    assert (tmp_path / "link").readlink().name == "changed"


@pytest.mark.parametrize("tool", programs())
@given(pair=st.one_of(edited(), st.tuples(TEXTS, TEXTS)))
@FEW
def test_the_old_text_with_the_patch_is_the_new_one(tmp_path, tool, pair):
    old, new = pair
    if old != new:
        assert applied(tool, tmp_path / "p", old, new) == new


@pytest.mark.parametrize("tool", programs())
@pytest.mark.parametrize("new", [b"", b"x", b"x\n", b"\r\n", b"a\n\nb", b"\xff"])
def test_a_new_file_comes_to_be(tmp_path, tool, new):
    assert applied(tool, tmp_path / "p", None, new) == new


@pytest.mark.parametrize("tool", programs())
@pytest.mark.parametrize("old", [b"x", b"x\n", b"\r\n", b"a\n\nb", b"\xff"])
def test_a_removed_file_is_gone(tmp_path, tool, old):
    assert applied(tool, tmp_path / "p", old, None) is None


@pytest.mark.parametrize("tool", programs())
@pytest.mark.parametrize(
    "name", ["a b", "tab\there", 'quo"te', "new\nline", "back\\slash", "ü", "\udcff"]
)
def test_a_strange_name_is_kept(tmp_path, tool, name):
    if "\n" in name and tool[0] == "patch" and version_of_patch() >= (2, 8):
        pytest.skip("GNU patch takes no name of two lines from 2.8 on")
    assert applied(tool, tmp_path / "p", b"a\n", b"b\n", name) == b"b\n"
    assert applied(tool, tmp_path / "p", None, b"b\n", name) == b"b\n"
    assert applied(tool, tmp_path / "p", b"a\n", None, name) is None


@given(edited())
@settings(deadline=None, database=None)
def test_runs_turn_one_list_into_the_other(pair):
    old, new = (text.split(b"\n") for text in pair)
    made, at = [], 0
    for a, b, c, d in textdiff.changed_runs(old, new):
        made += old[at:a] + new[c:d]
        at = b
    assert made + old[at:] == new


def test_two_distant_lines_of_a_long_file_are_two_small_hunks():
    old = [b"%d\n" % (number % 7) for number in range(100_000)]
    new = [b"first\n", *old[1:-1], b"last\n"]
    found = list(textdiff.hunks(b"".join(old), b"".join(new)))
    assert [hunk.count(b"\n") for hunk in found] == [6, 6]
    assert found[1].startswith(b"@@ -99997,4 +99997,4 @@\n")


def test_a_file_that_was_written_anew_is_one_hunk_even_where_it_repeats_itself():
    old = b"".join(b"%d\n" % (number % 3) for number in range(40_000))
    new = b"".join(b"%d\n" % (number * number % 5) for number in range(40_000))
    assert len(list(textdiff.hunks(old, new))) == 1
