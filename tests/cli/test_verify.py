"""`nbs verify`: a patch is tried from the first phase on, and by Nix itself."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

HELLO = ROOT / "sandbox/demo/hello"
REPAIRS = {
    "check-phase": ("Makefile", "./test.sh", "bash ./test.sh"),
    "compile-error": ("hello.c", "return 0;", "return 0;;"),
    "several-outputs": ("manual", "", "say hello\n"),
}
"""Cases whose failure one line in the source repairs: the file, what is there, and what should be."""


def patch_of(name: str, old: str, new: str) -> str:
    """A patch for `-p1` that replaces `old` in a file of the source, or makes the file."""
    path = HELLO / name
    before = path.read_text() if path.exists() else ""
    after = before.replace(old, new) if old else new
    labels = (f"a/{name}" if before else "/dev/null", f"b/{name}")
    pieces = difflib.unified_diff(before.splitlines(True), after.splitlines(True), *labels)
    return "".join(pieces)


@pytest.fixture
def repair(open_directory):
    """Make the patch that repairs a case: its path, which every user may read."""

    def make(case: str) -> str:
        path = open_directory / f"{case}.patch"
        path.write_text(patch_of(*REPAIRS[case]))
        path.chmod(0o644)
        return str(path)

    return make


@pytest.fixture
def failed(nix_world, run_nbs):
    """Run `nbs verify` on a case that fails anew: with the settings of the tests' own Nix."""

    def verify(case: str, *words: str, **more: bytes):
        failure = nix_world.fail(case)
        own = {n: nix_world.environment[n] for n in ("NIX_CONF_DIR", "HOME", "USER", "TMPDIR")}
        # Nothing that a raw builder leaves may tell it from what failed in the same second.
        which = ("--store", f"{nix_world.root}/store", "--derivation", failure.drv)
        return run_nbs("verify", *which, failure.kept, *words, env=own, **more)

    return verify


def test_a_patch_that_repairs_passes_the_failing_phase(run_nbs, kept_by_nix, repair, user) -> None:
    words = ("--store", kept_by_nix.store, kept_by_nix.path, "--patch", repair("check-phase"))
    done = run_nbs("verify", *words, as_user=user)
    assert done.returncode == 0, done.stderr
    assert b"ok: hello says what it should" in done.stdout
    assert b"Running phase: installPhase" not in done.stdout
    assert done.stderr == (
        b"hello-1.0 passes with check-phase.patch, from the first phase to checkPhase\n"
    )


def test_a_patch_that_repairs_nothing_fails_as_the_build_did(
    run_nbs, kept_by_nix, open_directory, user
) -> None:
    patch = open_directory / "no-help.patch"
    patch.write_text(patch_of("hello.c", "hello world", "hello"))
    words = ("--store", kept_by_nix.store, kept_by_nix.path, "--patch", str(patch))
    done = run_nbs("verify", *words, as_user=user)
    assert done.returncode == 2
    assert b"checkPhase failed: exit status 2" in done.stderr
    assert done.stderr.endswith(
        b"hello-1.0 fails with no-help.patch in checkPhase: exit status 2\n"
    )


def test_a_patch_that_does_not_apply_fails_in_patch_phase(
    run_nbs, kept_by_nix, open_directory
) -> None:
    patch = open_directory / "of-another.patch"
    patch.write_text("--- a/hello.c\n+++ b/hello.c\n@@ -1 +1 @@\n-nothing of it\n+something\n")
    done = run_nbs("verify", "--store", kept_by_nix.store, kept_by_nix.path, "--patch", str(patch))
    assert done.returncode == 1
    assert b"patchPhase failed: exit status 1" in done.stderr
    assert done.stderr.endswith(b" fails with of-another.patch in patchPhase: exit status 1\n")


def test_of_a_phase_that_is_none_no_verdict_is_given(run_nbs, kept_by_nix, repair, user) -> None:
    words = ("--store", kept_by_nix.store, kept_by_nix.path, "--until", "checkPhsae", "--patch")
    done = run_nbs("verify", *words, repair("check-phase"), as_user=user)
    assert done.returncode == 2
    assert b"(phase-unknown, 2)" in done.stderr
    assert b"fails with" not in done.stderr


WITHOUT_OUTPUT = f"""(import {ROOT}/tests/nix/stdenv.nix {{ }}).mkDerivation {{
  name = "half-1.0"; src = {HELLO}; outputs = [ "out" "dev" ];
  buildPhase = "grep -q 'bash ./test.sh' Makefile"; installPhase = "mkdir $out";
}}"""


@pytest.mark.namespaces
@pytest.mark.nix
def test_a_build_that_ends_without_an_output_does_not_pass(failed, repair) -> None:
    done = failed(WITHOUT_OUTPUT, "--to-end", "--patch", repair("check-phase"))
    assert done.returncode == 1, done.stdout
    assert b"-half-1.0-dev: without that output Nix lets the build fail\n" in done.stderr
    assert done.stderr.endswith(
        b"half-1.0 fails with check-phase.patch in its end, for want of an output: exit status 1\n"
    )
    assert failed(WITHOUT_OUTPUT, "--real", "--yes", "--patch", repair("check-phase")).returncode


@pytest.mark.namespaces
@pytest.mark.nix
def test_what_the_builder_s_own_script_defines_decides(failed, open_directory) -> None:
    patch = open_directory / "no-help.patch"
    patch.write_text("--- /dev/null\n+++ b/made\n@@ -0,0 +1 @@\n+made\n")
    done = failed("own-builder", "--patch", str(patch))
    assert done.returncode == 5, done.stdout
    assert b"\nwrong: 41\n" in done.stdout
    assert done.stderr == b"own-builder-1.0 fails with no-help.patch: exit status 5\n"


def test_all_phases_run_if_asked(run_nbs, kept_by_nix, repair, user) -> None:
    words = ("--store", kept_by_nix.store, kept_by_nix.path, "--to-end", "--patch")
    done = run_nbs("verify", *words, repair("check-phase"), as_user=user)
    assert done.returncode == 0, done.stderr
    assert b"Running phase: fixupPhase" in done.stdout


@pytest.mark.parametrize("inputs", [(), ("--whole-store",)])
def test_inside_the_patch_lies_where_nix_puts_it_and_cannot_be_written(
    run_nbs, nix_world, open_directory, inputs
) -> None:
    failure = nix_world.fail(LOOKS_AT_ITS_PATCHES)
    patch = open_directory / "looked-at.patch"
    patch.write_text(patch_of("hello.c", "hello world", "good morning"))
    words = ("--store", f"{nix_world.root}/store", failure.kept, *inputs, "--patch", str(patch))
    done = run_nbs("verify", *words)
    added = nix_world.output("nix-store", "--add", str(patch))
    assert f"patches: [ {added}]".encode() in done.stdout, done
    assert b"refused\n" in done.stdout


WANTS_BIN_SH = f"""
with import {ROOT}/tests/nix/stdenv.nix {{ }};
mkDerivation {{
  name = "wants-bin-sh-1.0";
  src = {HELLO};
  postPatch = "printf '#!/bin/sh\\necho configured\\n' > configure; chmod +x configure";
}}
"""


def test_a_patch_that_changes_nothing_does_not_pass_by_a_shell_that_the_build_had_not(
    failed, repair
) -> None:
    """The settings name no /bin/sh: a person inside has one, phases have none."""
    done = failed(WANTS_BIN_SH, "--patch", repair("check-phase"))
    assert done.returncode == 127, done.stderr
    assert b" fails with check-phase.patch in configurePhase" in done.stderr


LOOKS_AT_ITS_PATCHES = f"""
with import {ROOT}/tests/nix/stdenv.nix {{ }};
mkDerivation {{
  name = "looks-1.0";
  src = {HELLO};
  buildPhase = ''
    echo "patches: [$patches]"
    for patch in $patches; do
      chmod +w "$patch" 2>/dev/null || echo refused
      if echo more 2>/dev/null >> "$patch"; then echo written; fi
    done
    false
  '';
}}
"""


@pytest.mark.parametrize("case", REPAIRS)
def test_nix_builds_the_derivation_with_the_patch(failed, repair, case) -> None:
    done = failed(case, "--real", "--patch", repair(case))
    assert done.returncode == 0, done.stderr
    told = done.stderr.decode()
    assert "derivation ({\n" in told
    assert "$ nix-build --keep-failed" in told
    assert told.endswith(f"is built with {case}.patch, by Nix itself\n")
    assert re.fullmatch(rb"/nix/store/[a-z0-9]{32}-[a-z]+[-a-z0-9.]*\n", done.stdout)


@pytest.mark.parametrize("how", [(), ("--real",)])
def test_a_patch_may_come_through_a_pipe(failed, repair, how) -> None:
    content = Path(repair("check-phase")).read_bytes()
    done = failed("check-phase", "--patch", "/dev/stdin", *how, input=content)
    assert done.returncode == 0, done.stderr
    assert b"/dev/stdin" not in done.stderr
    assert b" with repair.patch, " in done.stderr


def test_a_patch_that_a_link_leads_to_is_what_nix_builds_with(failed, repair, tmp_path) -> None:
    (tmp_path / "linked.patch").symlink_to(os.path.relpath(repair("check-phase"), tmp_path))
    done = failed("check-phase", "--patch", str(tmp_path / "linked.patch"), "--real")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(b"is built with linked.patch, by Nix itself\n")


def test_an_expression_that_is_written_names_no_pipe(failed, repair, tmp_path) -> None:
    content = Path(repair("check-phase")).read_bytes()
    path = tmp_path / "repaired.nix"
    words = ("--real", "--patch", "/dev/stdin", "-o", str(path))
    done = failed("check-phase", *words, input=content)
    assert done.returncode == 2
    assert b"(option-value, 2)" in done.stderr
    assert not path.exists()


def test_a_real_build_that_fails_has_the_status_of_nix_build(failed, open_directory) -> None:
    patch = open_directory / "no-help.patch"
    patch.write_text(patch_of("hello.c", "hello world", "hello"))
    done = failed("check-phase", "--real", "--patch", str(patch))
    assert done.returncode == 100
    assert done.stderr.endswith(
        b"hello-1.0 fails with no-help.patch in checkPhase: exit status 100\n"
    )


def test_the_expression_may_be_written_and_built_by_hand(
    failed, nix_world, repair, tmp_path
) -> None:
    path = tmp_path / "repaired.nix"
    done = failed("compile-error", "--real", "--patch", repair("compile-error"), "-o", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert nix_world.build(str(path)).endswith("-hello-broken-1.0")
    again = failed("compile-error", "--real", "--patch", repair("compile-error"), "-o", str(path))
    assert again.returncode == 125
    assert b"(output-unwritable, 125)" in again.stderr


@pytest.mark.parametrize("how", [(), ("--real",)])
@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("build-command", b"buildCommand"),
        ("raw-builder", b"stdenv"),
        ("network", b"dontUnpack"),
    ],
)
def test_a_build_that_would_not_look_at_the_patch_is_told_so(
    failed, repair, case, why, how
) -> None:
    done = failed(case, "--patch", repair("check-phase"), *how)
    assert done.returncode == 125
    assert b"(patch-not-applied, 125)" in done.stderr
    assert why in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--patch", "/nowhere"), "patch-unreadable"),
        (("--patch", "/dev/null"), "patch-unreadable"),
        (("--patch", "x", "--until", "a", "--to-end"), "option-value"),
        (("--patch", "x", "--yes"), "option-value"),
        (("--patch",), "option-value"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(run_nbs, kept_by_nix, words, reason) -> None:
    done = run_nbs("verify", "--store", kept_by_nix.store, kept_by_nix.path, *words)
    assert done.returncode in (2, 125)
    assert f"({reason}, {done.returncode})" in done.stderr.decode()


def test_the_caller_s_patch_may_be_closed_to_all_others(run_nbs, kept_by_nix, repair) -> None:
    closed = Path(repair("check-phase")).with_suffix(".closed.patch")
    closed.write_bytes(Path(repair("check-phase")).read_bytes())
    closed.chmod(0o600)
    words = ("--store", kept_by_nix.store, kept_by_nix.path, "--patch", str(closed))
    assert run_nbs("verify", *words).returncode == 0
    assert os.stat(closed).st_mode & 0o777 == 0o600
