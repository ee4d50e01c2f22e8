"""The word `phase`, for one build: its scripts, and before them what they have to know.

The scripts run the phases of nixpkgs' stdenv again; the builder's own start is that of Nix
(DerivationBuilder::runChild). All text of the build is data in single quotes.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.model.command import (
    PLACES,
    build_bash,
    build_words,
    inside,
    is_identifier,
    names_stdenv,
    shell_word,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.model.facts import KeptDirectory, NixFacts, PhaseScripts, Request

BUILDER = "builder"
"""The name by which the whole builder is run again, with or without phases."""

BUILD_COMMAND = "buildCommand"
"""What stands in the place of all phases, where a recipe has it."""

_USAGE = "usage() {\n  printf '%s\\n' \"\\\n"

DEFAULT_SCRIPT = "default-builder.sh"
"""What has all phases run, and defines nothing: the last argument of nixpkgs' builders."""

DEFAULT_OPTIONS = "-e"
"""What nixpkgs starts its builders with."""


def definitions(
    scripts: PhaseScripts,
    kept: KeptDirectory,
    nix: NixFacts,
    request: Request,
    shell: str,
    top: str,
) -> str:
    """Text for bash that defines `phase` and nothing else that a person would meet."""
    variables = nix.environment.variables if nix.environment is not None else ()
    read = kept.env_vars.state == "read"
    facts = (
        ("shell", shell_word(shell)),
        ("options", shell_word(_shell_options(nix))),
        ("top", shell_word(top)),
        ("failing", shell_word(failing(nix, request.phase))),
        ("env_vars", shell_word(f"{top}/env-vars" if read else "")),
        ("build", shell_word(_words_for(kept, nix))),
        ("outputs", shell_word(" ".join(_outputs(nix)))),
        ("told", _list(f"{p}:{n}={v}" for p, n, v in request.told if _is_state(p, n, v, top))),
        ("builder", _list(builder(nix))),
        ("environment", _list(f"{n}={v}" for n, v in variables if is_identifier(n))),
        ("parent", shell_word(scripts.parent)),
        ("child", shell_word(scripts.child)),
    )
    lines = "".join(f"  __nbs_{name}={value}\n" for name, value in facts)
    return f"__nbs_phase_facts() {{\n{lines}}}\n{scripts.word}"


def usage(scripts: PhaseScripts) -> str:
    """What `phase --help` prints: the one text in double quotes of the script's own `usage`."""
    _, _, text = scripts.parent.partition(_USAGE)
    return text.partition('"\n}')[0].replace("\\`", "`").replace("\\$", "$") + "\n"


def _words_for(kept: KeptDirectory, nix: NixFacts) -> str:
    """What names the build behind a verb, to be pasted."""
    root = nix.real_store_dir.removesuffix(nix.store_dir)
    return build_words(kept.outer, root)


def _outputs(nix: NixFacts) -> tuple[str, ...]:
    """Where the builder puts its outputs. Those of an impure derivation Nix draws at random."""
    if nix.derivation is None or nix.derivation.impure:
        return ()
    return tuple(path for _, path in nix.outputs)


def builder(nix: NixFacts) -> tuple[str, ...]:
    """The builder and its arguments; empty where that is not known, or Nix itself builds."""
    derivation = nix.derivation
    if derivation is None or nix.environment is None or derivation.builder.startswith("builtin:"):
        return ()
    return (derivation.builder, *nix.environment.arguments)


def failing(nix: NixFacts, phase: str) -> str:
    """What failed: `phase`, which the log names, unless the builder alone knows the phases."""
    if not has_stdenv(nix) or _has_script_of_its_own(nix):
        return BUILDER
    return BUILD_COMMAND if _has_build_command(nix) else phase


def again(kept: KeptDirectory, nix: NixFacts, phase: str) -> str:
    """The line that runs what failed once more, in the build's shell; empty if none can.

    `phase` is the one that the log names, if it does.
    """
    name = failing(nix, phase)
    able = is_identifier(name) and bool(build_bash(kept, nix))
    return f"phase {name}" if able and (name != BUILDER or builder(nix)) else ""


def _has_script_of_its_own(nix: NixFacts) -> bool:
    """Is what bash runs another script than nixpkgs' own, as with `builder = ./builder.sh`?

    nixpkgs: `pkgs/stdenv/generic/make-derivation.nix`. What such a script defines, it alone has.
    """
    known = builder(nix)
    return bool(known) and not known[-1].endswith(f"-{DEFAULT_SCRIPT}")


def _has_build_command(nix: NixFacts) -> bool:
    if nix.derivation is None:
        return False
    text = nix.derivation.get("__json")
    if text is None:
        return bool(nix.derivation.get(BUILD_COMMAND))
    from sandbox.model import attributes  # noqa: PLC0415  json costs more than the rest together

    return bool(attributes.read(text).get(BUILD_COMMAND))


def _is_state(phase: str, name: str, value: str, top: str) -> bool:
    """May a phase be told this of an earlier one? No directory leads out of the build's."""
    in_words = is_identifier(phase) and is_identifier(name)
    return in_words and (name not in PLACES or bool(inside(top, value)))


def has_stdenv(nix: NixFacts) -> bool:
    """Is there a `$stdenv/setup` to source, as far as is known?"""
    if nix.derivation is None or nix.environment is None:
        return True
    return names_stdenv(nix.derivation)


def without_bash(nix: NixFacts, words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that `phase WORDS` means in a build that has no bash: the builder, or nothing.

    Raises `EvidenceError` (`no-phases`, `builder-unknown`).
    """
    known = builder(nix)
    if not known:
        raise EvidenceError(
            "nothing tells with what arguments Nix ran the builder",
            reason="builder-unknown",
            hint="`--derivation /nix/store/….drv` names the derivation that was built",
        )
    if words not in ((BUILDER,), ("--failing",)):
        raise EvidenceError(
            "this build has no phases: its builder is not bash",
            reason="no-phases",
            evidence=(f"its builder is {known[0]}",),
            hint="`nbs phase BUILD builder` runs it again with its arguments",
        )
    return known


def _shell_options(nix: NixFacts) -> str:
    """The options in front of the builder's script, those alone that say how bash behaves."""
    options = []
    for word in nix.environment.arguments if nix.environment is not None else ():
        if not (word.startswith("-") and word[1:].isalpha() and not set(word) & set("cos")):
            break
        options.append(word)
    return " ".join(options) or DEFAULT_OPTIONS


def _list(words: Iterable[str]) -> str:
    return "(" + " ".join(shell_word(word) for word in words) + ")"
