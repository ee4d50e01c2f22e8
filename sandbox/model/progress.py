"""A run of Nix on a terminal: its events → the lines to show, and one line that says where it is.

The clock is the caller's: seconds, from any beginning.
"""

from __future__ import annotations

import re

from sandbox.model.printable import printable
from sandbox.model.storepath import derivation_name
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.nixevents import Event

INFO = 3
MOST_RUNNING = 1000
LONGEST_LINE = 4000

_COLOUR = re.compile(r"(\x1b\[[0-9;]{0,20}m)")
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]{0,30}[ -/]{0,5}[@-~]|\][^\x07\x1b]{0,4000}(?:\x07|\x1b\\)?|.)?"
)


class Running(Value):
    """A build that goes on: its name, its phase, and when the two began."""

    name: str
    began: float
    phase: str = ""
    phase_began: float = 0.0


class Progress:
    """Takes events. Without `with_log` the builds' own lines are left out."""

    def __init__(self, *, with_log: bool = True, colours: bool = True) -> None:
        self._with_log = with_log
        self._colours = colours
        self._running: dict[int, Running] = {}
        self._done = 0

    def take(self, event: Event, now: float) -> tuple[str, ...]:
        """The lines that an event adds to what is on the terminal."""
        if event.kind == "log":
            return self._log(event)
        if event.kind == "message":
            return tuple(self.plain(line) for line in event.text.split("\n"))
        if event.kind == "build" and len(self._running) < MOST_RUNNING:
            name = build_name(event.derivation)
            self._running[event.id] = Running(name=name, began=now)
        elif event.kind == "phase" and event.id in self._running:
            of = self._running[event.id]
            self._running[event.id] = of.replace(phase=event.text, phase_began=now)
        elif event.kind == "stop":
            self._done += self._running.pop(event.id, None) is not None
        said = event.kind in ("build", "start") and event.text and event.level <= INFO
        return (self.plain(event.text) + "...",) if said else ()

    def plain(self, line: str) -> str:
        """A line without what would do more to a terminal than colour it."""
        return shown_on_terminal(line, colours=self._colours)

    def _log(self, event: Event) -> tuple[str, ...]:
        if not self._with_log:
            return ()
        running = self._running.get(event.id)
        # As `nix build -L`, where the lines of several builds mix.
        prefix = f"{running.name}> " if running and len(self._running) > 1 else ""
        return (printable(prefix).replace("\n", "") + self.plain(event.text),)

    def status(self, now: float) -> str:
        """What goes on, the newest build first; empty while nothing is built."""
        if not self._running:
            return ""
        newest = list(self._running.values())[::-1]
        count = f"{len(newest)} builds: " if len(newest) > 1 else ""
        told = ", ".join(_told(one, now) for one in newest[:3])
        done = f"; {self._done} done" if self._done else ""
        return printable(count + told + done).replace("\n", " ").replace("\t", " ")


def _told(one: Running, now: float) -> str:
    whole = clock(now - one.began)
    if not one.phase:
        return f"{one.name} {whole}"
    return f"{one.name} {one.phase} {clock(now - one.phase_began)}, in all {whole}"


def clock(seconds: float) -> str:
    """A time as people read it.

    >>> clock(3.7), clock(75), clock(3675)
    ('0:03', '1:15', '1:01:15')
    """
    minutes, left = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def build_name(derivation: str) -> str:
    """Its derivation's name, or whatever else the path ends with: Nix's words may change."""
    return derivation_name(derivation) or derivation.rpartition("/")[2].removesuffix(".drv")


def shown_on_terminal(line: str, *, colours: bool) -> str:
    """The last of what a line draws, with its colours or without, and no other control at all."""
    last = line[:LONGEST_LINE].rstrip("\r").rpartition("\r")[2]
    pieces = _COLOUR.split(last)
    text, coloured = "", False
    for index, piece in enumerate(pieces):
        if index % 2:
            coloured = True
            text += piece if colours else ""
        else:
            text += printable(_ESCAPE.sub("", piece)).replace("\n", " ")
    return text + ("\x1b[0m" if coloured and colours else "")
