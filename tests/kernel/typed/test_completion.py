"""What is offered at a cursor, and that bash reads it as what it was offered for."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbs_kernel.typed import files
from nbs_kernel.typed.answers import Answers
from nbs_kernel.typed.quoting import quote
from nbs_kernel.typed.reader import Reader
from tests.kernel.typed.shells import Told, bash

HOSTILE = [
    b"plain.txt",
    b"two words",
    b"it's",
    b'a "quote"',
    b"$(touch bad)",
    b"`touch bad`",
    b"new\nline",
    b"tab\tand\x1b[2Jescape",
    b"\xff\xfe bytes",
    b"back\\slash",
    "é and 𝄞".encode(),
    b"#hash",
    b"~tilde",
    b"-dash",
    b"a;b&c|d",
    b"{brace,other}",
    b"star*",
    b"a=b:c",
    b"nbsp\xc2\xa0x",
    b"!bang",
]
QUOTES = ["", '"', "'", "$'"]


def completed(shell: Told | None, code: str, cursor: int | None = None) -> list[str]:
    """The texts that the code may become, from its start to the cursor."""
    cursor = len(code) if cursor is None else cursor
    content = Answers().complete(shell, code, cursor)
    assert content["status"] == "ok"
    start, end = content["cursor_start"], content["cursor_end"]
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert end == cursor
    matches = content["matches"]
    assert isinstance(matches, list)
    return [code[:start] + match for match in matches]


def kinds(shell: Told | None, code: str) -> dict[str, str]:
    metadata = Answers().complete(shell, code, len(code))["metadata"]
    assert isinstance(metadata, dict)
    return {m["text"]: m["type"] for m in metadata["_jupyter_types_experimental"]}


@pytest.fixture
def hostile(tmp_path) -> str:
    directory = os.fsencode(tmp_path)
    for name in HOSTILE:
        with open(os.path.join(directory, name), "wb"):
            pass
        os.mkdir(os.path.join(directory, b"d-" + name))
        with open(os.path.join(directory, b"d-" + name, b"in " + name), "wb"):
            pass
    return str(tmp_path)


@pytest.mark.parametrize("opened", QUOTES)
def test_every_hostile_name_is_offered_so_that_bash_reads_it_back(
    hostile: str, opened: str
) -> None:
    found = completed(Told(hostile), f"printf '%s\\0' {opened}")
    given = {bash(os.fsencode(text), cwd=hostile).split(b"\0")[0] for text in found if _ends(text)}
    names = {os.path.normpath(name) for name in given if not name.endswith(b"/")}
    assert names == set(HOSTILE)


def _ends(text: str) -> bool:
    """Whether no quote is left open, as it is behind the name of a directory."""
    return Reader(text).place().quote == ""


@pytest.mark.parametrize("opened", QUOTES)
def test_a_name_inside_a_hostile_directory_is_completed_too(hostile: str, opened: str) -> None:
    shell = Told(hostile)
    for text in completed(shell, f"printf '%s\\0' {opened}d-"):
        assert "/" in text
        inner = completed(shell, text)
        # Quotes that the directory's name had to leave are closed again behind it.
        assert len(inner) == 1, text
        assert _ends(inner[0])
        given = bash(os.fsencode(inner[0]), cwd=hostile).split(b"\0")[0]
        assert os.path.isfile(os.path.join(os.fsencode(hostile), given)), inner


@given(
    name=st.binary(min_size=1, max_size=12).filter(lambda n: not {0, 0x2F} & {*n}),
    opened=st.sampled_from(QUOTES),
    wanted=st.sampled_from(QUOTES),
    is_open=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_any_name_in_any_quotes_is_read_back(
    name: bytes, opened: str, wanted: str, is_open: bool
) -> None:
    text = quote(os.fsdecode(name), opened, wanted, is_open=is_open)
    closing = wanted[-1:] if is_open else ""
    # `./` keeps a name from being taken as an option or a home directory.
    assert bash(f"printf %s ./{opened}{text}{closing}".encode()) == b"./" + name
    text.encode()


def test_a_file_ends_its_quotes_and_a_directory_leaves_them_open(tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    shell = Told(str(tmp_path))
    assert completed(shell, 'cat "fi') == ['cat "file"']
    assert completed(shell, 'cat "fo') == ['cat "folder/']
    assert completed(shell, 'cat "fi"', 7) == ['cat "file']
    assert completed(shell, "cat fo") == ["cat folder/"]


def test_what_is_before_the_last_slash_stays_as_it_was_typed(tmp_path) -> None:
    (tmp_path / "two words").mkdir()
    (tmp_path / "two words" / "file").touch()
    shell = Told("/", out=str(tmp_path), HOME=str(tmp_path))
    for way in (
        "$out/two\\ words/",
        '"$out/two words/',
        '"$out"/two\\ words/',
        "~/'two words/",
        "${out}/'two words'/",
    ):
        end = {'"$': '"', "~/": "'"}.get(way[:2], "") if not way.startswith('"$out"') else ""
        assert completed(shell, f"cat {way}fi") == [f"cat {way}file{end}"]


def test_a_value_with_blanks_and_quotes_in_a_path_is_not_evaluated(tmp_path) -> None:
    (tmp_path / "a b$(x)").mkdir()
    (tmp_path / "a b$(x)" / "file").touch()
    shell = Told("/", out=str(tmp_path / "a b$(x)"))
    shell.environment["out"] = shell.environment["out"].replace("$", "\\$")
    assert completed(shell, 'cat "$out"/f') == ['cat "$out"/file']
    assert completed(shell, "cat $(touch /tmp/never)/f") == []


def test_values_and_options_complete_behind_their_equals_sign(tmp_path) -> None:
    (tmp_path / "file").touch()
    shell = Told(str(tmp_path))
    assert completed(shell, "out=fi") == ["out=file"]
    assert completed(shell, "export out=fi") == ["export out=file"]
    assert completed(shell, "PATH=/x:fi") == ["PATH=/x:file"]
    assert completed(shell, 'PATH="/x:fi') == ['PATH="/x:file"']
    assert completed(shell, "./configure --prefix=fi") == ["./configure --prefix=file"]
    assert completed(shell, "make CC=fi") == ["make CC=file"]
    assert completed(shell, "make > fi") == ["make > file"]


def test_only_directories_can_be_changed_to(tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert completed(Told(str(tmp_path)), "cd f") == ["cd folder/"]


def test_only_programs_and_directories_are_commands_with_a_slash(tmp_path) -> None:
    (tmp_path / "prose").touch()
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "products").mkdir()
    assert completed(Told(str(tmp_path)), "./pro") == ["./products/", "./program"]


def test_hidden_files_are_offered_to_a_dot_alone(tmp_path) -> None:
    (tmp_path / ".hidden").touch()
    (tmp_path / "shown").touch()
    shell = Told(str(tmp_path))
    assert completed(shell, "cat ") == ["cat shown"]
    assert completed(shell, "cat .h") == ["cat .hidden"]


def test_commands_come_from_the_shell_and_from_its_path(tmp_path) -> None:
    (tmp_path / "buildit").touch()
    (tmp_path / "buildit").chmod(0o755)
    (tmp_path / "building").touch()
    shell = Told("/", PATH=f"/nonexistent::{tmp_path}")
    assert kinds(shell, "make && bui") == {
        "buildPhase": "function",
        "buildLocal": "function",
        "buildit": "command",
        "builtin": "builtin",
    }
    assert kinds(shell, "whi") == {"while": "keyword"}
    assert kinds(shell, "l")["ll"] == "alias"


def test_variables_are_offered_after_a_dollar_and_where_a_command_takes_them() -> None:
    shell = Told("/", out="/x", outputs="out", PATH="")
    assert completed(shell, 'echo "é𝄞 $ou') == ['echo "é𝄞 $out', 'echo "é𝄞 $outputs']
    assert completed(shell, "echo ${ou") == ["echo ${out}", "echo ${outputs}"]
    assert completed(shell, "echo ${ou}", 9) == ["echo ${out", "echo ${outputs"]
    assert completed(shell, "unset ou") == ["unset out", "unset outputs"]
    assert completed(shell, "export ou") == ["export out", "export outputs"]
    assert completed(shell, "echo $((1+ou") == ["echo $((1+out", "echo $((1+outputs"]
    assert completed(shell, "unset -f buildP") == ["unset -f buildPhase"]
    assert completed(shell, "[[ -v ou") == ["[[ -v out", "[[ -v outputs"]


def test_phases_and_hooks_are_offered_to_what_runs_them() -> None:
    shell = Told("/", myOwnPhase="x")
    assert completed(shell, "runPhase inst") == [
        "runPhase installCheckPhase",
        "runPhase installPhase",
    ]
    assert completed(shell, "runPhase my") == ["runPhase myOwnPhase"]
    assert completed(shell, "runHook preB") == ["runHook preBuild"]


def test_positions_count_code_points() -> None:
    code = "echo 𝄞𝄞 é $ou; ls"
    content = Answers().complete(Told("/", out="/x"), code, 13)
    assert (content["cursor_start"], content["cursor_end"]) == (11, 13)
    assert content["matches"] == ["out"]


def test_a_shell_that_does_not_answer_is_left_alone_for_a_while(monkeypatch):
    shell, answers = Told(busy=True), Answers()
    answers.refresh(shell)
    answers.refresh(shell)
    assert shell.asked == [("names",)]
    shell.busy = False
    monkeypatch.setattr("nbs_kernel.typed.answers.time.monotonic", lambda: answers._rests_until)
    answers.refresh(shell)
    assert shell.asked[1:] == [("names",), ("environment",)]


def test_a_busy_shell_is_asked_once_and_what_it_said_last_is_offered(tmp_path) -> None:
    (tmp_path / "file").touch()
    shell = Told("/", out=str(tmp_path))
    answers = Answers()
    answers.refresh(shell)
    shell.busy, shell.asked = True, []
    assert answers.complete(shell, "cat $out/f", 10)["matches"] == ["file"]
    assert answers.complete(shell, "buildP", 6)["matches"] == ["buildPhase"]
    assert len(shell.asked) == 2


def test_a_value_that_was_looked_up_once_is_known_while_the_shell_is_busy(tmp_path) -> None:
    (tmp_path / "file").touch()
    shell = Told("/", out=str(tmp_path))
    answers = Answers()
    answers.complete(shell, "cat $out/f", 10)
    shell.busy = True
    assert answers.complete(shell, "cat $out/f", 10)["matches"] == ["file"]


def test_without_a_shell_the_built_ins_are_still_offered() -> None:
    assert completed(None, "unse") == ["unset"]


def test_a_directory_of_very_many_names_is_listed_within_bounds(tmp_path) -> None:
    for number in range(3_000):
        (tmp_path / f"name-{number}").touch()
    assert len(completed(Told(str(tmp_path)), "cat na")) == 500
    assert len(files.entries(str(tmp_path), "")) == files.GIVEN


def test_magic_commands_and_their_arguments_are_offered(tmp_path) -> None:
    (tmp_path / "plot.png").touch()
    shell = Told(str(tmp_path), out="/x")
    assert completed(shell, "%st") == ["%stdin", "%streams"]
    assert completed(shell, "%%t") == ["%%time"]
    assert completed(shell, "# first\n%limit 1M\n%streams s") == [
        "# first\n%limit 1M\n%streams split"
    ]
    assert completed(shell, "%display pl") == ["%display plot.png"]
    assert completed(shell, "%time buildP") == ["%time buildPhase"]
    assert completed(shell, "%env ou") == ["%env out"]
    assert completed(shell, "make\n%st") == []
    assert kinds(shell, "%lsm") == {"%lsmagic": "magic"}
    assert completed(shell, "%%time\nbuildP") == ["%%time\nbuildPhase"]


@given(
    st.text(alphabet=st.sampled_from("a$'\"`\\(){} <>|&;#~=%\n/é𝄞.:"), max_size=40),
    st.integers(-5, 60),
    st.integers(0, 1),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_and_no_cursor_makes_help_fail(code: str, cursor: int, detail: int) -> None:
    shell = Told("/usr", out="/usr", HOME="/usr", PATH="/bin")
    content = Answers().complete(shell, code, cursor)
    start, end = content["cursor_start"], content["cursor_end"]
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert 0 <= start <= end <= len(code)
    assert Answers().inspect(shell, code, cursor, detail)["status"] == "ok"


def test_the_kernels_own_functions_are_not_offered() -> None:
    shell = Told("/", __nbs_x="1", PATH="")
    shell.functions += "\n__nbs_err"
    assert completed(shell, "__nb") == []
    assert completed(shell, "echo $__nb") == []


HELP = """usage: phase [OPTIONS] [NAME…] [VARIABLE=VALUE…]

  phase checkPhase doCheck=1   with a variable set

  --from NAME, --until NAME    a range of phases
  --all                        from the first one
  --trace[=FILE]               each command
  -j N                         N jobs at once; -j1 builds
"""


def after_phase(words: str) -> list[str]:
    answers = Answers(HELP)
    answers.begun = {"preCheck": "make fixtures", "prefix": "/x", "BASH-FUNC": "1"}
    code = f"echo; phase {words}"
    content = answers.complete(Told(), code, len(code))
    start = content["cursor_start"]
    matches = content["matches"]
    assert isinstance(start, int)
    assert isinstance(matches, list)
    return [(code[:start] + match).removeprefix("echo; phase ") for match in matches]


def test_behind_the_word_phase_are_phases_options_and_variables() -> None:
    assert {"checkPhase", "buildLocal", "builder"} & {*after_phase("")} == {"checkPhase", "builder"}
    assert after_phase("--") == ["--all", "--from", "--trace", "--until"]
    assert after_phase("check -") == [
        "check --all",
        "check --from",
        "check --trace",
        "check --until",
        "check -j",
    ]
    assert after_phase("check preC") == ["check preCheck=", "check preConfigure="]
    assert after_phase("check pref") == ["check prefix="]
    assert after_phase("check doC") == ["check doCheck="]
    assert after_phase("--from che") == ["--from checkPhase"]
    assert after_phase("--until=che") == ["--until=checkPhase"]
    assert after_phase("-j ") == []


KEPT = {
    "builds": ("hello-1.0", "a b"),
    "workspaces": ("hello-1.0-2",),
    "snapshots": ("one", "undone"),
}


def test_what_is_kept_is_offered_where_a_magic_command_takes_its_name(tmp_path) -> None:
    (tmp_path / "notes").touch()

    def offered(code: str) -> list[str]:
        answers = Answers(kept=lambda kind: KEPT[kind])
        content = answers.complete(Told(str(tmp_path)), code, len(code))
        start = content["cursor_start"]
        matches = content["matches"]
        assert isinstance(start, int)
        assert isinstance(matches, list)
        return [code[:start] + match for match in matches]

    assert offered("%enter h") == ["%enter hello-1.0"]
    assert offered("%enter ")[:2] == ["%enter hello-1.0", r"%enter a\ b"]
    assert offered("%enter --") == [
        f"%enter --{option}" for option in ("store", "derivation", "ws", "with-tool")
    ]
    assert offered("%enter --ws ") == ["%enter --ws hello-1.0-2"]
    assert offered("%restore u") == ["%restore undone"]
    assert offered("%diff --since o") == ["%diff --since one"]
    assert offered("%diff no") == ["%diff notes"]
    assert offered("%snapshot --each o") == ["%snapshot --each on", "%snapshot --each off"]


def test_positions_are_right_at_the_end_of_a_very_long_cell(tmp_path) -> None:
    (tmp_path / "file").touch()
    code = "echo 'a b' # it's\n" * 20_000 + 'cat "fi'
    content = Answers().complete(Told(str(tmp_path)), code, len(code))
    assert content["matches"] == ['"file"']
    assert content["cursor_start"] == len(code) - 3
