"""The options of entering a sandbox, read without argparse, which costs more than entering.

nix-build-shell [OPTIONS] BUILD_DIR [COMMAND [ARG…]]
nbs shell       [OPTIONS] [BUILD] [-- COMMAND [ARG…]]
nbs shell       --ws NAME [--fork] [--changed] [-- COMMAND [ARG…]]
nbs build       [OPTIONS] [-- COMMAND [ARG…]]
"""

from __future__ import annotations

from sandbox.errors import UsageError
from sandbox.model.value import Value

FLAGS = (
    "--copy",
    "--help",
    "--sandboxed",
    "--unsandboxed",
    "--version",
    "--whole-store",
)
WITH_VALUE = ("--derivation", "--inputs", "--profile", "--store")
SHORT = {"-h": "--help", "-o": "--output", "-y": "--yes"}
REPEATED = "--with-tool"
"""May stand there more than once; what it names, in order, is in `Arguments.tools`."""
CHOICES = {"--inputs": ("ro", "rw")}


class Arguments(Value):
    """What the command line says: options by name (flags hold ""), then the rest in order."""

    options: dict[str, str]
    rest: tuple[str, ...]
    tools: tuple[str, ...] = ()

    def has(self, flag: str) -> bool:
        return flag in self.options

    def get(self, option: str) -> str:
        return self.options.get(option, "")


def parse_all(
    argv: list[str], command: str, flags: tuple[str, ...], with_value: tuple[str, ...]
) -> Arguments:
    """As `parse`, with options between and behind the other words, which are the rest."""
    given = parse(argv, command, flags, with_value)
    options, words = given.options, []
    while given.rest:
        words.append(given.rest[0])
        given = parse(list(given.rest[1:]), command, flags, with_value)
        options = {**options, **given.options}
    return Arguments(options=options, rest=tuple(words))


def parse(
    argv: list[str],
    command: str,
    flags: tuple[str, ...] = FLAGS,
    with_value: tuple[str, ...] = WITH_VALUE,
) -> Arguments:
    """Options up to the first word that is none; everything behind it is left as it is.

    `flags` are the options without a value that the command has, `with_value` the others.
    Raises `UsageError` (`option-unknown`, `option-value`).
    """
    options: dict[str, str] = {}
    tools: list[str] = []
    words = list(argv)
    while words and words[0].startswith("-") and words[0] not in ("-", "--"):
        name, equals, value = words.pop(0).partition("=")
        name = SHORT.get(name, name)
        if name in flags and not equals:
            options[name] = ""
        elif name in (*with_value, REPEATED):
            if not equals:
                if not words:
                    raise _usage(f"`{name}` wants a value", "option-value", command)
                value = words.pop(0)
            if value not in CHOICES.get(name, (value,)):
                wanted = " or ".join(CHOICES[name])
                raise _usage(f"`{name}` is {wanted}, not `{value}`", "option-value", command)
            if name == REPEATED:
                tools.append(value)
            else:
                options[name] = value
        else:
            raise _usage(f"there is no option `{name}`", "option-unknown", command)
    if options.keys() >= {"--sandboxed", "--unsandboxed"}:
        raise _usage(
            "`--sandboxed` and `--unsandboxed` exclude each other", "option-value", command
        )
    return Arguments(options=options, rest=tuple(words), tools=tuple(tools))


def _usage(message: str, reason: str, command: str) -> UsageError:
    return UsageError(message, reason=reason, hint=f"`{command} --help` lists the options")
