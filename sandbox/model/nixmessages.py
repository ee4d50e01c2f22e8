"""What Nix says of builds that fail, in the words of its releases from 2.0 on and of Lix.

Nix: `DerivationGoal::done`, `BuildError`, `fixupBuilderFailureErrorMessage`, `deleteTmpDir`,
`waiteeDone`, `checkOutputs`; the words changed in 2.4, 2.30 and 2.34. Nothing that is heard here is
believed: what a builder prints can look like Nix's own lines where the two are not told apart.
"""

from __future__ import annotations

import re

from sandbox.model.logs import KILLED, KILLED_BY, shown
from sandbox.model.value import Value

MOST_HEARD = 1000
"""Failures, dependents and directories that one run can have; what comes later is not kept."""
LONGEST_TEXT = 500

_Q = "['\"\u2018\u2019\u201c\u201d]"
_DRV = (
    rf"{_Q}(/[^'\"\u2018\u2019\u201c\u201d\s!^]+\.drv)(?:[!^][^'\"\u2018\u2019\u201c\u201d]*)?{_Q}"
)

_KEPT = (
    re.compile(rf"\bkeeping build directory {_Q}(/.+){_Q}"),
    re.compile(rf"\bbuild directory {_Q}(/.+){_Q} (?:was |has been )?kept\b"),
)
_KEPT_ELSEWHERE = re.compile(r"failed build directory was kept on the remote builder")
_BUILDING = re.compile(
    rf"^building (?:of )?{_DRV}(?: on {_Q}([^'\"\u2018\u2019\u201c\u201d]+){_Q})?"
)
_REMOTE = re.compile(rf"\bbuild of {_DRV} on {_Q}([^'\"\u2018\u2019\u201c\u201d]+){_Q} failed")
_BUILDER = re.compile(rf"\bbuilder for {_DRV} failed(.*)")
_CANNOT = re.compile(rf"\b[Cc]annot build (?:derivation )?{_DRV}")
_REASON = re.compile(r"^\s*Reason: (.*)")
_DEPENDENT = (
    re.compile(rf"\b\d+ dependenc(?:y|ies) of derivation {_DRV} failed to build"),
    re.compile(rf"\b[Cc]annot build derivation {_DRV}: \d+ dependenc"),
)
_TIMEOUT = re.compile(rf"{_DRV}.* timed out after (\d{{1,9}}) seconds( of silence)?")
_TIMEOUT_OF_NONE = re.compile(r"^error: timed out after (\d{1,9}) seconds")
"""From 2.30 on Nix does not say what it was that timed out."""
_WRONG_HASH = re.compile(r"\bhash mismatch in fixed-output derivation\b")
_SYSTEM = re.compile(rf"\bis required to build {_DRV}|\bplatform mismatch for {_DRV}")
_REJECTED = re.compile(
    r"^error: (.*(?:\bcycle detected in (?:build|the references) of"
    r"|\bis not allowed to (?:refer|have)\b|\bis too large at\b"
    r"|\bsuspicious ownership or permission\b|\bhas an unsupported type\b"
    r"|\bmust not reference store paths\b|\billegal path references in\b"
    r"|\bmay not be deterministic\b).*)"
)
_LISTED = re.compile(r"^\s{7,}(/\S+)$")
_GOT = re.compile(r"^\s*got:\s*(\S+)")
_PLAIN_DRV = re.compile(_DRV)
_INTERRUPTED = re.compile(r"\binterrupted by the user\b")
_NO_SPACE = re.compile(r"\black of free disk space\b|\bNo space left on device\b")

_ENDINGS = (
    ("exit", re.compile(r"with exit code (\d{1,3})")),
    ("signal", re.compile(r"due to signal (\d{1,3})")),
    ("timeout", re.compile(r"timed out after (\d{1,9})")),
    ("timeout", re.compile(r"\btimed out\b")),
    ("no-output", re.compile(r"to produce output")),
    ("hash-mismatch", re.compile(r"\bhash mismatch\b")),
    ("dependency", re.compile(r"\bdependenc(?:y|ies)\b.*\bfailed\b")),
    (
        "system",
        re.compile(
            r"\b[Rr]equired (?:system|platform)\b|\brequired features?\b"
            r"|\bplatform mismatch\b|\bmissing system features\b"
        ),
    ),
)


class Failure(Value):
    """A derivation whose own build failed; `derivation` is empty where Nix did not name it.

    `kind`: "exit" (`code` is the builder's status), "signal" (its number), "killed" (by SIGKILL,
    or a status that says so), "timeout" (seconds), "hash-mismatch" (`got` is the hash of what was
    fetched), "no-output", "rejected" (Nix does not take what was made; `text` is why), "system" (it
    cannot be built here), "interrupted", "stopped" (for another's failure), "other". `machine` is
    the remote builder, empty for this one. `kept` is the directory that was named with it.
    """

    derivation: str
    kind: str
    code: int | None = None
    machine: str = ""
    kept: str = ""
    got: str = ""
    text: str = ""


class Report(Value):
    """All that was heard of one run of Nix. `dependents` could not be built for want of another.

    `builds`: kept directories, each with the derivation whose build ended just after it was named.
    """

    failures: tuple[Failure, ...] = ()
    dependents: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    builds: tuple[tuple[str, str], ...] = ()
    kept_elsewhere: bool = False
    interrupted: bool = False
    no_space: bool = False


class Listener:
    """Hears Nix's messages one after another, and can tell at any time what failed so far.

    >>> listener = Listener()
    >>> listener.hear("error: builder for '/nix/store/x-a.drv' failed with exit code 2")
    >>> [(f.derivation, f.kind, f.code) for f in listener.report().failures]
    [('/nix/store/x-a.drv', 'exit', 2)]
    """

    def __init__(self) -> None:
        self._failures: dict[str, Failure] = {}
        self._dependents: dict[str, None] = {}
        self._kept: dict[str, None] = {}
        self._machines: dict[str, str] = {}
        self._running: dict[int, str] = {}
        self._builds: dict[str, str] = {}
        self._not_of_any = self._cannot = self._latest = ""
        self._flags: set[str] = set()
        self._count = 0
        # Directories were named one after another: so many failures are still to come of them, and
        # this is the directory if there was but one.
        self._owed = 0
        self._sole = ""
        self._was_owed = False

    def hear(self, text: str) -> None:
        """A message, of one line or more; colours and anything else may be in it."""
        for line in text.split("\n"):
            self._line(shown(line))

    def builds(self, derivation: str, machine: str, activity: int = 0) -> None:
        """A build begins, on another machine if `machine` is not empty."""
        if machine not in ("", "localhost") and len(self._machines) < MOST_HEARD:
            self._machines[derivation] = machine
        if activity and len(self._running) < MOST_HEARD:
            self._running[activity] = derivation

    def stops(self, activity: int) -> None:
        """An activity ends; if it is a build, what was kept just before is what it has left."""
        derivation = self._running.pop(activity, "")
        if derivation and self._not_of_any:
            self._builds[self._not_of_any] = derivation
            self._not_of_any = ""

    def report(self) -> Report:
        """What was heard so far."""
        kept = {derivation: path for path, derivation in self._builds.items()}
        return Report(
            failures=tuple(
                failure.replace(
                    machine=self._machines.get(failure.derivation, ""),
                    kept=kept.get(failure.derivation, failure.kept),
                )
                for failure in self._failures.values()
            ),
            dependents=tuple(d for d in self._dependents if d not in self._failures),
            kept=tuple(self._kept),
            builds=tuple(self._builds.items()),
            kept_elsewhere="elsewhere" in self._flags,
            interrupted="interrupted" in self._flags,
            no_space="no-space" in self._flags,
        )

    def _line(self, line: str) -> None:
        if kept := next((m for m in (p.search(line) for p in _KEPT) if m), None):
            if len(self._kept) < MOST_HEARD:
                self._kept[kept[1]] = None
                self._not_of_any = kept[1]
                self._names(kept[1])
            return
        for flag, pattern in (
            ("elsewhere", _KEPT_ELSEWHERE),
            ("interrupted", _INTERRUPTED),
            ("no-space", _NO_SPACE),
        ):
            if pattern.search(line):
                self._flags.add(flag)
        for found in (_BUILDING.search(line), _REMOTE.search(line)):
            if found and found[2]:
                self.builds(found[1], found[2])
        if not self._of_several_lines(line):
            self._of_one_line(line)

    def _of_several_lines(self, line: str) -> bool:
        """`Cannot build X.` with its `Reason:` below, and the hash that was got."""
        if dependent := next((m for m in (p.search(line) for p in _DEPENDENT) if m), None):
            self._depends(dependent[1])
        elif cannot := _CANNOT.search(line):
            self._cannot = cannot[1]
            # The message may end here; a reason that follows says more.
            self._fails(cannot[1], "other", None)
        elif (reason := _REASON.search(line)) and self._cannot:
            kind, code = _ending(reason[1])
            if kind == "dependency":
                self._depends(self._cannot)
            else:
                self._fails(self._cannot, kind, code)
        elif (got := _GOT.search(line)) and self._latest in self._failures:
            failure = self._failures[self._latest]
            if failure.kind == "hash-mismatch" and not failure.got:
                self._failures[self._latest] = failure.replace(got=got[1])
        elif (listed := _LISTED.search(line)) and self._latest in self._failures:
            failure = self._failures[self._latest]
            if failure.kind == "rejected" and len(failure.text) < LONGEST_TEXT:
                self._failures[self._latest] = failure.replace(text=f"{failure.text} {listed[1]}")
        else:
            return False
        return True

    def _of_one_line(self, line: str) -> None:
        if builder := _BUILDER.search(line):
            self._fails(builder[1], *_ending(builder[2]))
        elif timeout := _TIMEOUT.search(line):
            self._fails(timeout[1], "timeout", int(timeout[2]))
        elif _WRONG_HASH.search(line):
            named = _PLAIN_DRV.search(line)
            self._fails(named[1] if named else "", "hash-mismatch", None)
        elif system := _SYSTEM.search(line):
            self._fails(system[1] or system[2], "system", None)
        elif timeout := _TIMEOUT_OF_NONE.search(line):
            self._fails("", "timeout", int(timeout[1]))
        elif rejected := _REJECTED.search(line):
            named = _PLAIN_DRV.search(line)
            self._fails(named[1] if named else "", "rejected", None, rejected[1][:LONGEST_TEXT])

    def _names(self, path: str) -> None:
        if not self._owed:
            self._sole = path
        elif path == self._sole:
            return
        else:
            self._sole = ""
        self._owed += 1

    def _takes(self) -> str:
        """The directory that was named just before, if it is the only one that can be meant.

        Of several builds that end at once Nix may name the directories first, and then the
        failures in another order.
        """
        self._was_owed = self._owed > 0
        self._owed -= self._was_owed
        return self._sole if self._was_owed else ""

    def _fails(self, derivation: str, kind: str, code: int | None, text: str = "") -> None:
        """The first word on a derivation stands, unless it was only that it failed."""
        # No derivation is called so: each that has no name is one of its own.
        self._count += 1
        key = derivation or f"?{self._count}"
        known = self._failures.get(key)
        self._latest = key
        if known is not None and known.kind != "other":
            return
        if known is None and len(self._failures) >= MOST_HEARD:
            return
        kept = known.kept if known is not None else self._takes()
        self._dependents.pop(derivation, None)
        self._failures[key] = Failure(
            derivation=derivation, kind=kind, code=code, kept=kept, text=text
        )

    def _depends(self, derivation: str) -> None:
        known = self._failures.get(derivation)
        if known is not None and known.kind == "other":
            if derivation == self._latest:
                self._owed += self._was_owed
            del self._failures[derivation]
        if len(self._dependents) < MOST_HEARD:
            self._dependents[derivation] = None


def _ending(text: str) -> tuple[str, int | None]:
    """A kind of `Failure` and its code from what follows `failed`, or from a reason."""
    for kind, pattern in _ENDINGS:
        if found := pattern.search(text):
            code = int(found[1]) if pattern.groups else None
            killed = (kind, code) in (("exit", KILLED), ("signal", KILLED_BY))
            return "killed" if killed else kind, code
    return "other", None
