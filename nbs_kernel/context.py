"""The kernel as a magic command sees it: `nbs_kernel.magics.context.Context`."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.execution import Execution
    from nbs_kernel.kernel import Kernel
    from nbs_kernel.known import Known
    from nbs_kernel.settings import Settings
    from nbs_kernel.typed.surroundings import Asked


class KernelContext:
    """For the magic lines of one execution; `done` of them are behind."""

    def __init__(self, kernel: Kernel, execution: Execution) -> None:
        self._kernel = kernel
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

    def enter(self, build: str, store: str = "", derivation: str = "", workspace: str = "") -> None:
        """Move into another build: does not return. Raises `sandbox.Error`."""
        self._kernel.move(build, self.done, store, derivation, workspace)

    def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
        """What was changed in the workspace, with colours. Raises `sandbox.Error`."""
        return self._kernel.outside.diff(paths, since, stat=stat)

    def restart(self) -> None:
        """A fresh shell in the same workspace. Raises `sandbox.Error`."""
        self._kernel.cells.close(keep=self._execution)
        self._kernel.cells.shell()

    def reset(self) -> None:
        """The workspace as it was kept, which is another sandbox. Raises `sandbox.Error`."""
        self._kernel.move("", self.done)
