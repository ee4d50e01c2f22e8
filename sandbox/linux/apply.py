"""Carries out the inside of a plan, one step after another, and decides nothing.

The calls are a parameter: the real ones are `sandbox.linux.syscalls`, a recorder stands in for them
to show what would be called, and tests let the nth call fail.
"""

from __future__ import annotations

import errno
import os

from sandbox.linux import mounts, syscalls
from sandbox.linux.looked import open_looked
from sandbox.model.steps import (
    BindEach,
    BringUp,
    ChangeDirectory,
    ConnectTerminal,
    EnterStep,
    InstallFilter,
    MakePlacesInMemory,
    Mount,
    MountOverlay,
    NoNewPrivileges,
    PivotRoot,
    RenewKeyring,
    RenewProc,
    ScopeAbstractSockets,
    SetIds,
    SetLimit,
    SetMode,
    SetNames,
    SetParentDeathSignal,
    SetPersonality,
    SetReadOnly,
    SetSysctl,
    SetUmask,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Calls(Protocol):
        """What a step may call: `sandbox.linux.syscalls` and a few of `os`."""

        def join_session_keyring(self) -> None: ...
        def set_sysctl(self, name: str, value: str) -> None: ...
        def bring_up(self, interface: str) -> None: ...
        def sethostname(self, name: str) -> None: ...
        def setdomainname(self, name: str) -> None: ...
        def mount(
            self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = ""
        ) -> None: ...
        def bind_each(self, source: str, target: str, names: tuple[str, ...]) -> None: ...
        def mount_overlay(
            self, *, lower: str, upper: str, work: str, target: str, uid: int, gid: int
        ) -> None: ...
        def mount_setattr(self, target: str, *, read_only: bool, recursive: bool) -> None: ...
        def make_places(
            self,
            path: str,
            directories: tuple[str, ...],
            files: tuple[str, ...],
            uid: int,
            gid: int,
        ) -> None: ...
        def pivot_root(self, new_root: str) -> None: ...
        def renew_proc(self, path: str) -> None: ...
        def chmod(self, path: str, mode: int) -> None: ...
        def setgid(self, gid: int) -> None: ...
        def setuid(self, uid: int) -> None: ...
        def connect_terminal(self) -> None: ...
        def chdir(self, path: str) -> None: ...
        def umask(self, mask: int) -> None: ...
        def personality(self, persona: int) -> None: ...
        def set_limit(self, resource: int, soft: int | None, ceiling: int = ...) -> None: ...
        def prctl(self, option: int, argument: int) -> None: ...
        def landlock_scope_abstract_sockets(self) -> None: ...
        def seccomp_filter(self, program: bytes) -> None: ...


LIMITS = {"core": syscalls.RLIMIT_CORE, "nofile": syscalls.RLIMIT_NOFILE}


def apply(step: EnterStep, calls: Calls) -> None:  # noqa: C901, PLR0912  one case a kind of step
    """Carry out one step. Raises OSError with the call, as strace prints it, for a file name."""
    match step:
        case RenewKeyring():
            calls.join_session_keyring()
        case SetSysctl():
            calls.set_sysctl(step.name, step.value)
        case BringUp():
            calls.bring_up(step.interface)
        case SetNames():
            calls.sethostname(step.host_name)
            calls.setdomainname(step.domain_name)
        case Mount():
            calls.mount(step.source, step.target, step.fstype, step.flags, step.data)
        case BindEach():
            calls.bind_each(step.source, step.target, step.names)
        case MountOverlay():
            calls.mount_overlay(**step.fields())
        case MakePlacesInMemory():
            owner = f"uid={step.uid},gid={step.gid}"
            calls.mount("none", step.path, "tmpfs", 0, f"mode=0755,{owner}")
            calls.make_places(step.path, step.directories, step.files, step.uid, step.gid)
        case SetReadOnly():
            calls.mount_setattr(step.target, read_only=step.read_only, recursive=step.recursive)
        case SetMode():
            calls.chmod(step.path, step.mode)
        case PivotRoot():
            calls.pivot_root(step.root)
        case RenewProc():
            calls.renew_proc(step.path)
        case SetIds():
            calls.setgid(step.gid)
            calls.setuid(step.uid)
        case ConnectTerminal():
            calls.connect_terminal()
        case ChangeDirectory():
            _change_directory(step.candidates, calls)
        case SetLimit():
            calls.set_limit(LIMITS[step.resource], step.soft, step.ceiling)
        case SetUmask():
            calls.umask(step.umask)
        case SetPersonality():
            calls.personality(step.persona)
        case SetParentDeathSignal():
            calls.prctl(syscalls.PR_SET_PDEATHSIG, step.signal)
        case NoNewPrivileges():
            calls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        case ScopeAbstractSockets():
            calls.landlock_scope_abstract_sockets()
        case InstallFilter():
            calls.seccomp_filter(step.program)


def _change_directory(candidates: tuple[str, ...], calls: Calls) -> None:
    for path in candidates[:-1]:
        try:
            calls.chdir(path)
        except OSError:
            continue
        return
    calls.chdir(candidates[-1])


class Linux:
    """The real calls. `connect_terminal` belongs to the run: see `linux.terminal`.

    A source that is among those `looked` at is opened as such, by a process whose user namespace
    has `ids`: see `linux.looked`.
    """

    def __init__(
        self,
        connect_terminal: Callable[[], None],
        looked: tuple[Looked, ...] = (),
        ids: IdMap | None = None,
    ) -> None:
        self.connect_terminal = connect_terminal
        self._ids = ids
        self._looked = {one.path: one for one in looked}

    def mount(
        self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = ""
    ) -> None:
        def call(found: str | int) -> None:
            place = found if isinstance(found, str) else syscalls.own_descriptor(found)
            mounts.mount(place, target, fstype, flags, data)

        self._with(source, call)

    def mount_overlay(
        self, *, lower: str, upper: str, work: str, target: str, uid: int, gid: int
    ) -> None:
        def call(found: str | int) -> None:
            mounts.mount_overlay(
                lower=found, upper=upper, work=work, target=target, uid=uid, gid=gid
            )

        self._with(lower, call)

    def bind_each(self, source: str, target: str, names: tuple[str, ...]) -> None:
        def call(found: str | int) -> None:
            if isinstance(found, str):
                mounts.bind_each(found, target, names)
            else:
                mounts.bind_each_in(found, target, names)

        self._with(source, call)

    def _with(self, source: str, call: Callable[[str | int], None]) -> None:
        """A call with a source: its path, or the descriptor of one that was looked at."""
        one = self._looked.get(source)
        if one is None:
            call(source)
            return
        handle = open_looked(one, self._ids)
        try:
            call(handle)
        finally:
            os.close(handle)

    join_session_keyring = staticmethod(syscalls.join_session_keyring)
    bring_up = staticmethod(syscalls.bring_up)
    sethostname = staticmethod(syscalls.sethostname)
    setdomainname = staticmethod(syscalls.setdomainname)
    mount_setattr = staticmethod(mounts.mount_setattr)
    make_places = staticmethod(mounts.make_places)
    pivot_root = staticmethod(mounts.pivot_root)
    renew_proc = staticmethod(mounts.renew_proc)
    personality = staticmethod(syscalls.personality)
    set_limit = staticmethod(syscalls.set_limit)
    prctl = staticmethod(syscalls.prctl)
    landlock_scope_abstract_sockets = staticmethod(syscalls.landlock_scope_abstract_sockets)
    seccomp_filter = staticmethod(syscalls.seccomp_filter)

    @staticmethod
    def set_sysctl(name: str, value: str) -> None:
        """A kernel without the namespaces in question has no such file."""
        path = f"/proc/sys/{name.replace('.', '/')}"
        try:
            _named(f"sysctl({name}={value})", _write, path, value)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    @staticmethod
    def chmod(path: str, mode: int) -> None:
        _named(f"chmod({syscalls.quoted(path)}, 0{mode:o})", os.chmod, path, mode)

    @staticmethod
    def setgid(gid: int) -> None:
        _named(f"setgid({gid})", os.setgid, gid)

    @staticmethod
    def setuid(uid: int) -> None:
        _named(f"setuid({uid})", os.setuid, uid)

    @staticmethod
    def chdir(path: str) -> None:
        _named(f"chdir({syscalls.quoted(path)})", os.chdir, path)

    @staticmethod
    def umask(mask: int) -> None:
        os.umask(mask)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _named(call: str, function: Callable[..., None], *arguments: Any) -> None:
    try:
        function(*arguments)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), call) from None


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.model.spec import IdMap, Looked
