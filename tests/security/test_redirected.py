"""What another user has led to, by a link or a directory, is not read for that user.

Whoever calls may read more than the owner of a store: root reads everything. A link of the owner's
in the place of one of Nix's files would have it printed, or written where its owner can read it.
"""

from __future__ import annotations

import bz2
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from sandbox.errors import EvidenceError
from sandbox.host import database
from sandbox.host.derivation import read_derivation
from tests.host.made_store import MadeStore, env_vars, output, store_path

root_alone = pytest.mark.skipif(os.getuid() != 0, reason="root alone has what is another user's")

SECRET = "the caller's alone"
LOG = "what the build said"
REFUSED = b"(store-redirected, 125)"


class Store:
    """A store with a hello that has failed, and ways to exchange what is in it."""

    def __init__(self, root: Path) -> None:
        self.made = MadeStore(root)
        shell = self.made.add_shell()
        out = output("hello-1.0", "a")
        self.drv = self.made.derive("hello-1.0", "a", out, sources=(shell,))
        names = {"name": "hello-1.0", "NIX_BUILD_TOP": "/build", "SHELL": f"{shell}/bin/bash"}
        variables = env_vars(out=store_path("hello-1.0", "a"), **names)
        self.kept = self.made.keep("nix-1-2", env_vars=variables)
        self.made.log(self.drv, f"{LOG}\n")
        self.made.connection.close()
        self.root = root
        base = self.drv.rpartition("/")[2]
        self.log = Path(f"{self.made.locations.log_dir}/drvs/{base[:2]}/{base[2:]}")

    def give(self, user: int) -> None:
        for path in (self.root, *self.root.rglob("*")):
            give(path, user)


def give(path: Path, user: int) -> None:
    if os.getuid() == 0:
        os.chown(path, user, user, follow_symlinks=False)


@pytest.fixture
def place(open_directory: Path) -> Path:
    """A directory that every user can enter."""
    place = Path(tempfile.mkdtemp(dir=open_directory))
    place.chmod(0o755)
    return place


@pytest.fixture
def store(place: Path) -> Store:
    return Store(place / "store")


@pytest.fixture
def theirs(store: Store, unprivileged: int) -> Store:
    store.give(unprivileged)
    return store


def by_a_link(store: Store, secret: Path) -> None:
    store.log.unlink()
    store.log.symlink_to(secret)


def by_a_link_above(store: Store, secret: Path) -> None:
    store.log.unlink()
    store.log.parent.rmdir()
    secret.rename(secret.parent / store.log.name)
    store.log.parent.symlink_to(secret.parent)


def by_a_packed_one(store: Store, secret: Path) -> None:
    store.log.unlink()
    secret.write_bytes(bz2.compress(secret.read_bytes()))
    Path(f"{store.log}.bz2").symlink_to(secret)


def by_a_link_to_their_link(store: Store, secret: Path) -> None:
    (store.root / "onward").symlink_to(secret)
    store.log.unlink()
    store.log.symlink_to("../../../../../../onward")


def by_a_hard_link(store: Store, secret: Path) -> None:
    """Kernels whose `fs.protected_hardlinks` is 0 let users make them."""
    store.log.unlink()
    os.link(secret, store.log)


LINKS = [by_a_link, by_a_link_above, by_a_packed_one, by_a_link_to_their_link]
# Who can come to a file to link it, as none of a closed directory can, can read one that is open.
WAYS = [(lead, mode) for lead in LINKS for mode in (0o600, 0o644)] + [(by_a_hard_link, 0o600)]


def give_links(store: Store, user: int) -> None:
    for path in store.root.rglob("*"):
        if path.is_symlink():
            give(path, user)


@pytest.fixture
def secret(place: Path) -> Path:
    """A file in a directory that the caller alone can come to."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    (closed / "secret").write_text(f"{SECRET}\n")
    return closed / "secret"


@root_alone
@pytest.mark.parametrize(("lead", "mode"), WAYS)
def test_a_log_that_another_user_has_led_to_is_not_read(
    theirs, place, secret, unprivileged, run_nbs, lead, mode
):
    secret.chmod(mode)
    lead(theirs, secret)
    give_links(theirs, unprivileged)
    done = run_nbs("log", str(theirs.kept))
    assert (done.returncode, done.stdout) == (125, b"")
    assert REFUSED in done.stderr
    words = ("notebook", "--no-open", "--store", str(theirs.root), str(theirs.kept))
    done = run_nbs(*words, str(place / "nb.ipynb"))
    assert done.returncode == 0
    assert b"another user has led there" in done.stderr
    assert SECRET not in (place / "nb.ipynb").read_text()


def test_a_store_is_read_by_root_and_by_its_owner(theirs, run_nbs, unprivileged):
    for user in (None, unprivileged):
        assert run_nbs("log", str(theirs.kept), as_user=user).stdout.decode() == f"{LOG}\n"


def test_links_of_root_and_of_the_caller_are_followed(store, place, run_nbs, unprivileged):
    """As where /nix is on another disk."""
    (store.root / "nix").rename(place / "disk")
    (store.root / "nix").symlink_to(place / "disk")
    for user in (None, unprivileged):
        done = run_nbs("log", str(store.kept), "--store", str(store.root), as_user=user)
        assert done.stdout.decode() == f"{LOG}\n"


@root_alone
def test_a_link_of_the_owner_s_leads_to_the_owner_s_own_files(theirs, place, run_nbs, unprivileged):
    (theirs.root / "nix").rename(place / "disk")
    (theirs.root / "nix").symlink_to(place / "disk")
    give(theirs.root / "nix", unprivileged)
    for user in (None, unprivileged, 54321):
        done = run_nbs("log", str(theirs.kept), "--store", str(theirs.root), as_user=user)
        assert done.stdout.decode() == f"{LOG}\n"


@root_alone
def test_what_root_has_built_in_the_store_of_a_user_is_read(theirs, run_nbs):
    os.chown(theirs.log, 0, 0)
    assert run_nbs("log", str(theirs.kept)).stdout.decode() == f"{LOG}\n"


@root_alone
def test_a_log_of_a_build_user_s_group_is_read_in_a_store_of_root_s(store, run_nbs, unprivileged):
    os.chown(store.log, unprivileged, unprivileged)
    store.log.chmod(0o640)
    assert run_nbs("log", str(store.kept)).stdout.decode() == f"{LOG}\n"


def store_by_a_link(store: Store, closed: Path) -> None:
    (store.root / "nix/store").rename(closed / "store")
    (store.root / "nix/store").symlink_to(closed / "store")


def database_by_a_link(store: Store, closed: Path) -> None:
    path = store.made.state / "db/db.sqlite"
    path.rename(closed / "db.sqlite")
    path.symlink_to(closed / "db.sqlite")


def database_by_a_link_above(store: Store, closed: Path) -> None:
    (store.made.state / "db").rename(closed / "db")
    (store.made.state / "db").symlink_to(closed / "db")


FILES = [
    store_by_a_link,
    database_by_a_link,
    database_by_a_link_above,
]


@root_alone
@pytest.mark.parametrize("lead", FILES)
@pytest.mark.parametrize("verb", ["log", "plan"])
def test_what_nix_knows_is_not_read_where_another_user_has_led(
    theirs, secret, unprivileged, run_nbs, lead, verb
):
    lead(theirs, secret.parent)
    for path in secret.parent.rglob("*"):
        os.chown(path, 0, 0)
    give_links(theirs, unprivileged)
    done = run_nbs(verb, str(theirs.kept))
    assert (done.returncode, done.stdout) == (125, b"")
    assert REFUSED in done.stderr


@root_alone
def test_a_derivation_that_another_user_has_linked_from_elsewhere_is_not_read(theirs, secret):
    path = Path(f"{theirs.root}{theirs.drv}")
    assert read_derivation(theirs.drv, theirs.made.locations).builder == "/bin/sh"
    path.unlink()
    os.link(secret, path)
    secret.chmod(0o600)
    with pytest.raises(EvidenceError) as caught:
        read_derivation(theirs.drv, theirs.made.locations)
    assert caught.value.reason == "store-redirected"


@root_alone
def test_a_database_that_is_exchanged_while_it_is_opened_is_not_asked(theirs, secret, monkeypatch):
    connect = database._connect

    def exchange_and_connect(path, way):
        file = theirs.made.state / "db/db.sqlite"
        shutil.copy(file, secret)
        file.unlink()
        file.symlink_to(secret)
        return connect(path, way)

    monkeypatch.setattr(database, "_connect", exchange_and_connect)
    with pytest.raises(EvidenceError) as caught:
        database.open_database(str(theirs.made.state))
    assert caught.value.reason == "evidence-changed"


@root_alone
def test_a_folder_of_builds_to_which_another_user_has_led_is_not_listed(
    theirs, secret, unprivileged, run_nbs
):
    theirs.kept.parent.rename(secret.parent / "builds")
    theirs.kept.parent.symlink_to(secret.parent / "builds")
    os.chown(secret.parent / "builds", 0, 0)
    give_links(theirs, unprivileged)
    done = run_nbs("ls", "--json", "--store", str(theirs.root))
    assert b"nix-1-2" not in done.stdout + done.stderr
