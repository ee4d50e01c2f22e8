"""What a session in a kept workspace may be asked for: snapshots, and to be put back to one.

Asked by the session's own supervisor, which has the workspace's lock. What is inside only says
words; the answer to each is made here.
"""

from __future__ import annotations

import os
import socket
import time

from sandbox.errors import Error, MachineError, UsageError
from sandbox.linux.remount import Doors, Layers, replace
from sandbox.model.printable import one_line
from sandbox.model.spec import BuildDirectory
from sandbox.model.words import size
from sandbox.workspace import snapshots
from sandbox.workspace.kept import OUTPUTS, SNAPSHOTS, TMP, inputs_of
from sandbox.workspace.restore import restore as restore_trees
from sandbox.workspace.snapshots import First, Snapshot, Trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from sandbox.model.spec import Sandbox
    from sandbox.workspace.kept import Kept
    from sandbox.workspace.session import Session

MOST_FROM_INSIDE = 50
LONGEST_LINE = 256
LONGEST_TOKEN = 9
READ_AT_ONCE = 4096
OVERLAID_STORE = "store"
USAGE = "snapshot [NAME] | snapshot --remove NAME | restore [NAME] [--kill] | snapshots"
LAST = ""


class Living:
    """A session that lives. `adopt` is told its first process before that goes on."""

    def __init__(self, session: Session, sandbox: Sandbox, *, resident: bool) -> None:
        self._session = session
        self._sandbox = sandbox
        self._resident = resident
        self._doors: Doors | None = None

    def adopt(self, pid: int) -> None:
        """Keep the namespaces of the first process open. Raises OSError."""
        self.close()
        self._doors = Doors(pid)

    def close(self) -> None:
        """The session ends: its mounts may go."""
        if self._doors is not None:
            self._doors.close()
            self._doors = None

    @property
    def trees(self) -> Trees:
        """Where the parts of the workspace are."""
        kept = self._session.kept
        if kept is None:
            raise RuntimeError("the session has not begun")
        return trees_of(kept, in_session=True)

    def snapshot(self, name: str = "", most: int = MOST_FROM_INSIDE) -> Snapshot:
        """Raises as `snapshots.make`."""
        return snapshots.make(self.trees, name, most=most)

    def keep_last(self, prefix: str, count: int) -> None:
        """Remove all but so many of the snapshots whose name begins like that, the oldest."""
        found = [one.name for one in self.snapshots() if one.name.startswith(prefix)]
        for name in found[: max(0, len(found) - count)]:
            self.remove(name)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Those on disk, the oldest first."""
        return snapshots.listed(self.trees.path)

    def remove(self, name: str) -> None:
        """Raises as `snapshots.remove`."""
        snapshots.remove(self.trees.path, name)

    def restore(self, name: str = LAST, *, kill: bool = False) -> str:
        """Put the snapshot, the last one if none is named, before the session's eyes; its name.

        Whoever is in the build directory has to have left it. Raises as `restore.restore` and
        `remount.replace`, and MachineError `restore-outputs`.
        """
        trees = self.trees
        name = name or last_of(trees.path)
        if trees.outputs == OVERLAID_STORE:
            _require_no_outputs(trees, name)
        doors = self._doors
        if doors is None:
            raise RuntimeError("the session has no first process")

        def exchange(upper: str, work: str, exchanged: Callable[[], None]) -> None:
            layers = self._layers(upper, work)
            replace(doors, layers, exchanged, resident=self._resident, kill=kill)

        restore_trees(trees, name, replace=exchange)
        return name

    def _layers(self, upper: str, work: str) -> Layers:
        build = next(e for e in self._sandbox.entries if isinstance(e, BuildDirectory))
        process = self._sandbox.process
        return Layers(
            path=build.path,
            upper=upper,
            work=work,
            lower=build.source if build.method == "overlay" else "",
            uid=process.uid,
            gid=process.gid,
        )


def trees_of(kept: Kept, *, in_session: bool) -> Trees:
    """Where the parts of a kept workspace are, in a session or between two."""
    firsts = tuple(First(path=p, source=s, uid=u, gid=g) for p, s, u, g in kept.copies)
    if not in_session:
        return Trees(path=kept.path, firsts=firsts)
    return Trees(
        path=kept.path,
        tmp=f"root/{TMP}",
        outputs=kept.store_place,
        inputs=inputs_of(kept),
        places=frozenset(place.partition("/")[0] for place in kept.places),
        firsts=firsts,
    )


def last_of(path: str) -> str:
    """The snapshot that was made last, without being `undone`; `failed` if there is none."""
    found = [one.name for one in snapshots.listed(path) if one.name != snapshots.UNDONE]
    return found[-1] if found else snapshots.FAILED


def _require_no_outputs(trees: Trees, name: str) -> None:
    """Nothing may be renamed below a mounted overlay: what it shows then is not defined."""
    stored = f"{trees.path}/{SNAPSHOTS}/{name}/{OUTPUTS}"
    there = (*trees.output_names(), *(os.listdir(stored) if os.path.isdir(stored) else ()))
    if there:
        raise MachineError(
            "outputs in a store as large as this one cannot be exchanged while somebody is inside",
            reason="restore-outputs",
            evidence=there[:3],
            hint=f"leave the shell, then `nbs restore {name}`",
        )


class Asked:
    """The session's socket, as its supervisor sees it: lines come in, and are answered.

    One request is carried out at a time, in a forked process, so that the terminal goes on. A line
    is a number and words; each line of the answer begins with the number, then `|` and
    text, at last `=` and a status. Whatever runs inside can say such lines.
    """

    def __init__(self, living: Living) -> None:
        self._living = living
        self._ours, self._theirs = socket.socketpair()
        self.handed = self._theirs.fileno()
        self._unread = b""
        self._worker = self._ended = -1
        self._is_over = False

    def adopt(self, pid: int) -> None:
        """The first process is there, and waits."""
        self._living.adopt(pid)

    def begin(self) -> None:
        """The command has its end: ours is not needed any more."""
        self._theirs.close()

    @property
    def watched(self) -> int:
        """What to wait for until it can be read; -1 if nothing more will come."""
        if self._ended >= 0:
            return self._ended
        return -1 if self._is_over else self._ours.fileno()

    def ready(self) -> None:
        """It can be read."""
        if self._ended >= 0:
            self._bury()
        else:
            self._read()
        line, newline, rest = self._unread.partition(b"\n")
        if newline and self._ended < 0:
            self._unread = rest
            self._start(line)

    def _read(self) -> None:
        try:
            data = self._ours.recv(READ_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._is_over = True
        self._unread += data
        if len(self._unread) > READ_AT_ONCE:
            # Nobody whom we know speaks so long.
            self._unread = b""

    def _start(self, line: bytes) -> None:
        self._worker = os.fork()
        if self._worker == 0:
            self._work(line)
        self._ended = os.pidfd_open(self._worker)

    def _work(self, line: bytes) -> Never:
        try:
            token, said, status = answer(self._living, line)
            lines = [f"{token}|{one_line(text)}\n" for text in said]
            self._ours.sendall("".join((*lines, f"{token}={status}\n")).encode(errors="replace"))
        finally:
            os._exit(0)

    def _bury(self) -> None:
        os.waitpid(self._worker, 0)
        os.close(self._ended)
        self._worker = self._ended = -1

    def close(self) -> None:
        """Wait for what is being done, and let go."""
        self._theirs.close()
        if self._ended >= 0:
            self._bury()
        self._ours.close()
        self._living.close()


def answer(living: Living, line: bytes) -> tuple[str, tuple[str, ...], int]:
    """The request's number, what to say, and a status. Never raises."""
    token, *words = line[:LONGEST_LINE].decode("ascii", "replace").split(" ")
    if not token.isdecimal() or len(token) > LONGEST_TOKEN:
        token = "0"  # noqa: S105  it is a number
    try:
        return token, _carry_out(living, [word for word in words if word]), 0
    except Error as error:
        hint = (f"hint: {error.hint}",) if error.hint else ()
        lines = (f"error: {error.message}", *(f"  {text}" for text in error.evidence), *hint)
        return token, lines, error.exit_code
    except Exception as error:  # noqa: BLE001  the shell inside waits for an answer
        return token, (f"error: {type(error).__name__}: {error}",), 125


def _carry_out(living: Living, words: list[str]) -> tuple[str, ...]:
    match words:
        case ["snapshot", "--remove", name]:
            living.remove(name)
            return (f"removed: {name}",)
        case ["snapshot", *names] if _are_few(names):
            return (told(living.snapshot("".join(names))),)
        case ["snapshots"]:
            return listing(living.snapshots())
        case ["restore", *rest]:
            kill = "--kill" in rest
            names = [word for word in rest if word != "--kill"]
            if _are_few(names):
                name = living.restore("".join(names), kill=kill)
                return (f"restored: {name}; what it replaced is `{snapshots.UNDONE}`",)
        case _:
            pass
    raise UsageError("that is not understood", reason="snapshot-usage", hint=f"`{USAGE}`")


def _are_few(names: list[str]) -> bool:
    """One at most, and no option."""
    return len(names) <= 1 and not any(name.startswith("-") for name in names)


def told(made: Snapshot) -> str:
    """What to say of a new snapshot."""
    return f"snapshot {made.name}: {counted(made)}"


def listing(found: tuple[Snapshot, ...]) -> tuple[str, ...]:
    """A line for each snapshot, `failed` first."""
    width = max((len(one.name) for one in found), default=0)
    width = max(width, len(snapshots.FAILED))
    lines = [f"{snapshots.FAILED:{width}}  the state as it was kept"]
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created))
        what = counted(one) if one.files >= 0 else "what was replaced last"
        lines.append(f"{one.name:{width}}  {when}  {what}")
    return tuple(lines)


def counted(one: Snapshot) -> str:
    """How much is in a snapshot, for people."""
    return f"{one.files} file{'s' * (one.files != 1)}, {size(one.bytes)}"
