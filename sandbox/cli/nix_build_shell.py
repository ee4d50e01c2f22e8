"""`nix-build-shell BUILD_DIR [COMMAND [ARG…]]`: one command in the sandbox of a failed build."""

from __future__ import annotations

import sys

from sandbox.cli import arguments, speak
from sandbox.cli.entering import enter
from sandbox.errors import UsageError

USAGE = """\
usage: nix-build-shell [OPTIONS] BUILD_DIR [COMMAND [ARG…]]

Run COMMAND in the sandbox of the failed Nix build that left BUILD_DIR, or a shell there.
What was kept is not changed: COMMAND works on a private view of it, which goes when it ends.

  nix-build-shell /tmp/nix-build-hello-1.0.drv-0              a shell where the build failed
  nix-build-shell /tmp/nix-build-hello-1.0.drv-0 make check   one command; its exit status
  nix-build-shell . bash -c 'env | sort'                      from inside the directory

options:
  --derivation DRV   the derivation that was built, where it cannot be found
  --profile VERSION  the Nix whose sandbox is made, as 2.18.1 or lix-2.94
  --store STORE      the store of the build, if it is not /nix/store, as for `nix --store`
  --inputs rw        input paths are writable, as in Nix, where the host's modes allow it
  --whole-store      show the whole store instead of the build's inputs
  --sandboxed        make a sandbox although the build had none
  --unsandboxed      show the host's files (read-only) and network to a build that had no sandbox
  --copy             copy what was kept, even where an overlay would do
  --with-tool NAME   a program of the host, run as `tool NAME …`; more than once for more
  --help, --version

exit status: COMMAND's; 128+N if signal N ended it; 125 the sandbox cannot be made;
126 COMMAND cannot be run; 127 COMMAND is not there; 2 wrong usage.
`nbs` does more: `nbs ls` finds kept builds, `nbs plan` shows the sandbox, `nbs doctor` tries the
machine.
"""


def main() -> None:
    """The entry point of the command."""
    speak.run(command)


def command(argv: list[str]) -> int:
    """Parse, enter, and hand the status through."""
    given = arguments.parse(argv, "nix-build-shell")
    if given.has("--help") or given.has("--version"):
        return _answer(USAGE if given.has("--help") else "")
    words = given.rest[given.rest[:1] == ("--",) :]
    if not words or not words[0]:
        # An empty word is a variable that is not set, and not the current directory.
        raise UsageError(
            "the build directory is an empty word" if words else "no build directory was named",
            reason="build-missing",
            hint="`nix-build-shell BUILD_DIR`; `nbs ls` lists those of this machine",
        )
    return enter(given, words[0], words[1:])


def _answer(text: str) -> int:
    """Print `text`, else the version. A command that is run pays nothing for that."""
    from sandbox import VERSION
    from sandbox.cli import output

    output.tell_apart()
    sys.stdout.write(text or f"nix-build-shell {VERSION}\n")
    return 0


if __name__ == "__main__":
    main()
