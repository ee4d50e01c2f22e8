"""The set-up script behaves as that of nixpkgs does, where a person at a shell can tell."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "sandbox/demo/setup.sh"
HEAD = 'export SHELL=/bin/bash initialPath=/usr defaultNativeBuildInputs="" defaultBuildInputs=""\n'


class Build:
    """A directory like that of a build, and the set-up script in it, under the host's bash."""

    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "setup").write_text(HEAD + SETUP.read_text())

    def run(self, script: str, *, status: int = 0, **variables: str) -> str:
        """Source the set-up, run the script, and give what it prints; `status` is how it must end."""
        environment = {
            "PATH": "/path-not-set",
            "HOME": "/homeless-shelter",
            "NIX_STORE": "/nix/store",
            "NIX_BUILD_TOP": str(self.top),
            "NIX_LOG_FD": "2",
            "out": f"{self.top}/out",
            **variables,
        }
        done = subprocess.run(
            ["/bin/bash", "-ec", f"source {self.top}/setup\n{script}"],
            cwd=self.top,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def variables(self) -> str:
        return (self.top / "env-vars").read_text()


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_the_default_order_has_the_phases_of_hooks_in_between(build: Build) -> None:
    names = "unpack patch configure build check install fixup installCheck dist"
    define = " ".join(f'{name}Phase() {{ echo "{name}"; }};' for name in names.split())
    printed = build.run(
        f"{define} early() {{ echo early; }}; late() {{ echo late; }}; genericBuild",
        preBuildPhases="early",
        postPhases="late",
        doCheck="1",
        doInstallCheck="1",
        doDist="1",
    )
    said = [line for line in printed.splitlines() if line in (*names.split(), "early", "late")]
    assert " ".join(said) == (
        "unpack patch configure early build check install fixup installCheck dist late"
    )


def test_checks_run_when_asked_for_and_others_unless_told_not_to(build: Build) -> None:
    define = "unpackPhase() { :; }; buildPhase() { echo no; }; checkPhase() { echo no; };"
    printed = build.run(define + "genericBuild", dontBuild="1", dontFixup="1")
    assert "Running phase: unpackPhase" in printed
    assert "buildPhase" not in printed
    assert "checkPhase" not in printed.replace("installCheckPhase", "")


def test_a_phase_is_announced_to_the_reader_and_to_nix(build: Build) -> None:
    printed = build.run("aPhase() { echo ran; }; runPhase aPhase")
    assert printed == (
        'Running phase: aPhase\n@nix { "action": "setPhase", "phase": "aPhase" }\nran\n'
    )


def test_the_variable_of_a_phase_goes_before_its_function(build: Build) -> None:
    printed = build.run(
        "buildPhase() { echo function; }; runPhase buildPhase", buildPhase="echo text"
    )
    assert "text" in printed
    assert "function" not in printed


def test_unpacking_leads_into_the_source(build: Build) -> None:
    source = build.top / "0123456789abcdfghijklmnpqrsvwxyz-thing"
    source.mkdir()
    (source / "read-only").write_text("")
    (source / "read-only").chmod(0o444)
    build.top.joinpath("work").mkdir()
    printed = build.run("cd work; runPhase unpackPhase; pwd; test -w read-only", src=str(source))
    assert "source root is thing" in printed
    assert printed.endswith(f"{build.top}/work/thing\n")


def test_unpacking_twice_is_refused(build: Build) -> None:
    source = build.top / "source"
    source.mkdir()
    build.top.joinpath("work/source").mkdir(parents=True)
    printed = build.run("cd work; runPhase unpackPhase", status=1, src=str(source))
    assert "destination already exists!" in printed


def test_an_archive_is_unpacked_and_patched(build: Build) -> None:
    (build.top / "thing").mkdir()
    (build.top / "thing/text").write_text("old\n")
    subprocess.run(["tar", "czf", "thing.tar.gz", "thing"], cwd=build.top, check=True)
    patch = "--- a/text\n+++ b/text\n@@ -1 +1 @@\n-old\n+new\n"
    (build.top / "change.patch").write_text(patch)
    build.top.joinpath("work").mkdir()
    printed = build.run(
        "cd work; runPhase unpackPhase; runPhase patchPhase; cat text",
        src=f"{build.top}/thing.tar.gz",
        patches=f"{build.top}/change.patch",
    )
    assert printed.endswith("new\n")


def test_hooks_run_as_function_then_from_their_list(build: Build) -> None:
    printed = build.run(
        "preBuild() { echo function; }; listed() { echo listed; };"
        "preBuildHooks+=(listed 'echo words'); buildPhase",
        preBuild="echo variable",
    )
    assert printed.splitlines()[:3] == ["function", "listed", "words"]


def test_a_hook_that_reads_an_unset_variable_fails(build: Build) -> None:
    assert "unset_thing: unbound variable" in build.run(
        "runHook preBuild", status=1, preBuild="echo $unset_thing"
    )


def test_env_vars_are_written_at_once_and_again_for_each_phase(build: Build) -> None:
    build.run("")
    assert stat.S_IMODE(os.stat(build.top / "env-vars").st_mode) == 0o600
    build.run(
        "export LATER=1; set_only=1; mkdir place; cd place; aPhase() { export IN=1; }; runPhase aPhase"
    )
    text = build.variables()
    assert 'declare -x LATER="1"\n' in text
    assert f'declare -x PWD="{build.top}/place"\n' in text
    assert "set_only" not in text
    assert "IN=" not in text
    assert "aPhase" not in text


def test_env_vars_are_not_written_when_told_so(build: Build) -> None:
    build.run("aPhase() { :; }; runPhase aPhase", noDumpEnvVars="1")
    assert not (build.top / "env-vars").exists()


def test_a_failure_runs_the_failure_hooks_and_keeps_its_status(build: Build) -> None:
    printed = build.run(
        "failureHooks+=('echo hooked'); aPhase() { local x; (exit 7); }; runPhase aPhase", status=7
    )
    assert printed.endswith("hooked\n")


def test_a_build_may_succeed_on_failure(build: Build) -> None:
    printed = build.run("false", succeedOnFailure="1")
    assert "build failed with exit code 1 (ignored)" in printed
    assert (build.top / "out/nix-support/failed").read_text() == "1"


def test_buildcommand_takes_the_place_of_the_phases(build: Build) -> None:
    assert build.run("genericBuild", buildCommand="echo only # a comment") == "only\n"
    (build.top / "builder").write_text("echo from a file")
    assert build.run("genericBuild", buildCommandPath=f"{build.top}/builder") == "from a file\n"


def test_a_shell_that_sources_it_keeps_its_own_errexit_and_nounset(build: Build) -> None:
    script = f"cd {build.top}; source ./setup; echo $-; shopt -o pipefail; shopt inherit_errexit nullglob"
    environment = {"NIX_BUILD_TOP": str(build.top), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["/bin/bash", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    flags, *options = done.stdout.splitlines()
    assert not {"e", "u"} & set(flags)
    assert [option.split()[1] for option in options] == ["on", "on", "on"]


def package(top: Path, name: str, hook: str = "", propagates: str = "") -> str:
    directory = top / name
    (directory / "bin").mkdir(parents=True)
    (directory / "nix-support").mkdir()
    (directory / "lib").mkdir()
    if hook:
        (directory / "nix-support/setup-hook").write_text(hook)
    if propagates:
        (directory / "nix-support/propagated-build-inputs").write_text(propagates)
    return str(directory)


def test_hooks_of_inputs_see_the_packages_to_link_with(build: Build) -> None:
    hook = 'add() { addToSearchPath LIBRARIES "$1/lib"; }; addEnvHooks "$targetOffset" add'
    tool = package(build.top, "tool", hook)
    deep = package(build.top, "deep")
    library = package(build.top, "library", propagates=deep)
    printed = build.run(
        "echo $LIBRARIES; echo $PATH", nativeBuildInputs=tool, buildInputs=library, strictDeps="1"
    )
    libraries, path = printed.splitlines()
    assert libraries == f"{library}/lib:{deep}/lib"
    assert path == f"{tool}/bin:/usr/bin"


def test_an_input_that_is_not_there_is_named(build: Build) -> None:
    assert "/nowhere does not exist" in build.run("", status=1, buildInputs="/nowhere")


def test_structured_attributes_give_arrays_outputs_and_the_environment(build: Build) -> None:
    (build.top / ".attrs.sh").write_text(
        "declare -A outputs=(['out']='/nix/store/x-out' ['dev']='/nix/store/x-dev')\n"
        "declare -A env=(['INSIDE']='a b')\n"
        "declare -a makeFlags=('A=one two' 'B')\n"
        "declare name='x'\n"
    )
    printed = build.run(
        'show() { printf "<%s>" "$@"; }; appendFlags list makeFlags; show "${list[@]}"; env | sort',
        NIX_ATTRS_SH_FILE="/tmp/of-the-host/.attrs.sh",
        NIX_ATTRS_JSON_FILE="/tmp/of-the-host/.attrs.json",
    )
    assert "<A=one two><B>" in printed
    for line in (
        "INSIDE=a b",
        "dev=/nix/store/x-dev",
        "out=/nix/store/x-out",
        f"NIX_ATTRS_SH_FILE={build.top}/.attrs.sh",
        f"NIX_ATTRS_JSON_FILE={build.top}/.attrs.json",
    ):
        assert f"{line}\n" in printed
    assert "makeFlags=" not in printed


def test_text_is_replaced_in_place_and_what_is_missing_is_said(build: Build) -> None:
    (build.top / "text").write_text("a * b\n\n")
    build.run("substituteInPlace text --replace-fail '*' '&'")
    assert (build.top / "text").read_text() == "a & b\n\n"
    printed = build.run("substituteInPlace text --replace-fail gone x", status=1)
    assert "pattern gone doesn't match anything in file 'text'" in printed


def test_scripts_get_the_programs_of_path(build: Build) -> None:
    scripts = {
        "env": "#!/usr/bin/env bash\nx",
        "plain": "#! /bin/sh -e\nx",
        "store": "#!/nix/store/x/bin/sh\nx",
        "unknown": "#!/usr/bin/of-no-host\nx",
    }
    for name, text in scripts.items():
        (build.top / name).write_text(text)
        (build.top / name).chmod(0o755)
    build.run(f"patchShebangs {' '.join(scripts)}")
    first = {name: (build.top / name).read_text().splitlines()[0] for name in scripts}
    assert first == {
        "env": "#!/usr/bin/bash",
        "plain": "#!/usr/bin/sh -e",
        "store": "#!/nix/store/x/bin/sh",
        "unknown": "#!/usr/bin/of-no-host",
    }
