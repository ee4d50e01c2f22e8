"""The phases of nixpkgs' standard environment, and the word `phase` that runs them again."""

from __future__ import annotations

import re

from nbs_kernel.typed.setup import Definition, definitions
from nbs_kernel.typed.shown import bounded, one_line
from nbs_kernel.typed.surroundings import described, value_of
from nbs_kernel.typed.words import NAME
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.typed.surroundings import Surroundings

WORD = "phase"
STDENV_PHASES = (
    "unpackPhase",
    "patchPhase",
    "configurePhase",
    "buildPhase",
    "checkPhase",
    "installPhase",
    "fixupPhase",
    "installCheckPhase",
    "distPhase",
)
BUILDER = "builder"
_WHEN = ("pre", "post")
_OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")
_OF_PHASES = ("--from", "--until")
_OF_OTHERS = ("--trace-fd", "-j")
_OURS = "__nbs_phase_leave"


def phases(around: Surroundings) -> tuple[str, ...]:
    """The names of phases that `runPhase` could be given: nixpkgs' own and all that are defined."""
    defined = (*around.names.functions, *around.names.variables)
    return tuple(sorted({*STDENV_PHASES, *(n for n in defined if n.endswith("Phase"))}))


def hooks(around: Surroundings) -> tuple[str, ...]:
    """The names of hooks that `runHook` could be given: before and after each phase."""
    around_phases = [hook for name in phases(around) for hook in hooks_of(name)]
    return tuple(sorted({*around_phases, "exitHook", "failureHook"}))


def hooks_of(phase: str) -> tuple[str, ...]:
    """The names of the hooks before and after a phase."""
    stem = phase.removesuffix("Phase")
    return tuple(when + stem[:1].upper() + stem[1:] for when in _WHEN)


def words(before: tuple[str, ...], begun: str, around: Surroundings) -> tuple[tuple[str, str], ...]:
    """What may follow `phase` and the words before the cursor, each with its kind.

    `begun` is the word at the cursor. Options are those that `phase --help` tells.
    """
    last = before[-1]
    option, is_valued, _ = begun.partition("=")
    if last in _OF_OTHERS:
        return ()
    if last in _OF_PHASES:
        return _each("phase", phases(around))
    if is_valued and option in _OF_PHASES:
        return _each("phase", tuple(f"{option}={name}" for name in phases(around)))
    if begun.startswith("-"):
        return _each("option", tuple(sorted({*_OPTION.findall(around.phase_help)})))
    names = _each("phase", (*phases(around), BUILDER))
    return names + _each("variable", _settings(around)) if begun else names


def _each(kind: str, texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((text, kind) for text in texts)


def _settings(around: Surroundings) -> tuple[str, ...]:
    """The variables that a recipe sets most, and those of this one, as `VARIABLE=`."""
    switches = []
    for phase in STDENV_PHASES:
        stem = phase.removesuffix("Phase")
        stem = stem[:1].upper() + stem[1:]
        is_wanted = phase in {"checkPhase", "installCheckPhase", "distPhase"}
        switches.append(("do" if is_wanted else "dont") + stem)
    names = {*hooks(around), *switches, *around.begun}
    return tuple(f"{name}=" for name in sorted(names) if NAME.fullmatch(name))


def is_phase(name: str) -> bool:
    """Whether a name is that of a phase, by its form."""
    return name.endswith("Phase") and name.isidentifier()


def about_word(source: str, around: Surroundings) -> str:
    """What `phase` is, from the source of the function; "" if that is somebody else's."""
    return around.phase_help if _OURS in source else ""


def of_word(argument: str) -> str:
    """The phase that an argument of `phase` names, "" for none."""
    name = argument if is_phase(argument) else f"{argument}Phase"
    return name if name.isidentifier() else ""


class _Run(Value):
    """What is run for a name: `what` in words, and its text."""

    what: str
    text: str


def about(name: str, known: dict[str, str], detail: int, around: Surroundings) -> str:
    """What stdenv runs for a phase in this shell: the text of the variable if it is set, else the
    function; of a shell that has not read setup, what it would have then. "" if there is neither.

    nixpkgs: `runPhase` in pkgs/stdenv/generic/setup.sh, `eval "${!curPhase:-$curPhase}"`.
    """
    note = ""
    if value_of(known.get("variable", "")):
        run: _Run | None = _Run(what="the text of the variable", text=known["variable"])
    elif known.get("function"):
        run = _Run(what="the function", text=known["function"])
    else:
        run = _of_setup(name, around)
        note = f"not in this shell yet: `phase {name}` runs it, `source $stdenv/setup` reads it"
    if run is None:
        return ""
    parts = [*_head(name, run, detail), *([note] if note else [])]
    for hook in hooks_of(name):
        about_hook = described(around.describe(hook))
        parts += [
            f"hook {hook} ({kind})\n{bounded(about_hook[kind].rstrip(), detail)}"
            for kind in ("function", "variable")
            if about_hook.get(kind)
        ]
    return "\n".join(parts)


def about_again(name: str, detail: int, around: Surroundings) -> str:
    """What `phase NAME` runs: nothing of this shell, but what the build began with."""
    value = around.begun.get(name)
    run = _Run(what="the text of the variable", text=value) if value else _of_setup(name, around)
    if run is None:
        return ""
    parts = _head(name, run, detail)
    for hook in hooks_of(name):
        text = around.begun.get(hook)
        parts += [f"hook {hook} (variable)\n{bounded(text.rstrip(), detail)}"] if text else []
    return "\n".join(parts)


def _head(name: str, run: _Run, detail: int) -> list[str]:
    return [f"{name}: phase; runs {run.what}", bounded(run.text.rstrip("\n"), detail)]


def _of_setup(name: str, around: Surroundings) -> _Run | None:
    found = definitions(name, around.value)
    variable = next((one for one in reversed(found) if one.kind == "variable"), None)
    if variable is not None:
        called = definitions(variable.text, around.value)
        text = called[-1].text if called else variable.text
        return _Run(what=f"{variable.text}, as {one_line(variable.path)} sets it", text=text)
    function: Definition | None = found[-1] if found else None
    if function is None:
        return None
    return _Run(what=f"the function of {one_line(function.path)}", text=function.text)
