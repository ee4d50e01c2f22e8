"""The cells that were run, in this session and in former ones of the same build."""

from __future__ import annotations

import fnmatch
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Item = tuple[int, int, str]

CELLS = 10_000
CHARACTERS = 8_000_000
LONGEST = 65_536
LONGEST_PATTERN = 1_000
OUTPUT = 4_096


class History:
    """Bounded: the oldest cells are forgotten first; one longer than `LONGEST` is not kept."""

    def __init__(self, loaded: Iterable[Item] = ()) -> None:
        """`loaded`: session, number and source of each cell, as `append` gave them, in order."""
        self._cells: list[Item] = []
        self._outputs: dict[tuple[int, int], str] = {}
        self._size = 0
        for session, line, source in loaded:
            self._keep((session, line, source))
        self.session = max([cell[0] for cell in self._cells], default=0) + 1

    def append(self, line: int, source: str, output: str | None = None) -> Item | None:
        """A cell was run. What should be stored for later sessions, None if it is not worth it."""
        if not source.strip() or len(source) > LONGEST:
            return None
        cell = (self.session, line, source)
        self._keep(cell)
        if output is not None:
            self._outputs[cell[:2]] = output[:OUTPUT]
        return cell

    def _keep(self, cell: Item) -> None:
        self._cells.append(cell)
        self._size += len(cell[2])
        dropped = 0
        while len(self._cells) - dropped > CELLS or self._size > CHARACTERS:
            session, line, source = self._cells[dropped]
            self._size -= len(source)
            self._outputs.pop((session, line), None)
            dropped += 1
        del self._cells[:dropped]

    def answer(self, content: Mapping[str, object]) -> dict[str, object]:
        """The content of the history_reply to a history_request with this content.

        What the request leaves out or gets wrong is taken as Jupyter's documentation has it.
        """
        kind = content.get("hist_access_type")
        if kind == "range":
            cells = self._range(content)
        elif kind == "search":
            cells = self._search(content)
        else:
            cells = self._last(self._cells, content.get("n"))
        return {"status": "ok", "history": [self._item(cell, content) for cell in cells]}

    def _item(self, cell: Item, content: Mapping[str, object]) -> list[object]:
        session, line, source = cell
        if content.get("output"):
            return [session, line, [source, self._outputs.get((session, line))]]
        return [session, line, source]

    def _range(self, content: Mapping[str, object]) -> list[Item]:
        """Session 0 is this one, -1 the one before; `stop` is not part of the range."""
        session = _number(content.get("session"), 0)
        session = session if session > 0 else self.session + session
        start = _number(content.get("start"), 1)
        stop = _number(content.get("stop"), 0) or None
        return [
            cell
            for cell in self._cells
            if cell[0] == session and start <= cell[1] and (stop is None or cell[1] < stop)
        ]

    def _search(self, content: Mapping[str, object]) -> list[Item]:
        pattern = content.get("pattern")
        pattern = pattern if isinstance(pattern, str) and pattern else "*"
        matches = re.compile(_simple(pattern[:LONGEST_PATTERN])).match
        cells = [cell for cell in self._cells if matches(cell[2])]
        if content.get("unique"):
            latest = {cell[2]: cell for cell in cells}
            cells = sorted(latest.values(), key=lambda cell: cell[:2])
        return self._last(cells, content.get("n"))

    @staticmethod
    def _last(cells: list[Item], count: object) -> list[Item]:
        wanted = _number(count, 0)
        return cells[-wanted:] if wanted > 0 else list(cells)


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _simple(pattern: str) -> str:
    """A glob as a regular expression that takes no more than quadratic time."""
    return fnmatch.translate(re.sub(r"\*+", "*", pattern))
