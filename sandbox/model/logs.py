"""A build's log: its phases, how it ended, and the first error that explains the end.

Reads the log as Nix stores it (what the builder wrote, with the `@nix` lines of stdenv) and what a
terminal showed of a build (then with Nix's own lines). Only commands that read logs import this, so
it may use what is slow to import. Any text gives a `BuildLog`.
"""

from __future__ import annotations

import json
import re

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINES = 300_000
MOST_PHASES = 1000
LONGEST_LINE = 4000
CONTEXT_BEFORE = 4
CONTEXT_AFTER = 6

_LONGEST_TRACEBACK = 200
_LONGEST_RAW = 4 * LONGEST_LINE
_REDRAWS = 20
_NEAR = 40
_SIGNALLED = 128
_KILLED = 137

_HEADERS = {
    "unpacking sources": "unpackPhase",
    "patching sources": "patchPhase",
    "configuring": "configurePhase",
    "building": "buildPhase",
    "running tests": "checkPhase",
    "installing": "installPhase",
    "post-installation fixup": "fixupPhase",
    "running install tests": "installCheckPhase",
}
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
# Controls, and what turns the direction of writing around.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_QUOTED = re.compile(r"(?:\s*> |[\w.+-]{1,200}> )")


class Phase(Value):
    """A phase and its lines, numbered as in `BuildLog.lines` from 1. Empty: `last` is `first` - 1."""

    name: str
    first: int
    last: int


class Ending(Value):
    """How the build ended, as far as the log tells.

    `kind`: "exit" (`code` is the builder's status), "signal" (`code` is its number), "killed" (by
    SIGKILL, mostly for want of memory), "timeout" (`code` is in seconds), "no-space",
    "hash-mismatch". `code` is None where the log does not say it. `text` is line `line`.
    """

    kind: str
    code: int | None
    line: int
    text: str


class LogError(Value):
    """The error that explains the failure: line `line`, and `context`, lines from `first` on.

    `kind` is one of the words in the table `_CAUSES`, or "consequence": nothing better was found.
    """

    kind: str
    line: int
    text: str
    first: int
    context: tuple[str, ...]


class BuildLog(Value):
    """A log as a person would read it: no `@nix` lines, colours, or redrawn lines.

    `failing_phase` is the last one, empty if the log names none. `cut`: the beginning is left out.
    """

    lines: tuple[str, ...]
    phases: tuple[Phase, ...]
    failing_phase: str
    ending: Ending | None
    error: LogError | None
    cut: bool

    def last_lines(self, count: int) -> tuple[str, ...]:
        """The end of the log, at most `count` lines, empty ones at the very end left out."""
        end = len(self.lines)
        while end and not self.lines[end - 1].strip():
            end -= 1
        return self.lines[max(end - count, 0) : end]


def read_log(text: str) -> BuildLog:
    """What a log says."""
    start = _start(text)
    lines: list[str] = []
    marks: list[tuple[str, int]] = []
    for raw in text[start:].removesuffix("\n").split("\n") if text[start:] else ():
        phase = _set_phase(raw)
        if phase is None:
            lines.append(shown(raw))
        elif phase:
            marks.append((phase, len(lines) + 1))
    phases = _phases(marks, lines)
    scope = range(phases[-1].first - 1 if phases else 0, len(lines))
    return BuildLog(
        lines=tuple(lines),
        phases=phases,
        failing_phase=phases[-1].name if phases else "",
        ending=_ending(lines, scope),
        error=_error(lines, scope),
        cut=start > 0,
    )


def _start(text: str) -> int:
    """Where the last MOST_LINES lines begin."""
    at = len(text)
    for _ in range(MOST_LINES):
        at = text.rfind("\n", 0, at)
        if at < 0:
            return 0
    return at + 1


def shown(raw: str) -> str:
    """A line as a terminal shows it in the end: without colours, redrawn after each CR.

    >>> shown("\\x1b[1m10%\\x1b[0m\\r100%\\r\\n".removesuffix("\\n"))
    '100%'
    """
    line = ""
    for drawn in raw[-_LONGEST_RAW:].rsplit("\r", _REDRAWS):
        plain = _UNSEEN.sub("", _ESCAPE.sub("", drawn))
        erases = "\x1b[K" in drawn or "\x1b[2K" in drawn
        line = plain if erases else plain + line[len(plain) :]
    return line[:LONGEST_LINE].rstrip()


def _set_phase(raw: str) -> str | None:
    """The phase that an `@nix` line sets, empty for another such line, None for any other line.

    Nix: `handleJSONLogMessage`, which shows a line that it cannot read.
    """
    if not raw.startswith("@nix ") or len(raw) > _LONGEST_RAW:
        return None
    try:
        message = json.loads(raw[5:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("action"), str):
        return None
    phase = message.get("phase")
    return shown(phase) if message["action"] == "setPhase" and isinstance(phase, str) else ""


def _phases(marks: list[tuple[str, int]], lines: list[str]) -> tuple[Phase, ...]:
    """From the `@nix` lines, else from `Running phase:`, else from the titles of older stdenvs."""
    for found in (marks, _titled(lines), _headed(lines)):
        if found:
            kept = found[-MOST_PHASES:]
            ends = [first - 1 for _, first in kept[1:]] + [len(lines)]
            return tuple(
                Phase(name=name, first=first, last=end)
                for (name, first), end in zip(kept, ends, strict=True)
            )
    return ()


def _titled(lines: list[str]) -> list[tuple[str, int]]:
    title = "Running phase: "
    found = (
        (_QUOTED.sub("", line, count=1), n) for n, line in enumerate(lines, 1) if title in line
    )
    return [(line.removeprefix(title), n) for line, n in found if line.startswith(title)]


def _headed(lines: list[str]) -> list[tuple[str, int]]:
    return [(_HEADERS[line], n) for n, line in enumerate(lines, 1) if line in _HEADERS]


_ENDINGS = (
    ("timeout", re.compile(r"timed out after (\d{1,9}) seconds")),
    ("hash-mismatch", re.compile(r"hash mismatch in fixed-output derivation")),
    ("no-space", re.compile(r"No space left on device|lack of free disk space")),
    ("signal", re.compile(r"failed due to signal (\d{1,3})")),
    ("exit", re.compile(r"\bfailed (?:in \S+ )?with exit code (\d{1,3})")),
    ("exit", re.compile(r"\*\*\* .*\bError (\d{1,3})$")),
    ("killed", re.compile(r"(?:^|\s)Killed(?:$|\s+signal terminated)")),
)


def _ending(lines: list[str], scope: range) -> Ending | None:
    """The most telling of the last lines; the table is in that order."""
    best: Ending | None = None
    rank = len(_ENDINGS)
    for index in reversed(scope):
        for place, (kind, pattern) in enumerate(_ENDINGS[:rank]):
            if match := pattern.search(lines[index]):
                code = int(match[1]) if pattern.groups else None
                best, rank = _named(kind, code, index + 1, lines[index]), place
                break
        if rank == 0:
            break
    return best


def _named(kind: str, code: int | None, line: int, text: str) -> Ending:
    """A shell and make give 128 and a signal's number for a program that a signal ended."""
    if kind == "exit" and code is not None and code > _SIGNALLED and "***" in text:
        kind, code = "signal", code - _SIGNALLED
    if (kind, code) in (("signal", _KILLED - _SIGNALLED), ("exit", _KILLED)):
        kind = "killed"
    return Ending(kind=kind, code=code, line=line, text=text)


# Surely a cause: the first one counts.
_CAUSES = (
    ("no-space", r"No space left on device"),
    ("memory", r"[Cc]annot allocate memory|virtual memory exhausted|\bout of memory\b"),
    ("compiler", r"^[^\s:][^:]*:\d+(?::\d+)?(?:-\d+)?: (?:fatal )?[Ee]rror\b"),
    ("compiler", r"^[^\s:(]+\(\d+(?:,\d+)?\): (?:fatal )?error\b"),
    ("compiler", r"^error(?:\[E\d+\])?: "),
    ("compiler", r"^[^\s:]+\.go:\d+:\d+: "),
    (
        "compiler",
        r"^(?:\S*/)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|cc1|cc1plus): (?:fatal )?error: ",
    ),
    ("linker", r"undefined reference to |\bld(?:\.\w+)?: .*(?:cannot find|undefined symbol)"),
    ("make", r"^g?make(?:\[\d+\])?: \*\*\* (?!.*\bError \d+$)(?!.*Waiting for unfinished)"),
    ("make", r"^[^\s:]+:\d+: \*\*\* "),
    ("cmake", r"^CMake Error\b"),
    ("meson", r"meson\.build:\d+:\d+: ERROR: "),
    ("configure", r"^(?:\S*/)?configure: error: "),
    ("interpreter", r"\bbad interpreter\b"),
    ("patch", r"^(?:Hunk #\d+|\d+ out of \d+ hunks?) FAILED\b"),
    ("panic", r"\bpanicked at |^panic: "),
    ("test", r"^(?:FAILED \S+(?:::| - )|FAIL: \S|--- FAIL: |not ok \d+(?!.*# (?:TODO|SKIP)))"),
    ("crash", r"\bSegmentation fault\b|\bIllegal instruction\b|\bBus error\b"),
    ("hash-mismatch", r"hash mismatch in fixed-output derivation"),
)
# Often harmless, so the one that counts is near the end.
_SUSPECTS = (
    ("command-not-found", r"(?:: command not found|: not found)$"),
    ("missing-file", r": No such file or directory$"),
    ("permission", r": (?:Permission denied|Operation not permitted|Read-only file system)$"),
    ("network", r"[Cc]ould not resolve host|name resolution|Network is unreachable"),
    ("other", r"\b(?:[Ee]rror|ERROR|[Ff]atal|FATAL)(?: \w+)?: |^(?:ERROR|npm ERR!|Error)\b"),
)
# What follows from an error before it.
_CONSEQUENCES = re.compile(
    r"\*\*\* .*\bError \d+$|\bWaiting for unfinished jobs|^ninja: build stopped|^FAILED: "
    r"|^collect2: error: ld returned|warnings being treated as errors|: error: linker command failed"
    r"|^error: (?:could not compile|aborting due to|build failed|subprocess-exited-with-error)"
)
# Nix's own lines, and stdenv's: they tell that, not why.
_OF_NIX = re.compile(
    r"builder for '.*' failed|\bfailed to build$|^error: (?:build|Build|Cannot build) |^Reason: builder"
    r"|\bbuild for .* failed in \S+ with exit code|^note: keeping build directory"
)
_HARMLESS = re.compile(
    r"^\s*(?:[Cc]hecking |[Ll]ooking |-- )|^\++ |^(?:PASS|XFAIL|SKIP)\b|^ok \d|\.\.\. ok$|\(ignored\)$"
    r"|\b(?:0|no) (?:errors?|fail)|\berrors?[:=] ?0\b|Exception ignored in"
    r"|^(?:\S*/)?(?:\w+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ld|ar|libtool|sh|bash|rustc|install) "
)
_WARNING = re.compile(r"\b[Ww]arning: |^WARNING\b")
_IS_ERROR = re.compile(r"\berror: ")
_IGNORED = re.compile(r"^g?make(?:\[\d+\])?: (?:\*\*\* )?\[.*\] Error \d+ \(ignored\)$")
_CAUSE = tuple((kind, re.compile(pattern)) for kind, pattern in _CAUSES)
_SUSPECT = tuple((kind, re.compile(pattern)) for kind, pattern in _SUSPECTS)
# One quick look at each line; the tables are for those few that pass.
_WORTH_A_LOOK = re.compile(
    r"[Ee]rror|ERR|[Ff]atal|FATAL|FAIL|No such|not found|\*\*\*|[Cc]annot|undefined|denied|mismatch"
    r"|No space|memory|panic|Traceback|Segm|Illegal|Bus |not ok|resol|permitted|Read-only|unreach"
    r"|\.go:|interpreter|exhausted|stopped|unfinished"
)


def _error(lines: list[str], scope: range) -> LogError | None:
    """The first sure cause; else the suspect near the first consequence or the end."""
    causes: list[tuple[str, int]] = []
    suspects: list[tuple[str, int]] = []
    consequences: list[int] = []
    for kind, index in _candidates(lines, scope):
        if kind == "ignored":
            causes, suspects = [], []
        elif kind == "consequence":
            consequences.append(index)
        elif any(kind == name for name, _ in _SUSPECTS):
            suspects.append((kind, index))
        else:
            causes.append((kind, index))
    if causes:
        return _described(lines, scope, *causes[0])
    end = consequences[0] if consequences else _last(lines, scope)
    before = [suspect for suspect in suspects if suspect[1] <= end] or suspects
    if before:
        near = [suspect for suspect in before if suspect[1] > end - _NEAR]
        ended_by = before[-1][1] == end or not near
        return _described(lines, scope, *(before[-1] if ended_by else near[0]))
    return _described(lines, scope, "consequence", consequences[0]) if consequences else None


def _last(lines: list[str], scope: range) -> int:
    """The last line that says something and is not Nix's."""
    for index in reversed(scope):
        if lines[index].strip() and not _OF_NIX.search(lines[index]):
            return index
    return scope.stop - 1


def _candidates(lines: list[str], scope: range) -> Iterator[tuple[str, int]]:
    after = scope.start
    for index in scope:
        if index >= after and _WORTH_A_LOOK.search(lines[index]):
            line = _QUOTED.sub("", lines[index], count=1) if ">" in lines[index] else lines[index]
            if line.lstrip().startswith("Traceback (most recent call last)"):
                after = _end_of_traceback(lines, index, scope.stop)
                if not (index and "Exception ignored" in lines[index - 1]):
                    yield "traceback", after - 1
            elif kind := _kind(line):
                yield kind, index


def _kind(line: str) -> str:
    if _IGNORED.search(line):
        return "ignored"
    if _OF_NIX.search(line) or _HARMLESS.search(line):
        return ""
    if _CONSEQUENCES.search(line):
        return "consequence"
    if _WARNING.search(line) and not _IS_ERROR.search(line):
        return ""
    return next((kind for kind, pattern in (*_CAUSE, *_SUSPECT) if pattern.search(line)), "")


def _end_of_traceback(lines: list[str], start: int, stop: int) -> int:
    """Behind the line that names the exception: the first that is not further in than the title."""
    margin = len(lines[start]) - len(lines[start].lstrip())
    for index in range(start + 1, min(start + _LONGEST_TRACEBACK, stop)):
        line = lines[index]
        if line.strip() and not line[margin : margin + 1].isspace():
            return index + 1
    return start + 1


def _described(lines: list[str], scope: range, kind: str, index: int) -> LogError:
    first = index
    if kind == "traceback":
        while first > scope.start and not lines[first].lstrip().startswith("Traceback"):
            first -= 1
    first = max(min(first, index - CONTEXT_BEFORE), scope.start)
    return LogError(
        kind=kind,
        line=index + 1,
        text=lines[index],
        first=first + 1,
        context=tuple(lines[first : min(index + CONTEXT_AFTER + 1, scope.stop)]),
    )
