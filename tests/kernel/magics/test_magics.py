"""What the magic commands do and say."""

from __future__ import annotations

import pytest

from nbs_kernel.bash.events import Outcome
from nbs_kernel.known import Known
from nbs_kernel.magics.cell import prepare
from nbs_kernel.magics.environment import differences
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.magics.registry import MAGICS
from nbs_kernel.typed.shown import escaped
from sandbox import Error
from tests.kernel.magics.kernels import Noted
from tests.kernel.typed.shells import Told

KNOWN = Known(
    name="hello-1.0",
    label="hello-1.0 buildPhase",
    facts=(
        ("derivation", "/nix/store/x-hello.drv"),
        ("evil", "<script>$\\href{x}{y}$</script>\x1b[2J\u202e"),
    ),
    plan="mounts\n  proc\x1b[2J  new   [rule]\n",
    plan_rows=(("mounts", "proc\x1b[2J", "<b>new</b>", "rule"), ("mounts", "dev", "bound", "")),
)


def failure(kernel: Noted, cell: str) -> str:
    with pytest.raises(MagicError) as caught:
        kernel.run(cell)
    return caught.value.reason


def test_settings_are_changed_and_told() -> None:
    kernel = Noted()
    kernel.run("%limit 2M\n%streams split\n%stdin on")
    assert kernel.settings.fields() == {
        "limit_bytes": 2_000_000,
        "split": True,
        "terminal_input": True,
        "snapshot_each": False,
    }
    kernel.run("%limit off\n%streams merged\n%stdin off")
    assert kernel.settings.fields() == {
        "limit_bytes": 0,
        "split": False,
        "terminal_input": False,
        "snapshot_each": False,
    }
    kernel.text = ""
    kernel.run("%limit\n%streams\n%stdin")
    assert kernel.text.count("\n") == 3
    assert "whole" in kernel.text


@pytest.mark.parametrize(
    "cell",
    [
        "%limit x",
        "%limit -1",
        "%limit 5",
        "%limit 1T",
        "%streams both",
        "%stdin 1",
        "%limit 99999999999G",
    ],
)
def test_a_setting_that_cannot_be_is_refused(cell: str) -> None:
    kernel = Noted()
    before = kernel.settings
    assert failure(kernel, cell) == "magic-usage"
    assert kernel.settings == before


def test_the_build_is_entered_restarted_and_reset() -> None:
    kernel = Noted()
    kernel.run("%restart")
    kernel.run("%reset")
    kernel.run("%enter hello")
    assert kernel.done == ["restart", "reset", "enter hello"]
    with pytest.raises(Error) as caught:
        kernel.run("%enter missing")
    assert caught.value.reason == "build-unknown"


def test_what_was_changed_is_asked_for_and_shown() -> None:
    kernel = Noted()
    kernel.run("%diff --stat --since works a 'b c'")
    kernel.run("%diff")
    assert kernel.done == ["diff since=works stat=True a b c", "diff since= stat=False"]
    assert kernel.text == "2 changes\n2 changes\n"
    with pytest.raises(Error) as caught:
        kernel.run("%diff --json")
    assert caught.value.reason == "magic-usage"


def test_a_patch_and_its_proof_are_made_by_the_commands_of_that_name() -> None:
    kernel = Noted()
    kernel.run("%patch --quick --exclude '*.log' --since one")
    kernel.run("%verify --until installPhase")
    assert kernel.done == [
        "patch --quick --exclude *.log --since one",
        "verify --until installPhase",
    ]
    for words in ("%patch -o /tmp/x", "%verify --patch /etc/passwd", "%verify --until --to-end"):
        assert failure(kernel, words) == "magic-usage"
    kernel.status = 1
    kernel.run("%patch")
    assert failure(kernel, "%verify") == "magic-command-failed"
    kernel.status = 2
    assert failure(kernel, "%patch") == "magic-command-failed"


@pytest.mark.parametrize(
    "words",
    ["%diff --since", "%diff --since --stat", "%patch --exclude", "%verify --until --to-end"],
)
def test_an_option_without_its_value_is_told_as_that(words: str) -> None:
    with pytest.raises(MagicError, match=r"`--[a-z]+` of `%[a-z]+` needs a value"):
        Noted().run(words)


def test_the_build_s_store_and_derivation_may_be_named() -> None:
    kernel = Noted()
    kernel.run("%enter --store /s 'a b'")
    kernel.run("%enter --derivation d.drv --store /s --store")
    assert kernel.done == ["enter a b /s", "enter --store /s d.drv"]


def test_tools_of_the_host_may_be_named_with_a_build_and_with_a_workspace() -> None:
    kernel = Noted()
    kernel.run("%enter --with-tool gdb --store /s --with-tool strace hello")
    kernel.run("%enter --ws hello-1.0 --with-tool gdb")
    kernel.run("%enter --with-tool gdb --ws hello-1.0")
    workspace = "enter hello-1.0 gdb"
    assert kernel.done == ["enter hello /s gdb strace", workspace, workspace]


@pytest.mark.parametrize(
    "words",
    [
        "--ws x y",
        "--ws x --store /s",
        "--with-tool gdb",
        "''",
        "--store /s",
        "a b",
        "--store /s a b",
        "--copy a",
    ],
)
def test_one_build_alone_is_entered(words: str) -> None:
    kernel = Noted()
    with pytest.raises(Error) as caught:
        kernel.run(f"%enter {words}")
    assert (caught.value.reason, kernel.done) == ("magic-usage", [])


def test_the_build_is_shown_as_text_and_as_a_table_that_can_do_nothing() -> None:
    kernel = Noted(known=KNOWN)
    kernel.run("%build")
    (data,) = kernel.shown
    html, text = str(data["text/html"]), str(data["text/plain"])
    assert "hello-1.0 buildPhase" in text
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "mathjax_ignore" in html
    assert not {"\x1b", "\u202e"} & {*html, *text}


def test_the_plan_is_shown_as_text_and_as_a_table_that_names_each_section_once() -> None:
    kernel = Noted(known=KNOWN)
    kernel.run("%plan")
    (data,) = kernel.shown
    html = str(data["text/html"])
    assert data["text/plain"] == "mounts\n  proc\\x1b[2J  new   [rule]"
    assert html.count("<code>mounts</code>") == 1
    assert "<code>&lt;b&gt;new&lt;/b&gt;</code>" in html
    assert "\x1b" not in html


@pytest.mark.parametrize("known", [None, Known()])
def test_outside_of_a_build_there_is_a_way_to_enter_one(known: Known | None) -> None:
    kernel = Noted(known=known)
    assert failure(kernel, "%build") == "magic-no-build"
    assert failure(kernel, "%plan") == "magic-no-build"


def test_the_environment_is_compared_with_that_of_the_build() -> None:
    kernel = Noted(Told("/", out="/new", same="1", added="<b>\x1b", _="x"))
    kernel.environment = (("out", "/old"), ("same", "1"), ("gone", "2"))
    kernel.run("%env")
    (data,) = kernel.shown
    assert data["text/plain"] == "+ added=<b>\\x1b\n- gone=2\n~ out=/new\n    was /old"
    assert "<b>" not in str(data["text/html"])
    kernel.run("%env out gone nothing")
    assert kernel.text == (
        "out=/new\n    in the build /old\n"
        "gone=(not exported any more)\n    in the build 2\n"
        "nothing is not exported\n"
    )


def test_an_unchanged_environment_is_told_in_a_line() -> None:
    kernel = Noted(Told("/", out="/x", SHLVL="2"))
    kernel.environment = (("out", "/x"), ("SHLVL", "1"))
    kernel.run("%env")
    assert kernel.text == "the environment is that of the build\n"


def test_two_environments_differ_in_nothing_that_both_have() -> None:
    same = (("a", "1"), ("b", "2"))
    assert differences(same, same[::-1]) == ()


def test_a_shell_that_does_not_answer_is_told() -> None:
    assert failure(Noted(), "%env") == "magic-no-shell"
    assert failure(Noted(Told(busy=True)), "%env") == "magic-no-shell"
    assert failure(Noted(), "%display a.png") == "magic-no-shell"


def test_a_timed_line_runs_at_its_own_line_and_tells_how_long_it_took() -> None:
    (call,) = prepare("\n%time make -j2 > 'a b'").calls
    code = call.run(Noted())
    assert code is not None
    assert code.text == "\nmake -j2 > 'a b'"
    assert code.after(Outcome(status=0), 1.5) == "took 1.500 s\n"
    assert code.after(Outcome(status=2), 75.25) == "took 1 min 15.2 s, status 2\n"


def test_all_magics_are_listed_within_80_columns_and_each_has_help() -> None:
    kernel = Noted()
    kernel.run("%lsmagic")
    (data,) = kernel.shown
    text = str(data["text/plain"])
    assert max(map(len, text.split("\n"))) <= 80
    for name, magic in MAGICS.items():
        assert f"%{name} " in text
        assert escaped(magic.usage) in str(data["text/html"])
        helped = Noted()
        helped.run(f"%{name}?")
        assert helped.text.startswith(magic.usage)
        assert not helped.done


def test_snapshots_are_asked_for_by_words() -> None:
    kernel = Noted()
    kernel.run("%snapshot one\n%snapshot\n%snapshot --remove one\n%restore\n%restore x --kill")
    assert kernel.done == ["snapshot one", "snapshot", "remove one", "restore ", "restore x --kill"]
    kernel.run("%snapshot --each on")
    assert kernel.settings.snapshot_each


def test_snapshots_are_listed_with_the_state_that_is_always_there() -> None:
    kernel = Noted()
    kernel.run("%snapshots")
    (data,) = kernel.shown
    first, second = str(data["text/plain"]).split("\n")
    assert first == "failed  by the failure itself  the state as it was kept"
    assert second.startswith("one     ")
    assert second.endswith("2 files, 6 B")
