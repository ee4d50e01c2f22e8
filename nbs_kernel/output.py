"""What one cell writes, made fit for people: few messages, whole characters, a limit.

Bytes are gathered for 50 ms or 64 KiB; the first after a pause go at once, as somebody waits for
them. Beyond the limit a cell's beginning and end are shown, and the whole is in a file.
"""

from __future__ import annotations

import codecs
import os
from collections import deque

from nbs_kernel.escapes import Escapes
from nbs_kernel.question import Question
from sandbox import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GATHER_BYTES = 65536
GATHER_S = 0.05
NOTE_S = 1.0
"""A cell that goes on for so long beyond its limit has that said before its end."""
RUNS = 20
"""So many changes between stdout and stderr within GATHER_S are shown in order."""
FILE_LIMIT = 1 << 30
NAMES_TRIED = 100
SMALL = 4096
LINE_SOUGHT = 4096
decoder = codecs.getincrementaldecoder("utf-8")


class Gathered:
    """Bytes on their way to becoming stream messages: `publish(stream, text)`."""

    def __init__(self, publish: Callable[[str, str], None]) -> None:
        self._publish = publish
        self._runs: list[tuple[str, list[bytes]]] = []
        self._size = 0
        self._since = 0.0
        self._last = -GATHER_S
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._escapes: dict[str, Escapes] = {}

    @property
    def due(self) -> float | None:
        """When what is gathered has to be published; None: there is nothing."""
        return max(self._since, self._last + GATHER_S) if self._runs else None

    def add(self, stream: str, data: bytes, now: float) -> None:
        """Take bytes; publishes if there are many."""
        if not self._runs:
            self._since = now
        if not self._runs or self._runs[-1][0] != stream:
            self._runs.append((stream, []))
        self._runs[-1][1].append(data)
        self._size += len(data)
        if self._size >= GATHER_BYTES:
            self.flush(now)

    def flush(self, now: float, *, final: bool = False) -> None:
        """Publish all. `final`: no character goes on after this."""
        runs, self._runs, self._size, self._last = self._runs, [], 0, now
        if len(runs) > RUNS:
            runs = [
                (name, [data for stream, parts in runs if stream == name for data in parts])
                for name in ("stdout", "stderr")
            ]
        for stream, parts in runs:
            self._send(stream, b"".join(parts), final=False)
        for stream in tuple(self._decoders) if final else ():
            self._send(stream, b"", final=True)

    def _send(self, stream: str, data: bytes, *, final: bool) -> None:
        if stream not in self._decoders:
            self._decoders[stream] = decoder("replace")
        if final or stream not in self._escapes:
            self._escapes[stream] = Escapes()
        text = self._decoders[stream].decode(self._escapes[stream].without(data), final)
        if text:
            self._publish(stream, text)


class WholeFile:
    """The file in `directory` with all that a cell wrote, made when the first byte is left out.

    Of a cell that had ended by then it holds what was left out, since nothing else is remembered.
    What it cannot take (a full disk, more than 1 GiB) is missing from it, and `flaw` says so.
    """

    def __init__(self, directory: str, name: str) -> None:
        self.path = ""
        self.flaw = ""
        self._size = 0
        self._descriptor = -1
        try:
            self._descriptor, self.path = _new_file(directory, name)
        except OSError as error:
            self.flaw = f"there is no file with all of it: {os.strerror(error.errno or 0)}"

    def write(self, data: bytes | bytearray) -> None:
        """Append."""
        if self.flaw:
            return
        if self._size + len(data) > FILE_LIMIT:
            self.flaw = f"{self.path} ends after {words.size(self._size)}"
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self.flaw = f"{self.path} is not whole: {os.strerror(error.errno or 0)}"
        self._size += len(data)

    def where(self, what: str = "all of it") -> str:
        """Where it is, in words."""
        return self.flaw or f"{what} is in {self.path}"

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class CellOutput:
    """All that one cell and the jobs it leaves behind write. `limit` in bytes; 0: none.

    Half of the limit is for the beginning, half for the end. `name` is that of the file beyond the
    limit, `workspace` that of the workspace it is in, "" where that has none.
    """

    def __init__(
        self,
        publish: Callable[[str, str], None],
        limit: int,
        name: str,
        directory: str = "/tmp",  # noqa: S108  the build's own, seen from inside
        workspace: str = "",
    ) -> None:
        self._gathered = Gathered(publish)
        self._question: Question | None = None
        self._limit = limit
        self._name = name
        self._directory = directory
        self._workspace = workspace
        self._note_at: float | None = None
        self._head = bytearray()
        self._left = limit - limit // 2
        self._tail: deque[tuple[str, bytes]] = deque()
        self._tail_size = 0
        self._hidden = 0
        self._file: WholeFile | None = None
        self._finished = False
        self._told = False
        self._ends_line = True

    @property
    def due(self) -> float | None:
        """When to call `publish_due`; None: no need to."""
        held = self._question.due if self._question is not None else None
        moments = [at for at in (self._gathered.due, self._note_at, held) if at is not None]
        return min(moments, default=None)

    def expect_questions(self) -> None:
        """What may be a question is held back for a moment, for `take_question`."""
        self._question = self._question or Question()

    def take_question(self, now: float) -> str:
        """What was asked, and is shown by whoever asks it; all that came before is published."""
        text = self._question.take() if self._question is not None else ""
        self._ends_line = self._ends_line or bool(text)
        self.flush(now)
        return text

    def write(self, stream: str, data: bytes, now: float) -> None:
        """Bytes of the cell, in order."""
        if not data:
            return
        if not self._limit:
            self._add(stream, data, now)
        elif self._file is None:
            self._begin(stream, data, now)
        else:
            self._file.write(data)
            self._keep(stream, data, now)

    def set_limit(self, limit: int) -> None:
        """Another limit for what is still to come, unless the one before is reached already."""
        if self._file is None:
            shown = self._limit - self._limit // 2 - self._left if self._limit else 0
            self._limit = limit
            self._left = max(0, limit - limit // 2 - shown)

    def flush(self, now: float) -> None:
        """Publish all there is."""
        if self._question is not None:
            self._gathered.add(*self._question.let_go(), now)
        self._gathered.flush(now)

    def publish_due(self, now: float) -> None:
        """Publish what has waited long enough; say that more is left out if it is time to."""
        held = self._question.due if self._question is not None else None
        if self._question is not None and held is not None and now >= held:
            self._gathered.add(*self._question.let_go(), now)
        if self._file is not None and self._note_at is not None and now >= self._note_at:
            shown = words.size(self._limit - self._limit // 2)
            self._note_at = None
            self._note(
                f"more than {shown} of output: {self._file.where()}; the end is shown when the "
                "cell ends",
                now,
            )
        due = self._gathered.due
        if due is not None and now >= due:
            self._gathered.flush(now)

    def _add(self, stream: str, data: bytes, now: float) -> None:
        if self._question is None:
            self._gathered.add(stream, data, now)
            return
        for name, part in self._question.split(stream, data, now):
            self._gathered.add(name, part, now)

    def finish(self, now: float) -> None:
        """The cell has ended: publish all that is to be shown. Its jobs may write on."""
        self._note_at = None
        self.flush(now)
        self._question = None
        if self._file is not None and not self._finished:
            self._show_end(self._file, now)
        self._finished = True
        self._head.clear()
        self._gathered.flush(now, final=True)

    def close(self) -> None:
        """Nothing comes any more."""
        if self._file is not None:
            self._file.close()

    def _begin(self, stream: str, data: bytes, now: float) -> None:
        shown = data[: self._left]
        self._left -= len(shown)
        if len(shown) < len(data):
            line_end = shown.rfind(b"\n", max(0, len(shown) - LINE_SOUGHT)) + 1
            shown = shown[: line_end or len(shown)]
        if not self._finished:
            self._head += shown
        if shown:
            self._add(stream, shown, now)
            self._ends_line = shown.endswith(b"\n")
        if len(shown) < len(data):
            self._exceed(stream, data[len(shown) :], now)

    def _exceed(self, stream: str, rest: bytes, now: float) -> None:
        self._file = WholeFile(self._directory, self._name)
        self._file.write(self._head)
        self._file.write(rest)
        if self._finished:
            self._note(self._file.where("what its jobs write from here on"), now)
        else:
            # One that is over soon is not told twice.
            self._note_at = now + NOTE_S
        self._head.clear()
        self._told = self._finished
        self._keep(stream, rest, now)

    def _keep(self, stream: str, data: bytes, now: float) -> None:
        """At the end of the tail, which loses as much at its beginning."""
        if self._finished:
            self._tell_once(now)
            return
        if self._tail and self._tail[-1][0] == stream and len(self._tail[-1][1]) < SMALL:
            before = self._tail.pop()[1]
            self._tail_size -= len(before)
            data = before + data
        self._tail.append((stream, data))
        self._tail_size += len(data)
        room = self._limit // 2
        while self._tail_size > room:
            first, lost = self._tail[0][1], self._tail_size - room
            if len(first) <= lost:
                self._tail.popleft()
                lost = len(first)
            else:
                self._tail[0] = (self._tail[0][0], first[lost:])
            self._tail_size -= lost
            self._hidden += lost

    def _tell_once(self, now: float) -> None:
        if self._file is not None and not self._told:
            self._told = True
            self._note(self._file.where("what jobs of this cell write"), now)

    def _show_end(self, whole: WholeFile, now: float) -> None:
        if self._hidden:
            self._to_line_start()
            self._ends_line = True
            told = f"{words.size(self._hidden)} left out here; {whole.where()}"
            if self._workspace and not whole.flaw:
                told += f"; outside: `nbs cp {self._workspace}:{whole.path} .`"
            self._note(told, now)
        for stream, data in self._tail:
            self._gathered.add(stream, data, now)
        self._tail.clear()

    def _to_line_start(self) -> None:
        """What is left of the line in whose middle the tail begins is left out too."""
        if not self._tail:
            return
        stream, data = self._tail[0]
        at = data.find(b"\n", 0, LINE_SOUGHT) + 1
        self._tail[0] = (stream, data[at:])
        self._hidden += at

    def _note(self, text: str, now: float) -> None:
        self.flush(now)
        self._gathered.flush(now, final=True)
        start = "" if self._ends_line else "\n"
        self._gathered.add("stderr", f"{start}[{text}]\n".encode(), now)
        self._gathered.flush(now)


def _new_file(directory: str, name: str) -> tuple[int, str]:
    """Never one that is there, nor through a link that is there in its place."""
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for number in range(1, NAMES_TRIED + 1):
            tried = f"{name}.log" if number == 1 else f"{name}-{number}.log"
            try:
                return os.open(tried, flags, 0o644, dir_fd=where), f"{directory}/{tried}"
            except FileExistsError:
                if number == NAMES_TRIED:
                    raise
        raise AssertionError
    finally:
        os.close(where)
