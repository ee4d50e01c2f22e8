"""The sources of a workspace, made before it is compared: what it costs and gives is said."""

from __future__ import annotations

import sandbox
from sandbox.cli import speak


def take_sources(kept: sandbox.Kept) -> None:
    """Make them unless they are there. Where they cannot be made one goes on without: it is told.

    Then a few signs tell sources from what the build made, and the kept files are the base of a
    patch, which may not apply where the recipe itself has changed them.
    Raises `MachineError` (`request-stopped`).
    """
    if sandbox.has_sources(kept):
        return
    name = kept.build_name or kept.name
    speak.say(f"unpacking and patching {name} again, to know its source from what the build made")
    try:
        sandbox.take_sources(kept, sandbox.phase_scripts())
    except sandbox.Error as error:
        if error.reason == "request-stopped":
            raise
        speak.say(sandbox.one_line(f"going on without: {error.message} ({error.reason})"))
        for line in error.evidence:
            speak.say(f"  {sandbox.one_line(line)}")
