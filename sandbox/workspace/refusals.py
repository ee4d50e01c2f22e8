"""What the kernel's refusals mean for a writable copy, as errors that a person can act on."""

from __future__ import annotations

import errno

from sandbox.errors import OUT_OF_DESCRIPTORS, MachineError, too_many_open_files


def refusal(error: OSError, place: str) -> MachineError:
    """The error to raise when work below the directory `place` ended with `error`."""
    number = error.errno
    seen = f"`{error.filename}`: {error.strerror}" if error.filename else f"{error.strerror}"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(
            f"the file system of `{place}` is full",
            reason="disk-full",
            evidence=(seen,),
            hint="`export NBS_STATE_HOME=DIRECTORY` keeps writable copies on another file system",
        )
    if number in OUT_OF_DESCRIPTORS:
        return too_many_open_files(seen)
    return MachineError(
        f"`{place}` cannot be written", reason="workspace-unwritable", evidence=(seen,)
    )
