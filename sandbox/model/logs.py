"""A build's log: its phases, how it ended, and the first error that explains the end.

Reads the log as Nix stores it (what the builder wrote, with the `@nix` lines of stdenv) and what a
terminal showed of a build (then with Nix's own lines). Only commands that read logs import this, so
it may use what is slow to import. Any text gives a `BuildLog`.
"""

from __future__ import annotations

import json
import re

from sandbox.model.logerrors import LogError, abridged, first_error, unquoted
from sandbox.model.value import Value

MOST_LINES = 300_000
MOST_PHASES = 1000
LONGEST_LINE = 4000

_LONGEST_RAW = 4 * LONGEST_LINE
_REDRAWS = 20
_END_LINES = 500
_SIGNALLED = 128
KILLED_BY = 9
KILLED = _SIGNALLED + KILLED_BY

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
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
# Controls, and what turns the direction of writing around.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Phase(Value):
    """A phase and its lines in `BuildLog.lines`, counted from 1; without any, `last` < `first`."""

    name: str
    first: int
    last: int


class Ending(Value):
    """How the build ended, as far as the log tells.

    `kind`: "exit" (`code` is the builder's status), "signal" (`code` is its number), "killed" (by
    SIGKILL, mostly for want of memory; `code` as the log has it), "timeout" (`code` in seconds),
    "no-space", "hash-mismatch". `code` is None where the log says none. `text` is line `line`.
    """

    kind: str
    code: int | None
    line: int
    text: str


class BuildLog(Value):
    """A log as a person would read it: no `@nix` lines, colours, or redrawn lines.

    A line of more than LONGEST_LINE characters ends in `lines` with a mark that says so; in `whole`
    it has no bound but the log's. `failing_phase` is the last one, empty if the log names none.
    `cut`: the beginning is left out. `of_later_attempt`: than the directory it was looked for with.
    """

    lines: tuple[str, ...]
    whole: tuple[str, ...]
    phases: tuple[Phase, ...]
    failing_phase: str
    ending: Ending | None
    error: LogError | None
    cut: bool
    of_later_attempt: bool = False

    def last_lines(self, count: int) -> tuple[str, ...]:
        """The end of the log, at most `count` lines, empty ones at the very end left out."""
        end = len(self.lines)
        while end and not self.lines[end - 1].strip():
            end -= 1
        return self.lines[max(end - count, 0) : end]


def parse_log(text: str) -> BuildLog:
    """What a log says."""
    start = _start(text)
    whole: list[str] = []
    marks: list[tuple[str, int]] = []
    for raw in text[start:].removesuffix("\n").split("\n") if text[start:] else ():
        phase = _set_phase(raw)
        if phase is None:
            whole.append(whole_line(raw))
        elif phase:
            marks.append((phase, len(whole) + 1))
    lines = list(map(_marked, whole))
    phases = _phases(marks, lines)
    scope = range(phases[-1].first - 1 if phases else 0, len(lines))
    return BuildLog(
        lines=tuple(lines),
        whole=tuple(whole),
        phases=phases,
        failing_phase=phases[-1].name if phases else "",
        ending=_ending(lines, scope),
        error=first_error(lines, scope),
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

    No more than LONGEST_LINE characters of it.

    >>> shown("\\x1b[1m10%\\x1b[0m\\r100%\\r\\n".removesuffix("\\n"))
    '100%'
    """
    return _drawn(raw, _LONGEST_RAW)[:LONGEST_LINE].rstrip()


def whole_line(raw: str) -> str:
    """The same, all of it."""
    return _drawn(raw, None).rstrip()


def _drawn(raw: str, longest: int | None) -> str:
    line = ""
    for drawn in raw.rsplit("\r", _REDRAWS):
        plain = _UNSEEN.sub("", _ESCAPE.sub("", drawn[:longest]))
        erases = "\x1b[K" in drawn or "\x1b[2K" in drawn
        line = plain if erases else plain + line[len(plain) :]
    return line


def _marked(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]}… ({len(line)} characters)"


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
    found = ((unquoted(line), number) for number, line in enumerate(lines, 1) if title in line)
    return [(line.removeprefix(title), n) for line, n in found if line.startswith(title)]


def _headed(lines: list[str]) -> list[tuple[str, int]]:
    return [(_HEADERS[line], n) for n, line in enumerate(lines, 1) if line in _HEADERS]


_ENDINGS = (
    ("timeout", re.compile(r"timed out after (\d{1,9}) seconds")),
    ("hash-mismatch", re.compile(r"hash mismatch in fixed-output derivation")),
    ("no-space", re.compile(r"No space left on device|lack of free disk space")),
    ("signal", re.compile(r"failed due to signal (\d{1,3})")),
    ("exit", re.compile(r"\bfailed (?:in \S+ )?with exit code (\d{1,3})")),
    ("signal", re.compile(r"\*\*\* .*\bError (129|1[3-9]\d)$")),
    ("killed", re.compile(r"(?:^|\s)Killed(?:$|\s+signal terminated)")),
)


def _ending(lines: list[str], scope: range) -> Ending | None:
    """What the last lines tell; the most telling of them, which is first in the table."""
    best: Ending | None = None
    rank = len(_ENDINGS)
    for index in reversed(scope[-_END_LINES:]):
        line = abridged(lines[index])
        for place, (kind, pattern) in enumerate(_ENDINGS[:rank]):
            if match := pattern.search(line):
                code = int(match[1]) if pattern.groups else None
                best, rank = _named(kind, code, index + 1, lines[index]), place
                break
    return best


def _named(kind: str, code: int | None, line: int, text: str) -> Ending:
    """A shell and make give 128 and a signal's number for a program that a signal ended."""
    if kind == "signal" and code is not None and code > _SIGNALLED:
        code -= _SIGNALLED
    if (kind, code) in (("signal", KILLED_BY), ("exit", KILLED)):
        kind = "killed"
    return Ending(kind=kind, code=code, line=line, text=text)
