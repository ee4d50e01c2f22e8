"""What is printed with `--json` is what the published schemas say, for all kinds of builds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.host.made_store import MadeStore, env_vars, output, store_path

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "docs/reference/json"
LOG = """\
@nix {{ "action": "setPhase", "phase": "buildPhase" }}
hello.c:3: error: expected ';' before 'return'
make: *** [Makefile:3: all] Error 2
error: builder for '{drv}' failed with exit code 2
"""
BUILDS = ("logged", "unlogged", "without-env-vars", "without-inputs")
OF_A_BUILD = (
    ("show",),
    ("log",),
    ("log", "--phase", "build"),
    ("plan",),
    ("plan", "--copy", "--inputs", "rw"),
    ("plan", "--whole-store"),
)


def schemas_in_code() -> dict[str, str]:
    """The verbs that print JSON, with the schema that each says it follows."""
    texts = [(ROOT / "sandbox/__init__.py").read_text()]
    texts += [path.read_text() for path in (ROOT / "sandbox/cli").glob("*.py")]
    found = re.findall(r'"(nix-build-shell\.(\w+)/\d+)"', "\n".join(texts))
    return {verb: name for name, verb in found}


def validate(text: str | bytes, verb: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((PUBLISHED / f"{verb}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema)


@pytest.fixture
def store(tmp_path):
    made = MadeStore(tmp_path / "s")
    shell = made.add_shell()
    for number, name in enumerate(BUILDS):
        letter = "abcd"[number]
        sources = () if name == "without-inputs" else (shell,)
        drv = made.derive(name, letter, output(name, letter), sources=sources)
        variables = env_vars(
            out=store_path(name, letter),
            name=name,
            SHELL=f"{shell}/bin/bash",
            PWD=f"/build/{name}",
            NIX_BUILD_TOP="/build",
        )
        content = None if name.startswith("without") else variables
        made.keep(f"nix-1-{number}", env_vars=content, at_s=1000 + number)
        if name == "logged":
            made.log(drv, LOG.format(drv=drv))
    return made


def test_every_document_that_is_printed_has_its_schema_published():
    published = {
        path.name.partition(".")[0]: json.loads(path.read_text())["properties"]["schema"]["const"]
        for path in PUBLISHED.glob("*.schema.json")
    }
    assert published == schemas_in_code()


@pytest.mark.parametrize("number", range(len(BUILDS)), ids=BUILDS)
@pytest.mark.parametrize("words", OF_A_BUILD, ids=" ".join)
def test_what_is_told_of_a_build_is_as_its_schema_says(run_nbs, store, number, words):
    kept = f"{store.state}/builds/nix-1-{number}"
    verb, *options = words
    found = f"{store.root}{store_path(BUILDS[number] + '.drv', 'abcd'[number])}"
    where = ["--store", str(store.root), "--derivation", found]
    done = run_nbs(verb, "--json", *options, *where, kept)
    if done.returncode != 0:
        assert (verb, BUILDS[number]) in {("log", name) for name in BUILDS[1:]} | {
            ("plan", name) for name in BUILDS[2:]
        }, done.stderr
        return
    validate(done.stdout, verb)


def test_what_is_told_of_all_builds_is_as_its_schema_says(run_nbs, store):
    validate(run_nbs("ls", "--json", "--store", str(store.root)).stdout, "ls")


@pytest.mark.namespaces
def test_what_is_told_of_the_machine_is_as_its_schema_says(run_nbs):
    validate(run_nbs("doctor", "--json").stdout, "doctor")


@pytest.mark.parametrize("verb", ["show", "plan", "log"])
def test_what_is_told_of_a_real_failure_is_as_its_schema_says(run_nbs, kept_by_nix, verb):
    done = run_nbs(verb, "--json", "--store", kept_by_nix.store, kept_by_nix.path)
    assert done.returncode == 0, done.stderr
    validate(done.stdout, verb)


@pytest.mark.parametrize("words", [("diff",), ("ws", "ls"), ("snapshots",)], ids=" ".join)
def test_what_is_told_of_a_workspace_is_as_its_schema_says(run_nbs, kept_by_nix, tmp_path, words):
    environment = {"NBS_STATE_HOME": str(tmp_path / "state")}
    shell = ("shell", "--store", kept_by_nix.store, kept_by_nix.path)
    edits = b"echo more >>Makefile; : >new; rm test.sh; chmod +x hello.c\n"
    assert run_nbs(*shell, input=edits, env=environment).returncode == 0
    assert run_nbs("snapshot", "one", env=environment).returncode == 0
    done = run_nbs(*words, "--json", env=environment)
    assert len(json.loads(done.stdout).get("changes", [0, 0])) >= 2
    validate(done.stdout, words[0])
