"""`python -m nbs_kernel -f CONNECTION_FILE [--store STORE] [BUILD]`: what Jupyter starts."""

from __future__ import annotations

import os
import sys

from nbs_kernel.connection import read_connection
from sandbox import Error, Value

USAGE = """\
usage: python -m nbs_kernel -f CONNECTION_FILE [--store STORE] [BUILD]

A Jupyter kernel in the sandbox of a failed Nix build. Jupyter starts it:

  jupyter console --kernel nbs                the newest failure of this machine
  jupyter console --kernel nbs hello          the newest of that name
  NBS_BUILD=/tmp/nix-build-hello.drv-0 jupyter lab

BUILD is a kept directory, a .drv or a name. Without one, NBS_WS=NAME goes on in a workspace that a
shell or a kernel left: `nbs ws ls`.
"""


class Asked(Value):
    """The command line, read."""

    connection_file: str = ""
    store: str = ""
    build: str = ""
    workspace: str = ""
    help: bool = False


def main(argv: list[str]) -> int:
    """Serve; the exit status."""
    try:
        asked = parse(argv, os.environ.get("NBS_BUILD", ""), os.environ.get("NBS_WS", ""))
        if asked.help:
            sys.stdout.write(USAGE)
            return 0
        return _serve(asked)
    except Error as error:
        lines = [f"error: {error.message}", *(f"  {line}" for line in error.evidence)]
        lines += [f"hint: {error.hint}"] if error.hint else []
        sys.stderr.write("\n".join(lines) + "\n")
        return error.exit_code


def _serve(asked: Asked) -> int:
    connection = read_connection(asked.connection_file)
    # Before the rest is imported: a client that connects meanwhile waits, and does not try again.
    listening = connection.listen()
    from nbs_kernel.supervisor import Supervisor  # noqa: PLC0415

    try:
        return Supervisor(connection, listening, asked.store).run(asked.build, asked.workspace)
    finally:
        connection.remove_sockets()


def parse(argv: list[str], build: str, workspace: str = "") -> Asked:
    """`build` and `workspace` are those of the environment. Raises `Error` (`usage`)."""
    asked = Asked(build=build, workspace=workspace)
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            return Asked(help=True)
        if word in ("-f", "--store"):
            if not words:
                raise _wrong(f"`{word}` needs a value")
            field = "connection_file" if word == "-f" else "store"
            asked = asked.replace(**{field: words.pop(0)})
        elif word.startswith("-") and word != "--":
            raise _wrong(f"there is no option `{word}`")
        elif word != "--":
            asked = asked.replace(build=word, workspace="")
    if not asked.connection_file:
        raise _wrong("`-f CONNECTION_FILE` is missing")
    return asked


def _wrong(message: str) -> Error:
    return Error(
        message, reason="usage", hint="`jupyter console --kernel nbs` starts it", exit_code=2
    )
