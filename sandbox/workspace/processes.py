"""Sharing portions of work among forked processes, each of which tells how far it is.

A process that loses its parent ends at the next thing it has to tell. Until then it shares the
lock of the workspace, so that nothing is swept from under it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import traceback

from sandbox.errors import EvidenceError, MachineError
from sandbox.linux import syscalls
from sandbox.workspace.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Work = Callable[[int, Tally], None]

_INDEX = 4
_BLOCK = 1024


class _Process:
    """A child, our end of its pipe, and what it told last."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe
        self.unread = b""
        self.files = self.bytes = 0
        self.is_done = False


def carry_out(portions: int, work: Work, tally: Tally, count: int) -> None:
    """Call `work(index, tally)` for each index below `portions`, in `count` processes.

    What the processes tallied is added to `tally`, and shown meanwhile. Raises what `work` raised,
    and MachineError `copy-interrupted` for a process that was killed; the others are then killed.
    """
    queue = _Queue(portions)
    children: list[_Process] = []
    try:
        for _ in range(count):
            children.append(_start(queue, work, [child.pipe for child in children]))
        _listen(children, queue, tally)
    finally:
        queue.close()
        for child in children:
            os.close(child.pipe)
            if not child.is_done:
                os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


class _Queue:
    """The indices of the portions, in a pipe that all processes read.

    A pipe gives each index to one reader. A file whose offset the processes share does not, if it
    is a memfd: the kernel then reads without the lock that it takes for other files.
    """

    def __init__(self, portions: int) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self.rest = memoryview(
            b"".join(index.to_bytes(_INDEX, "little") for index in range(portions))
        )
        self.fill()

    def fill(self) -> None:
        """Write what the pipe takes; close our end after the last."""
        try:
            while self.rest:
                self.rest = self.rest[os.write(self.writing, self.rest[:_BLOCK]) :]
        except BlockingIOError:
            return
        self.close_writing()

    def close_writing(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def close(self) -> None:
        self.close_writing()
        os.close(self.reading)


def _start(queue: _Queue, work: Work, pipes: list[int]) -> _Process:
    ours, theirs = os.pipe()
    try:
        pid = os.fork()
    except BaseException:
        os.close(ours)
        os.close(theirs)
        raise
    if pid:
        os.close(theirs)
        return _Process(pid, ours)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for pipe in (ours, *pipes):
            os.close(pipe)
        queue.close_writing()
        _work(queue.reading, work, theirs)
    finally:
        os._exit(1)


def _work(queue: int, work: Work, pipe: int) -> NoReturn:
    """Take portions until none is left, and tell how that ended."""
    tally = Tally(lambda files, size: _tell(pipe, {"files": files, "bytes": size}))
    try:
        while block := os.read(queue, _INDEX):
            work(int.from_bytes(block, "little"), tally)
        _tell(pipe, {"done": tally.counts()})
    except BrokenPipeError:
        pass
    except (EvidenceError, MachineError) as error:
        fields = {name: getattr(error, name) for name in ("message", "reason", "evidence", "hint")}
        kind = "evidence" if isinstance(error, EvidenceError) else "machine"
        _tell(pipe, {kind: fields})
    except OSError as error:
        _tell(pipe, {"refusal": [error.errno, error.strerror, _name(error)]})
    except BaseException:  # noqa: BLE001  handed to the parent, which raises it
        _tell(pipe, {"bug": traceback.format_exc()})
    os._exit(0)


def _name(error: OSError) -> str | None:
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None


def _tell(pipe: int, message: dict[str, Any]) -> None:
    syscalls.write_all(pipe, json.dumps(message).encode() + b"\n")


def _listen(children: list[_Process], queue: _Queue, tally: Tally) -> None:
    """Read what the processes tell, and keep the queue filled, until all are done."""
    poll = select.poll()
    by_pipe = {child.pipe: child for child in children}
    for pipe in by_pipe:
        poll.register(pipe, select.POLLIN)
    feeding = queue.writing
    if feeding >= 0:
        poll.register(feeding, select.POLLOUT)
    before = tally.files, tally.bytes
    while by_pipe:
        for descriptor, _ in poll.poll():
            if descriptor == feeding:
                queue.fill()
                if queue.writing < 0:
                    poll.unregister(feeding)
                    feeding = -1
            elif not _read(by_pipe[descriptor], tally):
                poll.unregister(descriptor)
                del by_pipe[descriptor]
        tally.files = before[0] + sum(child.files for child in children)
        tally.bytes = before[1] + sum(child.bytes for child in children)
        tally.tick()


def _read(child: _Process, tally: Tally) -> bool:
    """Take in what one process told; False at its end."""
    block = os.read(child.pipe, 1 << 16)
    *lines, child.unread = (child.unread + block).split(b"\n")
    for line in lines:
        message = json.loads(line)
        if "files" in message:
            child.files, child.bytes = message["files"], message["bytes"]
        elif "done" in message:
            child.files, child.bytes = message["done"]["files"], message["done"]["bytes"]
            tally.add_names(message["done"])
            child.is_done = True
        else:
            _raise(message)
    if not block and not child.is_done:
        raise MachineError(
            "a process that copied files was killed",
            reason="copy-interrupted",
            hint="`dmesg | tail` shows whether memory ran out",
        )
    return bool(block)


def _raise(message: dict[str, Any]) -> NoReturn:
    if "refusal" in message:
        raise OSError(*message["refusal"])
    if "bug" in message:
        raise RuntimeError(message["bug"])
    kind, fields = next(iter(message.items()))
    fields["evidence"] = tuple(fields["evidence"])
    raise (EvidenceError if kind == "evidence" else MachineError)(fields.pop("message"), **fields)
