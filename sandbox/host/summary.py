"""What can be said of a kept build at a glance: its name, phase, ending, age and size."""

from __future__ import annotations

import os
import pwd
import time

from sandbox.errors import Error
from sandbox.host.builddir import read_kept_directory
from sandbox.host.case import find_derivation
from sandbox.host.logs import parsed, read_log_of
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.model import words
from sandbox.model.storepath import derivation_name
from sandbox.model.stores import diverted_root
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.host.case import Case
    from sandbox.host.places import KeptPlace
    from sandbox.model.logs import BuildLog

MOST_ENTRIES = 20_000


class Summary(Value):
    """`size` in bytes, at least that if not `size_exact`; `mtime_ns` since 1970.

    `phase`, `ending` and `derivation` are empty where nothing tells them, and `problem` then says
    why, if that is known. `of_later_attempt`: the log that tells the first two is another's.
    """

    name: str
    path: str
    inner: str
    derivation: str
    phase: str
    ending: str
    mtime_ns: int
    size: int
    size_exact: bool
    owner_uid: int
    readable: bool
    layout: str
    of_later_attempt: bool = False
    problem: str = ""


def summarise(place: KeptPlace, store: str = "") -> Summary:
    """Look at one kept directory and the log of its derivation."""
    derivation, name, problem, log = "", place.name_hint, "", None
    try:
        settings = read_settings(os.environ)
        root = store or diverted_root(place.path, os.path.isdir)
        locations = find_locations(os.environ, settings, root)
        kept = read_kept_directory(place.path, locations.store_dir)
        name = kept.name_hint or name
        found = find_derivation(kept, locations)
        if found is not None:
            derivation = found.path
            name = derivation_name(found.path)
            file = read_log_of(found.path, locations.log_dir)
            log = parsed(file, kept) if file is not None else None
    except Error as error:
        problem = error.message
    size, exact = size_of(place.inner)
    return Summary(
        name=name,
        path=place.path,
        inner=place.inner,
        derivation=derivation,
        phase=log.failing_phase if log is not None else "",
        ending=ending_text(log),
        mtime_ns=place.mtime_ns,
        size=size,
        size_exact=exact,
        owner_uid=place.owner_uid,
        readable=place.readable,
        layout=place.layout,
        of_later_attempt=log is not None and log.of_later_attempt,
        problem=problem,
    )


def ending_text(log: BuildLog | None) -> str:
    """How the build ended, in a few words; empty where the log does not say."""
    ending = log.ending if log is not None else None
    if ending is None:
        return ""
    words = {
        "exit": f"exit {ending.code}",
        "signal": f"signal {ending.code}",
        "timeout": f"timeout after {ending.code} s" if ending.code else "timeout",
        "killed": "killed, out of memory?",
        "no-space": "no space left",
    }
    return words.get(ending.kind, ending.kind.replace("-", " "))


def owner_name(uid: int) -> str:
    """The account's name, else its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def size_of(path: str) -> tuple[int, bool]:
    """Bytes on disk below `path` and whether all of it was counted. Links are not followed."""
    total, left, folders = 0, MOST_ENTRIES, [path]
    whole = True
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return total, False
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            whole = False
    return total, whole


def facts(case: Case) -> tuple[tuple[str, str], ...]:
    """What is known of a failed build, as pairs of a name and a text that is not empty."""
    kept, nix = case.kept, case.nix
    told = (
        ("name", kept.name_hint or derivation_name(nix.derivation_path)),
        ("kept directory", kept.outer),
        ("the build's own", kept.path if kept.path != kept.outer else ""),
        ("owner", f"{owner_name(kept.uid)}, mode {kept.mode:04o}"),
        ("age", words.age(time.time() - kept.mtime_ns / 1e9)),
        ("derivation", nix.derivation_path or "not found"),
        ("  found because", nix.derivation_from),
        ("profile", f"{nix.profile}, from {nix.profile_from}"),
        ("env-vars", kept.env_vars.state),
        ("phase's directory", kept.env_vars.working_directory),
        ("inputs", f"{len(nix.inputs)}, from {nix.inputs_from}" if nix.inputs else ""),
        ("outputs", ", ".join(f"{name} ({path})" for name, path in nix.outputs)),
        ("left at outputs", ", ".join(path for path, _ in nix.partial)),
        ("store", nix.real_store_dir if nix.real_store_dir != nix.store_dir else ""),
    )
    return tuple((name, text) for name, text in told if text)
