"""`nbs console [BUILD]`: Jupyter's console, whose cells run in the sandbox of a failed build."""

from __future__ import annotations

import os

import sandbox
from sandbox.cli import jupyter, speak
from sandbox.cli.parser import Parser

EPILOG = """\
examples:
  nbs console          in the newest failure
  nbs console hello    in the newest of that name
"""


def command(argv: list[str]) -> int:
    """Find the build, and go on as Jupyter's console with a kernel in it."""
    made = Parser(
        prog="nbs console",
        description="Jupyter's console in the sandbox of a failed build.",
        epilog=EPILOG,
    )
    made.add_argument("build", nargs="?", default="", metavar="BUILD")
    made.add_argument("--store", default="", metavar="STORE")
    asked = made.parse_args(argv)
    found = os.path.abspath(sandbox.find_build(asked.build, store=asked.store))
    program = jupyter.require("jupyter-console")
    jupyter.require_kernel(program)
    if not asked.build:
        speak.say(f"the newest failed build: {found}")
    store = ["--store", os.path.abspath(asked.store)] if asked.store else []
    # Behind `--` are the words of the kernel's own command line.
    jupyter.become(program, "--kernel", jupyter.KERNEL, "--", *store, found)
