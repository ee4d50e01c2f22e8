"""A path → `KeptDirectory`: which directory a failed build ran in, and what lies in it.

The directory is the work of whatever was built. Nothing in it is followed, waited for or trusted:
files are opened without links, without blocking, and read up to a bound.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import OUT_OF_DESCRIPTORS, EvidenceError, UsageError
from sandbox.host.machine import FIRST_LIMIT, beyond_execve
from sandbox.host.owners import as_looked_at, open_file
from sandbox.model import envvars, storepath
from sandbox.model.facts import EnvVars, KeptDirectory

MOST_BYTES = 64 << 20
"""Longer than any environment that execve(2) takes; an env-vars beyond it is none."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

INNER_NAMES = ("build", "b")
BASE32 = frozenset("0123456789abcdfghijklmnpqrsvwxyz")


def read_kept_directory(path: str, store_dir: str) -> KeptDirectory:
    """What is left at `path`, which may be the outer or the inner directory, or a link to one.

    Raises `UsageError` (`not-a-directory`) and `EvidenceError` (`kept-directory-unreadable`).
    """
    given = path
    try:
        given = os.path.realpath(path)
        entries = frozenset(os.listdir(given))
    except PermissionError:
        raise _unreadable(path, given) from None
    except (OSError, ValueError):
        raise UsageError(
            f"`{path}` is not a directory",
            reason="not-a-directory",
            hint="`nbs ls` lists the kept directories of this machine",
        ) from None
    outer, inner, layout = _layout(given, entries)
    try:
        directory = os.open(inner, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise
        raise _unreadable(path, inner) from None
    try:
        return _describe(outer, inner, layout, directory, store_dir)
    finally:
        os.close(directory)


def _unreadable(path: str, real: str) -> EvidenceError:
    status = os.lstat(real) if os.path.lexists(real) else None
    seen = f"mode {status.st_mode & 0o7777:04o}, owner {status.st_uid}" if status else "not visible"
    return EvidenceError(
        f"`{path}` cannot be read by you",
        reason="kept-directory-unreadable",
        evidence=(f"{real}: {seen}",),
        hint="run the same command with `sudo`",
    )


def _layout(given: str, entries: frozenset[str]) -> tuple[str, str, str]:
    """Outer directory, build's directory, and the name of the layout."""
    parent, _, name = given.rpartition("/")
    layout = _outer_layout(parent.rpartition("/")[2], name) if name in INNER_NAMES else ""
    if layout and _is_alone(name, parent):
        return parent, given, layout
    for inner in INNER_NAMES:
        path = f"{given}/{inner}"
        if entries == {inner} and stat.S_ISDIR(os.lstat(path).st_mode):
            return given, path, _outer_layout(name, inner) or ("b" if inner == "b" else "build")
    return given, given, "flat"


def _is_alone(name: str, parent: str) -> bool:
    """Is there nothing else, as where Nix made it? A builder may have made a `build` as well."""
    try:
        return os.listdir(parent) == [name]
    except OSError:
        return True  # Who may not look there sees what Nix opened, further in.


def _outer_layout(name: str, inner: str) -> str:
    """The layout that the name of an outer directory shows; empty where it shows none."""
    if inner == "b":
        random = len(name) == 26 and BASE32.issuperset(name)  # noqa: PLR2004
        return "b" if random or name_in(name) else ""
    numbers = name.removeprefix("nix-").split("-") if name.startswith("nix-") else []
    if len(numbers) == 2 and all(n.isdigit() for n in numbers):  # noqa: PLR2004
        return "pid-build"
    if name_in(name):
        return "named-pid-build" if "-" in name.rpartition(".drv-")[2] else "build"
    return ""


def name_in(name: str) -> str:
    """The derivation's name in `nix-build-NAME.drv-0`; a hint, never proof. Empty if none."""
    if not name.startswith("nix-build-"):
        return ""
    middle, found, number = name.removeprefix("nix-build-").rpartition(".drv-")
    return middle if found and number.replace("-", "").isdigit() else ""


def is_of_a_build(kept: KeptDirectory) -> bool:
    """Does anything about the directory itself say that a build ran in it?

    A build without env-vars, as of a builder that is no shell of stdenv's, is known by the name
    that Nix gave its directory. A time alone is no proof: every build that fails writes to /tmp.
    """
    named = kept.layout != "flat" or bool(kept.name_hint)
    return named or kept.structured or kept.env_vars.state != "absent"


def _describe(outer: str, inner: str, layout: str, directory: int, store_dir: str) -> KeptDirectory:
    """All of one directory, which is open: its path may lead elsewhere at any moment."""
    status = os.fstat(directory)
    env_vars = read_env_vars(directory, store_dir)
    name = env_vars.name or name_in(outer.rpartition("/")[2])
    return KeptDirectory(
        outer=outer,
        path=inner,
        layout=layout,
        name_hint=name,
        uid=status.st_uid,
        gid=status.st_gid,
        mode=status.st_mode & 0o7777,
        mtime_ns=env_vars.mtime_ns or status.st_mtime_ns,
        env_vars=env_vars,
        ctime_ns=max(status.st_ctime_ns, _changed_ns(outer)),
        structured=_exists(".attrs.json", directory),
        looked=as_looked_at(inner, inner, status),
    )


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_ctime_ns
    except OSError:
        return 0


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def read_env_vars(directory: int, store_dir: str) -> EnvVars:
    """The `env-vars` of a build directory, which may be missing, closed to us, or a trap."""
    data, state, mtime_ns = read_bounded("env-vars", directory=directory)
    if state != "read":
        return EnvVars(state=state, mtime_ns=mtime_ns)
    seen = envvars.select(data, "SHELL", "name", "PWD", "out", "NIX_BUILD_TOP")
    return EnvVars(
        state="read",
        shell=seen.get("SHELL", ""),
        out=seen.get("out", ""),
        name=seen.get("name", ""),
        working_directory=seen.get("PWD", ""),
        build_top=seen.get("NIX_BUILD_TOP", ""),
        mtime_ns=mtime_ns,
        references=tuple(sorted(storepath.references(data, store_dir))),
        overlong=_overlong(data) if len(data) > FIRST_LIMIT else (),
    )


def _overlong(data: bytes) -> tuple[tuple[str, int], ...]:
    variables = {v.name: v.value for v in envvars.parse(data)}
    return beyond_execve((name, value) for name, value in variables.items() if value is not None)


def read_bounded(
    path: str, most: int = MOST_BYTES, *, directory: int | None = None
) -> tuple[bytes, str, int]:
    """A regular file's bytes, its state as `facts.EnvVars` has it, and its mtime in nanoseconds.

    The path may be relative to an open directory. Raises EvidenceError (`store-redirected`).
    """
    try:
        if directory is None:
            descriptor = open_file(path, linked=False)
        else:
            descriptor = os.open(path, _FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return b"", "absent", 0
    except PermissionError:
        return b"", "unreadable", _mtime(path, directory)
    except ValueError:
        # A name with a NUL, out of a derivation.
        return b"", "unsafe", 0
    except OSError as error:
        if error.errno in OUT_OF_DESCRIPTORS:
            raise
        return b"", "unsafe", 0
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        os.close(descriptor)
        return b"", "unsafe", status.st_mtime_ns
    with open(descriptor, "rb") as file:
        # No more than there is: room for `most` would be asked for at once.
        return file.read(status.st_size), "read", status.st_mtime_ns


def _mtime(path: str, directory: int | None) -> int:
    try:
        return os.stat(path, dir_fd=directory, follow_symlinks=False).st_mtime_ns
    except OSError:
        # A directory on the way is closed, not the file alone.
        return 0


def unchanged_files(directory: int, names: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """Those of the files that Nix had put into a build's directory, as the build has left them."""
    found = []
    for name in names:
        if "/" in name:
            continue
        content, state, _ = read_bounded(name, directory=directory)
        if state == "read":
            found.append((name, content))
    return tuple(found)
