"""Every error that a person can meet, as one tree.

    Error                   never raised itself
    ├─ UsageError           the command line asks for what is not there or cannot be       exit 2
    ├─ EvidenceError        what was kept does not allow it: missing, unreadable, hostile  exit 125
    │   └─ DerivationSyntaxError   a .drv that is not one
    ├─ MachineError         this machine does not allow it                                 exit 125
    │   └─ StepFailed       one step of the plan was refused by the kernel
    └─ CommandError         the command inside cannot be run: 126 not runnable, 127 not found

`reason` is a word that stays the same for good, so that scripts and tests can match it; the wording
of the rest may improve. `docs/reference/errors.md` lists every reason.
"""

from __future__ import annotations


class Error(Exception):
    """What is wrong (one sentence, no full stop), what was seen, and one way on.

    `evidence` are the values, paths or calls that were seen, a line each; `hint` is one sentence
    with, where there is one, a command in backticks that can be pasted.
    """

    exit_code = 125

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        evidence: tuple[str, ...] = (),
        hint: str = "",
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.evidence = evidence
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(Error):
    """The command line asks for what is not there or cannot be."""

    exit_code = 2


class EvidenceError(Error):
    """What the failed build left does not allow what was asked."""


class DerivationSyntaxError(EvidenceError):
    """The text of a derivation ends or goes on in a way that Nix never writes.

    `offset` counts bytes from the start of the text.
    """

    def __init__(self, message: str, *, offset: int, path: str = "") -> None:
        subject = f"`{path}`" if path else "the text"
        super().__init__(
            f"{subject} is not a derivation: {message} at byte {offset}",
            reason="derivation-syntax",
            hint="if `nix derivation show` can read it, report it as a bug, with that file",
        )
        self.detail = message
        self.offset = offset


class MachineError(Error):
    """This machine does not allow what was asked."""


OUT_OF_DESCRIPTORS = (23, 24)
"""ENFILE, EMFILE"""


def too_many_open_files(seen: str) -> MachineError:
    """What every layer has to say when it gets no descriptor; `seen` is the call or the path."""
    return MachineError(
        "too many files are open",
        reason="too-many-open-files",
        evidence=(seen,),
        hint="`ulimit -n 1024` allows more in this shell",
    )


OUT_OF_SPACE = (28, 122)
"""ENOSPC, EDQUOT"""


def stdout_unwritable(error: OSError) -> MachineError:
    """What every layer has to say when standard output does not take what is written to it."""
    return MachineError(
        "standard output cannot be written",
        reason="stdout-unwritable",
        evidence=(error.strerror or str(error),),
        hint="`df -h` shows the file systems" if error.errno in OUT_OF_SPACE else "",
    )


class StepFailed(MachineError):  # noqa: N818  says what happened, as a caller reads it
    """The kernel refused one step of the plan.

    `index` counts the plan's steps from 0; `call` is the call as strace would show it.
    """

    def __init__(
        self, *, index: int, total: int, call: str, errno: int, strerror: str, hint: str = ""
    ) -> None:
        super().__init__(
            f"step {index + 1} of {total} was refused",
            reason="step-failed",
            evidence=(f"{call} = {strerror}",),
            hint=hint,
        )
        self.index = index
        self.call = call
        self.errno = errno


class CommandError(Error):
    """The command inside cannot be run: `exit_code` is 126 (not runnable) or 127 (not found)."""

    exit_code = 127
