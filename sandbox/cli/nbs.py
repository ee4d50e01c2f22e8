"""`nbs VERB …`: everything that `nix-build-shell` does, and what helps to find and understand it.

Each verb has a file of its own beside this one, and is imported when it is asked for.
"""

from __future__ import annotations

import sys

from sandbox.cli import output, speak
from sandbox.errors import UsageError

VERBS = {
    "build": "a build of yours, and into its sandbox if it fails",
    "shell": "a shell, or one command, in the sandbox of a failed build",
    "cp": "files out of its sandbox, and into it",
    "phase": "phases of a failed build again, as the build ran them",
    "replay": "all its phases up to the failing one, from an empty directory",
    "verify": "does a patch repair it? from the first phase on, or by Nix itself",
    "ls": "the failed builds that were kept on this machine, newest first",
    "show": "all that is known of one",
    "log": "its log: all of it, a phase, the first error, the files it points to",
    "diff": "what was changed in a workspace",
    "patch": "the changes to its sources, as a patch for the recipe",
    "notebook": "a notebook that is filled in from it, in JupyterLab",
    "console": "Jupyter's console in its sandbox",
    "report": "a notebook, run from top to bottom, as HTML",
    "ws": "workspaces: what was changed in a shell, kept; listed, removed",
    "snapshot": "a workspace as it is now, kept to come back to",
    "restore": "a workspace back at a snapshot, or as it was kept",
    "snapshots": "the snapshots of a workspace",
    "plan": "its sandbox as data, each line with the rule behind it",
    "doctor": "what this machine allows, and the remedy for what it does not",
    "demo": "a real failed build to try everything on, even without Nix",
    "kernel": "the Jupyter kernel that lives in the sandbox: installed, listed, removed",
    "completion": "the completion script for bash, zsh or fish",
}

EXAMPLES = """\
examples:
  nbs build -- -A hello        nix-build -A hello, and into what fails
  nbs ls                       which builds failed here
  nbs shell                    into the newest of them
  nbs shell hello -- make -k   one command in the newest that is called hello
  nbs shell --ws hello-1.0     go on where a shell was left
  nbs log hello --errors       the first error of its log
  nbs phase hello              the phase that failed, once more
  nbs notebook hello           a notebook about it, in JupyterLab
  nbs verify hello             what was repaired in it, from the first phase on
  nbs plan hello --calls       the system calls that make its sandbox
  nbs demo                     no failed build at hand? make one

`nbs` alone says what to do next on this machine.
BUILD is a kept directory, a .drv, a name, or left out: the newest.
`nbs VERB --help` tells more about a verb.
"""


def main() -> None:
    """The entry point of the command."""
    speak.run(command)


def usage() -> str:
    """What `nbs --help` prints."""
    width = max(map(len, VERBS))
    listed = "".join(f"  {name:<{width}}  {text}\n" for name, text in VERBS.items())
    return f"usage: nbs VERB [ARG…]\n\n{listed}\n{EXAMPLES}"


def command(argv: list[str]) -> int:
    """Run the verb that the first word names; its exit status."""
    output.tell_apart()
    if not argv:
        from sandbox.cli import next_steps

        sys.stdout.write(next_steps.text())
        return 0
    first = argv[0]
    if first in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return 0
    if first == "--version":
        from sandbox import VERSION

        sys.stdout.write(f"nbs {VERSION}\n")
        return 0
    if first not in VERBS:
        raise UsageError(
            f"there is no verb `{first}`",
            reason="verb-unknown",
            hint="`nbs --help` lists the verbs",
        )
    # A table of names and not of modules: no verb pays for what another imports.
    from importlib import import_module

    verb = import_module(f"sandbox.cli.{first}")
    status: int = verb.command(argv[1:])
    return status


if __name__ == "__main__":
    main()
