"""From a failed build to a recipe that builds: repaired inside, made a patch, verified, built."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

STDENV = ROOT / "tests/nix/stdenv.nix"
REPAIRS = {
    "check-phase": "sed -i 's,\\./test.sh,bash ./test.sh,' Makefile",
    "several-outputs": "echo 'say hello' > manual",
    "configure": (
        r"sed -i -e '/pkg-config not found/,/exit 1/ s/exit 1/:/' "
        r"-e 's,(pkg-config.*); then,(echo \"-I$buildInputs/include/greeting\"); then,' configure"
    ),
}
"""What a person types inside, where the failing phase began."""

REPAIR_INSIDE = """
import sys, sandbox
kept, store, line = sys.argv[1:]
case = sandbox.read(kept, store=store, start=True)
described = sandbox.describe(case, sandbox.Request(command=("bash", "-ec", line)))
with sandbox.new_session(case, described, store=store) as session:
    status = sandbox.enter(described, session=session)
print(session.name)
sys.exit(status)
"""
WITH_PATCH = """
let packages = import {stdenv} {{ }}; in
packages // {{
  mkDerivation = attributes: packages.mkDerivation (attributes
    // (if attributes.name == "{name}" then {{ patches = [ {patch} ]; }} else {{ }}));
}}
"""


@pytest.fixture
def environment(nix_world, tmp_path):
    """Nix as the tests have it, and a state of one's own."""
    own = {n: nix_world.environment[n] for n in ("NIX_CONF_DIR", "HOME", "USER", "TMPDIR")}
    yield {**own, "NBS_STATE_HOME": str(tmp_path / "state")}
    shutil.rmtree(tmp_path / "state", ignore_errors=True)


@pytest.fixture
def tried(nix_world, run_nbs, environment):
    """Type a line in the shell of a failure: what that printed, and the name of its workspace."""

    def tried(failure, line: str):
        words = ("shell", "--store", f"{nix_world.root}/store", failure.kept)
        done = run_nbs(*words, input=line.encode(), env=environment)
        return done, os.listdir(f"{environment['NBS_STATE_HOME']}/ws")[0]

    return tried


@pytest.mark.parametrize("case", REPAIRS)
def test_what_was_repaired_inside_is_a_patch_with_which_the_recipe_builds(
    nix_world, run_nbs, environment, tmp_path, case
) -> None:
    failure = nix_world.fail(case)
    name = repaired(failure.kept, f"{nix_world.root}/store", REPAIRS[case], environment)

    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode == 0, verified.stderr
    assert b" passes with " in verified.stderr

    patch = tmp_path / "repair.patch"
    assert run_nbs("patch", name, "-o", str(patch), env=environment).returncode == 0
    packages = WITH_PATCH.format(stdenv=STDENV, name=name, patch=patch)
    assert nix_world.build(case, "--arg", "pkgs", packages).endswith(f"-{name}")

    built = run_nbs("verify", name, "--real", "--yes", env=environment)
    assert built.returncode == 0, built.stderr
    assert os.path.exists(nix_world.physical(built.stdout.decode().split("\n")[0]))
    assert os.listdir(tmp_path / "state/run") == []


CHANGED_BY_THE_RECIPE = """
with import {stdenv} {{ }};
mkDerivation {{
  name = "later-1.0";
  src = {source};
  {patches}
  postPatch = "sed -i 's/hello world/hello, world/' hello.c";
}}
"""
FIRST_LINE = " " + (ROOT / "sandbox/demo/hello/Makefile").read_text().split("\n")[0] + "\n"
MADE = "sed -i 's/return 0$/&;/' hello.c; make SHELL=\"$SHELL\" hello"


@pytest.fixture
def later(nix_world, open_directory):
    """A recipe whose source lacks a semicolon in one line, and whose postPatch changes another."""
    source = open_directory / "later/hello"
    shutil.rmtree(source.parent, ignore_errors=True)
    shutil.copytree(ROOT / "sandbox/demo/hello", source)
    text = (source / "hello.c").read_text()
    (source / "hello.c").write_text(text.replace("return 0;", "return 0"))

    def recipe(patches: str = "") -> str:
        return CHANGED_BY_THE_RECIPE.format(stdenv=STDENV, source=source, patches=patches)

    return recipe


def test_a_repair_beside_a_line_that_post_patch_changes_is_carried_to_before_that(
    nix_world, run_nbs, environment, tmp_path, later
) -> None:
    failure = nix_world.fail(later())
    name = repaired(failure.kept, f"{nix_world.root}/store", MADE, environment)

    told = run_nbs("diff", name, "--exact", env=environment)
    assert b"the build itself changed it after `patches`: hello/hello.c\n" in told.stdout, told
    data = json.loads(run_nbs("diff", name, "--json", env=environment).stdout)
    assert data["told_apart"], "from then on it is known without asking"
    products = {change["path"]: change["product"] for change in data["changes"]}
    assert products == {"hello/hello": True, "hello/hello.c": False}

    patch = tmp_path / "repair.patch"
    made = run_nbs("patch", name, "-o", str(patch), env=environment)
    assert (made.returncode, b"unpacking" in made.stderr) == (0, False)
    text = patch.read_text()
    assert "the build itself changes it after `patches`: hello.c" in text
    assert "hello, world" not in text, "the recipe writes that itself, after the patch"

    verified = run_nbs("verify", name, "--until", "buildPhase", env=environment)
    assert verified.returncode == 0, verified.stderr
    assert nix_world.build(later(f"patches = [ {patch} ];")).endswith("-later-1.0")


def test_a_patch_is_one_more_of_those_that_there_are_and_applies_as_they_do(
    nix_world, run_nbs, environment, tmp_path, later
) -> None:
    """With `patchFlags = "-p0"` a patch of git's does not apply, nor one that takes the others' place."""
    first = tmp_path / "first.patch"
    first.write_text("--- Makefile\n+++ Makefile\n@@ -1 +1,2 @@\n+# first\n" + FIRST_LINE)
    flags = 'patchFlags = "-p0";'
    failure = nix_world.fail(later(f"{flags} patches = [ {first} ];"))
    name = repaired(failure.kept, f"{nix_world.root}/store", MADE, environment)
    patch = tmp_path / "repair.patch"
    told = run_nbs("patch", name, "--nix", "-o", str(patch), env=environment)
    assert told.stdout == b"patches = (old.patches or [ ]) ++ [ ./repair.patch ];\n", told.stderr
    assert b"for `patch -p0`" in told.stderr
    assert b"may not apply" not in told.stderr
    assert b"\n--- hello.c\n" in patch.read_bytes()
    verified = run_nbs("verify", name, "--until", "buildPhase", env=environment)
    assert verified.returncode == 0, verified.stderr
    assert nix_world.build(later(f"{flags} patches = [ {first} {patch} ];")).endswith("-later-1.0")


ELSEWHERE = {
    "a hook goes on into a directory": 'postUnpack = "sourceRoot=$sourceRoot/po";',
    "of several sources one": """srcs = [ SOURCE ./. ]; setSourceRoot = "sourceRoot=hello/po";""",
    "patches are applied below": 'prePatch = "cd po"; postPatch = "cd ..";',
    "there is no source root": 'unpackPhase = "cp -r $src/* .; chmod -R u+w .";',
}
"""Where `patches` are applied to po/de, which the one directory at the top does not tell."""

APPLIED_ELSEWHERE = """
with import {stdenv} {{ }};
mkDerivation {{
  name = "elsewhere-1.0";
  src = {source};
  {where}
  {patches}
  buildPhase = "test -e de || cd po; grep repaired de";
  installPhase = "cp de $out";
}}
"""


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_patch_is_for_the_directory_in_which_the_build_applies_patches(
    nix_world, run_nbs, environment, tmp_path, open_directory, where
) -> None:
    source = open_directory / "elsewhere/hello"
    shutil.rmtree(source.parent, ignore_errors=True)
    (source / "po").mkdir(parents=True)
    (source / "po/de").write_text("hallo\n")

    def recipe(patches: str = "") -> str:
        there = ELSEWHERE[where].replace("SOURCE ./.", f"{source} {ROOT}/tests/nix/cases")
        return APPLIED_ELSEWHERE.format(stdenv=STDENV, source=source, where=there, patches=patches)

    failure = nix_world.fail(recipe())
    repair = (
        "for f in /build/po/de /build/hello/po/de; do [[ ! -e $f ]] || echo repaired >>$f; done"
    )
    name = repaired(failure.kept, f"{nix_world.root}/store", repair, environment)
    patch = tmp_path / "repair.patch"
    made = run_nbs("patch", name, "-o", str(patch), env=environment)
    assert (made.returncode, b"outside of the source root" in made.stderr) == (0, False), made
    assert nix_world.build(recipe(f"patches = [ {patch} ];")).endswith("-elsewhere-1.0")


TRIED = r"""
phase check checkTarget=nothing preCheck='exit 1' || echo failed
phase check checkTarget=hello preCheck=$'echo "it is ${name-} here"\necho \'\'really\'\'\n' >/dev/null
phase check postCheck=true checkTarget=hello >/dev/null
"""
WITH_ATTRIBUTES = """
let packages = import {stdenv} {{ }}; in
packages // {{
  mkDerivation = attributes: packages.mkDerivation (attributes
    // (if attributes.name == "hello-1.0" then {{ {attributes} }} else {{ }}));
}}
"""


def test_an_attribute_with_which_a_phase_has_passed_is_told_verified_and_built(
    nix_world, run_nbs, environment, tried
) -> None:
    failure = nix_world.fail("check-phase")
    done, name = tried(failure, TRIED)
    assert done.stdout.endswith(b"failed\n"), done.stderr
    told = run_nbs("patch", name, "--nix", env=environment)
    assert (told.returncode, told.stdout.decode()) == (0, ATTRIBUTES), told.stderr
    assert b"attributes that were tried" in run_nbs("patch", name, env=environment).stderr

    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode == 0, verified.stderr
    passes = b"hello-1.0 passes with preCheck, postCheck, checkTarget, from the first phase to "
    assert passes in verified.stderr
    assert b" here\nreally\n" in verified.stdout
    built = run_nbs("verify", name, "--real", "--yes", env=environment)
    assert built.returncode == 0, built.stderr
    assert b"another derivation" not in built.stderr
    packages = WITH_ATTRIBUTES.format(stdenv=STDENV, attributes=told.stdout.decode())
    assert nix_world.build("check-phase", "--arg", "pkgs", packages).endswith("-hello-1.0")


IN_ENVIRONMENT = """
with import {stdenv} {{ }};
mkDerivation ({{
  name = "in-environment-1.0";
  __structuredAttrs = true;
  dontUnpack = true;
  env = {{ WANTED = "no"; OTHER = "stays"; }};
  buildPhase = "[[ $WANTED == yes && $OTHER == stays && $plain == yes ]]";
  installPhase = "echo done > $out";
}} // {more})
"""
INTO_ENVIRONMENT = """\
# `phase build` has passed with it
plain = "yes";
# `phase build` has passed with it
env = old.env // { WANTED = "yes"; };
"""


def test_a_variable_that_the_recipe_has_in_its_environment_goes_back_into_that(
    nix_world, run_nbs, environment, tried
) -> None:
    """The set-up exports what is in `env` over any attribute of that name."""
    failure = nix_world.fail(IN_ENVIRONMENT.format(stdenv=STDENV, more="{ }"))
    done, name = tried(failure, "phase build WANTED=yes plain=yes\n")
    assert done.returncode == 0, done.stderr
    told = run_nbs("patch", name, "--nix", env=environment)
    assert (told.returncode, told.stdout.decode()) == (0, INTO_ENVIRONMENT), told.stderr
    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode == 0, verified.stderr
    built = run_nbs("verify", name, "--real", "--yes", env=environment)
    assert built.returncode == 0, built.stderr
    old = 'let old.env = { WANTED = "no"; OTHER = "stays"; }; in'
    recipe = IN_ENVIRONMENT.format(stdenv=STDENV, more=f"({old} {{ {told.stdout.decode()} }})")
    assert nix_world.build(recipe).endswith("-in-environment-1.0")


def test_what_nix_itself_sets_is_no_attribute_for_the_recipe(
    nix_world, run_nbs, environment, tried
) -> None:
    """A phase that is tried with another output passes; a recipe cannot have it."""
    failure = nix_world.fail("several-outputs")
    line = "phase install out=/tmp/out dev=/tmp/dev TMPDIR=/tmp postInstall=true "
    line += "installPhase='mkdir $out; runHook postInstall'\n"
    done, name = tried(failure, line)
    assert done.returncode == 0, done.stderr
    told = run_nbs("patch", name, "--nix", env=environment)
    lines = told.stdout.decode().splitlines()
    names = [text.split(" = ")[0] for text in lines if not text.startswith("#")]
    assert names == ["postInstall", "installPhase"], told.stderr
    tried = run_nbs("verify", name, env=environment)
    assert b" with postInstall, installPhase" in tried.stderr


ATTRIBUTES = """\
# `phase check` has passed with it
preCheck = "echo \\"it is \\${name-} here\\"\\necho ''really''\\n";
# `phase check` has passed with it
postCheck = "true";
# `phase check` has passed with it
checkTarget = "hello";
"""


def test_with_the_kept_files_as_its_base_the_same_patch_does_not_apply(
    nix_world, run_nbs, environment, tmp_path, later
) -> None:
    """What it is for: the context of the hunk is what postPatch wrote."""
    failure = nix_world.fail(later())
    name = repaired(failure.kept, f"{nix_world.root}/store", MADE, environment)
    patch = tmp_path / "quick.patch"
    made = run_nbs("patch", name, "--quick", "-o", str(patch), env=environment)
    assert b"may not apply where the build itself changes a file" in made.stderr
    assert "hello, world" in patch.read_text()
    assert os.listdir(f"{environment['NBS_STATE_HOME']}/ws/{name}").count("sources") == 0
    failed = run_nbs("verify", name, "--patch", str(patch), env=environment)
    assert b" fails with quick.patch in patchPhase: exit status 1\n" in failed.stderr


def test_a_line_that_the_recipe_itself_wrote_is_left_out_and_named(
    nix_world, run_nbs, environment
) -> None:
    """`patches` come before postPatch: a line that this writes is not there yet."""
    failure = nix_world.fail("compile-error")
    line = "sed -i 's/EXIT_SUCCESS$/&;/' hello.c"
    name = repaired(failure.kept, f"{nix_world.root}/store", line, environment)
    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode == 125
    assert b"hello.c: the build itself changes it after `patches`" in verified.stderr
    made = run_nbs("patch", name, env=environment)
    assert (made.returncode, made.stdout) == (1, b"")
    assert b"not in the patch: hello.c (the build itself changes it" in made.stderr


def test_what_fits_of_a_file_is_in_the_patch_and_the_rest_is_named_in_its_head(
    nix_world, run_nbs, environment
) -> None:
    failure = nix_world.fail("compile-error")
    line = "sed -i -e 's/EXIT_SUCCESS$/&;/' -e '1s,^,/* mended */\\n,' hello.c"
    name = repaired(failure.kept, f"{nix_world.root}/store", line, environment)
    made = run_nbs("patch", name, env=environment)
    assert made.returncode == 0, made.stderr
    named = re.search(rb"not in the patch: hello.c, line \d+ \(the build itself", made.stderr)
    assert named, made.stderr
    assert b"# not in this patch: hello.c, line" in made.stdout
    assert b"+/* mended */\n" in made.stdout
    assert b"EXIT_SUCCESS" not in made.stdout


def test_where_the_source_cannot_be_made_again_one_goes_on_by_signs(
    nix_world, run_nbs, environment
) -> None:
    failure = nix_world.fail("build-command")
    line = "echo more > added.txt"
    name = repaired(failure.kept, f"{nix_world.root}/store", line, environment)
    made = run_nbs("patch", name, "--source-root", ".", env=environment)
    assert made.returncode == 0, made.stderr
    assert b"may not apply it: it is made by a buildCommand" in made.stderr
    assert b"going on without: the source of " in made.stderr
    assert b"(source-unmade)" in made.stderr
    assert b"by names and first bytes alone" in made.stderr
    assert os.listdir(f"{environment['NBS_STATE_HOME']}/run") == []
    assert not [n for n in os.listdir(f"{environment['NBS_STATE_HOME']}/ws/{name}") if "sour" in n]


@pytest.mark.parametrize("how", [(), ("--real",)])
def test_a_build_that_looks_at_no_patch_is_told_so_before_its_source_is_made(
    nix_world, run_nbs, environment, how
) -> None:
    failure = nix_world.fail("build-command")
    store = f"{nix_world.root}/store"
    name = repaired(failure.kept, store, "echo more > added.txt", environment)
    done = run_nbs("verify", name, *how, env=environment)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"it is made by a buildCommand" in done.stderr
    assert b"(patch-not-applied, 125)" in done.stderr
    hint = f"`nbs phase --store {store} {failure.kept} VARIABLE=VALUE`"
    assert hint.encode() in done.stderr
    assert b"again, to know its source" not in done.stderr


def test_a_build_that_looks_at_no_patch_is_verified_with_what_was_tried(
    nix_world, run_nbs, environment, tried
) -> None:
    failure = nix_world.fail("build-command")
    _, name = tried(failure, "phase builder buildCommand='echo made; mkdir \"$out\"'\n")
    verified = run_nbs("verify", name, env=environment)
    assert verified.returncode == 0, verified.stderr
    assert b"without a patch: it is made by a buildCommand" in verified.stderr
    assert verified.stdout == b"made\n"


def repaired(kept: str, store: str, line: str, environment: dict[str, str]) -> str:
    """Change something in a kept workspace of the build: its name."""
    done = subprocess.run(
        [sys.executable, "-c", REPAIR_INSIDE, kept, store, line],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
