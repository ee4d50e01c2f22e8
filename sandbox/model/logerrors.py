"""The line of a build's log that says why the build failed.

A table of what compilers, linkers, test runners and shells write, and one rule to choose: the first
line that is surely an error; where there is none, a line that may be one, near the end; and only
then what merely follows from an error. Warnings, command lines and the names of files do not count.
"""

from __future__ import annotations

import re

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT_BEFORE = 4
CONTEXT_AFTER = 6

_LONGEST = 600
_LONGEST_TRACEBACK = 200
_NEAR = 40


class LogError(Value):
    """The error that explains the failure: line `line`, and `context`, lines from `first` on.

    `kind` is one of the words in the table `_CAUSES`, or "consequence": nothing better was found.
    """

    kind: str
    line: int
    text: str
    first: int
    context: tuple[str, ...]

    def marked(self) -> tuple[tuple[str, str], ...]:
        """The lines of `context`, each with its mark: ">" for the error's own, a space else."""
        return tuple(
            (">" if number == self.line else " ", text)
            for number, text in enumerate(self.context, self.first)
        )


# Surely a cause: the first one counts.
_CAUSES = (
    ("no-space", r"No space left on device"),
    ("memory", r"[Cc]annot allocate memory|virtual memory exhausted|\bout of memory\b"),
    ("compiler", r"^[^\s:][^:]*:\d+(?::\d+)?(?:-\d+)?: (?:fatal )?[Ee]rror\b"),
    ("compiler", r"^[^\s:(]+\(\d+(?:,\d+)?\): (?:fatal )?error\b"),
    ("compiler", r"^[^\s:]+:\d+:\d+ - error\b"),
    ("compiler", r"^error(?:\[E\d+\])?: "),
    ("compiler", r"^\[ERROR\] \S+:\[\d+,\d+\] "),
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
    ("configure", r"^(?:checking .*\.\.\. *)?(?:\S*/)?configure: error: "),
    ("interpreter", r"\bbad interpreter\b|cannot execute: required file not found$"),
    ("patch", r"^(?:Hunk #\d+|\d+ out of \d+ hunks?) FAILED\b"),
    ("patch", r"^can't find file to patch at input line \d+"),
    ("patch", r"^Reversed \(or previously applied\) patch detected!(?! +Assuming -R)"),
    ("patch", r"^patch: \*{4} "),
    ("unpack", r"^do not know how to unpack source archive \S"),
    (
        "unpack",
        r"^unpacker (?:produced multiple directories|appears to have produced no directories)$",
    ),
    ("java", r"^\[ERROR\] Failed to execute goal |^Execution failed for task '"),
    ("panic", r"\bpanicked at |^panic: "),
    ("test", r"^E   +\S"),
    ("test", r"^(?:FAILED \S+(?:::| - )|FAIL: \S|--- FAIL: |not ok \d+(?!.*# (?:TODO|SKIP)))"),
    ("crash", r"\bSegmentation fault\b|\bIllegal instruction\b|\bBus error\b"),
    ("crash", r": Assertion [`'\u2018].*['\u2019] failed\.$|^Assertion failed: "),
    ("crash", r"\bAborted +\(core dumped\)"),
    ("crash", r"^terminate called (?:after throwing an instance of|without an active exception)\b"),
    ("reference", r"^(?:RPATH of binary|wrapper script) \S+ contains a forbidden reference to "),
    ("hash-mismatch", r"hash mismatch in fixed-output derivation"),
)
# Often harmless, so the one that counts is near the end.
_SUSPECTS = (
    ("command-not-found", r"(?:: command not found|: not found)$"),
    ("missing-file", r": No such file or directory$"),
    ("permission", r": (?:Permission denied|Operation not permitted|Read-only file system)$"),
    ("network", r"[Cc]ould not resolve host|name resolution|Network is unreachable"),
    ("shell", r": \S+: (?:unbound variable|parameter (?:null or )?not set)$"),
    ("shell", r": syntax error near unexpected token |: syntax error: unexpected end of file$"),
    ("missing-module", r"^Can't locate \S+\.pm in @INC\b"),
    ("other", r"^npm (?:ERR!|error) (?!A complete log of this run)"),
    ("other", r"(?:[Ee]rror|ERROR|[Ff]atal|FATAL)(?: \w+)?: |^(?:ERROR|Error)\b"),
)
# What follows from an error before it.
_CONSEQUENCES = re.compile(
    r"\*\*\* .*\bError \d+$|\bWaiting for unfinished jobs|^ninja: build stopped|^FAILED: "
    r"|^collect2: error: ld returned|: error: linker command failed|treated as errors"
    r"|^error: (?:could not compile|aborting due to|build failed|subprocess-exited-with-error)"
    r"|^BUILD FAILED(?: in \d.*)?$"
)
# Nix's own lines, and stdenv's: they tell that, not why.
_OF_NIX = re.compile(
    r"builder for '.*' failed|\bfailed to build$|^error: (?:[Bb]uild|Cannot build) "
    r"|^Reason: builder|\bbuild for .* failed in \S+ with exit code|^note: keeping build directory"
)
_HARMLESS = re.compile(
    r"^\s*(?:[Cc]hecking (?!.*\.\.\. *(?:\S*/)?configure: error: )|[Ll]ooking |-- )|^\++ "
    r"|^(?:PASS|XFAIL|SKIP)\b|^ok \d|\.\.\. ok$|\(ignored\)$"
    r"|\b(?:0|no) (?:errors?|fail)|\berrors?[:=] ?0\b|Exception ignored in"
    r"|^(?:\S*/)?(?:\w+-){0,4}"
    r"(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ld|ar|libtool|sh|bash|rustc|install) "
)
_WARNING = re.compile(r"\b[Ww]arning: |^WARNING\b")
_IS_ERROR = re.compile(r"\berror: ")
_IGNORED = re.compile(r"^g?make(?:\[\d+\])?: (?:\*\*\* )?\[.*\] Error \d+ \(ignored\)$")
_CAUSE = tuple((kind, re.compile(pattern)) for kind, pattern in _CAUSES)
_SUSPECT = tuple((kind, re.compile(pattern)) for kind, pattern in _SUSPECTS)
_QUOTED = re.compile(r"^(?:\s*|[\w.+-]{1,200})> ")
# One quick look at each line; the tables are for those few that pass.
_WORTH_A_LOOK = re.compile(
    r"[Ee]rror|ERR|^E   |[Ff]atal|FATAL|FAIL|No such|not found|\*\*\*|[Cc]annot|undefined|denied"
    r"|mismatch|No space|memory|panic|Traceback|Segm|Illegal|Bus |not ok|resol|permitted"
    r"|Read-only|unreach|\.go:|interpreter|exhausted|stopped|unfinished|detected!"
    r"|unbound|unexpected|not set|[Cc]an't |unpack|forbidden|Assert|Abort|terminate|Execution"
)


def first_error(lines: list[str], scope: range) -> LogError | None:
    """The first sure cause; else a suspect near the first consequence, or the end; else None.

    `scope` are the indices to look at: the failing phase.
    """
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
            line = abridged(unquoted(lines[index]))
            if line.lstrip().startswith("Traceback (most recent call last)"):
                after = _end_of_traceback(lines, index, scope.stop)
                if not (index and "Exception ignored" in lines[index - 1]):
                    yield "traceback", after - 1
            elif kind := _kind(line):
                yield kind, index


def unquoted(line: str) -> str:
    """Without Nix's mark before a line that it repeats (`> `) or tells apart (`hello> `)."""
    return _QUOTED.sub("", line) if ">" in line else line


def abridged(line: str) -> str:
    """Beginning and end of a long line, so that no pattern takes long on a hostile one."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"


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
