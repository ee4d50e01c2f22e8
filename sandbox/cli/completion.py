"""`nbs completion SHELL`: the completion script for a shell, to be sourced or installed."""

from __future__ import annotations

import os
import sys

from sandbox.errors import UsageError

FILES = {"bash": "nbs.bash", "zsh": "_nbs", "fish": "nbs.fish"}
USAGE = """\
usage: nbs completion bash|zsh|fish

  source <(nbs completion bash)                                     bash, in ~/.bashrc
  nbs completion zsh > ~/.zfunc/_nbs                                zsh, ~/.zfunc being in fpath
  nbs completion fish > ~/.config/fish/completions/nbs.fish         fish
"""


def command(argv: list[str]) -> int:
    """Print the script."""
    if argv in (["--help"], ["-h"]):
        sys.stdout.write(USAGE)
        return 0
    if len(argv) != 1 or argv[0] not in FILES:
        raise UsageError(
            "which shell is it: bash, zsh or fish?",
            reason="shell-unknown",
            hint="`nbs completion bash`",
        )
    here = os.path.dirname(os.path.abspath(__file__))
    with open(f"{here}/completions/{FILES[argv[0]]}", encoding="utf-8") as file:
        sys.stdout.write(file.read())
    return 0
