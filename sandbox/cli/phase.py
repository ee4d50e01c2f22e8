"""`nbs phase [BUILD] [NAME…]`: phases of a failed build again, in its sandbox."""

from __future__ import annotations

import fcntl
import os
import shlex
import sys

import sandbox
from sandbox import Value
from sandbox.cli import arguments, speak
from sandbox.cli.entering import log_of, prepare
from sandbox.cli.finding import find
from sandbox.cli.shell import unknown_option
from sandbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox import BuildLog, Case

USAGE = """\
usage: nbs phase [OPTIONS] [BUILD [NAME…] [OPTIONS OF THE WORD] [VARIABLE=VALUE…]]

Run phases of a failed build again in its sandbox, as the build ran them; without a NAME, the one
that failed. Each run begins with what was kept. It is the word `phase` of the shell inside.

  nbs phase                              the failing phase of the newest failure
  nbs phase hello checkPhase doCheck=1   with a variable set
  nbs phase hello --list                 the phases, what each is, and which one failed
  nbs phase hello --from buildPhase      that one and all that follow
  nbs phase --clean hello checkPhase     all of them up to that one, in an empty directory

Behind BUILD:
  --from NAME, --until NAME   a range of phases; from the failing one, if only the end is named
  --all                       from the first one, up to NAME, else to the one that failed
  --failing, --list           the failing phase (what is done anyway); what there is
  --trace[=FILE]              each command with file and line, in FILE of this machine or on stderr
  --trace-fd N                the same on descriptor N of the caller
  -j N                        N jobs at once; -j1 builds, tests and installs one thing at a time
  --debug-libs                which libraries were looked for, by whom, and where
Before it, --clean (begin with an empty directory, as the build did) and the options of
`nix-build-shell`; `--help`.

exit status: that of the phase; else as `nix-build-shell`.
"""


CLEAN = "--clean"
WITH_VALUE = ("--from", "--until", "-j")
"""Options of the word `phase` that take the next argument."""

FLAGS = ("--all", "--debug-libs", "--failing", "--list", "--trace")
WITH_VALUE_BEHIND = ("--from=", "--until=", "-j")
OTHERS_FOLLOW = ("unpackPhase", "patchPhase", "configurePhase", "buildPhase", "checkPhase")
"""Phases that are the last one only where a recipe says what `phases` there are."""

TRACE_TO, TRACE_FD = "--trace", "--trace-fd"


class Asked(Value):
    """The command line, read. `words` are for the word `phase`, the rest says where it is run.

    `trace` is an option that says where a trace goes, and its value; empty without one.
    """

    given: arguments.Arguments
    build: str
    words: tuple[str, ...]
    clean: bool
    trace: tuple[str, ...] = ()


def command(argv: list[str]) -> int:
    """Parse, find the build, run."""
    asked = parse(argv)
    if asked.given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    found = find(asked.build, asked.given.get("--store"))
    case, request = prepare(asked.given, found, ())
    log = log_of(case)
    request = sandbox.with_log(request, log)
    request = request.replace(phase_words=asked.words)
    traced = _trace(asked)
    if traced >= 0:
        # It goes in by the place of standard input, of which phases have none; a terminal of the
        # sandbox's own would take that place.
        words = (*asked.words, "--trace-fd", "0")
        request = request.replace(interactive=False, phase_words=words)
    described = sandbox.describe_phases(case, request, clean=asked.clean)
    stdio = (max(traced, 0), 1, 2)
    status = sandbox.enter(described, say=speak.say, progress=speak.progress(), stdio=stdio)
    if status == 0 and not asked.clean and asked.words in ((), ("--failing",), (request.phase,)):
        store = asked.given.get("--store")
        where = (*(("--store", store) if store else ()), found)
        speak.say(_passed(request.phase, where, _not_taken(case, log)))
    return status


def _passed(phase: str, where: tuple[str, ...], not_taken: str) -> str:
    """What is said where the failing phase passes by itself, with nothing changed."""
    what = phase or "what failed"
    by = f"by chance, or by what is missing here; `{shlex.join(('nbs', 'phase', CLEAN, *where))}`"
    before = "runs all that comes before it as well"
    if not_taken:
        last = "if it was the last, " if phase else ""
        return sandbox.one_line(
            f"{what} has passed here, and the log names nothing in it that failed: {last}Nix may "
            f"not have taken what was made ({not_taken}); else it failed {by} {before}"
        )
    return sandbox.one_line(f"{what} has passed here, and failed in the build: {by} {before}")


def _not_taken(case: Case, log: BuildLog | None) -> str:
    """Why Nix may have refused what the builder made when it ended well; empty if it did not.

    Nix: `registerOutputs`, `checkOutputs`. It says so itself, and not in the log.
    """
    derivation = case.nix.derivation
    if derivation is None or log is None or log.error is not None:
        return ""
    failed = log.ending is not None and log.ending.kind != "hash-mismatch"
    if failed or (log.failing_phase in OTHERS_FOLLOW and not derivation.get("phases")):
        return ""
    if derivation.fixed_output:
        return "no output, or one of another hash than the recipe says"
    return "no output, or a reference in it that the recipe does not allow"


def _trace(asked: Asked) -> int:
    """The descriptor for the trace; -1 if it is not to go anywhere else than to stderr.

    Raises `UsageError` (`option-value`, `trace-refused`).
    """
    if not asked.trace:
        return -1
    option, value = asked.trace
    if option == TRACE_TO:
        try:
            return os.open(value, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(
                f"`{value}` cannot be written",
                reason="trace-refused",
                evidence=(error.strerror or str(error),),
                hint="`nbs phase --trace=/tmp/FILE`",
            ) from None
    try:
        access = fcntl.fcntl(int(value), fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError, OverflowError):
        access = os.O_RDONLY
    if access == os.O_RDONLY:
        raise UsageError(
            f"no descriptor `{value}` is open to be written",
            reason="option-value",
            hint="`nbs phase --trace-fd 3 BUILD 3>FILE`",
        )
    return int(value)


def parse(argv: list[str]) -> Asked:
    """Options of entering and of the word may stand anywhere; the first word that is none is BUILD.

    Raises `UsageError` as `arguments.parse` does; the word tells of what is wrong with its own.
    """
    entering: list[str] = []
    words: list[str] = []
    build: str | None = None
    trace: tuple[str, ...] = ()
    rest = [word for word in argv if word != CLEAN]
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if name in (*arguments.FLAGS, "-h"):
            entering.append(word)
        elif name in arguments.WITH_VALUE:
            entering += [word, *([] if equals else rest[:1])]
            rest = rest if equals else rest[1:]
        elif name == TRACE_FD or word.startswith(f"{TRACE_TO}="):
            value = word.partition("=")[2] if equals else "".join(rest[:1])
            rest = rest if equals else rest[1:]
            trace = (name, value)
        elif word in WITH_VALUE:
            words += [word, *rest[:1]]
            rest = rest[1:]
        elif word.startswith("-"):
            if word not in FLAGS and not word.startswith(WITH_VALUE_BEHIND):
                raise unknown_option(word, "nbs phase")
            words.append(word)
        elif build is not None:
            words.append(word)
        else:
            build = word
    given = arguments.parse(entering, "nbs phase")
    return Asked(
        given=given, build=build or "", words=tuple(words), clean=CLEAN in argv, trace=trace
    )
