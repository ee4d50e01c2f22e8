"""The phases of a build again, from the first one, in a directory as Nix hands it to builders."""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.host.builddir import unchanged_files
from sandbox.host.case import of_derivation
from sandbox.model import patched, rules
from sandbox.model.command import shell_word
from sandbox.model.experiment import emptied
from sandbox.model.spec import File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.host.case import Case
    from sandbox.model.facts import Request
    from sandbox.model.patched import Patch
    from sandbox.model.spec import Sandbox

BEFORE, LAST, PATCHED = "@before", "@last", "@patched"
"""Ends of a replay that are no names: before the failing phase, the last, the patched source."""

KEEP_STATE = "--keep-state"


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
    files = (*environment.files, *unchanged_files(case.kept.path, environment.left_out))
    return described.replace(entries=emptied(described.entries, environment.replace(files=files)))


def describe_replay(
    case: Case, request: Request, until: str = "", patch: Patch | None = None
) -> Sandbox:
    """The same up to the phase `until`, which is the one that failed if it is empty.

    `until` may be `BEFORE`, `LAST` or `PATCHED`. The directory has an env-vars afterwards, as the
    build would have left it. `patch` is one more of `patches`, and an input.
    Raises as `describe_clean`, and `EvidenceError` (`patch-not-applied`).
    """
    words = (KEEP_STATE, *(("--until", until) if until else ()))
    request = request.replace(phase_words=words)
    if patch is None:
        return describe_clean(case, request)
    derivation = case.nix.derivation
    reason = patched.why_not(derivation)
    if derivation is None or reason:
        raise not_applied(case, reason)
    path = patch.path(case.nix.store_dir)
    changed = of_derivation(case, patched.with_patch(derivation, path))
    described = describe_clean(changed, request)
    if any(found.path == path for found in case.nix.inputs):
        return described
    file = File(
        path=path,
        content=patch.content.decode(errors="surrogateescape"),
        mode=0o444,
        read_only=True,
        rule="asked for: a patch",
    )
    return described.replace(entries=(*described.entries, file))


def not_applied(case: Case, reason: str) -> EvidenceError:
    """The error for a build that would not look at one more of `patches`."""
    name = case.kept.name_hint or case.kept.outer
    return EvidenceError(
        f"a patch among `patches` would change nothing in `{name}`",
        reason="patch-not-applied",
        evidence=(reason,),
        hint=f"`nbs phase {shell_word(name)} VARIABLE=VALUE` tries a change of the recipe",
    )
