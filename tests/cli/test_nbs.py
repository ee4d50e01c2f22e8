"""The verbs of `nbs`: which build they mean, what they print, and what they leave alone."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
from sandbox.cli import nbs as verbs
from sandbox.cli import speak
from sandbox.host import places
from tests.conftest import UNPRIVILEGED
from tests.host.made_store import MadeStore, env_vars, fixed, output, store_path
from tests.nix.world import CASES

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "\x1b[2J\x1b]0;owned\x07"
LOG = """\
@nix {{ "action": "setPhase", "phase": "buildPhase" }}
@nix {{ "action": "setPhase", "phase": "checkPhase" }}
hello.c:3: error: expected ';' before 'return' \x1b[31m
make: *** [Makefile:3: check] Error 2
error: builder for '{drv}' failed with exit code 2
"""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        return self.err.rstrip().rpartition("(")[2].partition(",")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Ended(Exception):
    pass


@pytest.fixture
def nbs(monkeypatch, capsys, tmp_path):
    """`nbs` in this process, on a machine that has kept nothing but what lies in tmp_path.

    For verbs that enter nothing.
    """
    folders = places._folders

    def only_here(*arguments):
        return (pair for pair in folders(*arguments) if pair[0].startswith(str(tmp_path)))

    def end(status):
        raise Ended(status)

    monkeypatch.setattr(places, "_folders", only_here)
    monkeypatch.setattr(os, "_exit", end)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NIX_CONFIG", "NIX_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path / "etc"))
    monkeypatch.setenv("PATH", "/nowhere")

    def run(*argv: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["nbs", *argv])
        with pytest.raises(Ended) as caught:
            speak.run(verbs.command)
        out, err = capsys.readouterr()
        return Done(caught.value.args[0], out, err)

    return run


@pytest.fixture
def store(tmp_path):
    return MadeStore(tmp_path / "s")


@pytest.fixture
def builds(store):
    """A hello that failed in its check phase, and a newer world whose log is gone."""
    sources = (store.add_shell(), store.add("patch", "2"))
    kept = {}
    for at, name in enumerate(("hello-1.0", "world-2")):
        letter = "ab"[at]
        drv = store.derive(name, letter, output(name, letter), sources=sources)
        variables = env_vars(
            out=store_path(name, letter),
            name=name,
            SHELL=f"{sources[0]}/bin/bash",
            PWD=f"/build/{name}",
            NIX_BUILD_TOP="/build",
        )
        kept[name] = str(store.keep(f"nix-1-{at}", env_vars=variables, at_s=1000 + at))
        if not at:
            store.log(drv, LOG.format(drv=drv))
    return kept


def at(store):
    return ("--store", str(store.root))


def test_help_names_every_verb(nbs):
    done = nbs("--help")
    assert (done.status, done.err) == (0, "")
    assert all(f"\n  {verb} " in done.out for verb in verbs.VERBS)
    assert nbs("-h") == nbs("help") == done


def test_no_verb_at_all_says_what_to_do_next(nbs, monkeypatch):
    monkeypatch.setattr(sandbox.probe, "try_sandbox", lambda: None)
    done = nbs()
    assert (done.status, done.err) == (0, "")
    assert "No failed build was kept" in done.out
    assert "`nbs --help`" in done.out


def test_the_version_is_a_line(nbs):
    done = nbs("--version")
    assert (done.status, done.err, len(done.out.split())) == (0, "", 2)


@pytest.mark.parametrize("verb", verbs.VERBS)
def test_every_verb_has_help(nbs, verb):
    done = nbs(verb, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: nbs {verb}")


@pytest.mark.parametrize("word", ["frobnicate", "../ls", "nbs", "", "-x", "\x1b[2J"])
def test_an_unknown_verb_is_told(nbs, word):
    done = nbs(word)
    assert (done.status, done.out, done.reason) == (2, "", "verb-unknown")
    assert "\x1b" not in done.err


@pytest.mark.parametrize("verb", [v for v in verbs.VERBS if v != "completion"])
def test_an_unknown_option_is_told_in_the_same_way_by_every_verb(nbs, verb):
    done = nbs(verb, "--bogus")
    assert (done.status, done.out, done.reason) == (2, "", "option-unknown")
    assert f"`nbs {verb} --help`" in done.err


def test_words_that_are_no_command_are_told_with_the_line_that_was_meant(nbs):
    done = nbs("shell", "hello", "make", "a b")
    assert (done.status, done.reason) == (2, "command-unclear")
    assert "hint: `nbs shell hello -- make 'a b'`\n" in done.err


def test_a_build_that_is_an_empty_word_is_not_the_newest(nbs):
    done = nbs("shell", "", "--", "make")
    assert (done.status, done.reason) == (2, "build-missing")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(nbs, shell):
    done = nbs("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "nbs" in done.out


@pytest.mark.parametrize("argv", [(), ("tcsh",), ("bash", "zsh"), ("../../x",)])
def test_another_shell_has_none(nbs, argv):
    done = nbs("completion", *argv)
    assert (done.status, done.out, done.reason) == (2, "", "shell-unknown")


def test_ls_lists_the_newest_first(nbs, store, builds):
    done = nbs("ls", *at(store))
    lines = done.out.splitlines()
    assert (done.status, done.err, len(lines)) == (0, "", 3)
    assert lines[0].split() == ["NAME", "PHASE", "ENDED", "AGE", "SIZE", "OWNER", "PATH"]
    assert lines[1].split()[:3] == ["world-2", "-", "-"]
    assert lines[2].split()[:4] == ["hello-1.0", "checkPhase", "exit", "2"]
    assert lines[2].endswith(builds["hello-1.0"])


def test_ls_gives_all_of_it_as_json(nbs, store, builds):
    document = nbs("ls", "--json", *at(store)).json
    assert document["schema"] == "nix-build-shell.ls/1"
    newest, older = document["builds"]
    assert (newest["name"], newest["phase"]) == ("world-2", "")
    assert older["path"] == builds["hello-1.0"]
    assert older["inner"] == builds["hello-1.0"] + "/build"
    assert (older["phase"], older["ending"], older["layout"]) == (
        "checkPhase",
        "exit 2",
        "pid-build",
    )
    assert older["derivation"] == store_path("hello-1.0.drv", "a")
    assert older["owner_uid"] == os.geteuid()


def test_ls_gives_names_for_completion(nbs, store, builds):
    assert nbs("ls", "--names", *at(store)).out == "world-2\nhello-1.0\n"


def test_ls_of_nothing_is_no_failure(nbs, store):
    done = nbs("ls", *at(store))
    assert (done.status, done.out) == (0, "")
    assert "nix-build --keep-failed" in done.err
    assert nbs("ls", "--json", *at(store)).json["builds"] == []


def test_show_tells_what_is_known(nbs, store, builds):
    done = nbs("show", "hello", *at(store))
    assert (done.status, done.err) == (0, "")
    told = dict(
        line.split(None, 1) for line in done.out.splitlines() if len(line.split(None, 1)) == 2
    )
    assert told["name"] == "hello-1.0"
    assert told["derivation"] == store_path("hello-1.0.drv", "a")
    assert told["phases"] == "buildPhase → checkPhase"
    assert told["ended"] == "exit 2"
    assert "> hello.c:3: error: expected ';'" in done.out
    assert "\x1b" not in done.out
    words = shlex.join(["nbs", "shell", *at(store), builds["hello-1.0"]])
    assert done.out.endswith(f"enter it: {words}\n")


def test_show_gives_all_of_it_as_json(nbs, store, builds):
    document = nbs("show", "hello", "--json", *at(store)).json
    assert document["schema"] == "nix-build-shell.show/1"
    assert document["kept"]["outer"] == builds["hello-1.0"]
    assert document["derivation"] == store_path("hello-1.0.drv", "a")
    assert document["inputs"] == [store_path("bash", "1"), store_path("patch", "2")]
    assert document["inputs_from"] == "database"
    assert document["outputs"] == {"out": store_path("hello-1.0", "a")}
    assert document["log"]["failing_phase" if "failing_phase" in document["log"] else "ending"]
    assert "problem" not in document


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"NIX_BUILD_TOP": "/tmp/nix-build-x.drv-0"}, "build-not-sandboxed"),
        ({"SHELL": "", "NIX_BUILD_TOP": "/build"}, "no-shell"),
    ],
)
def test_show_tells_why_the_command_that_enters_would_be_refused(nbs, store, variables, reason):
    bash = store.add_shell()
    path = store_path("hello-1.0", "a")
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"), sources=(bash,))
    with open(f"{store.root}{drv}", "r+") as file:
        text = file.read().replace('"/bin/sh"', f'"{bash}/bin/true"')
        file.seek(0)
        file.write(text)
    kept = store.keep(
        "nix-1-1", env_vars=env_vars(**{"SHELL": f"{bash}/bin/bash", "out": path, **variables})
    )
    shown, entered = nbs("show", str(kept)), nbs("shell", str(kept))
    assert (shown.status, shown.reason, entered.reason) == (0, reason, reason)
    assert shown.err == entered.err


def test_show_without_a_log_says_so(nbs, store, builds):
    assert "\nlog                none\n" in nbs("show", "world", *at(store)).out
    assert nbs("show", "world", "--json", *at(store)).json["log"] is None


@pytest.mark.parametrize("verb", ["show", "plan"])
@pytest.mark.parametrize("way", ["path", "inner", "derivation", "file name", "name", "newest"])
def test_a_build_is_meant_by_any_of_its_names(nbs, store, builds, verb, way):
    drv = store_path("world-2.drv", "b")
    word = {
        "path": builds["world-2"],
        "inner": builds["world-2"] + "/build",
        "derivation": drv,
        "file name": drv.rpartition("/")[2],
        "name": "world",
        "newest": "",
    }[way]
    done = nbs(verb, *([word] if word else []), *at(store))
    assert (done.status, done.err) == (0, "")
    assert "world-2" in done.out


@pytest.mark.parametrize("name", ["root.drv", "world-2.drv"])
def test_a_link_to_a_derivation_means_that(nbs, store, builds, tmp_path, name):
    link, drv = tmp_path / name, store_path("world-2.drv", "b")
    link.symlink_to(drv)
    store.log(drv, "the world ends\n")
    assert "world-2" in nbs("show", *at(store), str(link)).out
    assert nbs("log", *at(store), str(link)).out == "the world ends\n"
    for words in ((builds["world-2"], "--derivation", str(link)), (str(link),)):
        assert nbs("show", "--json", *at(store), *words).json["derivation"] == drv


def test_a_link_to_what_is_no_derivation_of_the_store_is_not_followed(nbs, store, builds, tmp_path):
    (tmp_path / "file.drv").write_text("Derive(")
    (tmp_path / "link.drv").symlink_to(tmp_path / "file.drv")
    said = nbs("show", "hello", *at(store), "--derivation", str(tmp_path / "link.drv"))
    assert (said.status, said.reason) == (125, "derivation-missing")


def test_a_derivation_s_file_may_have_any_name_and_has_no_log_then(nbs, store, builds, tmp_path):
    drv = store_path("hello-1.0.drv", "a")
    copy = tmp_path / "copy.drv"
    copy.write_bytes((store.root / drv.lstrip("/")).read_bytes())
    words = ("hello", *at(store), "--derivation", str(copy))
    said = nbs("show", *words)
    assert (said.status, said.err) == (0, "")
    assert "\nlog                none\n" in said.out
    assert nbs("log", *words).reason == "log-missing"


@pytest.mark.parametrize("verb", ["show", "plan", "shell"])
def test_where_nothing_was_kept_every_verb_says_the_same(nbs, store, verb):
    done = nbs(verb, *at(store))
    assert (done.status, done.out, done.reason) == (125, "", "nothing-kept")


@pytest.mark.parametrize(
    ("word", "reason"),
    [("nothing", "build-unknown"), ("/no/such", "not-a-directory"), ("x.drv", "build-unknown")],
)
@pytest.mark.parametrize("verb", ["show", "plan", "shell"])
def test_a_build_that_is_not_there_is_told(nbs, store, builds, verb, word, reason):
    done = nbs(verb, *at(store), word)
    assert (done.status, done.out, done.reason) == (2, "", reason)


def test_plan_is_the_description_with_its_rules(nbs, store, builds):
    done = nbs("plan", "hello", *at(store))
    sections = [line for line in done.out.splitlines() if line and not line.startswith(" ")]
    assert sections[:4] == ["build", "namespaces", "ids", "names"]
    assert "[ChrootLinuxDerivationBuilder::startChild]" in done.out
    assert store_path("bash", "1") in done.out


def test_plan_gives_description_and_steps_as_json(nbs, store, builds):
    document = nbs("plan", "hello", "--json", *at(store)).json
    assert document["schema"] == "nix-build-shell.plan/1"
    assert document["sandbox"]["name"] == "hello-1.0"
    assert {"prepare", "enter", "execute"} <= document["plan"].keys()
    assert document["plan"]["execute"]["argv"][-1] == "COMMAND"


def test_plan_gives_the_calls_from_the_first_to_the_last(nbs, store, builds):
    calls = nbs("plan", "hello", "--calls", *at(store)).out.splitlines()
    assert calls[0].startswith("unshare(")
    assert calls[-1].startswith("execve(")
    assert 'pivot_root(".", ".")' in calls


def test_plan_tells_two_builds_apart_by_its_status(nbs, store, builds):
    same = nbs("plan", "hello", "--diff", "hello", *at(store))
    assert same == Done(0, "", "")
    other = nbs("plan", "hello", "--diff", "world", *at(store))
    assert other.status == 1
    assert other.err == ""
    assert {line[0] for line in other.out.splitlines()} == {"-", "+"}
    assert "hello-1.0" in other.out


def test_plan_compares_with_another_nix(nbs, store, builds):
    done = nbs("plan", "hello", "--profile", "lix-2.94", "--diff", "hello", *at(store))
    assert done.status == 1
    assert "- namespaces" in done.out
    assert "cgroup" in done.out


def test_plan_shows_the_whole_store_only_by_name(nbs, store, builds):
    assert "all that is there" not in nbs("plan", "hello", *at(store)).out
    assert "all that is there" in nbs("plan", "hello", "--whole-store", *at(store)).out


def test_inputs_that_are_gone_are_told_with_a_command_and_the_whole_store_does_without(
    nbs, store, builds
):
    patch = store_path("patch", "2")
    os.unlink(f"{store.root}{patch}")
    brings_back = f"`nix-store --store {store.root} --realise {patch}`"
    done = nbs("plan", "hello", *at(store))
    assert (done.status, done.out, done.reason) == (125, "", "inputs-missing")
    assert brings_back in done.err
    shown = nbs("show", "hello", *at(store))
    assert (shown.status, shown.reason) == (0, "inputs-missing")
    assert "hello-1.0" in shown.out
    assert brings_back in shown.err
    assert nbs("plan", "hello", "--whole-store", *at(store)).status == 0


def test_without_a_database_or_any_nix_all_is_found_by_looking(nbs, tmp_path):
    store = MadeStore(tmp_path / "s", database=False)
    bash = store.add_shell()
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"), sources=(bash,))
    variables = env_vars(
        out=store_path("hello-1.0", "a"), SHELL=f"{bash}/bin/bash", NIX_BUILD_TOP="/build"
    )
    store.keep("nix-1-1", env_vars=variables)
    document = nbs("show", "--json", *at(store)).json
    assert (document["derivation"], document["inputs_from"]) == (drv, "references")
    assert document["inputs"] == [bash]


def test_several_candidates_are_told_and_one_of_them_can_be_named(nbs, store):
    bash = store.add_shell()
    drvs = [store.derive("src", letter, fixed("src"), sources=(bash,)) for letter in "df"]
    variables = env_vars(
        out=store_path("src", "b"), name="src", SHELL=f"{bash}/bin/bash", NIX_BUILD_TOP="/build"
    )
    kept = str(store.keep("nix-1-1", env_vars=variables))
    done = nbs("plan", kept)
    assert (done.status, done.out, done.reason) == (125, "", "derivation-unclear")
    assert [line.strip() for line in done.err.splitlines()[1:3]] == drvs
    assert nbs("plan", kept, "--derivation", drvs[1]).status == 0
    assert nbs("show", kept, "--derivation", drvs[1], "--json").json["derivation"] == drvs[1]


@pytest.mark.parametrize(
    ("content", "reason"), [("Derive(", "derivation-syntax"), (None, "derivation-missing")]
)
def test_a_derivation_that_is_none_is_told(nbs, store, builds, tmp_path, content, reason):
    path = tmp_path / "x.drv"
    if content is not None:
        path.write_text(content)
    done = nbs("plan", "hello", "--derivation", str(path), *at(store))
    assert (done.status, done.out, done.reason) == (125, "", reason)
    assert str(path) in done.err


def hostile(store, **more):
    """A build whose every value is an attack on whoever reads it."""
    bash = store.add_shell()
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"), sources=(bash,))
    store.log(
        drv, f'{EVIL}\nerror: {EVIL} failed\r\n@nix {{ "action": "setPhase", "phase": "{EVIL}" }}\n'
    )
    variables = {
        "name": f"{EVIL}\nroot-shell-1.0",
        "SHELL": f"/nix/store/{EVIL}/bin/bash",
        "PWD": f"/build/{EVIL}\n",
        "out": store_path("hello-1.0", "a"),
        "NIX_BUILD_TOP": "/build",
    }
    return str(
        store.keep(f"nix-build-{EVIL}\n.drv-1-2", env_vars=env_vars(**{**variables, **more}))
    )


@pytest.mark.parametrize(
    "argv",
    [
        ("ls",),
        ("ls", "--names"),
        ("ls", "--json"),
        ("show",),
        ("show", "--json"),
        ("plan",),
        ("plan", "--calls"),
        ("plan", "--json"),
        ("plan", "--profile", "2.35", "--diff", ""),
        ("plan", "--derivation", f"/{EVIL}"),
    ],
    ids=" ".join,
)
def test_nothing_hostile_reaches_the_terminal_as_it_is(nbs, store, argv):
    kept = hostile(store)
    words = [kept if word == "" else word for word in argv]
    words += [kept] if argv[0] != "ls" else []
    done = nbs(*words, *at(store))
    for text in (done.out, done.err):
        assert not [c for c in text if not c.isprintable() and c != "\n"]
        assert not [line for line in text.splitlines() if line.startswith("root-shell")]
    assert done.out or done.err


@pytest.mark.parametrize(
    "more",
    [
        {"NIX_BUILD_TOP": f"/tmp/{EVIL}"},
        {"NIX_BUILD_TOP": "/build/../../etc"},
        {"out": f"/nix/store/{EVIL}"},
        {"out": "/nix/store/../../etc/passwd"},
        {"SHELL": "/etc/passwd", "PWD": "../../../../etc"},
    ],
)
def test_hostile_values_lead_to_a_sandbox_or_an_error_and_never_to_a_traceback(nbs, store, more):
    kept = hostile(store, **more)
    for argv in (("ls",), ("show", kept), ("plan", kept), ("plan", "--calls", kept)):
        done = nbs(*argv, *at(store))
        assert "Traceback" not in done.err
        assert "\x1b" not in done.out + done.err
        assert "root:x:0:0:root" not in done.out


def trap_fifo(path):
    os.mkfifo(path)


def trap_link(path):
    path.symlink_to("/etc/passwd")


def trap_directory(path):
    path.mkdir()


def trap_large(path):
    path.touch()
    os.truncate(path, 65 << 20)


@pytest.mark.parametrize("trap", [trap_fifo, trap_link, trap_directory, trap_large])
def test_a_trap_in_the_place_of_env_vars_stops_no_verb(nbs, store, trap):
    bash = store.add_shell()
    store.derive("hello-1.0", "a", output("hello-1.0", "a"), sources=(bash,))
    outer = store.keep("nix-build-hello-1.0.drv-1-2", env_vars=None)
    trap(outer / "build/env-vars")
    assert nbs("ls", *at(store)).status == 0
    shown = nbs("show", str(outer), *at(store))
    assert (shown.status, shown.err) == (0, "")
    assert "unsafe" in shown.out
    assert "root:x:0" not in shown.out


def test_a_reader_that_leaves_early_is_no_failure_to_tell(tool_command, store, builds):
    reader, writer = os.pipe()
    os.close(reader)
    command, environment = tool_command("sandbox.cli.nbs")
    done = subprocess.run(
        [*command, "plan", builds["hello-1.0"]],
        env=environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


FULL = b"""\
error: standard output cannot be written
  No space left on device

hint: `df -h` shows the file systems
                                                        (stdout-unwritable, 125)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "BUILD"),
        ("plan", "--json", "BUILD"),
        ("show", "BUILD"),
        ("show", "--json", "BUILD"),
        ("log", "--store", "STORE", "BUILD"),
        ("ls", "--store", "STORE"),
        ("ls", "--store", "STORE", "--json"),
        ("ws", "ls", "--json"),
        ("completion", "bash"),
        ("ls", "--help"),
        ("--version",),
    ],
)
def test_a_full_disk_behind_standard_output_is_told_once(run_nbs, store, builds, full_disk, words):
    known = {"BUILD": builds["hello-1.0"], "STORE": str(store.root)}
    done = run_nbs(*(known.get(word, word) for word in words), stdout=full_disk)
    assert (done.returncode, done.stderr) == (125, FULL)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_it_is_told_of_the_other_command_too(run_tool, full_disk, word):
    done = run_tool(word, stdout=full_disk)
    assert (done.returncode, done.stderr) == (125, FULL)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_text_beyond_ascii_is_printed_in_any_locale(run_nbs, store, builds, locale):
    done = run_nbs("show", builds["hello-1.0"], env={"LANG": locale, "LC_ALL": locale})
    assert (done.returncode, done.stderr) == (0, b"")
    assert "→".encode() in done.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_a_terminal_s_code_has_not_is_printed_by_its_number(run_nbs, store, builds, encoding):
    done = run_nbs("show", builds["hello-1.0"], env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2192" in done.stdout


def test_plan_carries_names_that_are_no_text(nbs, store):
    """env-vars may hold any bytes."""
    kept = store.keep("nix-1-1")
    bash = store.add_shell()
    store.derive("hello", "a", output("hello", "a"), sources=(bash,))
    data = env_vars(out=store_path("hello", "a"), NIX_BUILD_TOP="/build").encode()
    (kept / "build/env-vars").write_bytes(data + b'declare -x SHELL="/nix/\xff\xfe"\n')
    for argv in (("plan",), ("plan", "--json"), ("plan", "--calls"), ("show",)):
        done = nbs(*argv, str(kept))
        assert (done.status, done.err) == (0, "")
        done.out.encode()


@pytest.mark.namespaces
def test_doctor_tries_everything_and_changes_nothing(run_nbs, unprivileged):
    done = run_nbs("doctor", as_user=unprivileged)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Sandboxes can be made here." in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.namespaces
def test_doctor_gives_its_findings_as_json(run_nbs):
    done = run_nbs("doctor", "--json", env={"PATH": "/usr/bin:/bin"})
    document = json.loads(done.stdout)
    assert document["schema"] == "nix-build-shell.doctor/1"
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["user namespace"]["verdict"] == "ok"
    assert {check["verdict"] for check in checks.values()} <= {"ok", "limited"}
    assert all(check["remedy"] for check in checks.values() if check["verdict"] == "failed")


@pytest.mark.namespaces
def test_doctor_says_what_is_missing_and_how_to_get_it(run_nbs, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    done = run_nbs("doctor", env={"NBS_STATE_HOME": str(blocked)})
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr + done.stdout


@dataclass(frozen=True)
class Evidence:
    path: Path
    store: str


def tree_of(top: Path) -> str:
    """All that can be seen of a tree: names, modes, owners, times, links, contents."""
    digest = hashlib.sha256()
    for path in (top, *sorted(top.rglob("*"))):
        status = path.lstat()
        what = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_size)
        digest.update(f"{path.relative_to(top)} {what}\n".encode())
        if stat.S_ISREG(status.st_mode):
            digest.update(path.read_bytes())
        if stat.S_ISLNK(status.st_mode):
            digest.update(os.readlink(path).encode())
    return digest.hexdigest()


@pytest.fixture
def evidence(open_directory, store_without_nix, unprivileged, request):
    """A kept directory of the unprivileged user's with some of everything in it."""
    store, packages = store_without_nix
    top = open_directory / f"evidence-{abs(hash(request.node.name))}"
    (top / "source/deep").mkdir(parents=True)
    programs = ":".join(f"{package}/bin" for package in packages.values())
    shell = packages["bash"] + "/bin/bash"
    (top / "env-vars").write_text(env_vars(PATH=programs, SHELL=shell))
    (top / "source/file").write_text("as it was\n")
    (top / "source/deep/run").write_text("#!/bin/sh\n")
    (top / "source/deep/run").chmod(0o555)
    (top / "source/link").symlink_to("deep/run")
    (top / "source/out").symlink_to("/etc/passwd")
    os.link(top / "source/file", top / "source/same")
    (top / "source/deep").chmod(0o555)
    for path in (top, *top.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, unprivileged, unprivileged, follow_symlinks=False)
        os.utime(path, ns=(10**18, 10**18 + 7), follow_symlinks=False)
    yield Evidence(path=top, store=store)
    (top / "source/deep").chmod(0o755)


RUIN = """
cd /build
echo more >> source/file; echo new > source/new; echo over > source/same
chmod -R u+w . ; chmod 0 source/link; touch -d 2000-01-01 source/deep/run
rm -f source/link source/out; mv source/deep source/moved; ln -s / source/root
echo > env-vars
rm -rf source
mkdir source; chmod 700 .
"""


@pytest.mark.namespaces
@pytest.mark.parametrize("options", [(), ("--copy",)], ids=["overlay", "copy"])
@pytest.mark.parametrize("who", ["owner", "root"])
def test_whatever_a_run_does_the_evidence_stays_as_it_was(
    run_nbs, evidence, unprivileged, options, who
):
    if who == "root" and os.geteuid() != 0:
        pytest.skip("only root is root")
    before = tree_of(evidence.path)
    user = unprivileged if who == "owner" else None
    command = ("--", "bash", "-c", RUIN + "find . | sort")
    done = run_nbs(
        "shell", "--store", evidence.store, *options, str(evidence.path), *command, as_user=user
    )
    assert (done.returncode, done.stdout) == (0, b".\n./env-vars\n./source\n"), done.stderr
    assert tree_of(evidence.path) == before


@pytest.mark.namespaces
@pytest.mark.parametrize("options", [(), ("--copy",)], ids=["overlay", "copy"])
def test_two_runs_at_once_do_not_meet(tool_command, evidence, unprivileged, options):
    """Each waits, by its standard input, until the other has written."""
    command, environment = tool_command("sandbox.cli.nbs", unprivileged)
    script = "echo $0 >> source/file; echo ready; read go; cat source/file; ls source; exit $0"
    own = (
        {"user": unprivileged, "group": unprivileged, "extra_groups": ()}
        if os.geteuid() == 0
        else {}
    )
    runs = [
        subprocess.Popen(
            [
                *(*command, "shell", "--store", evidence.store, *options, str(evidence.path)),
                *("--", "bash", "-c", f"cd /build; touch source/of-{n}; {script}", str(n)),
            ],
            env=environment,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **own,
        )
        for n in (3, 4)
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
    ended = [(run.communicate(b"go\n", timeout=60), run.returncode) for run in runs]
    for number, ((out, err), status) in zip((3, 4), ended, strict=True):
        lines = out.decode().split("\n")
        assert (status, err) == (number, b"")
        assert lines[:2] == ["as it was", str(number)]
        assert [line for line in lines if line.startswith("of-")] == [f"of-{number}"]


@pytest.mark.namespaces
def test_shell_passes_the_status_and_the_streams_through(run_nbs, hand_made, unprivileged):
    done = run_nbs(
        *("shell", "--store", hand_made.store, hand_made.path, "--"),
        *("bash", "-c", "cat; echo err >&2; exit 7"),
        as_user=unprivileged,
        input=b"in",
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in", b"err\n")


@pytest.mark.namespaces
def test_a_closed_env_vars_of_another_user_is_told_with_a_way_on(
    run_nbs, hand_made, open_directory
):
    """As nixpkgs writes it: for the builder alone."""
    if os.geteuid() != 0:
        pytest.skip("only root has two users")
    top = open_directory / "closed-env-vars"
    top.mkdir()
    (top / "env-vars").write_text(env_vars(SHELL="/bin/sh"))
    (top / "env-vars").chmod(0o600)
    os.chown(top / "env-vars", 54321, 54321)
    options = ("--whole-store", "--store", hand_made.store)
    done = run_nbs("shell", *options, str(top), "--", "true", as_user=UNPRIVILEGED)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"env-vars is unreadable" in done.stderr
    assert b"(environment-unknown, 125)" in done.stderr


def test_what_a_real_nix_kept_is_known_by_its_database(run_nbs, kept_by_nix, unprivileged):
    words = ("--json", "--store", kept_by_nix.store, kept_by_nix.path)
    done = run_nbs("show", *words, as_user=unprivileged)
    assert (done.returncode, done.stderr) == (0, b"")
    document = json.loads(done.stdout)
    assert document["derivation_from"] == "its output is `out` in env-vars"
    assert document["inputs_from"] == "database"
    assert set(kept_by_nix.packages.values()) & set(document["inputs"])


def test_two_real_derivations_of_one_content_are_told_and_one_can_be_named(run_nbs, nix_world):
    fetch = (
        (CASES / "fixed-output.nix")
        .read_text()
        .replace("../stdenv.nix", f"{CASES.parent}/stdenv.nix")
    )
    failures = [
        nix_world.fail(f"({fetch.replace('192.0.2.1', address)}) {{ }}")
        for address in ("192.0.2.1", "192.0.2.2")
    ]
    first, second = sorted(failures, key=lambda failure: failure.drv)
    assert first.drv != second.drv
    store = f"{nix_world.root}/store"
    done = run_nbs("plan", "--store", store, first.kept)
    assert (done.returncode, done.stdout) == (125, b"")
    assert [line.strip() for line in done.stderr.decode().splitlines()[1:3]] == [
        first.drv,
        second.drv,
    ]
    for failure in failures:
        words = ("--store", store, "--derivation", failure.drv, failure.kept)
        inside = run_nbs("plan", *words)
        assert (inside.returncode, inside.stderr) == (0, b"")
        assert b"the host's, as in the build: the derivation is fixed-output" in inside.stdout


def test_the_newest_is_named_before_it_is_entered(nbs, store, builds, monkeypatch):
    monkeypatch.setattr("sandbox.cli.shell.enter", lambda _given, _found, inside: len(inside))
    done = nbs("shell", *at(store), "--", "make", "check")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"the newest failed build: {builds['world-2']}\n"


def test_a_name_that_a_directory_has_as_well_is_told(nbs, store, builds, tmp_path, monkeypatch):
    (tmp_path / "world").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sandbox.cli.shell.enter", lambda *_: 7)
    said = f"`world` is the build that was kept as {builds['world-2']}; `./world` is the directory"
    assert nbs("shell", *at(store), "world", "--", "true").err == f"{said}\n"
    assert nbs("shell", *at(store), "./world", "--", "true").err == ""


def test_a_derivation_that_names_no_input_is_not_taken_for_one_that_was_not_found(nbs, store):
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"))
    kept = store.keep("nix-1-1", env_vars=None, at_s=1000)
    said = nbs("show", "--json", "--derivation", f"{store.root}{drv}", str(kept), *at(store))
    assert said.err == ""
    assert said.json["derivation"].endswith("-hello-1.0.drv")
    assert said.json["inputs"] == []
