"""Snapshots in a notebook: the files go back, and the shell stays what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.frontends.conftest import LIMIT_S, kernel, run, until, workspaces
from tests.workspace.made_kept import holding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.conftest import Home


pytestmark = pytest.mark.usefixtures("no_workspaces")


@pytest.fixture
def client(no_workspaces: None) -> Iterator[Any]:
    del no_workspaces
    with kernel() as (_, client):
        yield client


def shown(client: Any, code: str) -> str:
    """What a cell shows that ends well."""
    reply, text = run(client, code)
    assert reply["status"] == "ok", reply
    return text


def test_the_files_go_back_and_variables_functions_and_the_directory_stay(client: Any) -> None:
    shown(client, "mkdir -p sub && cd sub && echo first > file && echo scrap > /tmp/scrap")
    shown(client, "x=5; hello() { echo hello $x; }; mkdir -p $out; echo made > $out/made")
    assert shown(client, "%snapshot one").startswith("snapshot one: ")
    shown(client, "echo second > file; rm /tmp/scrap $out/made; x=6; touch $NIX_BUILD_TOP/more")
    assert shown(client, "%restore one") == "restored: one; what it replaced is `undone`\n"
    look = "hello; [[ $PWD == */sub ]] && cat file /tmp/scrap $out/made; ls $NIX_BUILD_TOP/more"
    assert shown(client, f"{look} 2>/dev/null || echo no more").endswith(
        "hello 6\nfirst\nscrap\nmade\nno more\n"
    )
    assert shown(client, "echo third > file; cat file") == "third\n"


def test_a_restore_takes_what_was_put_aside_back(client: Any) -> None:
    shown(client, "echo first > file\n")
    shown(client, "%restore failed")
    assert shown(client, "ls file 2>/dev/null || echo none") == "none\n"
    shown(client, "%restore undone")
    assert shown(client, "cat file") == "first\n"


def test_programs_in_the_background_are_named_or_ended(client: Any) -> None:
    # Until then it is a bash.
    is_there = "until [[ $(</proc/$!/comm) == sleep ]]; do sleep 0.01; done"
    shown(client, f"sleep 1000 &\n{is_there}\necho first > file")
    pid = shown(client, "echo $!").strip()
    reply, _ = run(client, "%restore failed")
    assert reply["status"] == "error"
    text = "\n".join(reply["traceback"])
    assert "a program still runs inside" in text
    assert f"sleep (process {pid})" in text
    assert shown(client, "cat file; jobs -p") == f"first\n{pid}\n"
    shown(client, "%restore failed --kill")
    assert "cannot" not in shown(client, "ls file 2>/dev/null || echo none")
    assert shown(client, "jobs -pr; echo $!") == f"{pid}\n"


def test_with_each_on_a_restore_undoes_the_last_cell(client: Any) -> None:
    assert "the last 10 are kept" in shown(client, "%snapshot --each on")
    shown(client, "echo first > file")
    shown(client, "rm file")
    shown(client, "%restore")
    assert shown(client, "%snapshot --each off\ncat file") == (
        "no snapshots are taken unless you ask for one\nfirst\n"
    )


def test_of_the_snapshots_before_cells_only_the_last_are_kept(client: Any) -> None:
    shown(client, "%snapshot mine\n%snapshot --each on\n")
    for number in range(13):
        shown(client, f"echo {number} > file")
    shown(client, "%snapshot --each off")
    names = listed(client)
    assert names[:2] == ["failed", "mine"]
    assert len([name for name in names if name.startswith("cell-")]) == 10


def listed(client: Any) -> list[str]:
    texts: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data":
            data = message["content"]["data"]
            assert "<table>" in data["text/html"]
            texts.append(data["text/plain"])

    client.execute_interactive("%snapshots", timeout=60, output_hook=hook, allow_stdin=False)
    return [line.split()[0] for line in texts[0].splitlines()]


def test_a_cell_can_begin_with_a_snapshot_of_its_own(client: Any) -> None:
    text = shown(client, "%%snapshot untouched\nrm -r -- *\necho gone")
    assert text.startswith("snapshot untouched: ")
    assert text.endswith("gone\n")
    shown(client, "%restore untouched")
    assert shown(client, "ls | wc -l").strip() != "0"


def test_what_takes_long_holds_up_nobody_and_can_be_interrupted(in_home: Home) -> None:
    """A restore that waits for another's work is one that takes as long as one likes."""
    with kernel() as (manager, client):
        shown(client, "mkdir sub; cd sub; echo first > file")
        shown(client, "%snapshot one\necho second > file")
        (name,) = workspaces(in_home)
        with holding(in_home.state / "ws" / name):
            asked = client.execute("%restore one")
            # The kernel takes notice of the cell first.
            until_busy(client, asked)
            reply = client.complete("ech", reply=True, timeout=LIMIT_S)
            assert "echo" in reply["content"]["matches"]
            assert names(client, "%enter h") == []
            manager.interrupt_kernel()
            content = client.get_shell_msg(timeout=LIMIT_S)["content"]
        assert (content["ename"], content["evalue"]) == ("SandboxError", "request-stopped")
        assert shown(client, "echo $(<file) ${PWD##*/}") == "second sub\n"
        assert shown(client, "%restore one\necho $(<file) ${PWD##*/}").endswith("first sub\n")
        with holding(in_home.state / "ws" / name):
            until_busy(client, client.execute("%snapshot two"))
            client.shutdown()
            until(lambda: not manager.is_alive(), "the kernel has ended")
    assert sorted(path.name for path in in_home.state.glob("ws/*/snapshots/*")) == ["one", "undone"]


def test_names_of_what_is_kept_are_offered(failed_builds: tuple[str, str]) -> None:
    cache = failed_builds[0].partition("/nix-build-shell/")[0]
    with kernel(XDG_CACHE_HOME=cache) as (_, client):
        shown(client, "%snapshot one")
        assert "hello-1.0" in names(client, "%enter h")
        assert names(client, "%enter --ws ") == []
        assert names(client, "%restore o") == ["one"]
        shown(client, "%reset")
        assert names(client, "%enter --ws h") == ["hello-1.0"]


def names(client: Any, code: str) -> list[str]:
    """What may stand at the end of the code."""
    content = client.complete(code, reply=True, timeout=LIMIT_S)["content"]
    assert content["status"] == "ok"
    matches: list[str] = content["matches"]
    return matches


def until_busy(client: Any, asked: str) -> None:
    while True:
        message = client.get_iopub_msg(timeout=LIMIT_S)
        is_its = message["parent_header"].get("msg_id") == asked
        if is_its and message["msg_type"] == "execute_input":
            return


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ("%snapshot ../../x", "cannot be the name"),
        ("%snapshot failed", "without being asked for"),
        ("%restore nope", "there is no snapshot"),
        ("%snapshot --remove nope", "there is no snapshot"),
        ("%snapshot --each perhaps", "turned `on` or `off`"),
        ("%restore a b", "one name too many"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(client: Any, asked: str, word: str) -> None:
    reply, _ = run(client, asked)
    assert reply["status"] == "error"
    assert word in "\n".join(reply["traceback"])
    assert listed(client) == ["failed"]
