"""The terminals that cells write to, and which cell each belongs to."""

from __future__ import annotations

from nbs_kernel.bash.events import Output
from nbs_kernel.bash.terminals import BUFFERED, Terminal
from sandbox import Error, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Stream(Value):
    """A terminal, and whose output it takes; of cell 0 is what no cell has of its own."""

    terminal: Terminal
    cell: int
    name: str


class Streams:
    """Those of the cells, by the descriptors to be read; and `shared`, the controlling terminal."""

    def __init__(self, shared: Terminal) -> None:
        self._shared = Stream(terminal=shared, cell=0, name="stdout")
        self._streams: dict[int, Stream] = {}

    def descriptors(self) -> tuple[int, ...]:
        """All that may have something to be read."""
        return (*self._streams, self._shared.terminal.master)

    def open(self, cell: int, *, split: bool) -> tuple[str, str]:
        """New ones for a cell; the path of its output, and that of its errors if it is another.

        Raises `sandbox.Error` (`terminals-exhausted`).
        """
        opened: list[Stream] = []
        try:
            for name in ("stdout", "stderr") if split else ("stdout",):
                opened.append(Stream(terminal=Terminal(), cell=cell, name=name))
                opened[-1].terminal.make_output()
        except Error:
            for stream in opened:
                stream.terminal.close()
            raise
        self._streams |= {stream.terminal.master: stream for stream in opened}
        return opened[0].terminal.path, opened[1].terminal.path if split else ""

    def of(self, cell: int) -> tuple[Terminal, ...]:
        """The terminals of a cell that somebody has open."""
        return tuple(s.terminal for s in self._streams.values() if s.cell == cell)

    def read(self, descriptor: int, now: int) -> Output | None:
        """What there is, of one read; what no cell has of its own is the cell's of `now`."""
        stream = self._streams.get(descriptor, self._shared)
        if stream.terminal.master != descriptor:
            return None
        data = stream.terminal.read()
        if data is None and stream is not self._shared:
            del self._streams[descriptor]
            stream.terminal.close()
        return Output(cell=stream.cell or now, stream=stream.name, data=data) if data else None

    def drain(self, cell: int, now: int) -> Iterator[Output]:
        """All that has been written until now to a cell's, to all for 0, and to the shared one.

        A job may go on writing without an end: what comes after what can have been waiting waits.
        """
        wanted = [d for d, s in self._streams.items() if cell in {0, s.cell}]
        for descriptor in (*wanted, self._shared.terminal.master):
            size = 0
            while size < BUFFERED and (output := self.read(descriptor, now)):
                size += len(output.data)
                yield output

    def release(self, cell: int) -> None:
        """Let go of a cell's, of all for 0: each closes when no job has it any more."""
        for stream in self._streams.values():
            if cell in {0, stream.cell}:
                stream.terminal.release()

    def close(self) -> None:
        """Close those of the cells."""
        for stream in self._streams.values():
            stream.terminal.close()
        self._streams.clear()
