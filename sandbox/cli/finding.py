"""Which build is meant, and what is said of it where the words leave room."""

from __future__ import annotations

import os

import sandbox
from sandbox.cli import speak


def find(build: str, store: str = "") -> str:
    """The kept directory of a build; says which one that is, unless it was named by its path.

    Raises as `sandbox.find_build`.
    """
    found = sandbox.find_build(build, store=store)
    if not build:
        speak.say(f"the newest failed build: {found}")
    elif found != build and os.path.isdir(build) and not os.path.samefile(found, build):
        speak.say(f"`{build}` is the build that was kept as {found}; `./{build}` is the directory")
    return found
