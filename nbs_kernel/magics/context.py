"""What a magic command may do, and what it is."""

from __future__ import annotations

from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from nbs_kernel.bash.events import Outcome
    from nbs_kernel.requests import Enter
    from nbs_kernel.settings import Settings
    from nbs_kernel.typed.surroundings import Asked
    from nbs_kernel.typed.words import Word

    class KnownBuild(Protocol):
        """What is needed of `nbs_kernel.known.Known`."""

        @property
        def name(self) -> str: ...
        @property
        def label(self) -> str: ...
        @property
        def facts(self) -> tuple[tuple[str, str], ...]: ...
        @property
        def plan(self) -> str: ...
        @property
        def plan_rows(self) -> tuple[tuple[str, ...], ...]: ...

    class Taken(Protocol):
        """What is needed of a `sandbox.Snapshot`."""

        @property
        def name(self) -> str: ...
        @property
        def created(self) -> float: ...
        @property
        def files(self) -> int: ...
        @property
        def bytes(self) -> int: ...

    class Context(Protocol):
        """The kernel, as far as a magic command sees it."""

        @property
        def known(self) -> KnownBuild | None:
            """The build, None if the kernel is in none."""

        @property
        def shell(self) -> Asked | None:
            """The shell that runs the cells, None if there is none."""

        @property
        def settings(self) -> Settings: ...

        @property
        def environment(self) -> tuple[tuple[str, str], ...]:
            """What was exported right after the shell's start; empty if it is not known."""

        def change(self, settings: Settings) -> None:
            """These count from the next bash on that is run."""

        def write(self, text: str, stream: str = "stdout") -> None:
            """Show text as a stream."""

        def display(self, data: dict[str, object], metadata: dict[str, object]) -> None:
            """Show one thing in several formats; the front end picks one."""

        def enter(self, asked: Enter) -> None:
            """Move into another build; what is empty is found out. Raises `sandbox.Error`."""

        def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
            """What was changed in the workspace, with colours. Raises `sandbox.Error`."""

        def run_outside(self, verb: str, words: tuple[str, ...]) -> int:
            """Run one of nbs's commands on the workspace, and show what it says; its status.

            Raises `sandbox.Error`.
            """

        def snapshot(self, name: str) -> Taken:
            """Keep the files as they are, "" for the next number. Raises `sandbox.Error`."""

        def remove_snapshot(self, name: str) -> None:
            """Raises `sandbox.Error`."""

        def snapshots(self) -> tuple[Taken, ...]:
            """The oldest first, without `failed`. Raises `sandbox.Error`."""

        def restore(self, name: str, *, kill: bool) -> tuple[str, ...]:
            """Put the files back, "" for the last snapshot; what to say of it, line by line.

            Raises `sandbox.Error`.
            """

        def restart(self) -> None:
            """A fresh shell in the same workspace. Raises `sandbox.Error`."""

        def reset(self) -> None:
            """The workspace as it was kept, and a fresh shell. Raises `sandbox.Error`."""


class Code(Value):
    """Bash to be run at once, as a cell of its own; then `after` gives what to say of it.

    `after` takes the outcome and the seconds that it took.
    """

    text: str
    after: Callable[[Outcome, float], str]


class Magic(Value):
    """One command: `usage` and `summary` are a line each, `help` is the rest of what is to say.

    `takes`: "words" (as many as `least` to `most` says, -1: any number), "paths" (words in which
    variables of the shell are put in), "code" (the text as it is, and the rest of the cell for
    `%%name`) or "cell" (words, and the rest of the cell for `%%name`).

    `choices` are words to be offered. `offers` says what else: pairs of the word before ("" for
    any other) and "builds", "workspaces", "snapshots", "variables", "paths", or words themselves.
    """

    name: str
    usage: str
    summary: str
    run: Callable[[Context, Call], Code | None]
    help: str = ""
    takes: str = "words"
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()
    offers: tuple[tuple[str, str], ...] = ()


class Call(Value):
    """One magic line of a cell. `text` is all behind the name, `body` what `%%name` is given.

    `line` counts from 1. `asks` is for `%name?`.
    """

    magic: Magic
    text: str
    words: tuple[Word, ...] = ()
    body: str | None = None
    line: int = 1
    asks: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words without their quotes."""
        return tuple(
            "".join([p.text for p in word.pieces if p.kind in {"text", "tilde"}])
            for word in self.words
        )

    def run(self, context: Context) -> Code | None:
        """Do it. Raises `sandbox.Error`."""
        if self.asks:
            context.write(manual(self.magic))
            return None
        return self.magic.run(context, self)


def manual(magic: Magic) -> str:
    """All there is to say of a magic command."""
    rest = f"\n{magic.help}\n" if magic.help else ""
    return f"{magic.usage}\n    {magic.summary}\n{rest}"
