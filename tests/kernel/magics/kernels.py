"""A kernel that notes what magic commands do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbs_kernel.magics.cell import prepare
from nbs_kernel.settings import Settings
from sandbox import Error

if TYPE_CHECKING:
    from nbs_kernel.known import Known
    from nbs_kernel.typed.surroundings import Asked


class Noted:
    """Fulfils `nbs_kernel.magics.context.Context`."""

    def __init__(self, shell: Asked | None = None, known: Known | None = None) -> None:
        self.shell = shell
        self.known = known
        self.settings = Settings()
        self.environment: tuple[tuple[str, str], ...] = ()
        self.text = ""
        self.shown: list[dict[str, object]] = []
        self.done: list[str] = []

    def change(self, settings: Settings) -> None:
        self.settings = settings

    def write(self, text: str, stream: str = "stdout") -> None:
        assert stream in {"stdout", "stderr"}
        self.text += text

    def display(self, data: dict[str, object], metadata: dict[str, object]) -> None:
        assert metadata == {}
        self.shown.append(data)

    def enter(self, build: str, store: str = "", derivation: str = "") -> None:
        if build == "missing":
            raise Error("there is no build `missing`", reason="build-unknown")
        self.done.append(" ".join(filter(None, ("enter", build, store, derivation))))

    def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
        self.done.append(" ".join(["diff", f"since={since}", f"stat={stat}", *paths]))
        return "2 changes\n"

    def restart(self) -> None:
        self.done.append("restart")

    def reset(self) -> None:
        self.done.append("reset")

    def run(self, cell: str) -> str:
        """Do all magic lines of a cell; the bash that is left."""
        prepared = prepare(cell)
        for call in prepared.calls:
            assert call.run(self) is None
        return prepared.bash
