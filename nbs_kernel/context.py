"""The kernel as a magic command sees it: `nbs_kernel.magics.context.Context`."""

from __future__ import annotations

import time

from nbs_kernel.execution import Stop
from nbs_kernel.requests import Enter
from sandbox import given_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nbs_kernel.execution import Execution
    from nbs_kernel.kernel import Kernel
    from nbs_kernel.known import Known
    from nbs_kernel.settings import Settings
    from nbs_kernel.typed.surroundings import Asked
    from sandbox import Snapshot


LEAVE = r"{ __nbs_from=$PWD __nbs_before=${OLDPWD-}; \builtin cd -P /; } 2>/dev/null"
COME_BACK = r"""{
  while ! \builtin cd -- "${__nbs_from-$PWD}"; do
    __nbs_from=${__nbs_from%/*}
    if [[ -z $__nbs_from ]]; then \builtin cd /; \builtin break; fi
  done
  OLDPWD=${__nbs_before-${OLDPWD-}}
  \builtin unset -v __nbs_from __nbs_before
} 2>/dev/null"""
"""Out of the build's directory, and back, or to what is left of the way there."""


class KernelContext:
    """For the magic lines of one execution; `done` of them are behind.

    `run` runs bash text on behalf of the execution, to its end.
    """

    def __init__(
        self,
        kernel: Kernel,
        execution: Execution,
        run: Callable[[Execution, str], object] = lambda _, __: None,
    ) -> None:
        self._kernel = kernel
        self._run = run
        self._execution = execution
        self.done = 0

    @property
    def known(self) -> Known | None:
        """The build, None if the kernel is in none."""
        return self._kernel.known if self._kernel.is_inside else None

    @property
    def shell(self) -> Asked | None:
        """The shell that runs the cells, None if there is none yet."""
        return self._kernel.cells.running

    @property
    def settings(self) -> Settings:
        """Those that count now."""
        return self._kernel.settings

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """What was exported right after the shell's start; empty if it is not known."""
        return self._kernel.environment

    def change(self, settings: Settings) -> None:
        """They count from the next bash on that is run."""
        self._kernel.change(settings)
        self._execution.output.set_limit(settings.limit_bytes)

    def write(self, text: str, stream: str = "stdout") -> None:
        """Show text, as if the cell had written it."""
        data = text.encode(errors="replace")
        self._execution.output.write(stream, data, time.monotonic())

    def display(self, data: dict[str, object], metadata: dict[str, object]) -> None:
        """Show one thing in several formats; the front end picks one."""
        execution = self._execution
        execution.output.flush(time.monotonic())
        if not execution.asked.silent:
            content = {"data": data, "metadata": metadata, "transient": {}}
            self._kernel.tell("display_data", content, execution.request.header)

    def enter(self, asked: Enter) -> None:
        """Move into another build: does not return. Raises `sandbox.Error`."""
        self._kernel.move(asked, self.done)

    def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
        """What was changed in the workspace, with colours. Raises `sandbox.Error`."""
        return self._kernel.outside.diff(paths, since, stat=stat)

    def run_outside(self, verb: str, words: tuple[str, ...]) -> int:
        """Run one of nbs's commands on the workspace, and show what it says; its exit status.

        Raises `sandbox.Error`.
        """

        def said(text: str) -> None:
            data = text.encode("utf-8", "surrogateescape")
            self._execution.output.write("stdout", data, time.monotonic())

        status = self._kernel.outside.run(verb, words, said)
        if self._execution.interrupted:
            raise given_up()
        return status

    def snapshot(self, name: str) -> Snapshot:
        """Keep the files as they are. Raises `sandbox.Error`."""
        return self._kernel.outside.take_snapshot(name)

    def remove_snapshot(self, name: str) -> None:
        """Raises `sandbox.Error`."""
        self._kernel.outside.remove_snapshot(name)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The oldest first, without `failed`. Raises `sandbox.Error`."""
        return self._kernel.outside.list_snapshots()

    def restore(self, name: str, *, kill: bool) -> tuple[str, ...]:
        """Put the files back; what to say of it, line by line. Raises `sandbox.Error`.

        The shell is elsewhere meanwhile: who is in a directory keeps it as it was.
        """
        kernel = self._kernel
        is_there = kernel.cells.running is not None
        if is_there:
            self._run(self._execution, LEAVE)
        try:
            if self._execution.interrupted:
                # On the way out, when nothing was asked for yet.
                raise given_up()
            return kernel.outside.restore(name, kill=kill)
        except Stop:
            # The shell ends with the kernel.
            is_there = False
            raise
        finally:
            if is_there:
                self._run(self._execution, COME_BACK)

    def restart(self) -> None:
        """A fresh shell in the same workspace. Raises `sandbox.Error`."""
        self._kernel.cells.close(keep=self._execution)
        self._kernel.cells.shell()

    def reset(self) -> None:
        """The workspace as it was kept, which is another sandbox. Raises `sandbox.Error`."""
        self._kernel.move(Enter(build=""), self.done)
