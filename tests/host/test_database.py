"""Nix's database is read exactly where that can be, and never written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from sandbox.errors import EvidenceError
from sandbox.host.database import open_database
from tests.nix.world import NixWorld

SCHEMA = """
create table ValidPaths (
    id integer primary key autoincrement not null, path text unique not null, hash text not null,
    registrationTime integer not null, deriver text, narSize integer, ultimate integer, sigs text, ca text);
create table Refs (referrer integer not null, reference integer not null, primary key (referrer, reference));
create index IndexReferrer on Refs(referrer);
create table DerivationOutputs (drv integer not null, id text not null, path text not null, primary key (drv, id));
create index IndexDerivationOutputs on DerivationOutputs(path);
"""


def store_path(name: str) -> str:
    return f"/nix/store/{'0' * 32}-{name}"


def writer(state) -> sqlite3.Connection:
    (state / "db").mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(state / "db/db.sqlite", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    return connection


def add(connection, name, *references):
    path = store_path(name)
    query = "insert into ValidPaths (path, hash, registrationTime, narSize) values (?, 'sha256:00', 7, 8)"
    number = connection.execute(query, (path,)).lastrowid
    for reference in references:
        query = "insert into Refs select ?, id from ValidPaths where path = ?"
        connection.execute(query, (number, store_path(reference)))
    return number


@pytest.fixture
def state(tmp_path):
    """a -> b -> c -> c, d alone, x.drv and y.drv with one output that is not valid."""
    connection = writer(tmp_path)
    connection.executescript(SCHEMA)
    add(connection, "c", "c")
    add(connection, "b", "c")
    add(connection, "a", "b")
    add(connection, "d")
    for name in ("x.drv", "y.drv"):
        number = add(connection, name)
        query = "insert into DerivationOutputs values (?, 'out', ?)"
        connection.execute(query, (number, store_path("out")))
    connection.execute(
        "insert into DerivationOutputs values (?, 'dev', ?)", (number, store_path("dev"))
    )
    connection.close()
    return tmp_path


def names(paths):
    return {path.partition("-")[2] for path in paths}


def test_the_closure_is_all_that_is_referred_to(state):
    with open_database(str(state)) as database:
        assert names(database.closure([store_path("a")])) == {"a", "b", "c"}
        assert names(database.closure([store_path("b"), store_path("d")])) == {"b", "c", "d"}
        assert database.exact


def test_what_is_not_valid_is_in_no_answer(state):
    with open_database(str(state)) as database:
        gone = store_path("out")
        assert database.closure([gone]) == set()
        assert database.closure([]) == set()
        assert database.valid([gone, store_path("a")]) == {store_path("a")}


def test_every_derivation_of_an_output_is_found_though_the_output_is_not_valid(state):
    with open_database(str(state)) as database:
        assert names(database.derivers_of_output(store_path("out"))) == {"x.drv", "y.drv"}
        assert database.derivers_of_output(store_path("nothing")) == ()


def test_the_outputs_of_a_derivation_are_given_by_name(state):
    with open_database(str(state)) as database:
        everything = {"out": store_path("out"), "dev": store_path("dev")}
        assert database.output_paths(store_path("y.drv")) == everything
        assert database.output_paths(store_path("y.drv"), ["dev", "doc"]) == {
            "dev": store_path("dev")
        }


def test_thousands_of_paths_are_no_trouble(state):
    connection = writer(state)
    connection.execute("begin")
    for number in range(5000):
        add(connection, f"p{number}", f"p{number - 1}")
    connection.execute("commit")
    connection.close()
    everything = [store_path(f"p{number}") for number in range(5000)]
    with open_database(str(state)) as database:
        assert database.closure(everything) == set(everything)
        assert database.closure(everything[-1:]) == set(everything)
        assert database.valid(everything) == set(everything)


def test_reading_makes_no_file_and_changes_none(state):
    folder = state / "db"
    before = {entry.name: entry.stat() for entry in os.scandir(folder)}
    with open_database(str(state)) as database:
        database.closure([store_path("a")])
    after = {entry.name: entry.stat() for entry in os.scandir(folder)}
    assert after.keys() == before.keys() == {"db.sqlite"}
    assert after["db.sqlite"].st_mtime_ns == before["db.sqlite"].st_mtime_ns


def test_rows_that_are_only_in_the_log_are_seen_and_the_log_is_left(state):
    connection = writer(state)
    add(connection, "new", "a")
    size = (state / "db/db.sqlite-wal").stat().st_size
    assert size > 0
    with open_database(str(state)) as database:
        assert names(database.closure([store_path("new")])) == {"new", "a", "b", "c"}
        assert database.exact
    assert (state / "db/db.sqlite-wal").stat().st_size == size
    connection.close()


def test_a_log_that_nobody_has_open_is_read_without_a_file_being_made(state):
    """What Nix leaves when it is killed."""
    connection = writer(state)
    add(connection, "new", "a")
    for lone, names_left in (("both", ("", "-wal", "-shm")), ("log", ("", "-wal"))):
        (state / lone / "db").mkdir(parents=True)
        for end in names_left:
            shutil.copy(state / f"db/db.sqlite{end}", state / lone / "db")
    connection.close()
    for lone, count in (("both", 4), ("log", 3)):
        before = {path: path.stat().st_mtime_ns for path in (state / lone / "db").iterdir()}
        with open_database(str(state / lone)) as database:
            assert len(database.closure([store_path("new"), store_path("a")])) == count
            assert database.exact == (lone == "both")
        assert {path: path.stat().st_mtime_ns for path in (state / lone / "db").iterdir()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has what is another user's")
def test_what_another_user_can_exchange_is_read_without_sharing_anything_with_it(state):
    connection = writer(state)
    add(connection, "new")
    os.chown(state, 12345, -1)
    with open_database(str(state)) as database:
        assert database.valid([store_path("a")])
        assert not database.exact
    connection.close()


def test_nix_can_write_while_it_is_open(state):
    nix = writer(state)
    add(nix, "first")
    with open_database(str(state)) as database:
        database.valid([store_path("a")])
        add(nix, "second")
        nix.execute("pragma wal_checkpoint(truncate)")
        assert database.valid([store_path("second")])
        assert database.exact
    nix.close()


def test_a_reading_without_locks_is_not_exact_once_nix_has_written(state):
    with open_database(str(state)) as database:
        assert database.exact
        nix = writer(state)
        add(nix, "second")
        assert not database.exact
        nix.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_a_user_who_may_not_lock_reads_what_there_is_and_is_told(state):
    """A log without -shm in a folder that the reader may not write: `immutable=1` alone works."""
    connection = writer(state)
    add(connection, "new")
    lone = state / "lone"
    (lone / "db").mkdir(parents=True)
    for name in ("db.sqlite", "db.sqlite-wal"):
        shutil.copy(state / "db" / name, lone / "db" / name)
    connection.close()
    script = (
        "import sys; from sandbox.host.database import open_database\n"
        "database = open_database(sys.argv[1])\n"
        "print(len(database.closure([sys.argv[2]])), database.exact)\n"
    )
    for folder in reversed([lone, *lone.parents][:-2]):
        folder.chmod(0o755)
    done = as_nobody(script, str(lone), store_path("a"))
    assert done.stdout == "3 False\n", done.stderr


def as_nobody(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "/usr/bin/env",
            f"PYTHONPATH={os.getcwd()}",
            sys.executable,
            "-B",
            "-c",
            script,
            *arguments,
        ],
        user=12345,
        group=12345,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%41b", "a b", "a&mode=rwc", "ä", "\udcff"])
def test_any_name_of_a_folder_works(state, name):
    moved = f"{state}/{name}"
    os.mkdir(moved)
    os.rename(state / "db", f"{moved}/db")
    with open_database(moved) as database:
        assert database.valid([store_path("a")])


def test_no_database_is_no_error(tmp_path):
    assert open_database(str(tmp_path)) is None
    (tmp_path / "db").write_text("")
    assert open_database(str(tmp_path)) is None


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"hello" * 1000, None])
def test_what_is_not_a_database_of_nix_is_named(tmp_path, content):
    (tmp_path / "db").mkdir()
    path = tmp_path / "db/db.sqlite"
    if content is None:
        sqlite3.connect(path).execute("create table other (x)").connection.close()
    else:
        path.write_bytes(content)
    with pytest.raises(EvidenceError) as caught:
        open_database(str(tmp_path))
    assert caught.value.reason == "database-damaged"
    assert str(path) in caught.value.message


def test_a_damaged_page_is_an_error_of_ours(state):
    path = state / "db/db.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * len(data[4096:])
    path.write_bytes(data)
    with pytest.raises(EvidenceError) as caught, open_database(str(state)) as database:
        database.closure([store_path("a")])
    assert caught.value.reason in {"database-damaged", "database-unreadable"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_database_that_may_not_be_read_is_named(state):
    (state / "db/db.sqlite").chmod(0)
    with pytest.raises(EvidenceError) as caught:
        open_database(str(state))
    assert caught.value.reason == "database-unreadable"


@pytest.mark.nix
def test_the_closure_is_the_one_that_nix_gives(tmp_path):
    world = NixWorld(tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "tools/busybox")
    made = world.build(_DERIVATION.replace("TOOLS", str(tmp_path / "tools")))
    drv = world.output("nix-store", "-q", "--deriver", made)
    with open_database(str(world.state)) as database:
        assert database.closure([made]) == set(world.output("nix-store", "-qR", made).split())
        assert database.derivers_of_output(made) == (drv,)
        assert database.output_paths(drv) == {"out": made}
        assert database.exact


_DERIVATION = """
let tools = TOOLS; make = name: script: derivation {
  inherit name; system = builtins.currentSystem; builder = "${tools}/busybox"; args = [ "sh" "-c" script ];
}; in make "outer" "echo ${make "inner" "echo ${tools} > $out"} > $out"
"""
