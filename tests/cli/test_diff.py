"""`nbs diff` and `nbs patch`: what was changed inside, and how it gets back into the recipe."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.conftest import program
from tests.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Kept
    from tests.nix.world import NixWorld

pytestmark = pytest.mark.namespaces
LIMIT_S = 120
SESSION = """
import sys
import sandbox
store, kept, *command = sys.argv[1:]
case = sandbox.read(kept, store=store)
described = sandbox.describe(case, sandbox.Request(command=tuple(command)))
with sandbox.new_session(case, described, store=store) as session:
    status = sandbox.enter(described, session=session)
    print(session.name)
sys.exit(status)
"""
EDITS = """
set -e
cd /build/hello
sed -i 's/hello world/good morning/' hello.c
printf 'no newline' > 'new file'
rm test.sh
chmod +x Makefile
mkdir -p po; echo text > po/de.po
echo '\x7fELF' > hello.o; printf '\\177ELF' > program
printf 'a\\0b' > image
ln -s hello.c link
echo > /tmp/note
echo > /tmp/nbs-cell-7.log
"""


@pytest.fixture
def session(tool_command, open_directory, tmp_path_factory):
    """Runs a script inside, in a new kept workspace: its name."""

    def run(kept: Kept, state: str, script: str, user: int | None = None) -> str:
        argv, environment = tool_command("sandbox", user)
        who = {} if user in (None, os.getuid()) else {"user": user, "group": user}
        if who:
            who["extra_groups"] = ()
        done = subprocess.run(
            [argv[0], "-c", SESSION, kept.store, kept.path, "bash", "-c", script],
            env={**environment, "NBS_STATE_HOME": state},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            **who,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    return run


@pytest.fixture
def state(user, open_directory, request) -> str:
    """An empty state directory of that user."""
    path = open_directory / re.sub(r"\W", "-", f"state-{request.node.name}")
    path.mkdir(mode=0o700)
    if user is not None and os.getuid() == 0:
        os.chown(path, user, user)
    return str(path)


@pytest.fixture
def nbs(run_nbs, state, user) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    return partial(run_nbs, as_user=user, env={"NBS_STATE_HOME": state})


def test_what_was_changed_inside_is_told(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, EDITS, user)
    done = nbs("diff", name, "--names")
    assert done.returncode == 1, done.stderr
    assert done.stdout.decode().splitlines() == [
        "M hello/Makefile",
        "M hello/hello.c",
        "A hello/hello.o",
        "A hello/image",
        "A hello/link",
        "A hello/new file",
        "A hello/po/de.po",
        "A hello/program",
        "D hello/test.sh",
        "A /tmp/note",
    ]
    whole = nbs("diff")
    assert f"used last: {name}\n".encode() in whole.stderr
    assert b"\nold mode 100644\nnew mode 100755\n" in whole.stdout
    assert b"+no newline\n\\ No newline at end of file\n" in whole.stdout
    assert b"# not in this patch: hello/image (binary: nothing before, 3 bytes now)\n" in (
        whole.stdout
    )
    assert b"a/hello/program" not in whole.stdout
    data = json.loads(nbs("diff", name, "--json").stdout)
    made = {change["path"] for change in data["changes"] if change["product"]}
    assert {"hello/hello.o", "hello/program"} <= made
    assert (data["source_root"], data["told_apart"]) == ("hello", False)


def test_only_the_paths_that_were_asked_for_are_shown(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, EDITS, user)
    top = nbs("diff", name, "hello/hello.c", "--names", "/tmp/note", "hello/test.sh")
    assert top.stdout.decode().split("\n")[:-1] == [
        "M hello/hello.c",
        "D hello/test.sh",
        "A /tmp/note",
    ]
    nothing = nbs("diff", name, "env-vars")
    assert (nothing.returncode, nothing.stdout.count(b"\n")) == (0, 1)
    elsewhere = nbs("diff", name, "/etc/passwd")
    assert (elsewhere.returncode, b"path-elsewhere" in elsewhere.stderr) == (2, True)


def test_a_path_that_is_on_neither_side_is_an_error_and_nothing_is_called_the_same(
    nbs, session, kept_by_nix, state, user
):
    name = session(kept_by_nix, state, "echo > /tmp/note", user)
    for path in ("hello/nosuch", "/tmp/nosuch", "/nix/store/nosuch", "hello/hello.c/below"):
        done = nbs("diff", name, "hello/hello.c", path)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"on neither side" in done.stderr
        assert b"(path-unknown, 2)" in done.stderr


def test_what_was_closed_inside_is_compared_as_well(nbs, session, kept_by_nix, state, user):
    close = "mkdir closed; echo text > closed/new; chmod 000 hello.c closed"
    name = session(kept_by_nix, state, f"{EDITS}\n{close}", user)
    done = nbs("diff", name)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"not compared" not in done.stdout
    assert b"diff --git a/hello/closed/new b/hello/closed/new\n" in done.stdout
    assert b"good morning" in done.stdout
    patch = nbs("patch", name, "--quick")
    assert b"good morning" in patch.stdout
    assert b"could not be compared" not in patch.stderr
    document = json.loads(nbs("diff", name, "--json").stdout)
    assert document["unread_count"] == 0


@pytest.mark.parametrize("mode", ["300", "0"])
def test_a_build_tree_that_was_closed_itself_is_compared_as_well(
    nbs, session, kept_by_nix, state, user, mode
):
    write = "echo text > /tmp/note; echo more > /build/hello/more.txt"
    name = session(kept_by_nix, state, f"{write}; chmod {mode} /build", user)
    done = nbs("diff", name)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"not compared" not in done.stdout
    assert b"+++ b/hello/more.txt\n" in done.stdout
    assert b"/tmp   1 added" in done.stdout
    patch = nbs("patch", name, "--quick")
    assert (patch.returncode, b"+++ b/more.txt\n" in patch.stdout) == (0, True), patch.stderr


def test_the_patch_makes_of_the_kept_source_what_was_made_of_it_inside(
    nbs, session, kept_by_nix, state, user, tmp_path
):
    name = session(kept_by_nix, state, EDITS, user)
    done = nbs("patch", name)
    assert done.returncode == 0, done.stderr
    assert b"not in the patch: image (binary" in done.stderr
    assert b"made by a build: hello.o, program\n" in done.stderr
    assert nbs("patch", name).stdout == done.stdout
    shutil.copytree(f"{kept_by_nix.path}/hello", tmp_path / "hello", symlinks=True)
    subprocess.run(
        ["patch", "-p1", "--fuzz=0"], input=done.stdout, cwd=tmp_path / "hello", check=True
    )
    place = f"{state}/ws/{name}/upper/hello"
    for file in ("hello.c", "new file", "po/de.po", "Makefile"):
        with open(f"{place}/{file}", "rb") as made:
            assert (tmp_path / "hello" / file).read_bytes() == made.read()
    assert os.access(tmp_path / "hello/Makefile", os.X_OK)
    assert os.readlink(tmp_path / "hello/link") == "hello.c"
    assert not (tmp_path / "hello/test.sh").exists()
    assert not (tmp_path / "hello/program").exists()


ODD = """
cd /build/hello
printf '\\0\\1\\2' > bin.dat; printf '\\0' >> test.sh
mkfifo pipe; mkdir empty
rm Makefile; mkdir Makefile; echo > Makefile/below
rm nothing
printf 'spaces\\n' > 'trail '
printf 'two\\n' > 'a  b '
printf 'line\\n' > $'new\\nline'
ln -s $'one\\ntwo' lines
mkdir 'd w'; : > 'd w/empty'; echo full > 'd w/full'
chmod 600 hello.c; echo '// more' >> hello.c
echo text > private; chmod 640 private
"""


@pytest.mark.parametrize("tool", [("patch", "-p1", "--fuzz=0"), ("git", "apply")])
def test_a_difference_applies_with_all_but_what_no_patch_can_carry(
    nbs, session, kept_by_nix, state, user, tmp_path, tool
):
    program(tool[0])
    kept = tmp_path / os.path.basename(kept_by_nix.path)
    shutil.copytree(kept_by_nix.path, kept, symlinks=True)
    (kept / "hello/nothing").write_text("")
    if user is not None and os.getuid() == 0:
        for path in (kept, *kept.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
        # Unlike the directories of pytest.
        kept = shutil.move(kept, os.path.join(os.path.dirname(state), f"odd-{kept.name}"))
    name = session(replace(kept_by_nix, path=str(kept)), state, ODD, user)
    done = nbs("diff", name)
    assert done.returncode == 1, done.stderr
    left = [line[2:] for line in done.stdout.decode().splitlines() if "not in this" in line]
    assert [line.split(" ", 5)[4] for line in left] == [
        *("hello/Makefile", "hello/Makefile/below", "hello/bin.dat", "hello/empty"),
        *("hello/lines", "hello/nothing", "hello/pipe", "hello/test.sh"),
    ]
    applied = tmp_path / "applied"
    shutil.copytree(kept, applied, symlinks=True)
    subprocess.run(tool, input=done.stdout, cwd=applied, check=True)
    upper = f"{state}/ws/{name}/upper/hello"
    there = sorted(os.listdir(applied / "hello"))
    assert there == sorted(
        {*os.listdir(upper), "nothing", "Makefile", *os.listdir(f"{kept}/hello")}
        - {"bin.dat", "empty", "lines", "pipe"}
    )
    for file in ("trail ", "a  b ", "new\nline", "hello.c", "private"):
        with open(f"{upper}/{file}", "rb") as made:
            assert (applied / "hello" / file).read_bytes() == made.read()
    assert (applied / "hello/Makefile").is_file()
    assert (applied / "hello/d w/empty").read_bytes() == b""
    shutil.rmtree(kept)


def test_a_mode_that_the_patch_does_not_carry_is_named_beside_the_content(
    nbs, session, kept_by_nix, state, user
):
    script = "cd /build/hello; chmod 600 hello.c; echo '//' >> hello.c; chmod 755 Makefile"
    script += "; echo text > private; chmod 600 private; echo 'true' > run; chmod 755 run"
    name = session(kept_by_nix, state, script, user)
    done = nbs("patch", "--quick", name)
    named = [line for line in done.stderr.decode().splitlines() if line.startswith("not in")]
    assert named == [
        "not in the patch: hello.c, its mode (0644 to 0600)",
        "not in the patch: private, its mode (0600)",
    ]
    assert b"# not in this patch: private, its mode (0600)\n" in done.stdout
    assert b"+++ b/hello.c\n" in done.stdout


def test_no_name_is_two_lines_of_names(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, "cd /build/hello; echo > $'x\nD hello.c'; echo > 'a '", user)
    done = nbs("diff", "--names", name)
    assert done.stdout == b'A "hello/a "\nA "hello/x\\nD hello.c"\n', done.stderr
    assert len(nbs("diff", "--names", "--color=always", name).stdout.splitlines()) == 2


def test_files_can_be_left_out_and_the_rest_taken_in(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, EDITS, user)
    less = nbs("patch", name, "--exclude", "po", "--exclude", "new*", "--exclude", "hello.c")
    assert b"po/de.po" not in less.stdout
    assert b"new file\n" not in less.stdout
    assert b"hello.c b/hello.c" not in less.stdout
    assert b"a/Makefile" in less.stdout
    assert b"a/program" in nbs("patch", name, "--all").stdout


def test_without_a_change_there_is_no_patch(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, "echo > /tmp/note", user)
    done = nbs("patch", name)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no source file was changed" in done.stderr
    assert nbs("diff", name, "hello").returncode == 0


def test_a_workspace_or_a_snapshot_that_is_not_there_is_an_error(nbs, session, kept_by_nix, state):
    done = nbs("diff")
    assert (done.returncode, b"workspace-unknown" in done.stderr) == (2, True)
    done = nbs("diff", "nothing-like-this")
    assert (done.returncode, b"workspace-unknown" in done.stderr) == (2, True)


def test_of_a_build_without_a_workspace_it_is_told_that_nothing_was_changed(
    nbs, kept_by_nix, tmp_path
):
    begins = f"hint: `nbs shell --store {kept_by_nix.store} {kept_by_nix.path}` begins one"
    for verb in ("diff", "patch", "verify"):
        done = nbs(verb, "--store", kept_by_nix.store, kept_by_nix.path)
        assert done.returncode == 2
        assert b"nothing was changed in `hello-1.0` yet" in done.stderr
        assert begins in done.stderr.decode()
        done = nbs(verb, str(tmp_path))
        assert b"no workspace is called" in done.stderr


def test_a_snapshot_that_is_not_there_is_an_error(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, EDITS, user)
    done = nbs("diff", name, "--since", "nothing")
    assert (done.returncode, b"snapshot-unknown" in done.stderr) == (2, True)


def test_what_a_terminal_could_take_for_a_command_is_shown_harmlessly(
    nbs, session, kept_by_nix, state, user
):
    evil = "cd /build/hello; printf '\\033]0;evil\\007\\n' > \"$(printf 'a\\033[2J')\""
    name = session(kept_by_nix, state, evil, user)
    raw = nbs("diff", name).stdout
    assert b"+\x1b]0;evil\x07\n" in raw
    shown = nbs("diff", name, "--color=always").stdout
    assert re.sub(rb"\x1b\[\d*m", b"", shown).count(b"\x1b") == 0


@pytest.mark.terminal
def test_at_a_terminal_a_pager_shows_it_page_by_page_and_can_be_left(
    session, kept_by_nix, tool_command, tmp_path
):
    program("less")
    state = str(tmp_path / "state")
    name = session(kept_by_nix, state, "cd /build/hello; seq 500 | sed 's,.*,line &!,' > long")
    argv, environment = tool_command("sandbox.cli.nbs")
    words = [f"{key}={value}" for key, value in {**environment, "NBS_STATE_HOME": state}.items()]
    command = shlex.join(["env", *words, *argv, "diff", name])
    shell = f"{command}; echo first-$?; {command} --stat; echo second-$?; sleep 60"
    screen = Screen(shell, columns=100, rows=20)
    try:
        screen.wait_for(f"{name} against what the failure left: 1 change")
        screen.wait_for_end(":")
        assert not screen.shows("+line 100!")
        screen.press("Space")
        screen.wait_for("+line 20!")
        assert not screen.shows("first-1")
        screen.press("q")
        screen.wait_for_end("first-1")
        # What fits on the screen does not wait for a key.
        screen.wait_for("second-1")
        assert not screen.shows("+line 400!")
    finally:
        screen.close()


def test_a_name_cannot_add_a_line_to_the_head_of_a_patch(nbs, session, kept_by_nix, state, user):
    evil = "cd /build; mkdir -p $'hello/x\\n--- a/hello.c\\n+++ b/hello.c\\n@@ -1 +1 @@\\n-a\\n+b'"
    name = session(kept_by_nix, state, f"{evil}; echo > hello/file", user)
    text = nbs("patch", name).stdout
    assert [line for line in text.split(b"\n") if line.startswith(b"---")] == [b"--- /dev/null"]


def test_a_hostile_source_root_is_not_believed(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, EDITS, user)
    done = nbs("patch", name, "--source-root", "../..")
    assert (done.returncode, b"path-elsewhere" in done.stderr) == (2, True)
    assert b"a/hello/hello.c" in nbs("patch", name, "--source-root", ".").stdout


def test_since_a_snapshot_only_what_came_later_counts(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, "cd /build/hello; echo > first.txt; echo 1 > both", user)
    assert nbs("snapshot", "--ws", name, "works").returncode == 0
    upper = f"{state}/ws/{name}/upper/hello"
    for file in ("both", "second.txt"):
        with open(f"{upper}/{file}", "w") as written:
            written.write("2\n")
    names = nbs("diff", name, "--since", "works", "--names")
    assert names.stdout == b"M hello/both\nA hello/second.txt\n", names.stderr
    made = nbs("patch", name, "--since", "works")
    assert made.returncode == 0, made.stderr
    assert b"second.txt" in made.stdout
    assert b"first.txt" not in made.stdout
    assert nbs("diff", name, "--since", "failed", "--names").stdout.count(b"\n") == 3


def test_a_new_file_is_a_source_since_a_snapshot_that_has_it_as_well(
    nbs, session, kept_by_nix, state, user
):
    name = session(kept_by_nix, state, "echo 'int a;' > /build/hello/new.c", user)
    assert nbs("snapshot", "base", "--ws", name).returncode == 0
    with open(f"{state}/ws/{name}/upper/hello/new.c", "a") as written:
        written.write("int b;\n")
    before = nbs("diff", "--since", "base", name)
    assert b"+int b;\n" in before.stdout, before.stderr
    made = nbs("patch", "--since", "base", name)
    assert b"+++ b/new.c\n" in made.stdout, made.stderr
    assert b"made by a build" not in made.stderr
    after = nbs("diff", "--since", "base", name)
    assert after.stdout.partition(b"diff --git")[2] == before.stdout.partition(b"diff --git")[2]
    assert b"made by a build" not in after.stdout


@pytest.mark.parametrize(
    ("said", "root"),
    [
        ("../../../etc", "hello"),
        ("/etc", "hello"),
        ("$(touch /tmp/believed)", "hello"),
        ("link", "hello"),
        ("hello/../../etc", "hello"),
        (".", "."),
    ],
)
def test_a_hostile_source_root_of_the_build_leads_nowhere(
    nbs, session, kept_by_nix, state, user, open_directory, said, root
):
    kept = open_directory / re.sub(r"\W", "-", f"hostile-{user}-{said}") / "nix-build-hello.drv-3"
    shutil.copytree(kept_by_nix.path, kept, symlinks=True)
    os.symlink("/etc", kept / "link")
    text = (kept / "env-vars").read_text()
    text = re.sub(r"declare -x sourceRoot=.*\n", "", text)
    (kept / "env-vars").write_text(f"{text}declare -x sourceRoot='{said}'\n")
    if user is not None and os.getuid() == 0:
        for path in (kept, *kept.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)

    class Build:
        store, path = kept_by_nix.store, str(kept)

    name = session(Build, state, "echo more > /build/hello/more.txt", user)
    data = json.loads(nbs("diff", name, "--json").stdout)
    assert data["source_root"] == root
    made = nbs("patch", "--quick", name)
    assert made.returncode == 0, made.stderr
    inside = "more.txt" if root == "hello" else "hello/more.txt"
    assert f"+++ b/{inside}\n".encode() in made.stdout
    made = nbs("patch", name)
    assert b"+++ b/more.txt\n" in made.stdout, "where the build itself applies patches"


def test_the_line_for_the_recipe_names_the_file(nbs, session, kept_by_nix, state, user):
    name = session(kept_by_nix, state, EDITS, user)
    file = f"{state}/fix.patch"
    done = nbs("patch", name, "--nix", "-o", file)
    assert done.stdout == b"patches = [ ./fix.patch ];\n"
    with open(file, "rb") as written:
        assert written.read() == nbs("patch", name).stdout


@pytest.mark.nix
def test_a_repair_comes_home_as_a_patch_with_which_nix_builds(
    nix_world: NixWorld, session, run_nbs, open_directory: Path
):
    source = open_directory / "repaired/hello"
    demo = os.path.join(os.path.dirname(__file__), "../../sandbox/demo/hello")
    shutil.copytree(demo, source)
    text = (source / "hello.c").read_text()
    assert "return 0;" in text
    (source / "hello.c").write_text(text.replace("return 0;", "return 0"))
    stdenv = os.path.join(os.path.dirname(__file__), "../nix/stdenv.nix")
    recipe = (
        f'(import {stdenv} {{ }}).mkDerivation {{ name = "hello-2.0"; src = {source}; PATCHES }}'
    )
    failure = nix_world.fail(recipe.replace("PATCHES", ""))
    state = str(open_directory / "state-round-trip")
    repair = "cd /build/hello; sed -i 's/return 0$/&;/' hello.c; make"

    class Build:
        store, path = f"{nix_world.root}/store", failure.kept

    name = session(Build, state, repair)
    patch = source.parent / "fix.patch"
    done = run_nbs("patch", name, "--nix", "-o", str(patch), env={"NBS_STATE_HOME": state})
    assert done.returncode == 0, done.stderr
    assert patch.read_bytes().count(b"diff --git") == 1
    line = done.stdout.decode().replace("./", f"{source.parent}/")
    assert nix_world.build(recipe.replace("PATCHES", line)).endswith("-hello-2.0")
