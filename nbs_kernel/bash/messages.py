"""The message that bash wrote last, for the outcome of a cell that an error of expansion ended.

Bash tells of such an error on stderr alone. So these words are for people: nothing depends on them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.bash.events import Outcome

KEPT = 4_096
UNBOUND = ": unbound variable"


class Tail:
    """The last bytes of a cell's output."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Take note of output."""
        self._bytes = data[-KEPT:] if len(data) >= KEPT else (self._bytes + data)[-KEPT:]

    def explain(self, outcome: Outcome) -> Outcome:
        """An outcome by an error of expansion, with bash's own words, if they came last."""
        if outcome.why != "expansion":
            return outcome
        last = self._bytes.decode("utf-8", "replace").rstrip().rpartition("\n")[2]
        shell, _, message = last.partition(": ")
        if not message or " " in shell:
            return outcome
        why = "unset" if last.endswith(UNBOUND) else outcome.why
        return outcome.replace(message=message, why=why)
