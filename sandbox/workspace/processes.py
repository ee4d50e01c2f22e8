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
from sandbox.workspace.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Work = Callable[[int, Tally], None]

_INDEX = 4


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
    queue = os.memfd_create("portions", os.MFD_CLOEXEC)
    children: list[_Process] = []
    try:
        for index in range(portions):
            os.write(queue, index.to_bytes(_INDEX, "little"))
        os.lseek(queue, 0, os.SEEK_SET)
        for _ in range(count):
            children.append(_start(queue, work, [child.pipe for child in children]))
        _listen(children, tally)
    finally:
        os.close(queue)
        for child in children:
            os.close(child.pipe)
            if not child.is_done:
                os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def _start(queue: int, work: Work, pipes: list[int]) -> _Process:
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
        _work(queue, work, theirs)
    finally:
        os._exit(1)


def _work(queue: int, work: Work, pipe: int) -> NoReturn:
    """Take portions until none is left. All processes read the queue through one file offset,
    which read(2) moves for one at a time."""
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
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(pipe, line) :]


def _listen(children: list[_Process], tally: Tally) -> None:
    """Read what the processes tell until all are done."""
    poll = select.poll()
    by_pipe = {child.pipe: child for child in children}
    for pipe in by_pipe:
        poll.register(pipe, select.POLLIN)
    before = tally.files, tally.bytes
    while by_pipe:
        for pipe, _ in poll.poll():
            if not _read(by_pipe[pipe], tally):
                poll.unregister(pipe)
                del by_pipe[pipe]
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
