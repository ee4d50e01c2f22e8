"""What passes between a kernel and its supervisor: docs/reference/supervisor.md, version 1.

The kernel asks one thing after the other, and the supervisor answers each, after a while. How they
travel is in `nbs_kernel.exchange`.
"""

from __future__ import annotations

from sandbox import Error, Value


class Enter(Value):
    """Move into the sandbox of another build, or with an empty name into a fresh one of the same.

    `store` and `derivation` as for `nbs shell`, empty where nothing was said of them. `workspace`
    is the name of a kept one to go on in; then these are empty. `tools` are names of programs of
    the host for the word `tool`. Answered when the newcomer is inside; the kernel then hands over
    and ends.
    """

    build: str
    store: str = ""
    derivation: str = ""
    workspace: str = ""
    tools: tuple[str, ...] = ()


class Diff(Value):
    """Tell what was changed in the kernel's workspace: all of it, or at `paths`. `stat`: in short.

    Answered with `Shown` or `Refused`.
    """

    stat: bool = False
    since: str = ""
    paths: tuple[str, ...] = ()


class Shown(Value):
    """An answer that is a text to be shown, harmless for a terminal but for colours."""

    text: str


class ListNames(Value):
    """The names of what is kept, for who types: `of` is "builds" or "workspaces".

    Answered with `Names`.
    """

    of: str


class Names(Value):
    """Names, in the order in which a person wants them."""

    found: tuple[str, ...]


class Run(Value):
    """Run one of nbs's commands on the kernel's workspace, with options: see `nbs_kernel.verb`.

    Answered with any number of `Said`, then `Ran`; or `Refused`.
    """

    verb: str
    words: tuple[str, ...] = ()


class Said(Value):
    """What a command has said, as it came; bytes that are no UTF-8 as `os.fsdecode` has them."""

    text: str


class Ran(Value):
    """How a command has ended."""

    status: int


class Remember(Value):
    """Keep a line of history for later kernels of this build. Not answered."""

    session: int
    line: int
    source: str


class Tried(Value):
    """The word `phase` has ended well, called with the words of `call`. Not answered."""

    call: tuple[str, ...]


class Handover(Value):
    """What a kernel leaves to the one that takes its place. Not answered.

    `requests` are raw messages that are not answered yet, with their channels; where `moved`, the
    first is the one that asked for the move. `published` is what was held back from clients that
    were still coming back from a move before, and `subscribers` how many listen, or will.
    `settings` are those of the kernel, by name.
    """

    execution_count: int = 0
    moved: bool = False
    requests: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    published: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    subscribers: int = 0
    settings: tuple[tuple[str, int], ...] = ()


class Entered(Value):
    """The answer to `Enter`."""


class Refused(Value):
    """The other answer: the fields of an `Error`."""

    message: str
    reason: str
    evidence: tuple[str, ...] = ()
    hint: str = ""

    @classmethod
    def of(cls, error: Error) -> Refused:
        """What was raised outside, to be raised inside."""
        return cls(
            message=error.message, reason=error.reason, evidence=error.evidence, hint=error.hint
        )

    def error(self) -> Error:
        """As it was raised outside."""
        return Error(self.message, reason=self.reason, evidence=self.evidence, hint=self.hint)


class TakeSnapshot(Value):
    """Keep the files as they are, "" for the next number. Answered with `Snapshots`, of one.

    With `kept` it takes the place of one of that name, and of those whose names begin with `cell-`
    only so many stay.
    """

    name: str
    kept: int = 0


class RemoveSnapshot(Value):
    """Answered with `Snapshots`, of those that are left."""

    name: str


class ListSnapshots(Value):
    """Answered with `Snapshots`, the oldest first."""


class Restore(Value):
    """Put the files back to a snapshot, "" for the last one.

    Nobody may be in the build's directory. With `kill` 1 what else runs inside is ended. Answered
    with `Restored`.
    """

    name: str
    kill: int = 0


class Interrupt(Value):
    """Give up what was asked for and is not answered, as far as nothing has changed by it.

    Not answered itself: the other answer tells.
    """


class Snapshots(Value):
    """Name, seconds since 1970, files and bytes of each; -1 for what is not known."""

    found: tuple[tuple[str, int, int, int], ...]


class Restored(Value):
    """The answer to `Restore`: what to say of it, line by line."""

    words: tuple[str, ...]


Asked = TakeSnapshot | RemoveSnapshot | ListSnapshots | Restore
"""What is asked of the workspace."""

Passed = (
    Enter
    | Diff
    | ListNames
    | Names
    | Run
    | Said
    | Ran
    | Remember
    | Tried
    | Handover
    | Entered
    | Shown
    | Refused
    | TakeSnapshot
    | RemoveSnapshot
    | ListSnapshots
    | Restore
    | Interrupt
    | Snapshots
    | Restored
)
