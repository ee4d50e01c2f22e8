"""The log of a build that a person names, and the files below its kept directory that it points to.

The directory is the work of whatever was built: no link in it is followed, nothing in it is waited
for, what is listed and read is bounded, and another that came to its place is not looked into.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox.errors import Error, EvidenceError
from sandbox.host.builddir import read_kept_directory
from sandbox.host.case import find_derivation, store_of
from sandbox.host.catalog import find_build
from sandbox.host.derivation import behind_link
from sandbox.host.logs import LogFile, parsed, read_log_of
from sandbox.host.nixconf import NixLocations, find_locations, read_settings
from sandbox.model.logcuts import WELL_KNOWN, is_named, named_files
from sandbox.model.logs import whole_line
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.model.facts import KeptDirectory
    from sandbox.model.logs import BuildLog

MOST_ENTRIES = 50_000
MOST_DEPTH = 40
MOST_BYTES = 16 << 20

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LoggedBuild(Value):
    """A build and its log. `kept` is None for a derivation of which nothing is kept.

    `top`: the build's own directory as it is called in the sandbox.
    """

    derivation: str
    file: LogFile
    log: BuildLog
    kept: KeptDirectory | None
    top: str


class PointedFile(Value):
    """A file that the log points to: `inside` is its path in the sandbox, `relative` that below the
    kept directory. `size` in bytes. `named`: the log names it; else it is one that tools write for
    those who look for a cause, and was written in the phase that failed.
    """

    inside: str
    relative: str
    size: int
    named: bool


def logged_build(build: str, *, store: str = "", derivation: str = "") -> LoggedBuild:
    """The log of `build`: a path, a .drv, a name, or "" for the newest.

    Raises `UsageError` and `EvidenceError` (`log-missing`, and as `find_build` does).
    """
    settings = read_settings(os.environ)
    path = _kept_path(build, store)
    locations = find_locations(os.environ, settings, store or (store_of(path) if path else ""))
    kept = read_kept_directory(path, locations.store_dir) if path else None
    if not derivation and build.endswith(".drv") and not os.path.isdir(build):
        derivation = build
    if not derivation and kept is not None:
        found = find_derivation(kept, locations)
        derivation = found.path if found is not None else ""
    derivation = behind_link(derivation)
    if derivation and "/" not in derivation:
        derivation = f"{locations.store_dir}/{derivation}"
    file = read_log_of(derivation, locations.log_dir) if derivation else None
    if file is None:
        raise _missing(build or path, derivation, locations)
    top = kept.env_vars.build_top if kept is not None else ""
    return LoggedBuild(
        derivation=derivation,
        file=file,
        log=parsed(file, kept),
        kept=kept,
        top=top if top.startswith("/") else settings.sandbox_build_dir,
    )


def _kept_path(build: str, store: str) -> str:
    """The kept directory; empty where a derivation is named and nothing is kept of it."""
    try:
        return find_build(build, store=store)
    except Error:
        if build.endswith(".drv"):
            return ""
        raise


def _missing(build: str, derivation: str, locations: NixLocations) -> EvidenceError:
    seen = f"nothing lies below {locations.log_dir}/drvs for {derivation.rpartition('/')[2]}"
    return EvidenceError(
        f"no log of `{build}` is kept",
        reason="log-missing",
        evidence=(seen if derivation else "its derivation was not found",),
        hint="`nix-store --option keep-build-log true -r …` keeps the next one"
        if derivation
        else "`nbs log --derivation /nix/store/….drv` names the derivation that was built",
    )


def pointed_files(build: LoggedBuild) -> tuple[PointedFile, ...]:
    """Files below the kept directory that the log points to: those it names first, as it does."""
    if build.kept is None:
        return ()
    mentions = named_files(build.log.lines)
    since = build.kept.env_vars.mtime_ns
    wanted = {name.rpartition("/")[2] for name in mentions} | WELL_KNOWN
    found: list[tuple[int, PointedFile]] = []
    for relative, status in _files(build.kept):
        if relative.rpartition("/")[2] not in wanted:
            continue
        place = next(
            (n for n, mention in enumerate(mentions) if is_named(relative, mention, build.top)), -1
        )
        of_the_phase = status.st_mtime_ns >= since
        if place >= 0 or (of_the_phase and relative.rpartition("/")[2] in WELL_KNOWN):
            one = PointedFile(
                inside=f"{build.top}/{relative}",
                relative=relative,
                size=status.st_size,
                named=place >= 0,
            )
            found.append((place if place >= 0 else len(mentions), one))
    return tuple(one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].relative)))


def read_pointed(build: LoggedBuild, relative: str) -> tuple[tuple[str, ...], bool]:
    """The lines of a file below the kept directory, as a terminal shows them in the end, and
    whether its beginning is left out.

    Raises `EvidenceError` (`log-unreadable`).
    """
    kept = build.kept
    assert kept is not None  # noqa: S101  else there is no such file
    try:
        data, cut = _read(kept, relative.split("/"))
    except OSError as error:
        raise EvidenceError(
            f"`{relative}` cannot be read",
            reason="log-unreadable",
            evidence=(error.strerror or str(error),),
            hint=f"`ls -l {kept.path}/{relative}` shows who may",
        ) from None
    text = data.decode("utf-8", "replace").removesuffix("\n")
    return tuple(whole_line(line) for line in text.split("\n")), cut


def _read(kept: KeptDirectory, parts: list[str]) -> tuple[bytes, bool]:
    """The end of a regular file, and whether that is not all of it."""
    folder = _open_folder(kept, parts[:-1])
    try:
        descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is not a file")
        if status.st_uid != kept.uid and not status.st_mode & stat.S_IROTH:
            # A hard link to another's file, which some kernels let users make.
            raise OSError(errno.EACCES, "it is closed to the owner of what was kept")
        cut = status.st_size > MOST_BYTES
        if cut:
            file.seek(-MOST_BYTES, os.SEEK_END)
        return file.read(MOST_BYTES), cut


def _open_folder(kept: KeptDirectory, parts: list[str]) -> int:
    """A directory below what was kept; each on the way is one, and no link. Raises OSError."""
    here = os.open(kept.path, _FOLDER)
    status, looked = os.fstat(here), kept.looked
    if looked is None or (status.st_dev, status.st_ino) != (looked.device, looked.inode):
        os.close(here)
        raise OSError(errno.ESTALE, "another directory came to the place of the one that was kept")
    for part in parts:
        above = here
        try:
            here = os.open(part, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return here


def _files(kept: KeptDirectory) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files below what was kept, with their paths relative to it, up to a bound."""
    left = MOST_ENTRIES
    waiting: list[list[str]] = [[]]
    while waiting and left > 0:
        parts = waiting.pop()
        files, folders = _entries(kept, parts, left)
        left -= len(files) + len(folders)
        if len(parts) < MOST_DEPTH:
            waiting += [[*parts, name] for name in folders]
        yield from (("/".join([*parts, name]), status) for name, status in files)


def _entries(
    kept: KeptDirectory, parts: list[str], most: int
) -> tuple[list[tuple[str, os.stat_result]], list[str]]:
    """The files of a directory, with what stat(2) says, and its directories."""
    files: list[tuple[str, os.stat_result]] = []
    folders: list[str] = []
    try:
        folder = _open_folder(kept, parts)
    except OSError:
        return files, folders
    try:
        with os.scandir(folder) as listed:
            for entry in listed:
                if len(files) + len(folders) >= most:
                    break
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append((entry.name, entry.stat(follow_symlinks=False)))
    except OSError:
        pass  # What could be listed was.
    finally:
        os.close(folder)
    return files, folders
