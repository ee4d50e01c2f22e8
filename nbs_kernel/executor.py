"""Carries out execute requests, one after another, each to its reply."""

from __future__ import annotations

import os
import time

from nbs_kernel import display, report
from nbs_kernel.bash.events import Ended, Outcome
from nbs_kernel.context import KernelContext
from nbs_kernel.execution import Execution, wish
from nbs_kernel.magics.cell import misplaced, prepare
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.magics.snapshots import KEPT_OF_CELLS, OF_CELLS
from nbs_kernel.messages import BadRequestError
from nbs_kernel.output import CellOutput
from sandbox import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nbs_kernel.bash.events import Asked
    from nbs_kernel.kernel import Kernel
    from nbs_kernel.magics.context import Code
    from nbs_kernel.messages import Message
    from nbs_kernel.report import Failure
    from nbs_kernel.requests import Handover


END_OF_INPUT = frozenset(["\x04", "^D"])
"""What is answered where there is nothing more to type; not every box takes the key."""

DONE = "magic_lines_done"
"""The setting by which a kernel tells the next one how much of a cell is behind it."""


class ShellGone(Exception):  # noqa: N818  says what happened
    """The shell ended while it ran a cell."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.why)
        self.ended = ended


class Executor:
    """`count` is the number of the last cell that is part of the history."""

    def __init__(self, kernel: Kernel, count: int) -> None:
        self._kernel = kernel
        self.count = count

    def execute(self, request: Message) -> None:
        """From busy to idle, whatever happens. Raises `Stop`."""
        self._kernel.state("busy", request)
        try:
            asked = wish(request.content)
        except BadRequestError as error:
            self._answer(request, report.failure("BadRequest", "", str(error)), {})
            return
        if asked.store and asked.code.strip():
            self.count += 1
            self._kernel.remember(self.count, asked.code)
        execution = self._execution(request)
        if not asked.silent:
            content = {"code": asked.code, "execution_count": self.count}
            self._kernel.tell("execute_input", content, request.header)
        self._finish(execution, self._run(execution))

    def arrive(self, request: Message, handover: Handover) -> None:
        """Go on with the request that moved the kernel before this one to here."""
        execution = self._execution(request)
        # All of them are in the banner.
        self._kernel.take_notices()
        banner = "\n".join(self._kernel.known.banner)
        execution.output.write("stdout", f"{banner}\n".encode(), time.monotonic())
        self._finish(execution, self._run(execution, dict(handover.settings).get(DONE, 0)))

    def _execution(self, request: Message) -> Execution:
        asked = wish(request.content)

        def publish(stream: str, text: str) -> None:
            if not asked.silent:
                content = {"name": stream, "text": text}
                self._kernel.tell("stream", content, request.header)

        limit = self._kernel.settings.limit_bytes
        output = CellOutput(
            publish, limit, f"nbs-cell-{self.count}", workspace=self._kernel.known.workspace
        )
        return Execution(request, asked, self.count, output)

    def _run(self, execution: Execution, done: int = 0) -> Failure | None:
        """Do all of it but for so many magic lines. Whatever went wrong, as a failure."""
        self._kernel.current = execution
        try:
            return self._parts(execution, done)
        except ShellGone as gone:
            self._kernel.cells.close(keep=execution)
            return report.of_ended(gone.ended)
        except MagicError as error:
            return report.of_error(error, "MagicError")
        except Error as error:
            return report.of_error(error)
        except BadRequestError as error:
            return report.failure("BadRequest", "", str(error))
        except Exception as error:  # noqa: BLE001  no client is ever left without a reply
            self._kernel.cells.close(keep=execution)
            return report.of_bug(error)

    def _parts(self, execution: Execution, done: int) -> Failure | None:
        prepared = prepare(execution.asked.code)
        # A cell that names its build is to be told of that one; what nobody sees tells nothing.
        if execution.asked.store and all(call.magic.name != "enter" for call in prepared.calls):
            notices = self._kernel.take_notices()
            execution.output.write("stderr", notices, time.monotonic())
        context = KernelContext(self._kernel, execution, self.run)
        for context.done, call in enumerate(prepared.calls[done:], done + 1):
            code = call.run(context)
            failure = self._timed(execution, code) if code is not None else None
            if failure is not None:
                return failure
        if not _has_commands(prepared.bash):
            return None
        self._snapshot(execution)
        outcome = self.run(execution, prepared.bash)
        if not outcome.status:
            unheeded = report.unheeded(prepared.bash)
            execution.output.write("stderr", unheeded.encode(), time.monotonic())
        title = self._kernel.cells.title
        return report.of_outcome(outcome, misplaced(outcome.command), title)

    def _snapshot(self, execution: Execution) -> None:
        """Before a cell, if that is wanted: then it can be undone."""
        if self._kernel.settings.snapshot_each and self._kernel.is_inside:
            name = f"{OF_CELLS}{execution.count}"
            self._kernel.outside.take_snapshot(name, KEPT_OF_CELLS)

    def _timed(self, execution: Execution, code: Code) -> Failure | None:
        began = time.monotonic()
        outcome = self.run(execution, code.text)
        now = time.monotonic()
        execution.output.write("stdout", code.after(outcome, now - began).encode(), now)
        return report.of_outcome(outcome, title=self._kernel.cells.title)

    def run(self, execution: Execution, code: str) -> Outcome:
        """Run bash text, to its end. Raises `ShellGone`, `Error`, `BadRequestError`, `Stop`."""
        kernel = self._kernel
        if kernel.settings.terminal_input and execution.asked.allow_stdin:
            execution.output.expect_questions()
        cell = kernel.cells.execute(code, execution)
        now = time.monotonic()
        execution.output.write("stderr", kernel.take_note(), now)
        execution.output.write("stdout", kernel.cells.take_said(), now)
        while cell not in kernel.ends:
            kernel.step()
        end = kernel.ends.pop(cell)
        execution.input_request = ""
        if isinstance(end, Ended):
            raise ShellGone(end)
        return end

    def _finish(self, execution: Execution, failure: Failure | None) -> None:
        asked = execution.asked
        execution.output.finish(time.monotonic())
        abort = failure is not None and (
            execution.interrupted or (asked.stop_on_error and not asked.silent)
        )
        if abort:
            # Before the reply: what comes after that was sent by somebody who knows.
            self._kernel.drain()
        aborted = tuple(self._kernel.queue) if abort else ()
        if failure is not None and not asked.silent:
            self._kernel.tell("error", failure.content(), execution.request.header)
        self._kernel.current = None
        self._answer(execution.request, failure, _expressions(asked.expressions))
        if abort:
            self._kernel.queue.clear()
            self._abort(aborted)

    def _answer(
        self, request: Message, failure: Failure | None, expressions: dict[str, Any]
    ) -> None:
        content: dict[str, Any] = {"status": "ok", "execution_count": self.count}
        if failure is None:
            content |= {"payload": [], "user_expressions": expressions}
        else:
            content |= {"status": "error", **failure.content()}
        self._kernel.channels.reply(request, "execute_reply", content)
        self._kernel.state("idle", request)

    def _abort(self, requests: tuple[Message, ...]) -> None:
        for request in requests:
            self._kernel.state("busy", request)
            content = {"status": "aborted"}
            self._kernel.channels.reply(request, "execute_reply", content)
            self._kernel.state("idle", request)

    def abandon(self) -> None:
        """The kernel ends: answer what runs and what waits."""
        kernel = self._kernel
        execution, kernel.current = kernel.current, None
        if execution is not None:
            execution.output.finish(time.monotonic())
            failure = report.failure("KernelEnded", "", "the kernel was told to end")
            self._answer(execution.request, failure, {})
        waiting = tuple(kernel.queue)
        kernel.queue.clear()
        self._abort(waiting)

    def show(self, asked: Asked) -> None:
        """Show the file that a cell has asked to be shown, and let the cell go on."""
        kernel = self._kernel
        execution, shell = kernel.cells.of(asked.cell), kernel.cells.running
        done = False
        if execution is not None:
            try:
                path = os.path.join(asked.directory, asked.path)
                data = display.load(path, asked.path)
                KernelContext(kernel, execution).display(data, {})
                done = True
            except MagicError as error:
                text = "\n".join(["display: " + error.message, *report.details(error), ""])
                execution.output.write("stderr", text.encode(errors="replace"), time.monotonic())
        if shell is not None:
            shell.answer_asked(asked, done=done)

    def ask_for_input(self, *, secret: bool) -> None:
        """A program waits for a line of its terminal."""
        kernel = self._kernel
        execution, shell = kernel.current, kernel.cells.running
        if execution is None or shell is None or execution.input_request:
            return
        if not execution.asked.allow_stdin:
            shell.end_of_input()
            return
        prompt = execution.output.take_question(time.monotonic())
        content = {"prompt": prompt, "password": secret}
        execution.input_request = kernel.channels.reply(
            execution.request, "input_request", content, "stdin"
        )

    def take_input(self, message: Message) -> None:
        """What the user typed; an answer to an earlier question is none to this one."""
        execution, shell = self._kernel.current, self._kernel.cells.running
        if execution is None or shell is None or not execution.input_request:
            return
        if message.parent.get("msg_id", execution.input_request) != execution.input_request:
            return
        execution.input_request = ""
        line = str(message.content.get("value", ""))
        if line in END_OF_INPUT:
            shell.end_of_input()
        else:
            shell.answer(line)


def _has_commands(code: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in code.split("\n"))


def _expressions(names: tuple[str, ...]) -> dict[str, Any]:
    """Bash has no expressions: each is answered with that."""
    failure = report.failure("NoExpressions", "", "bash has no expressions to evaluate")
    return {name: {"status": "error", **failure.content()} for name in names}
