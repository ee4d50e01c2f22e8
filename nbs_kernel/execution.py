"""What an execute request asks for, and the shell with the requests that its cells belong to."""

from __future__ import annotations

import time

from nbs_kernel.bash.events import Output
from nbs_kernel.messages import BadRequestError
from nbs_kernel.typed.reader import Reader
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from nbs_kernel.bash.events import Event
    from nbs_kernel.bash.shell import Shell
    from nbs_kernel.messages import Message
    from nbs_kernel.output import CellOutput
    from nbs_kernel.requests import Handover

DISPLAY = "display"
SAID_KEPT = 65536
TAKEN_AT_ONCE = 65536
FULL_READ = 2048
CELLS_KEPT = 256
"""What jobs of so many last cells write is still shown below their cells."""
TITLES_KEPT = 10_000


class Stop(BaseException):
    """The kernel ends; with a handover, another one goes on with `requests`."""

    def __init__(
        self, handover: Handover | None = None, requests: tuple[Message, ...] = ()
    ) -> None:
        super().__init__()
        self.handover = handover
        self.requests = requests


class Wish(Value):
    """What an execute request asks for."""

    code: str
    silent: bool
    store: bool
    stop_on_error: bool
    allow_stdin: bool
    expressions: tuple[str, ...]


def wish(content: dict[str, Any]) -> Wish:
    """What the content of an execute request asks for. Raises `BadRequestError`."""
    code = content.get("code", "")
    expressions = content.get("user_expressions") or {}
    if not isinstance(code, str) or not isinstance(expressions, dict):
        raise BadRequestError("an execute request needs its code as a string")
    silent = bool(content.get("silent", False))
    return Wish(
        code=code,
        silent=silent,
        store=bool(content.get("store_history", True)) and not silent,
        stop_on_error=bool(content.get("stop_on_error", True)),
        allow_stdin=bool(content.get("allow_stdin", False)),
        expressions=tuple(map(str, expressions)),
    )


def has_command(code: str, name: str) -> bool:
    """Whether a command of that name stands in the text of a cell."""
    if name not in code:
        return False
    reader = Reader(code)
    reader.finish()
    return any(word.role == "command" and word.text == name for word in reader.words)


class Execution:
    """A request that runs or has run, and where its output goes."""

    def __init__(self, request: Message, asked: Wish, count: int, output: CellOutput) -> None:
        self.request = request
        self.asked = asked
        self.count = count
        self.output = output
        self.interrupted = False
        self.input_request = ""


class Cells:
    """The shell, if it runs, and which execution each of its cells belongs to.

    `start` starts a shell; what it raises, `shell` raises.
    """

    def __init__(self, start: Callable[[], Shell]) -> None:
        self._start = start
        self._shell: Shell | None = None
        self._executions: dict[int, Execution] = {}
        self._titles: dict[int, str] = {}
        self._said = b""

    @property
    def running(self) -> Shell | None:
        """The shell, if there is one."""
        return self._shell

    @property
    def busy(self) -> bool:
        """A cell runs."""
        return self._shell is not None and self._shell.busy

    def shell(self) -> Shell:
        """The shell, a fresh one if there is none."""
        if self._shell is None:
            self._shell = self._start()
        return self._shell

    def execute(self, code: str, execution: Execution) -> int:
        """Run bash text on behalf of an execution; the number of the cell.

        Raises `BadRequestError` for what is no text.
        """
        try:
            cell = self.shell().execute(code, shows=has_command(code, DISPLAY))
        except ValueError as error:
            raise BadRequestError(str(error)) from None
        self._executions[cell] = execution
        self._titles[cell] = f"cell [{execution.count}]" if execution.asked.store else ""
        if len(self._titles) > TITLES_KEPT:
            del self._titles[next(iter(self._titles))]
        while len(self._executions) > CELLS_KEPT:
            self._forget(next(iter(self._executions)))
        return cell

    def title(self, cell: int) -> str:
        """How to call a cell of this shell: by its number in the history, if it has one."""
        last = next(reversed(self._titles), cell)
        title = self._titles.get(cell)
        if cell == last or (title and title == self._titles[last]):
            return "cell"
        return title or "an earlier cell"

    def write(self, output: Output) -> None:
        """To the cell that it belongs to; to the last one if that is not known any more."""
        execution = self._executions.get(output.cell)
        if execution is None:
            execution = next(reversed(self._executions.values()), None)
        if execution is not None:
            execution.output.write(output.stream, output.data, time.monotonic())
        else:
            self._said = (self._said + output.data)[-SAID_KEPT:]

    def of(self, cell: int) -> Execution | None:
        """The execution that a cell belongs to, if that is known."""
        return self._executions.get(cell)

    def take_said(self) -> bytes:
        """What was written before there was any cell; once."""
        said, self._said = self._said, b""
        return said

    def due(self) -> list[float]:
        """When there is something to flush."""
        return [due for e in self._executions.values() if (due := e.output.due) is not None]

    def flush(self, now: float) -> None:
        """Publish what is due."""
        for execution in self._executions.values():
            due = execution.output.due
            if due is not None and due <= now:
                execution.output.publish_due(now)

    def descriptors(self, *, output: bool = True) -> dict[int, int]:
        """What to poll for the shell's sake; without `output` what it writes waits."""
        return self._shell.descriptors(output=output) if self._shell is not None else {}

    def ready(self, descriptors: list[int]) -> Iterator[Event]:
        """What the shell tells through descriptors that are ready."""
        for descriptor in descriptors:
            size = 0
            # A terminal gives 4 KiB at a time: much of it is taken in one go.
            while size < TAKEN_AT_ONCE:
                # What an event led to may have closed the shell, or the descriptor.
                if self._shell is None or descriptor not in self._shell.descriptors():
                    break
                before = size
                for event in self._shell.ready(descriptor):
                    if isinstance(event, Output):
                        size += len(event.data)
                    yield event
                if size < before + FULL_READ:
                    break

    def tick(self) -> Iterator[Event]:
        """What the shell tells from time to time while it runs a cell."""
        if self._shell is not None and self._shell.busy:
            yield from self._shell.tick()

    def close(self, keep: Execution | None = None) -> None:
        """End the shell, if it runs, and all its jobs. `keep` may still write itself."""
        shell, self._shell = self._shell, None
        self._titles.clear()
        for cell in tuple(self._executions):
            self._forget(cell, keep)
        if shell is not None:
            shell.close()

    def _forget(self, cell: int, keep: Execution | None = None) -> None:
        execution = self._executions.pop(cell)
        if execution is not keep and execution not in self._executions.values():
            execution.output.close()
