"""Attributes that were tried in a kept workspace: with them the word `phase` has ended well.

    WORKSPACE/attributes    JSON: name, value, and how `phase` was called besides; the newest last

They are what somebody inside has said, and are never acted upon: they are shown, and `nbs verify`
gives them to a build in a sandbox.
"""

from __future__ import annotations

import json
import os
import re

from sandbox.model.recipe import Attribute
from sandbox.workspace.files import Replacement, read_bounded
from sandbox.workspace.kept import ATTRIBUTES
from sandbox.workspace.ladder import OPEN_DIRECTORY

MOST = 50
LONGEST_VALUE, LONGEST_CALL = 65536, 200
LARGEST = 8 << 20
_SETTING = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)=(.*)", re.DOTALL)


def note(path: str, words: tuple[str, ...]) -> None:
    """Keep the settings among the words that `phase` was called with, in the workspace at `path`.

    Raises OSError.
    """
    found = [match for word in words if (match := _SETTING.fullmatch(word))]
    call = " ".join(word for word in words if not _SETTING.fullmatch(word))[:LONGEST_CALL]
    new = {
        match[1]: Attribute(name=match[1], value=match[2], tried=call)
        for match in found
        if len(match[2]) <= LONGEST_VALUE and "\0" not in match[2]
    }
    if not new:
        return
    kept = [one for one in noted(path) if one.name not in new]
    texts = [[one.name, one.value, one.tried] for one in (*kept, *new.values())][-MOST:]
    directory = os.open(path, OPEN_DIRECTORY)
    try:
        with Replacement(ATTRIBUTES, directory) as file:
            file.write(json.dumps(texts))
    finally:
        os.close(directory)


def noted(path: str) -> tuple[Attribute, ...]:
    """Those of the workspace at `path`, the newest last."""
    try:
        directory = os.open(path, OPEN_DIRECTORY)
    except OSError:
        return ()
    try:
        texts = json.loads(read_bounded(ATTRIBUTES, directory, LARGEST))
        return tuple(Attribute(name=str(n), value=str(v), tried=str(t)) for n, v, t in texts)
    except (OSError, ValueError, TypeError):
        return ()
    finally:
        os.close(directory)
