"""A diverted store with a database, logs and kept directories, made by hand and without Nix."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from sandbox.host.nixconf import NixLocations
from sandbox.model import aterm, storepath
from sandbox.model.aterm import Derivation, Output

if TYPE_CHECKING:
    from pathlib import Path

STORE = "/nix/store"
SCHEMA = """
create table ValidPaths (
    id integer primary key autoincrement not null, path text unique not null, hash text not null,
    registrationTime integer not null, deriver text, narSize integer, ultimate integer, sigs text, ca text);
create table Refs (referrer integer not null, reference integer not null, primary key (referrer, reference));
create table DerivationOutputs (drv integer not null, id text not null, path text not null, primary key (drv, id));
"""


def store_path(name: str, letter: str = "0") -> str:
    return f"{STORE}/{letter * 32}-{name}"


def output(name: str, letter: str = "b", output_name: str = "out") -> Output:
    return Output(name=output_name, path=store_path(name, letter))


def fixed(name: str, letter: str = "b") -> Output:
    return output(name, letter).replace(hash_algo="sha256", hash="00")


class MadeStore:
    """`database=False` leaves it without one, as where it was copied from elsewhere."""

    def __init__(self, root: Path, *, database: bool = True) -> None:
        self.root = root
        self.state = root / "nix/var/nix"
        self.locations = NixLocations(
            real_store_dir=f"{root}{STORE}",
            state_dir=str(self.state),
            log_dir=f"{root}/nix/var/log/nix",
            root=str(root),
        )
        (root / "nix/store").mkdir(parents=True)
        self.state.mkdir(parents=True)
        self.connection: sqlite3.Connection | None = None
        if database:
            (self.state / "db").mkdir()
            self.connection = sqlite3.connect(self.state / "db/db.sqlite", isolation_level=None)
            self.connection.executescript(SCHEMA)

    def __del__(self) -> None:
        """From Python 3.13 on, a connection that nobody closes is warned of."""
        if self.connection is not None:
            self.connection.close()

    def add(
        self, name: str, letter: str = "0", *, content: str = "", references: tuple[str, ...] = ()
    ) -> str:
        """A valid store path that is a file."""
        path = store_path(name, letter)
        with open(f"{self.root}{path}", "w", encoding="utf-8") as file:
            file.write(content + "\n".join(references))
        self._register(path, references)
        return path

    def add_shell(self, name: str = "bash", letter: str = "1") -> str:
        """A package with a bin/bash; it is never run."""
        path = store_path(name, letter)
        os.makedirs(f"{self.root}{path}/bin")
        with open(f"{self.root}{path}/bin/bash", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(file.name, 0o755)
        self._register(path)
        return path

    def _register(self, path: str, references: tuple[str, ...] = ()) -> int:
        if self.connection is None:
            return 0
        query = "insert or ignore into ValidPaths (path, hash, registrationTime) values (?, 'x', 1)"
        self.connection.execute(query, (path,))
        query = "insert or ignore into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?"
        for reference in references:
            self.connection.execute(query, (path, reference))
        row = self.connection.execute("select id from ValidPaths where path = ?", (path,))
        number: int = row.fetchone()[0]
        return number

    def derive(
        self,
        name: str,
        letter: str = "d",
        /,
        *outputs: Output,
        sources: tuple[str, ...] = (),
        inputs: tuple[tuple[str, tuple[str, ...]], ...] = (),
        listed: bool = True,
        **env: str,
    ) -> str:
        """A derivation in the store; `listed`: the database knows its outputs."""
        path = store_path(f"{name}.drv", letter)
        derivation = Derivation(
            outputs=outputs or (output(name),),
            input_sources=sources,
            input_derivations=inputs,
            system="x86_64-linux",
            builder="/bin/sh",
            args=("-e", store_path("default-builder.sh")),
            env=tuple(sorted(env.items())),
        )
        with open(f"{self.root}{path}", "wb") as file:
            file.write(aterm.unparse(derivation))
        number = self._register(path)
        if self.connection is not None and listed:
            for one in derivation.outputs:
                if one.path:
                    query = "insert into DerivationOutputs values (?, ?, ?)"
                    self.connection.execute(query, (number, one.name, one.path))
        return path

    def log(self, drv: str, text: str = "", at_s: int = 1000) -> None:
        base = drv.rpartition("/")[2]
        path = f"{self.locations.log_dir}/drvs/{base[:2]}/{base[2:]}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(path, (at_s, at_s))

    def keep(
        self, name: str, *, env_vars: str | None = "", at_s: int = 1000, child: str = "build"
    ) -> Path:
        """A kept directory in the store's own folder of builds."""
        outer = self.state / "builds" / name
        inner = outer / child
        inner.mkdir(parents=True)
        if env_vars is not None:
            (inner / "env-vars").write_text(env_vars)
            os.utime(inner / "env-vars", (at_s, at_s))
        os.utime(inner, (at_s, at_s))
        return outer


def env_vars(**variables: str) -> str:
    return "".join(f'declare -x {name}="{value}"\n' for name, value in variables.items())


def scratch(drv: str, output_name: str = "out") -> str:
    return storepath.scratch_path(drv, output_name, STORE)
