"""A stay in a kept workspace: entered new, resumed, and left so that nothing of it is lost."""

from __future__ import annotations

import os
import time

from sandbox.errors import EvidenceError, MachineError
from sandbox.model.spec import BuildDirectory, Inputs
from sandbox.model.steps import CopyTree, MakeDirectory, MakeFile, MakeLink, SetOwner
from sandbox.model.value import Value
from sandbox.workspace import harvest
from sandbox.workspace.holding import (
    Held,
    create,
    note_derivation,
    note_inputs,
    note_session,
    sweep_kept,
)
from sandbox.workspace.kept import STORE, TMP, UNKNOWN, Kept, read_inputs
from sandbox.workspace.lower import identity, require_build
from sandbox.workspace.prepare import prepare
from sandbox.workspace.refusals import refusal
from sandbox.workspace.remove import Removal, remove_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from sandbox.model.spec import Sandbox
    from sandbox.model.steps import PrepareStep
    from sandbox.workspace.kept import Copied

SHOWN = 3


class Session:
    """A kept workspace with somebody inside: a context manager, entered before the sandbox is made.

    With `name` the workspace of that name is resumed, else one is made for `kept`, whose derivation
    says `derivation`. `changed`: what was kept is taken as it is now, from now on.

    Afterwards `kept` is what is left of it: None if nothing was changed in it, for then it is
    removed. What could not be removed is in `removal`, and why what was left could not be put in
    order, if it could not, in `trouble`: nothing is lost by that, and the next one tries again.
    """

    def __init__(
        self,
        state: str,
        *,
        kept: Kept | None = None,
        derivation: str = "",
        name: str = "",
        changed: bool = False,
    ) -> None:
        self._held = Held(state, name)
        self._wanted = kept
        self._derivation = derivation
        self._may_be_changed = changed
        self._is_new = not name
        self.kept: Kept | None = None
        self.removal = Removal()
        self.trouble = ""

    @property
    def path(self) -> str:
        return self._held.path

    @property
    def upper(self) -> str:
        return f"{self.path}/upper"

    @property
    def name(self) -> str:
        return self._held.name

    def __enter__(self) -> Self:
        """Raises as `Held.__enter__`, `holding.create` and `require_build`."""
        if self._wanted is not None:
            sweep_kept(self._held.state)
            create(self._held.state, self._wanted, self._held)
        else:
            self._held.__enter__()
            try:
                require_build(self._held.kept, changed=self._may_be_changed)
            except BaseException:
                self._held.forget()
                raise
        self.kept = self._held.kept
        return self

    def is_changed(self) -> bool:
        """Is there anything in it by now that would stay?"""
        return self._held.is_changed()

    def inputs(self) -> frozenset[str]:
        """The names in the store directory that the sandbox has besides outputs."""
        return read_inputs(self._held.directory)

    def is_mine(self) -> bool:
        """Does this process have it, and not the one that forked it?"""
        return self._held.is_mine()

    def fitting(self, sandbox: Sandbox) -> Sandbox:
        """The sandbox for this workspace: what was copied once is not laid over anything now.

        Raises MachineError `workspace-method`.
        """
        if self._is_new:
            return sandbox
        entries = []
        for entry in sandbox.entries:
            if isinstance(entry, BuildDirectory):
                entry = self._fitting(entry)  # noqa: PLW2901  the same, as it has to be
            entries.append(entry)
        return sandbox.replace(entries=tuple(entries))

    def _fitting(self, entry: BuildDirectory) -> BuildDirectory:
        kept = self._held.kept
        if kept.method == "overlay" and entry.method != "overlay":
            raise MachineError(
                f"the workspace `{kept.name}` lies over what was kept, and a copy is asked for now",
                reason="workspace-method",
                evidence=(f"`{kept.upper}` holds only what was changed",),
                hint=f"`nbs shell {kept.build}` begins another one",
            )
        return entry if kept.method == "overlay" else entry.replace(method="copy")

    def prepare(
        self,
        sandbox: Sandbox,
        steps: tuple[PrepareStep, ...],
        copy: Callable[[CopyTree], None],
    ) -> None:
        """Carry out the outside of a plan: all of it, or what a resumed workspace does not have.

        Raises as `prepare.prepare`, and EvidenceError `workspace-inputs-changed`.
        """
        shape = _shape(sandbox, steps, self.path)
        try:
            if self._is_new:
                self._begin(shape)
                prepare(steps, copy)
                self.kept = self._held.write(self._held.kept, times=("prepared_ns",))
            else:
                _require_inputs(self._held, _store_of(sandbox))
                self._clear(harvest.OF_A_SESSION)
                for name in ("root", "work"):
                    os.mkdir(f"{self.path}/{name}", 0o700)
                prepare(tuple(_of_a_session(steps, self.upper)), copy)
                harvest.give_tmp(self._held.directory, self._held.kept.places)
                harvest.give_outputs(self._held.directory, self._held.kept.store_place)
                kept = self._held.kept
                seen = identity(kept.kept)
                self.kept = self._held.write(kept.replace(used=time.time(), identity=seen))
        except OSError as error:
            raise refusal(error, self.path) from None

    def _begin(self, shape: Shape) -> None:
        """Empty directories, also after a first attempt that came to nothing."""
        self._clear((*harvest.OF_A_SESSION, "upper"))
        for name in ("root", "upper", "work"):
            os.mkdir(f"{self.path}/{name}", 0o700)
        note_inputs(self._held.directory, shape.inputs)
        note_derivation(self._held.directory, self._derivation)
        now = time.time()
        layout = shape.fields()
        del layout["inputs"]
        kept = self._held.kept.replace(**layout, created=now, used=now, prepared_ns=0)
        self._held.write(kept, times=("begun_ns",))

    def _clear(self, names: tuple[str, ...]) -> None:
        for name in names:
            removal = remove_entry(name, self._held.directory)
            if removal.left:
                raise MachineError(
                    f"what an earlier session left in `{self.path}` cannot be removed",
                    reason="workspace-unwritable",
                    evidence=removal.examples[:SHOWN],
                )

    def started(self, pid: int) -> None:
        """The sandbox is made, and `pid` is its first process."""
        self._is_new = False
        try:
            note_session(self._held.directory, pid)
        except OSError:
            # A full disk. The lock alone then tells that somebody is inside.
            return

    def __exit__(self, *_: object) -> None:
        """Take home what the session left, or remove the workspace if it changed nothing.

        Nothing in a forked child: the workspace is its parent's.
        """
        if not self.is_mine():
            self._held.forget()
            return
        self.kept = None
        try:
            self._leave()
        except (OSError, MachineError) as error:
            self.kept = self._held.kept
            self.trouble = str(error)
        finally:
            self._held.forget()

    def _leave(self) -> None:
        held = self._held
        if not held.is_changed():
            self.removal = held.remove()
            return
        held.harvest()
        self.kept = held.kept
        self.kept = held.write(held.kept.replace(used=time.time()))

    def forget(self) -> None:
        """Give up the lock in this process, and leave everything as it is."""
        self._held.forget()


class Shape(Value):
    """What of a sandbox decides how a workspace of it is laid out: `inputs`, and fields of `Kept`
    that are described there."""

    method: str
    build_place: str
    store_dir: str
    store_place: str
    inputs: frozenset[str]
    partial: tuple[str, ...]
    places: tuple[str, ...]
    copies: tuple[Copied, ...]


def _shape(sandbox: Sandbox, steps: tuple[PrepareStep, ...], path: str) -> Shape:
    build = next(e for e in sandbox.entries if isinstance(e, BuildDirectory))
    store = _store_of(sandbox)
    store_place = f"root{store.path}" if store.places == "disk" else STORE
    copies = [step for step in steps if isinstance(step, CopyTree)]
    made = [step for step in steps if isinstance(step, MakeDirectory)]
    return Shape(
        method="overlay" if build.method == "overlay" else "copy",
        build_place=build.path,
        store_dir=store.path,
        store_place=store_place,
        inputs=_names_in(store),
        partial=_below(f"{path}/{store_place}", copies),
        places=_below(f"{path}/root/{TMP}", made),
        copies=tuple(_copied(step, path, sandbox) for step in copies),
    )


def _store_of(sandbox: Sandbox) -> Inputs:
    return next(entry for entry in sandbox.entries if isinstance(entry, Inputs))


def _names_in(store: Inputs) -> frozenset[str]:
    return frozenset((*store.directories, *store.files, *(name for name, _ in store.links)))


def _copied(step: CopyTree, path: str, sandbox: Sandbox) -> Copied:
    looked = next((one for one in sandbox.looked if one.path == step.source), None)
    was = (looked.inode, looked.uid) if looked is not None else (UNKNOWN, UNKNOWN)
    source = looked.real if looked is not None else step.source
    born_ns = _born_ns(source)
    return (step.path[len(path) + 1 :], source, step.uid, step.gid, *was, step.whose, born_ns)


def _born_ns(path: str) -> int:
    try:
        return identity(path)[1]
    except OSError:
        # To copy it will be refused.
        return 0


def _below(directory: str, steps: Iterable[CopyTree | MakeDirectory]) -> tuple[str, ...]:
    """What of these is made below a directory, relative to it."""
    start = f"{directory}/"
    return tuple(step.path[len(start) :] for step in steps if step.path.startswith(start))


def _of_a_session(steps: tuple[PrepareStep, ...], upper: str) -> Iterator[PrepareStep]:
    """The steps without those that make the build tree and the outputs, which are there."""
    for step in steps:
        match step:
            case CopyTree():
                continue
            case MakeFile() | MakeLink() | MakeDirectory() | SetOwner() if (
                step.path == upper or step.path.startswith(upper + "/")
            ):
                continue
            case _:
                yield step


def _require_inputs(held: Held, store: Inputs) -> None:
    before, inputs = read_inputs(held.directory), _names_in(store)
    if before == inputs:
        return
    missing, new = sorted(before - inputs), sorted(inputs - before)
    raise EvidenceError(
        f"the build of the workspace `{held.name}` would see other inputs now",
        reason="workspace-inputs-changed",
        evidence=(
            *(f"{_missed(f'{store.source}/{name}')}: {name}" for name in missing[:SHOWN]),
            *(f"new: {name}" for name in new[:SHOWN]),
        ),
        hint=f"`nbs ws path {held.name}` tells where the changed files are",
    )


def _missed(path: str) -> str:
    return "no input any more" if os.path.lexists(path) else "not there any more"
