"""What a shell has told of itself, as the typed help needs it."""

from __future__ import annotations

from nbs_kernel.typed.frames import KEYWORDS
from nbs_kernel.typed.reader import Reader
from nbs_kernel.typed.synopses import SYNOPSES
from nbs_kernel.typed.words import NAME, after
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from nbs_kernel.typed.files import Entry

    class Asked(Protocol):
        """A shell that can be asked, as `nbs_kernel.bash.shell.Shell` is."""

        @property
        def directory(self) -> str: ...

        def ask(self, question: tuple[str, ...]) -> tuple[str, ...] | None: ...


NAMES_SENT = 5
LONGEST_NAME = 1_000
PRIVATE = "__nbs_"


class Names(Value):
    """The names that a shell knows, each kind in order."""

    functions: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    builtins: tuple[str, ...] = tuple(sorted(SYNOPSES))
    keywords: tuple[str, ...] = tuple(sorted(KEYWORDS))


def names(answer: tuple[str, ...]) -> Names:
    """What `("names",)` was answered: five texts of names, a line each.

    A shell without the built-ins to list its own built-ins and keywords has those of any bash.
    """
    texts = [*answer, *[""] * NAMES_SENT]
    functions, variables, aliases, builtins, keywords = (_lines(t) for t in texts[:NAMES_SENT])
    return Names(
        functions=functions,
        variables=tuple(name for name in variables if NAME.fullmatch(name)),
        aliases=aliases,
        builtins=builtins or Names().builtins,
        keywords=keywords or Names().keywords,
    )


def _lines(text: str) -> tuple[str, ...]:
    return tuple(sorted({name for name in text.split("\n") if _is_offered(name)}))


def _is_offered(name: str) -> bool:
    """Whether a name can be shown at all, and is not one of the kernel's own."""
    return name.isprintable() and 0 < len(name) <= LONGEST_NAME and not name.startswith(PRIVATE)


def described(answer: tuple[str, ...] | None) -> dict[str, str]:
    """What `("describe", NAME)` was answered, by kind; empty for what the shell does not know."""
    if not answer:
        return {}
    return dict(zip(answer[::2], answer[1::2], strict=False))


def value_of(declaration: str) -> str | None:
    """The value in what `declare -p NAME` says; None for an array, and for none.

    >>> value_of('declare -x out="/nix/store/a-\\\\$b"')
    '/nix/store/a-$b'
    """
    reader = Reader(declaration)
    reader.finish()
    for word in reader.words:
        if word.role == "assignment" and word.is_literal:
            name = word.text.partition("=")[0]
            return "".join([piece.text for piece in after(word.pieces, len(name) + 1)])
    return None


class Surroundings(Value):
    """What completion and inspection stand on.

    `value` tells a variable's value, None if it is not known; `describe` asks the shell for all
    that a name is. `listing` is `files.entries`, `programs` gives those of PATH with a prefix.
    `begun` is what was exported at the shell's start; `phase_help` what `phase --help` prints;
    `own` has what is to be said of other words that the kernel gives to cells; `kept` gives the
    names of what is kept: "builds", "workspaces" or "snapshots".
    """

    names: Names
    directory: str
    value: Callable[[str], str | None]
    describe: Callable[[str], tuple[str, ...] | None]
    listing: Callable[[str, str], tuple[Entry, ...]]
    programs: Callable[[str], tuple[str, ...]]
    begun: Mapping[str, str]
    phase_help: str
    own: Mapping[str, str]
    kept: Callable[[str], tuple[str, ...]]
