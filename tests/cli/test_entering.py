"""`nix-build-shell`: its options, its words when something is wrong, its exit codes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.host.case import derivation_of
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.conftest import Kept, RunTool


@pytest.fixture
def run(hand_made: Kept, run_tool: RunTool, unprivileged: int):
    """Run with options before the kept directory."""

    def run(*command: str, options: tuple[str, ...] = (), **more: object):
        words = ("--store", hand_made.store, *options, hand_made.path, *command)
        return run_tool(*words, as_user=unprivileged, **more)

    return run


def test_help_tells_the_usage_on_standard_output(run_tool):
    done = run_tool("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: nix-build-shell [OPTIONS] BUILD_DIR [COMMAND [ARG")


def test_the_short_form_of_help_is_understood(run_tool):
    assert run_tool("-h").stdout == run_tool("--help").stdout


def test_the_version_is_that_of_the_project(run_tool):
    from sandbox.version import VERSION

    assert run_tool("--version").stdout == f"nix-build-shell {VERSION}\n".encode()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "build-missing"),
        (("--",), "build-missing"),
        (("", "true"), "build-missing"),
        (("--", "--copy"), "not-a-directory"),
        (("--no-such-option", "/tmp"), "option-unknown"),
        (("--store",), "option-value"),
        (("--inputs", "sideways", "/tmp"), "option-value"),
        (("--sandboxed", "--unsandboxed", "/tmp"), "option-value"),
        (("/no/such/directory", "true"), "not-a-directory"),
        (("/dev/null", "true"), "not-a-directory"),
        (("--profile", "gentoo", "/tmp"), "profile-unknown"),
    ],
)
def test_a_wrong_command_line_is_told_with_status_2(run_tool, words, reason):
    done = run_tool(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: ")
    assert f"({reason}, 2)" in done.stderr.decode()


def test_a_wrong_command_line_comes_with_a_way_on(run_tool):
    assert b"\nhint: " in run_tool().stderr


def test_a_directory_of_no_build_is_told_with_status_125(run_tool, open_directory, unprivileged):
    directory = open_directory / "of-no-build"
    directory.mkdir(exist_ok=True)
    done = run_tool(str(directory), "true", as_user=unprivileged)
    assert (done.returncode, done.stdout) == (125, b"")
    said = done.stderr.decode()
    assert f"error: `{directory}` is not the kept directory of a build\n" in said
    assert "hint: `nbs ls`" in said
    assert "(not-a-build, 125)" in said


@pytest.mark.skipif(os.getuid() != 0, reason="another user's directory is needed")
def test_a_directory_that_the_caller_cannot_read_is_told(run_tool, open_directory, unprivileged):
    directory = open_directory / "closed"
    directory.mkdir(mode=0o700, exist_ok=True)
    done = run_tool(str(directory), "true", as_user=unprivileged)
    assert done.returncode == 125
    assert "(kept-directory-unreadable, 125)" in done.stderr.decode()


@pytest.mark.namespaces
def test_a_shell_that_was_deleted_is_told_with_the_command_that_brings_it_back(
    run_tool, hand_made, open_directory, unprivileged
):
    directory = open_directory / "shell-is-gone"
    directory.mkdir(exist_ok=True)
    shell = "/nix/store/00000000000000000000000000000000-bash/bin/bash"
    there = hand_made.packages["coreutils"]
    (directory / "env-vars").write_text(
        f'declare -x SHELL="{shell}"\ndeclare -x PATH="{there}/bin"\n'
    )
    done = run_tool("--store", hand_made.store, str(directory), "true", as_user=unprivileged)
    assert done.returncode == 125
    said = done.stderr.decode()
    assert "(inputs-missing, 125)" in said
    assert "--realise /nix/store/00000000000000000000000000000000-bash`" in said


@pytest.mark.namespaces
def test_a_shell_that_is_not_in_its_store_path_is_told_with_status_127(
    run_tool, hand_made, open_directory, unprivileged
):
    directory = open_directory / "shell-is-no-file"
    directory.mkdir(exist_ok=True)
    shell = f"{hand_made.packages['coreutils']}/bin/bash"
    (directory / "env-vars").write_text(f'declare -x SHELL="{shell}"\n')
    done = run_tool("--store", hand_made.store, str(directory), "true", as_user=unprivileged)
    assert done.returncode == 127
    assert f"`{shell}` is not there" in done.stderr.decode()


@pytest.mark.namespaces
def test_words_behind_the_directory_are_the_command_s(run):
    done = run("echo", "--help", "--store", "-h", "--")
    assert done.stdout == b"--help --store -h --\n"


@pytest.mark.namespaces
def test_the_directory_may_be_named_from_where_one_stands(hand_made, tool_command):
    start, environment = tool_command("sandbox.cli.nix_build_shell")
    for where, name in ((hand_made.path, "."), (os.path.dirname(hand_made.path), "hand-made/")):
        done = subprocess.run(
            [*start, "--store", hand_made.store, name, "cat", "/build/notes"],
            cwd=where,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert done.stdout == b"what the build wrote\n"


@pytest.mark.namespaces
def test_two_dashes_may_stand_before_the_directory(run):
    assert run("echo", "x", options=("--",)).stdout == b"x\n"


@pytest.mark.namespaces
def test_an_option_takes_its_value_either_way(run_tool, hand_made, unprivileged):
    done = run_tool(f"--store={hand_made.store}", hand_made.path, "echo", "x", as_user=unprivileged)
    assert done.stdout == b"x\n"


@pytest.mark.namespaces
@pytest.mark.parametrize("options", [(), ("--copy",)])
def test_what_was_kept_can_be_changed_whether_shown_or_copied(run, options):
    script = "echo more >> /build/notes; cat /build/notes"
    done = run("bash", "-c", script, options=options)
    assert done.stdout == b"what the build wrote\nmore\n"


@pytest.mark.namespaces
def test_a_profile_that_is_asked_for_is_followed(run):
    for profile, mode in (("2.8", b"755\n"), ("2.18.1", b"555\n"), ("lix-2.94", b"555\n")):
        assert run("stat", "-c", "%a", "/etc", options=("--profile", profile)).stdout == mode


@pytest.mark.namespaces
def test_without_a_command_the_shell_reads_its_input(run):
    script = b"echo from-$((1 + 1)) $greeting $0 ${BASH_ENV-}; phase --help | head -n 1; exit 4\n"
    done = run(input=script)
    assert (done.returncode, done.stderr) == (4, b"")
    first, second = done.stdout.decode().splitlines()
    assert first.startswith("from-2 hallo /nix/store/")
    assert first.endswith("/bin/bash")
    assert second.startswith("usage: phase")


@pytest.mark.namespaces
def test_a_failure_inside_adds_nothing_to_the_output(run):
    done = run("bash", "-c", "exit 1")
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.fixture
def overlong(hand_made: Kept, open_directory, unprivileged):
    """A kept directory with a variable that no program can be given."""
    directory = open_directory / "overlong"
    if not directory.exists():
        directory.mkdir()
        text = Path(hand_made.path, "env-vars").read_text()
        (directory / "env-vars").write_text(f'{text}declare -x flags="{"x" * 300_000}"\n')
        if os.getuid() == 0:
            for path in (directory, directory / "env-vars"):
                os.chown(path, unprivileged, unprivileged)
    return directory


@pytest.mark.namespaces
def test_a_variable_that_is_too_long_for_programs_is_told_with_a_way_that_works(
    run_tool, hand_made, overlong, unprivileged
):
    before = ("--store", hand_made.store, str(overlong))
    done = run_tool(*before, "echo", "it's there", as_user=unprivileged)
    assert (done.returncode, done.stdout) == (126, b"")
    said = done.stderr.decode()
    assert said.startswith("error: no program can be started with the variables of this build")
    assert "\n  flags: 300,007 bytes\n" in said
    assert "(environment-too-long, 126)" in said
    line = said.partition("hint: `")[2].partition("`")[0]
    assert line.endswith(f" | nix-build-shell {overlong}")
    script = subprocess.run(
        ["/bin/sh", "-c", line.rpartition(" | ")[0]], capture_output=True, check=True
    ).stdout
    done = run_tool(*before, input=script, as_user=unprivileged)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"it's there\n", b"")


@pytest.mark.namespaces
def test_such_a_variable_keeps_nobody_out_of_a_shell(run_tool, hand_made, overlong, unprivileged):
    script = b"echo ${#flags}; /bin/sh -c :\n"
    words = ("--store", hand_made.store, str(overlong))
    done = run_tool(*words, input=script, as_user=unprivileged)
    assert (done.returncode, done.stdout) == (126, b"300000\n")
    assert b"Argument list too long" in done.stderr


@pytest.mark.namespaces
@pytest.mark.parametrize("kind", ["fifo", "link", "nothing in it"])
def test_a_command_is_told_when_its_variables_are_not_those_that_were_kept(
    run_tool, kept_by_nix, open_directory, unprivileged, kind
):
    kept = open_directory / kind / os.path.basename(kept_by_nix.path)
    kept.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(kept / "env-vars")
    elif kind == "link":
        (kept / "env-vars").symlink_to("/etc/passwd")
    else:
        (kept / "env-vars").touch()
    if os.getuid() == 0:
        os.chown(kept, unprivileged, unprivileged)
        os.chown(kept / "env-vars", unprivileged, unprivileged, follow_symlinks=False)
    why = "names no SHELL" if kind == "nothing in it" else "is unsafe"
    # Others of that name may have been built by now, and nothing here tells them apart.
    derivation = derivation_of(kept_by_nix.path, kept_by_nix.store)
    for script in (("bash", "-c", "echo $name"), ()):
        before = ("--store", kept_by_nix.store, "--derivation", derivation, str(kept))
        done = run_tool(*before, *script, as_user=unprivileged, input=b"echo $name")
        assert (done.returncode, done.stdout) == (0, b"hello-1.0\n")
        assert done.stderr.decode() == f"variables: from the derivation (env-vars {why})\n"


BUILT_BY_ANOTHER_SHELL = f"""
with import {ROOT}/tests/nix/stdenv.nix {{ }};
let shell = derivation {{
  name = "shell";
  inherit system;
  builder = "${{bash}}/bin/bash";
  args = [ "-c" "${{coreutils}}/bin/mkdir -p $out/bin; ${{coreutils}}/bin/ln -s ${{dash}}/bin/dash $out/bin/sh; exit" ];
}};
in derivation {{
  name = "structured-by-dash-1.0";
  inherit system;
  __structuredAttrs = true;
  builder = "${{shell}}/bin/sh";
  args = [ "-c" "exit 3" ];
  list = [ "what dash cannot declare" coreutils ];
}}
"""


@pytest.mark.namespaces
@pytest.mark.nix
def test_structured_attributes_of_a_build_by_another_shell_are_in_no_command_s_way(
    nix_world, run_tool
):
    failure = nix_world.fail(BUILT_BY_ANOTHER_SHELL)
    program = f"{nix_world.build_stdenv()['coreutils']}/bin/cat"
    store = f"{nix_world.root}/store"
    words = ("--store", store, "--derivation", failure.drv, failure.kept, program, ".attrs.json")
    done = run_tool(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'"what dash cannot declare"' in done.stdout


SETS_ITS_SHELL = """
with import ROOT/tests/nix/stdenv.nix { };
mkDerivation {
  name = "shelled-1.0";
  dontUnpack = true;
  preConfigure = "cp ${bash}/bin/bash /build/mine; export SHELL=THIS set=before";
  buildPhase = "false";
}
""".replace("ROOT", str(ROOT))


@pytest.mark.parametrize(
    "shell", ["/bin/sh", "/bin/bash", "bash", "/build/mine", "${dash}/bin/dash", "/no/bin/bash"]
)
def test_a_shell_that_the_build_set_for_its_programs_is_a_variable_and_no_more(
    nix_world, run_tool, shell
):
    failure = nix_world.fail(SETS_ITS_SHELL.replace("THIS", shell))
    enter = ("--store", f"{nix_world.root}/store", failure.kept)
    command = 'echo "$SHELL $set"; /bin/sh -c "echo fine"'
    for words, text in ((("bash", "-c", command), None), ((), command.encode() + b"\n")):
        done = run_tool(*enter, *words, input=text)
        assert (done.returncode, done.stderr) == (0, b"")
        seen, fine = done.stdout.decode().splitlines()
        assert (seen.split()[0].endswith(shell.partition("}")[2] or shell), fine) == (True, "fine")
        assert seen.endswith(" before")


SETUP_THAT_ENDS = f"""
with import {ROOT}/tests/nix/stdenv.nix {{ }};
mkDerivation {{ name = "set-up-1.0"; src = {ROOT}/sandbox/demo/hello; HOW = "by its recipe"; %s }}
"""


@pytest.mark.namespaces
@pytest.mark.nix
@pytest.mark.parametrize(
    ("attribute", "status"),
    [
        ('preHook = "exit 3";', 3),
        ('preHook = "set -u; echo $is_not_set";', 1),
        ('postHook = "no-such-command";', 127),
        ('buildInputs = [ "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nothere" ];', 1),
    ],
)
def test_a_build_whose_set_up_has_failed_is_entered_with_what_it_had_set(
    nix_world, run_tool, attribute, status
):
    failure = nix_world.fail(SETUP_THAT_ENDS % attribute)
    where = ("--store", f"{nix_world.root}/store", "--derivation", failure.drv, failure.kept)
    told = f"the set-up of this build ends here, with status {status}: what it would have set"
    script = 'echo "$HOW; $PATH; $-; $(trap)"'
    for words, given in ((("bash", "-c", script), b""), ((), script.encode())):
        done = run_tool(*where, *words, input=given)
        how, path, options, traps = done.stdout.decode().rstrip("\n").split("; ")
        assert (done.returncode, how, traps) == (0, "by its recipe", "")
        assert "coreutils" in path
        assert not set("eu") & set(options)
        assert told in done.stderr.decode()
