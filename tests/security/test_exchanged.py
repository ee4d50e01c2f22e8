"""What was exchanged between being looked at and being used is not used.

Whoever owns a directory on the way to what was kept can do that at any moment, with rename(2). Here
it is done between the two, which a race hits only sometimes.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import replay
from sandbox.errors import EvidenceError
from sandbox.linux.looked import open_looked
from tests.linux.forks import in_child
from tests.security.test_escape import HASH, derivation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Kept

pytestmark = pytest.mark.namespaces
root_alone = pytest.mark.skipif(os.getuid() != 0, reason="root alone has what is another user's")


@pytest.fixture
def their(hand_made: Kept, tmp_path: Path, unprivileged: int, monkeypatch) -> Path:
    """Another user's directory, with what was kept of a build and another directory in it."""
    monkeypatch.setenv("NBS_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path))
    their = tmp_path / "their"
    shutil.copytree(hand_made.path, their / "kept")
    give(their, unprivileged)
    (their / "another").mkdir()
    (their / "another/notes").write_text("the caller's alone\n")
    return their


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A directory that the caller alone can come to, as if it had been kept, too."""
    secret = tmp_path / "closed/kept"
    secret.mkdir(parents=True)
    secret.parent.chmod(0o700)
    (secret / "notes").write_text("the caller's alone\n")
    return secret


def give(tree: Path, user: int) -> None:
    if os.getuid() == 0:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)


def by_a_link(their: Path, secret: Path) -> None:
    (their / "kept").rename(their / "away")
    (their / "kept").symlink_to(secret)


def by_a_link_above(their: Path, secret: Path) -> None:
    their.rename(their.parent / "away")
    their.symlink_to(secret.parent)


def by_another_directory(their: Path, secret: Path) -> None:
    (their / "kept").rename(their / "away")
    (their / "another").rename(their / "kept")


def by_nothing(their: Path, secret: Path) -> None:
    (their / "kept").rename(their / "away")


EXCHANGES = [by_a_link, by_a_link_above, by_another_directory, by_nothing]
exchanges = pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: one.__name__)
Entered = tuple[str, bytes, list[str]]


@pytest.fixture
def entered() -> Callable[[sandbox.Sandbox], Entered]:
    """How entering ends, what the command wrote, and what is left of it."""

    def enter(described: sandbox.Sandbox) -> Entered:
        def run() -> Entered:
            reader, writer = os.pipe()
            try:
                reason = str(sandbox.enter(described, stdio=(0, writer, writer)))
            except sandbox.Error as error:
                reason = error.reason
            os.close(writer)
            with open(reader, "rb") as said:
                return reason, said.read(), os.listdir(os.environ["NBS_STATE_HOME"] + "/run")

        return in_child(run)

    return enter


def described(their: Path, store: str, **request: object) -> sandbox.Sandbox:
    case = sandbox.read(str(their / "kept"), store=store)
    return sandbox.describe(case, sandbox.Request(command=("cat", "notes"), **request))


@pytest.mark.parametrize("copy", [False, True], ids=["overlay", "copy"])
@exchanges
def test_what_came_to_the_place_of_what_was_kept_is_not_shown(
    their, secret, hand_made, entered, exchange, copy
):
    found = described(their, hand_made.store, copy=copy)
    assert entered(found) == ("0", b"what the build wrote\n", [])
    exchange(their, secret)
    assert entered(found) == ("evidence-changed", b"", [])


@exchanges
def test_what_came_to_its_place_is_not_copied_out(their, secret, hand_made, entered, exchange):
    found = sandbox.only_looked_at(described(their, hand_made.store))
    assert entered(found) == ("0", b"what the build wrote\n", [])
    exchange(their, secret)
    assert entered(found) == ("evidence-changed", b"", [])


@exchanges
def test_files_of_nix_are_read_from_what_was_kept_alone(their, secret, hand_made, exchange):
    case = sandbox.read(str(their / "kept"), store=hand_made.store)
    assert replay._left_by_nix(case, ("notes", "../another/notes")) == (
        ("notes", b"what the build wrote\n"),
    )
    exchange(their, secret)
    with pytest.raises(EvidenceError) as caught:
        replay._left_by_nix(case, ("notes",))
    assert caught.value.reason == "evidence-changed"


@pytest.fixture
def their_store(their: Path, hand_made: Kept, unprivileged: int) -> Path:
    """A store that is another user's, with what a build had made of its output."""
    store = their / "store"
    shutil.copytree(hand_made.store, store, symlinks=True, copy_function=os.link)
    for path in (store, *store.rglob("*")):
        if os.getuid() == 0 and path.is_dir() and not path.is_symlink():
            os.chown(path, unprivileged, unprivileged)
    (store / f"nix/store/{HASH}-x").write_text("what the build made\n")
    os.chown(store / f"nix/store/{HASH}-x", unprivileged, unprivileged)
    return store


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_came_to_the_place_of_an_output_is_not_copied(
    their, their_store, secret, hand_made, entered, kind, tmp_path
):
    text = derivation(hand_made, f"/nix/store/{HASH}-x")
    (tmp_path / "x.drv").write_text(text)
    case = sandbox.read(
        str(their / "kept"), store=str(their_store), derivation=str(tmp_path / "x.drv")
    )
    command = ("cat", f"/nix/store/{HASH}-x")
    found = sandbox.describe(case, sandbox.Request(command=command))
    assert entered(found) == ("0", b"what the build made\n", [])
    # Not removed: what is made then often gets the number of what was there.
    (their_store / f"nix/store/{HASH}-x").rename(their_store / "away")
    if kind == "link":
        (their_store / f"nix/store/{HASH}-x").symlink_to(secret / "notes")
    else:
        (their_store / f"nix/store/{HASH}-x").write_text("another\n")
    assert entered(found) == ("evidence-changed", b"", [])


@root_alone
@pytest.mark.parametrize("whole", [False, True], ids=["inputs", "whole"])
def test_a_store_that_was_exchanged_is_not_shown(their, their_store, hand_made, entered, whole):
    case = sandbox.read(str(their / "kept"), store=str(their_store), whole=whole)
    request = sandbox.Request(command=("cat", "notes"), whole_store=whole)
    found = sandbox.describe(case, request)
    assert entered(found) == ("0", b"what the build wrote\n", [])
    (their_store / "nix").rename(their_store / "away")
    (their_store / "nix").symlink_to(f"{hand_made.store}/nix")
    assert entered(found) == ("evidence-changed", b"", [])


@root_alone
def test_an_input_that_became_a_link_is_not_followed(
    their, their_store, secret, hand_made, entered
):
    found = described(their, str(their_store))
    bash = their_store / hand_made.packages["bash"].lstrip("/")
    bash.rename(bash.with_name("away"))
    bash.symlink_to(secret)
    reason, said, _ = entered(found)
    assert (reason, said) == ("step-failed", b"")


@root_alone
def test_a_link_of_another_user_s_leads_to_a_store_of_that_user_s_alone(
    their, their_store, hand_made, unprivileged
):
    link = their / "link"
    link.symlink_to(hand_made.store)
    os.chown(link, unprivileged, unprivileged, follow_symlinks=False)
    with pytest.raises(EvidenceError) as caught:
        sandbox.read(str(their / "kept"), store=str(link))
    assert caught.value.reason == "store-redirected"
    link.unlink()
    link.symlink_to(their_store)
    os.chown(link, unprivileged, unprivileged, follow_symlinks=False)
    assert (
        sandbox.read(str(their / "kept"), store=str(link)).nix.looked[-1].path.startswith(str(link))
    )


def test_an_overlay_that_is_refused_is_no_reason_to_copy_what_came_after(
    their, secret, hand_made, entered, monkeypatch
):
    """The kernel may refuse an overlay; a copy is made then, but of what was looked at."""
    from sandbox.linux import apply

    def refuse(looked, ids):
        handle = open_looked(looked, ids)
        os.close(handle)
        by_a_link(their, secret)
        raise OSError(1, "refused", "mount")

    monkeypatch.setattr(apply, "open_looked", refuse)
    found = described(their, hand_made.store)
    assert entered(found) == ("evidence-changed", b"", [])
