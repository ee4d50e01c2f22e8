"""Where failed builds are kept on this machine, without being told.

Names alone are looked at, and what stat(2) says; nothing in a kept directory is opened but the
directory itself, and no link is followed below the folders that are searched.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import EvidenceError
from sandbox.host.builddir import INNER_NAMES, name_in
from sandbox.host.owners import look_at_store
from sandbox.model.storepath import NIX32
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sandbox.host.nixconf import NixLocations
    from sandbox.model.nixconf import NixSettings

_RANDOM_LENGTH = 26
_MOST_MOUNTINFO = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class KeptPlace(Value):
    """A directory that Nix made for a build. `path` is the outer one, `inner` the build's own.

    `state` tells what it is now:
    - "kept": the build failed and Nix opened the directory to all;
    - "running": a process of a build that goes on is in it;
    - "abandoned": closed to others, as during a build, but none goes on: Nix itself was killed;
    - "unclear": one of the last two, or kept by a release that never opened it: root can tell;
    - "other": not of a build (the evaluator's own, or a nix-shell's).

    `layout` is as in `facts.KeptDirectory`. `readable`: whether the caller can list `inner`.
    `name_hint`: the derivation's name, where the directory's tells it. `mtime_ns`: the later of the
    directory's own and that of its `env-vars`, which stdenv writes at the start of each phase.
    `size` in bytes is for others to count.
    """

    path: str
    inner: str
    owner_uid: int
    mtime_ns: int
    readable: bool
    layout: str
    name_hint: str
    state: str = "kept"
    size: int | None = None


def kept_places(
    locations: NixLocations, settings: NixSettings, environ: Mapping[str, str]
) -> tuple[KeptPlace, ...]:
    """Every kept failure, the newest first."""
    everything = survey(locations, settings, environ)
    return tuple(place for place in everything if place.state == "kept")


def survey(
    locations: NixLocations, settings: NixSettings, environ: Mapping[str, str]
) -> tuple[KeptPlace, ...]:
    """Every directory of a build, whatever its state, the newest first."""
    found: list[KeptPlace] = []
    for folder, own in _folders(locations, settings, environ):
        for entry in _directories(folder):
            if own or _is_of_nix(entry.name):
                place = _look(f"{folder.rstrip('/')}/{entry.name}", entry.name)
                found += [place] if place else []
    closed = [place.path for place in found if place.state == "unclear"]
    busy = _in_use(closed) if closed else set()
    told = (_told_apart(place, busy) for place in found)
    return tuple(sorted(told, key=lambda place: (-place.mtime_ns, place.path)))


def _folders(
    locations: NixLocations, settings: NixSettings, environ: Mapping[str, str]
) -> Iterator[tuple[str, bool]]:
    """What to search, each folder once, and whether it holds directories of builds alone."""
    temporary = ("/tmp", environ.get("TMPDIR", ""), settings.build_dir)  # noqa: S108
    states = (locations.state_dir, "/nix/var/nix")
    folders = [(f"{state}/{name}", True) for state in states for name in ("builds", "b")]
    for folder in temporary:
        if folder.startswith("/"):
            folders.append((os.path.normpath(folder), False))
            folders += [
                (f"{folder.rstrip('/')}/{entry.name}", True)
                for entry in _directories(folder)
                if entry.name.startswith("nix-builds-")
            ]
    seen = set()
    for folder, own in folders:
        try:
            looked = look_at_store(folder)
        except (OSError, EvidenceError):
            continue  # None, or a link of another user's to what that user may not list.
        if (looked.device, looked.inode) not in seen:
            seen.add((looked.device, looked.inode))
            yield folder, own


def _directories(folder: str) -> Iterator[os.DirEntry[str]]:
    """The directories in a folder, links to one left out; nothing if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return


def is_of_build(name: str) -> bool:
    """Is a directory called as Nix calls those of builds?"""
    return bool(name_in(name)) or _has_numbers(name) or _is_random(name)


def _is_of_nix(name: str) -> bool:
    return is_of_build(name) or _is_other(name)


def _has_numbers(name: str) -> bool:
    """`nix-PID-NUMBER`, as newer releases of Nix name them."""
    prefix, *numbers = name.split("-")
    return prefix == "nix" and len(numbers) == 2 and all(n.isdigit() for n in numbers)  # noqa: PLR2004


def _is_random(name: str) -> bool:
    """26 digits of base 32, as Lix names them."""
    return len(name) == _RANDOM_LENGTH and not name.strip(NIX32)


def _is_other(name: str) -> bool:
    """nix-build's and nix-shell's own temporary directories."""
    numbers = name.removeprefix("nix-build-").split("-")
    of_nix_build = name.startswith("nix-build-") and all(n.isdigit() for n in numbers)
    return of_nix_build or name.startswith(("nix-shell.", "nix-shell-"))


def _look(path: str, name: str) -> KeptPlace | None:
    """The place as it seems without asking who uses it; None if it is gone, or not of a build."""
    try:
        outer = os.lstat(path)
        inner, child = _inner(path)
        status = os.lstat(inner) if child else outer
    except OSError:
        return None
    if _is_random(name) and child != "b" and _can_list(path):
        return None
    # Lix leaves the modes within as the builder made them, and opens the outer directory.
    closed = not outer.st_mode & 0o007 if child == "b" else not status.st_mode & 0o077
    return KeptPlace(
        path=path,
        inner=inner,
        owner_uid=status.st_uid,
        mtime_ns=max(status.st_mtime_ns, _mtime(f"{inner}/env-vars")),
        readable=_can_list(inner),
        layout=_layout(name, child),
        name_hint=name_in(name),
        state="other" if _is_other(name) else "unclear" if closed else "kept",
    )


def _inner(path: str) -> tuple[str, str]:
    """The build's own directory, and its name within `path`, empty if it is `path` itself.

    It is nested if it is the only thing there; where we may not look, if there is one.
    """
    try:
        descriptor = os.open(path, _DIRECTORY)
    except PermissionError:
        names = [name for name in INNER_NAMES if os.path.lexists(f"{path}/{name}")]
    else:
        try:
            names = os.listdir(descriptor)
        finally:
            os.close(descriptor)
    if len(names) == 1 and names[0] in INNER_NAMES:
        inner = f"{path}/{names[0]}"
        if stat.S_ISDIR(os.lstat(inner).st_mode):
            return inner, names[0]
    return path, ""


def _layout(name: str, child: str) -> str:
    if child == "b" or (not child and _is_random(name)):
        return "b"
    if _has_numbers(name):
        return "pid-build" if child else "flat"
    number = name.rpartition(".drv-")[2] if name_in(name) else ""
    return ("named-pid-build" if "-" in number else "build") if child else "flat"


def _can_list(path: str) -> bool:
    try:
        os.close(os.open(path, _DIRECTORY))
    except OSError:
        return False
    return True


def _mtime(path: str) -> int:
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0


def _told_apart(place: KeptPlace, busy: set[str]) -> KeptPlace:
    if place.state != "unclear":
        return place
    if place.path in busy:
        return place.replace(state="running")
    sees_all = os.geteuid() in (0, place.owner_uid)
    return place.replace(state="abandoned") if sees_all else place


def _in_use(paths: Iterable[str]) -> set[str]:
    """Those of `paths` in which a process works, or which one has mounted, as a sandbox does.

    A mount tells the path within its file system, so that names alone can be compared.
    """
    wanted = {path.rpartition("/")[2]: path for path in paths}
    busy: set[str] = set()
    for process in _directories("/proc"):
        if process.name.isdigit():
            used = [*_mounted(process.name), _working_directory(process.name)]
            parts = {part for path in used for part in path.split("/")}
            busy.update(wanted[name] for name in parts & wanted.keys())
    return busy


def _mounted(process: str) -> list[str]:
    """What each mount of a process shows, as a path within its file system."""
    lines = _mountinfo(process).splitlines()
    return [os.fsdecode(path) for line in lines for path in line.split(b" ", 4)[3:4]]


def _mountinfo(process: str) -> bytes:
    try:
        descriptor = os.open(f"/proc/{process}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    data = b""
    try:
        while len(data) < _MOST_MOUNTINFO and (piece := os.read(descriptor, 1 << 16)):
            data += piece
    except OSError:
        pass  # The process has ended.
    finally:
        os.close(descriptor)
    return data


def _working_directory(process: str) -> str:
    try:
        return os.readlink(f"/proc/{process}/cwd")
    except OSError:
        return ""
