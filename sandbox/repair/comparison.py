"""What was changed in a kept workspace: found by a name, and with what the build says of itself."""

from __future__ import annotations

import os
import shlex

from sandbox.errors import Error, EvidenceError, UsageError
from sandbox.host.builddir import is_of_a_build, read_bounded, read_kept_directory
from sandbox.host.catalog import find_build, is_called
from sandbox.host.nixconf import find_locations, read_settings
from sandbox.model import envvars
from sandbox.model.changetext import source_root
from sandbox.workspace import kept as keeping
from sandbox.workspace import rights, sources
from sandbox.workspace.compared import Comparison, Where
from sandbox.workspace.lower import lost_outputs, open_lower
from sandbox.workspace.snapshots import FAILED
from sandbox.workspace.workspace import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from sandbox.workspace.kept import Kept


def workspace_of(build: str, *, store: str = "") -> Kept:
    """The workspace that `build` means: its name, a build's in any form, or "" for the last used.

    Raises `UsageError` (`workspace-unknown`).
    """
    state = state_directory(os.environ)
    if keeping.is_name(build) and build in keeping.names(state):
        return keeping.find_workspace(state, build)
    there = keeping.workspaces(state)
    if not build:
        if there:
            return there[0]
        raise UsageError(
            "no workspace is kept",
            reason="workspace-unknown",
            hint="`nbs shell` keeps one where something was changed",
        )
    for kept in there:
        if is_called(kept.build_name, build):
            return kept
    return _of_directory(build, store, there, state)


def _of_directory(build: str, store: str, there: tuple[Kept, ...], state: str) -> Kept:
    try:
        path = os.path.realpath(find_build(build, store=store))
    except Error:
        raise keeping.unknown(state, build) from None
    for kept in there:
        if path in (kept.kept, os.path.realpath(kept.build), os.path.dirname(kept.kept)):
            return kept
    name = _name_of(path, store)
    if not name:
        raise keeping.unknown(state, build)
    options = ("--store", store) if store else ()
    raise UsageError(
        f"nothing was changed in `{name}` yet",
        reason="workspace-unknown",
        evidence=(f"`{path}` has no workspace",),
        hint=f"`{shlex.join(('nbs', 'shell', *options, build))}` begins one, and keeps it",
    )


def _name_of(path: str, store: str) -> str:
    """What failed there; empty where no build did: a person may have typed any directory."""
    locations = find_locations(os.environ, read_settings(os.environ), store)
    try:
        kept = read_kept_directory(path, locations.store_dir)
    except Error:
        return ""
    return (kept.name_hint or os.path.basename(path)) if is_of_a_build(kept) else ""


def compare_workspace(
    kept: Kept,
    *,
    since: str = FAILED,
    paths: tuple[str, ...] = (),
    root: str = "",
    lost: tuple[tuple[str, str], ...] | None = None,
) -> Comparison:
    """The workspace beside the snapshot `since`, not compared before it is entered.

    `paths` are those inside, or relative to the build tree; `root` is the source root, where it is
    known better; `lost` are the outputs that are, where that is known. What a build made is known
    where `sources.take_sources` has been asked for.
    """
    settings = read_settings(os.environ)
    locations = find_locations(os.environ, settings, kept.store)
    said, directories = _said(kept)
    top = said.get("NIX_BUILD_TOP", "")
    if not top.startswith("/") or os.path.normpath(top) != top:
        top = settings.sandbox_build_dir
    where = Where(
        top=top,
        store=locations.store_dir,
        root=root
        or source_root(
            said.get("sourceRoot", ""),
            said.get("PWD", ""),
            top,
            directories,
            patched=_patched_in(kept),
        ),
    )
    return Comparison(kept, where, since, paths, lost_outputs(kept) if lost is None else lost)


def compared(
    kept: Kept,
    work: Callable[[Comparison], Iterator[Any]],
    *,
    since: str = FAILED,
    paths: tuple[str, ...] = (),
    root: str = "",
) -> Iterator[Any]:
    """What `work` makes of a comparison, as `rights.told` tells it.

    Where modes keep the caller out of what is theirs, it is compared again with more rights; where
    those are not to be had, that is in `unread`. Raises as `Comparison` and `work`.
    """
    # With more rights the owners of others' files have no number by which to know them.
    lost = lost_outputs(kept)

    def once_more() -> Iterator[Any]:
        with compare_workspace(kept, since=since, paths=paths, root=root, lost=lost) as again:
            yield from work(again)

    with compare_workspace(kept, since=since, paths=paths, root=root, lost=lost) as first:
        is_all = not first.unread_count or os.geteuid() == 0
        if is_all or not rights.are_to_be_had():
            yield from work(first)
            return
    yield from rights.told(once_more)


def _patched_in(kept: Kept) -> str:
    """Where `patches` were applied when the sources were made; empty if that is not known."""
    content, _, _ = read_bounded(f"{sources.place_of(kept.path)}/env-vars")
    return envvars.select(content, "PWD").get("PWD", "")


def _said(kept: Kept) -> tuple[dict[str, str], tuple[str, ...]]:
    """What env-vars says of the places of the build, and the directories beside it.

    Nothing, where they cannot be read: a comparison that needs them will say so.
    """
    try:
        directory = open_lower(kept)
    except (OSError, EvidenceError):
        return {}, ()
    try:
        content, _, _ = read_bounded("env-vars", directory=directory)
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    finally:
        os.close(directory)
    return envvars.select(content, "sourceRoot", "PWD", "NIX_BUILD_TOP"), tuple(sorted(names))
