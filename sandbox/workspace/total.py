"""How much of the disk all kept workspaces take, without looking through each of them each time.

    STATE/sizes    JSON: of each by its name when it was looked through, and how many bytes it had

Whatever is done to a workspace between sessions, and the end of a session, puts something into its
own directory or that of its snapshots by renaming: their times tell that it has to be looked
through again. What a living session writes is counted when it ends.
"""

from __future__ import annotations

import json
import os

from sandbox.workspace import sizes
from sandbox.workspace.files import Replacement, read_bounded
from sandbox.workspace.ladder import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.workspace.kept import Kept

    Noted = dict[str, tuple[list[int], int]]

_NAME = "sizes"
_LARGEST = 1 << 22


def total(state: str, workspaces: Iterable[Kept]) -> int:
    """The bytes that these take on disk, as `sizes.usage` counts them."""
    try:
        directory = os.open(state, OPEN_DIRECTORY)
    except OSError:
        return 0
    try:
        before, now = _read(directory), {}
        for one in workspaces:
            seen = _seen(one)
            noted = before.get(one.name)
            is_known = noted is not None and (noted[0] == seen or one.session)
            now[one.name] = noted if is_known and noted else (seen, sizes.usage(one).bytes)
        if now != before:
            _write(now, directory)
        return sum(size for _, size in now.values())
    finally:
        os.close(directory)


def _seen(kept: Kept) -> list[int]:
    times = []
    for path in (kept.path, kept.snapshots):
        try:
            status = os.stat(path, follow_symlinks=False)
            times += [status.st_ino, status.st_mtime_ns]
        except OSError:
            times += [0, 0]
    return times


def _read(directory: int) -> Noted:
    try:
        found = json.loads(read_bounded(_NAME, directory, _LARGEST))
        return {str(name): ([int(n) for n in seen], int(size)) for name, seen, size in found}
    except (OSError, ValueError, TypeError):
        return {}


def _write(noted: Noted, directory: int) -> None:
    try:
        with Replacement(_NAME, directory) as file:
            file.write(json.dumps([[name, *pair] for name, pair in noted.items()]))
    except OSError:
        # A full disk: it is counted again.
        return
