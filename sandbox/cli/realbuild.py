"""`nbs verify --real`: Nix builds the derivation again, with a patch more."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import sandbox
from sandbox.cli import building, speak
from sandbox.errors import CommandError, EvidenceError, MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli.arguments import Arguments


def verify(case: sandbox.Case, given: Arguments, patch: sandbox.PatchFile) -> int:
    """Show the expression and the command; ask; build. The exit status is nix-build's."""
    named = os.path.abspath(given.get("--patch")) if given.has("--patch") else ""
    if given.has("--output"):
        write(given.get("--output"), expression(case, patch, named))
        return 0
    store = case.locations.root or given.get("--store")
    with sandbox.scratch_workspace() as workspace:
        if not named:
            named = f"{workspace.path}/{patch.name}"
            write(named, patch.content.decode("utf-8", "surrogateescape"))
        text = expression(case, patch, named)
        path = f"{workspace.path}/{case.kept.name_hint or 'build'}.nix"
        write(path, text)
        asked = sandbox.nix_command(("nix-build", "--no-out-link", path), store)
        speak.say(text)
        speak.say(f"$ {shlex.join(asked.argv)}")
        if not given.has("--yes") and not confirmed():
            return 1
        warn_if_another(case, path, store)
        before = sandbox.kept_before(store)
        status, report = building.run(asked)
    name = case.kept.name_hint
    if status == 0:
        speak.say(f"{name} is built with {patch.name}, by Nix itself")
        return 0
    phases = [
        one.log.failing_phase
        for one in sandbox.failed_builds(report, store, before)
        if one.name == name and one.log is not None and one.log.failing_phase
    ]
    where = f" in {phases[0]}" if phases else ""
    speak.say(f"{name} fails with {patch.name}{where}: exit status {status}")
    return status


def expression(case: sandbox.Case, patch: sandbox.PatchFile, path: str) -> str:
    """The Nix expression that is built. Raises `EvidenceError`."""
    derivation = case.nix.derivation
    if derivation is None:
        raise EvidenceError(
            f"no derivation was found for `{case.kept.path}`",
            reason="derivation-missing",
            hint="`--derivation /nix/store/….drv` names the derivation that was built",
        )
    reason = sandbox.patched.why_not(derivation)
    if reason:
        raise sandbox.replay.not_applied(case, reason)
    return sandbox.expression_of(
        derivation, derivation_path=case.nix.derivation_path, patch=path, name=patch.name
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


def confirmed() -> bool:
    """Whether the person at the terminal wants this built; nobody is asked elsewhere."""
    if not all(os.isatty(fd) for fd in (0, 2)):
        return True
    print("Build it? [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


def warn_if_another(case: sandbox.Case, path: str, store: str) -> None:
    """Without the patch the expression has to give the derivation that failed."""
    options = ("--store", store) if store else ()
    command = ["nix-instantiate", *options, path, "--arg", "patches", "[ ]"]
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
        speak.say(f"this Nix makes another derivation of it even without the patch: {given}")
