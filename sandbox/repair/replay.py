"""The phases of a build again, from the first one, in a directory as Nix hands it to builders."""

from __future__ import annotations

import os

from sandbox.errors import EvidenceError
from sandbox.host.builddir import read_bounded, unchanged_files
from sandbox.host.case import of_derivation
from sandbox.linux.looked import require_looked
from sandbox.model import patched, rules
from sandbox.model.command import build_words
from sandbox.model.experiment import emptied
from sandbox.model.spec import File
from sandbox.session.living import given_up
from sandbox.session.run import enter, was_interrupted
from sandbox.workspace.changes import compare
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.layers import Layer, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.host.case import Case
    from sandbox.model.aterm import Derivation
    from sandbox.model.facts import Request
    from sandbox.model.patched import Repair
    from sandbox.model.spec import Sandbox
    from sandbox.workspace.changes import Differences

BEFORE, LAST, PATCHED = "@before", "@last", "@patched"
"""Ends of a replay that are no names: before the failing phase, the last, the patched source."""

KEEP_STATE = "--keep-state"
NOTE_FAILURE = "--keep-state=noted"
_NOTE, _LONGEST_NOTE = ".nbs-failed", 100
LAST_LINES = 5
_TAIL_BYTES = 4096


def describe_clean(case: Case, request: Request) -> Sandbox:
    """The sandbox in which all phases are run that `request.phase_words` do not leave out.

    Raises as `rules.sandbox`, and `EvidenceError` (`environment-unknown`).
    """
    environment = case.nix.environment
    if environment is None:
        raise EvidenceError(
            "nothing tells with what Nix began this build",
            reason="environment-unknown",
            hint="`--derivation /nix/store/….drv` names the derivation that was built",
        )
    kept = case.kept.replace(env_vars=case.kept.env_vars.replace(state="absent"))
    words = ("--all", *(request.phase_words or ()))
    described = rules.sandbox(
        kept, case.nix.replace(partial=()), case.machine, request.replace(phase_words=words)
    )
    files = (*environment.files, *_left_by_nix(case, environment.left_out))
    return described.replace(entries=emptied(described.entries, environment.replace(files=files)))


def _left_by_nix(case: Case, names: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    if case.kept.looked is None or not names:
        return ()
    directory = require_looked(case.kept.looked)
    try:
        return unchanged_files(directory, names)
    finally:
        os.close(directory)


def describe_replay(
    case: Case,
    request: Request,
    until: str = "",
    repair: Repair | None = None,
    *,
    noted: bool = False,
) -> Sandbox:
    """The same up to the phase `until`, which is the one that failed if it is empty.

    `until` may be `BEFORE`, `LAST` or `PATCHED`. The directory has an env-vars afterwards, as the
    build would have left it. The patch of `repair` is one more of `patches`, and an input. `noted`:
    which phase has failed can be asked of it, see `failed_phase`.
    Raises as `describe_clean`, and `EvidenceError` (`patch-not-applied`).
    """
    words = (NOTE_FAILURE if noted else KEEP_STATE, *(("--until", until) if until else ()))
    request = request.replace(phase_words=words)
    if repair is None:
        return describe_clean(case, request)
    derivation, patch = require_looked_at(case, repair), repair.patch
    changed = of_derivation(case, patched.repaired(derivation, repair, case.nix.store_dir))
    described = describe_clean(changed, request)
    if patch is None:
        return described
    path = patch.path(case.nix.store_dir)
    if path in case.nix.inputs.paths:
        return described
    file = File(
        path=path,
        content=patch.content.decode(errors="surrogateescape"),
        mode=0o444,
        read_only=True,
        rule="asked for: a patch",
    )
    return described.replace(entries=(*described.entries, file))


def failed_phase(directory: str) -> str:
    """The phase with which a replay that was `noted` ended; empty if it was killed, or has passed.

    A build may have written something there itself: it is a word to be shown, and no more.
    """
    try:
        content, _, _ = read_bounded(f"{directory}/{_NOTE}", _LONGEST_NOTE)
    except OSError:
        return ""
    return " ".join(content.decode("utf-8", "replace").split())


def require_looked_at(case: Case, repair: Repair) -> Derivation:
    """The derivation of a build that a repair would change.

    Raises `EvidenceError`: `derivation-missing`, and `patch-not-applied` for a build that would not
    look at one more of `patches`.
    """
    derivation = case.nix.derivation
    if derivation is None:
        raise EvidenceError(
            f"no derivation was found for `{case.kept.path}`",
            reason="derivation-missing",
            hint="`--derivation /nix/store/….drv` names the derivation that was built",
        )
    if repair.patch is not None:
        name = case.kept.name_hint or case.kept.outer
        require_patches(derivation, name, case.kept.outer, case.locations.root)
    return derivation


def require_patches(derivation: Derivation, name: str, path: str, store: str) -> None:
    """Raises `EvidenceError` `patch-not-applied` if the build `name` would not look at a patch.

    It was kept at `path`; `store` is as for `--store`.
    """
    reason = patched.why_not(derivation)
    if reason:
        build = build_words(path, store)
        raise EvidenceError(
            f"a patch among `patches` would change nothing in `{name}`",
            reason="patch-not-applied",
            evidence=(reason,),
            hint=f"`nbs phase {build} VARIABLE=VALUE` tries a change of the recipe",
        )


def differences(case: Case, directory: str) -> Differences:
    """How what a replay left in `directory` differs from what was kept; never in times or owners.

    Raises OSError, and `EvidenceError` (`evidence-changed`).
    """
    kept = Layer(_open_kept(case))
    try:
        replayed = Layer.at(directory)
        try:
            return compare(View(kept), View(replayed))
        finally:
            replayed.close()
    finally:
        kept.close()


def _open_kept(case: Case) -> int:
    if case.kept.looked is None:
        return os.open(case.kept.path, OPEN_DIRECTORY)
    handle = require_looked(case.kept.looked)
    try:
        return os.open(".", OPEN_DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)


def make_sources(
    case: Case, request: Request, path: str, say: Callable[[str], None] = lambda _: None
) -> None:
    """Put the build's directory at `path`, as it is when all `patches` are applied.

    What the recipe itself changes then, in postPatch, is not in it: a further patch is applied
    before that. `path` is not there yet. Raises as `describe_replay` and `run.enter`, and
    `EvidenceError` (`source-unmade`) where the phases fail or there is no source; `MachineError`
    (`request-stopped`) where a signal that was passed on to them has ended them.
    """
    described = describe_replay(case, request.replace(interactive=False, term=""), PATCHED)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    try:
        status = enter(described, say, stdio=(null, said, said), keep=path)
        tail = os.pread(said, _TAIL_BYTES, max(0, os.fstat(said).st_size - _TAIL_BYTES))
    finally:
        os.close(said)
        os.close(null)
    if was_interrupted(status):
        raise given_up()
    if status:
        lines = tail.decode("utf-8", "surrogateescape").splitlines()
        raise EvidenceError(
            f"the source of `{described.name}` cannot be made again",
            reason="source-unmade",
            evidence=(*lines[-LAST_LINES:], f"exit status {status}"),
        )
