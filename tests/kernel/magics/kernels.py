"""A kernel that notes what magic commands do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbs_kernel.magics.cell import prepare
from nbs_kernel.settings import Settings
from sandbox import Error, Snapshot

if TYPE_CHECKING:
    from nbs_kernel.known import Known
    from nbs_kernel.requests import Enter
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
        self.status = 0

    def change(self, settings: Settings) -> None:
        self.settings = settings

    def write(self, text: str, stream: str = "stdout") -> None:
        assert stream in {"stdout", "stderr"}
        self.text += text

    def display(self, data: dict[str, object], metadata: dict[str, object]) -> None:
        assert metadata == {}
        self.shown.append(data)

    def enter(self, asked: Enter) -> None:
        if asked.build == "missing":
            raise Error("there is no build `missing`", reason="build-unknown")
        words = (
            *("enter", asked.build, asked.store, asked.derivation, asked.workspace),
            *asked.tools,
        )
        self.done.append(" ".join(filter(None, words)))

    def diff(self, paths: tuple[str, ...], since: str, *, stat: bool) -> str:
        self.done.append(" ".join(["diff", f"since={since}", f"stat={stat}", *paths]))
        return "2 changes\n"

    def run_outside(self, verb: str, words: tuple[str, ...]) -> int:
        self.done.append(" ".join([verb, *words]))
        return self.status

    def snapshot(self, name: str) -> Snapshot:
        self.done.append(f"snapshot {name}".rstrip())
        return Snapshot(name=name or "1", created=0.0, files=1, bytes=6)

    def remove_snapshot(self, name: str) -> None:
        self.done.append(f"remove {name}")

    def snapshots(self) -> tuple[Snapshot, ...]:
        return (Snapshot(name="one", created=0.0, files=2, bytes=6),)

    def restore(self, name: str, *, kill: bool) -> tuple[str, ...]:
        self.done.append(f"restore {name}{' --kill' * kill}")
        return (f"restored: {name or 'one'}",)

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
