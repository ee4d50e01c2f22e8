"""Stands in for the kernel: writes down each call as strace would print it, and makes none."""

from __future__ import annotations

from sandbox.linux import mounts, syscalls
from sandbox.linux.apply import apply
from sandbox.linux.syscalls import quoted
from sandbox.model.steps import ConnectTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.plan import Plan


class Recorder:
    """The calls of a run. `refuse` is the number of the call, from 0, that gets `errno`."""

    def __init__(self, refuse: int = -1, errno: int = 1) -> None:
        self.calls: list[str] = []
        self.refuse = refuse
        self.errno = errno

    def note(self, call: str) -> None:
        if len(self.calls) == self.refuse:
            raise OSError(self.errno, "refused", call)
        self.calls.append(call)

    def join_session_keyring(self) -> None:
        self.note("keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)")

    def set_sysctl(self, name: str, value: str) -> None:
        self.note(f"sysctl({name}={value})")

    def bring_up(self, interface: str) -> None:
        self.note(f"ioctl(SIOCSIFFLAGS, {{ifr_name={quoted(interface)}, ifr_flags=IFF_UP}})")

    def sethostname(self, name: str) -> None:
        self.note(f"sethostname({quoted(name)}, {len(name)})")

    def setdomainname(self, name: str) -> None:
        self.note(f"setdomainname({quoted(name)}, {len(name)})")

    def mount(
        self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = ""
    ) -> None:
        self.note(mounts.mount_call(source, target, fstype, flags, data))

    def bind_each(self, source: str, target: str, names: tuple[str, ...]) -> None:
        for name in names:
            self.mount(f"{source}/{name}", f"{target}/{name}", flags=mounts.MS_BIND | mounts.MS_REC)

    def mount_overlay(
        self, *, lower: str, upper: str, work: str, target: str, uid: int, gid: int
    ) -> None:
        options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
        self.note(
            f'mount("overlay", {quoted(target)}, "overlay", 0, {quoted(options)}) as {uid}:{gid}'
        )

    def mount_setattr(self, target: str, *, read_only: bool, recursive: bool) -> None:
        flags = "AT_RECURSIVE" if recursive else "0"
        change = "set" if read_only else "clr"
        self.note(
            f"mount_setattr(AT_FDCWD, {quoted(target)}, {flags}, "
            f"{{attr_{change}=MOUNT_ATTR_RDONLY}})"
        )

    def make_places(
        self, path: str, directories: tuple[str, ...], files: tuple[str, ...], uid: int, gid: int
    ) -> None:
        self.note(f"setfsuid({uid})")
        self.note(f"setfsgid({gid})")
        for name in directories:
            self.note(f"mkdir({quoted(f'{path}/{name}')}, 0755)")
        for name in files:
            self.note(f"mknod({quoted(f'{path}/{name}')}, S_IFREG|0644)")

    def pivot_root(self, new_root: str) -> None:
        self.note(f"chdir({quoted(new_root)})")
        self.note('pivot_root(".", ".")')
        self.note('umount2(".", MNT_DETACH)')
        self.note('chdir("/")')

    def renew_proc(self, path: str) -> None:
        self.note('fsmount(fsopen("proc"))')
        self.note(f"umount2({quoted(path)}, MNT_DETACH)")
        self.note(f"move_mount({quoted(path)})")

    def chmod(self, path: str, mode: int) -> None:
        self.note(f"chmod({quoted(path)}, 0{mode:o})")

    def setgid(self, gid: int) -> None:
        self.note(f"setgid({gid})")

    def setuid(self, uid: int) -> None:
        self.note(f"setuid({uid})")

    def connect_terminal(self) -> None:
        self.note('open("/dev/ptmx", O_RDWR|O_NOCTTY)')
        self.note("setsid()")
        self.note("ioctl(TIOCSCTTY)")

    def chdir(self, path: str) -> None:
        self.note(f"chdir({quoted(path)})")

    def umask(self, mask: int) -> None:
        self.note(f"umask(0{mask:o})")

    def personality(self, persona: int) -> None:
        self.note(f"personality({persona:#x})")

    def set_limit(
        self, resource: int, soft: int | None, ceiling: int = syscalls.RLIM_INFINITY
    ) -> None:
        value = f"the hard limit, {ceiling} at most" if soft is None else str(soft)
        self.note(f"setrlimit({resource}, {{rlim_cur={value}}})")

    def prctl(self, option: int, argument: int) -> None:
        self.note(f"prctl({option}, {argument})")

    def landlock_scope_abstract_sockets(self) -> None:
        self.note("landlock_restrict_self({scoped=LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET})")

    def seccomp_filter(self, program: bytes) -> None:
        self.note(f"prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, {{len={len(program) // 8}}})")


def calls_of(plan: Plan) -> tuple[str, ...]:
    """Every call that `plan` makes inside, from unshare(2) to execve(2)."""
    names = "|".join("CLONE_NEW" + ("NS" if n == "mnt" else n.upper()) for n in plan.namespaces)
    recorder = Recorder()
    recorder.note(f"unshare({names})")
    recorder.note('write("/proc/FOUNDER/setgroups", "deny")')
    recorder.note(f'write("/proc/FOUNDER/uid_map", "{plan.uid_map}")')
    recorder.note(f'write("/proc/FOUNDER/gid_map", "{plan.gid_map}")')
    for step in plan.enter:
        apply(step, recorder)
    if not any(isinstance(step, ConnectTerminal) for step in plan.enter):
        recorder.note("setsid()")
    recorder.note("close_range(3, ~0U, CLOSE_RANGE_CLOEXEC)")
    execute = plan.execute
    argv = ", ".join(map(quoted, execute.argv))
    recorder.note(f"execve({quoted(execute.program)}, [{argv}], {len(execute.environment)} vars)")
    return tuple(recorder.calls)
