"""`nbs verify --real`: Nix builds the derivation again, with a patch more."""

from __future__ import annotations

import os
import shlex
import subprocess

import sandbox
from sandbox.cli import building, speak
from sandbox.errors import CommandError, MachineError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli.arguments import Arguments


def verify(case: sandbox.Case, given: Arguments, repair: sandbox.Repair) -> int:
    """Show the expression and the command; ask; build. The exit status is nix-build's."""
    named = place_of(given.get("--patch")) if given.has("--patch") else ""
    if given.has("--output"):
        if not named:
            raise UsageError(
                f"the expression names a file, and `{given.get('--patch')}` is none that stays",
                reason="option-value",
                hint="`--patch FILE` with what was written to a file",
            )
        write(given.get("--output"), expression(case, repair, named))
        return 0
    store = case.locations.root or given.get("--store")
    with sandbox.scratch_workspace() as workspace:
        if not named and repair.patch is not None:
            named = f"{workspace.path}/{repair.patch.name}"
            write(named, repair.patch.content.decode("utf-8", "surrogateescape"))
        text = expression(case, repair, named)
        path = f"{workspace.path}/{case.kept.name_hint or 'build'}.nix"
        write(path, text)
        asked = sandbox.nix_command(("nix-build", "--no-out-link", path), store)
        speak.say(text)
        speak.say(f"$ {shlex.join(asked.argv)}")
        if speak.can_ask() and not given.has("--yes") and not speak.agreed("Build it?"):
            return 1
        warn_if_another(case, path, store, has_attributes=bool(repair.attributes))
        before = sandbox.kept_before(store)
        status, report = building.run(asked)
    name = case.kept.name_hint
    if status == 0:
        speak.say(f"{name} is built with {repair}, by Nix itself")
        return 0
    phases = [
        one.log.failing_phase
        for one in sandbox.failed_builds(report, store, before)
        if one.name == name and one.log is not None and one.log.failing_phase
    ]
    where = f" in {phases[0]}" if phases else ""
    speak.say(f"{name} fails with {repair}{where}: exit status {status}")
    return status


def place_of(patch: str) -> str:
    """The path by which Nix finds the very file that a path of the caller's leads to.

    Nix would take a link for the patch. Empty where there is none, as of a shell's `<(…)`.
    """
    path = os.path.realpath(patch)
    return path if os.path.isfile(path) and os.path.samefile(path, patch) else ""


def expression(case: sandbox.Case, repair: sandbox.Repair, path: str) -> str:
    """The Nix expression that is built; `path` is where the patch is. Raises `EvidenceError`."""
    return sandbox.expression_of(
        sandbox.replay.require_looked_at(case, repair),
        derivation_path=case.nix.derivation_path,
        patch=path,
        name=repair.patch.name if repair.patch is not None else "",
        attributes=tuple((one.name, one.value) for one in repair.attributes),
    )


def write(path: str, text: str) -> None:
    """Put the expression into a file that is not there yet. Raises `MachineError`."""
    try:
        with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
    except OSError as error:
        raise MachineError(
            f"`{path}` cannot be written",
            reason="output-unwritable",
            evidence=(error.strerror or str(error),),
            hint="`-o FILE` names one that is not there yet",
        ) from None


def warn_if_another(case: sandbox.Case, path: str, store: str, *, has_attributes: bool) -> None:
    """Without the repair the expression has to give the derivation that failed."""
    options = ("--store", store) if store else ()
    nothing = ("--arg", "patches", "[ ]", *(("--arg", "attributes", "{ }") * has_attributes))
    command = ["nix-instantiate", *options, path, *nothing]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise CommandError(
            "`nix-instantiate` cannot be run",
            reason="command-not-found",
            evidence=(error.strerror or str(error),),
            hint="Nix has to be on PATH: `command -v nix-build`",
            exit_code=127,
        ) from None
    given = os.fsdecode(done.stdout).strip().partition("!")[0]
    if done.returncode == 0 and given != case.nix.derivation_path:
        speak.say(f"this Nix makes another derivation of it even without the repair: {given}")
