"""The sources of a kept workspace, made by unpacking and patching again in a fresh sandbox."""

from __future__ import annotations

from sandbox.host.case import readable_log
from sandbox.repair.replay import make_sources
from sandbox.session.kept import read_again, request_again
from sandbox.workspace import sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.facts import PhaseScripts
    from sandbox.workspace.kept import Kept


def has_sources(kept: Kept) -> bool:
    """Have they been made?"""
    return sources.are_made(kept.path)


def take_sources(
    kept: Kept, scripts: PhaseScripts, say: Callable[[str], None] = lambda _: None
) -> None:
    """Make them, once for a workspace: what compares it uses them from then on.

    Raises as `read_again`, `replay.make_sources` and `workspace.sources.make`.
    """
    if has_sources(kept):
        return
    case = read_again(kept)
    log = readable_log(case)
    phase = log.failing_phase if log is not None else ""
    request = request_again(kept).replace(phase=phase, phases=scripts)
    sources.make(kept.path, lambda path: make_sources(case, request, path, say))
