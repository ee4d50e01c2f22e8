"""Each step of a plan becomes its calls, in order, and no other."""

from __future__ import annotations

import errno

import pytest

from sandbox.linux.apply import apply
from sandbox.linux.record import Recorder
from sandbox.model import plan, steps
from sandbox.model.steps import EnterStep

CALLS = [
    (steps.RenewKeyring(), ["keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)"]),
    (steps.SetSysctl(name="user.max_x", value="0"), ["sysctl(user.max_x=0)"]),
    (steps.BringUp(interface="lo"), ['ioctl(SIOCSIFFLAGS, {ifr_name="lo", ifr_flags=IFF_UP})']),
    (
        steps.SetNames(host_name="localhost", domain_name="(none)"),
        ['sethostname("localhost", 9)', 'setdomainname("(none)", 6)'],
    ),
    (
        steps.Mount(source="none", target="/w/dev/shm", fstype="tmpfs", data="size=50%"),
        ['mount("none", "/w/dev/shm", "tmpfs", 0, "size=50%")'],
    ),
    (
        steps.Mount(source="/a", target="/w/a", flags=plan.MS_BIND | plan.MS_REC),
        ['mount("/a", "/w/a", NULL, MS_BIND|MS_REC, NULL)'],
    ),
    (
        steps.MountOverlay(lower="/l", upper="/u", work="/k", target="/w/build", uid=1000, gid=100),
        [
            'mount("overlay", "/w/build", "overlay", 0, '
            '"lowerdir=/l,upperdir=/u,workdir=/k,userxattr") as 1000:100'
        ],
    ),
    (
        steps.BindEach(source="/nix/store", target="/w/nix/store", names=("a", "b")),
        [
            'mount("/nix/store/a", "/w/nix/store/a", NULL, MS_BIND|MS_REC, NULL)',
            'mount("/nix/store/b", "/w/nix/store/b", NULL, MS_BIND|MS_REC, NULL)',
        ],
    ),
    (
        steps.MakePlacesInMemory(
            path="/w/store", directories=("a",), files=("b",), uid=1000, gid=100
        ),
        [
            'mount("none", "/w/store", "tmpfs", 0, "mode=0755,uid=1000,gid=100")',
            "setfsuid(1000)",
            "setfsgid(100)",
            'mkdir("/w/store/a", 0755)',
            'mknod("/w/store/b", S_IFREG|0644)',
        ],
    ),
    (
        steps.SetReadOnly(target="/w/x", read_only=True, recursive=True),
        ['mount_setattr(AT_FDCWD, "/w/x", AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY})'],
    ),
    (
        steps.SetReadOnly(target="/w/x", read_only=False),
        ['mount_setattr(AT_FDCWD, "/w/x", 0, {attr_clr=MOUNT_ATTR_RDONLY})'],
    ),
    (steps.SetMode(path="/w/dev/pts/ptmx", mode=0o666), ['chmod("/w/dev/pts/ptmx", 0666)']),
    (
        steps.PivotRoot(root="/w"),
        ['chdir("/w")', 'pivot_root(".", ".")', 'umount2(".", MNT_DETACH)', 'chdir("/")'],
    ),
    (
        steps.RenewProc(path="/proc"),
        [
            'fsmount(fsopen("proc"))',
            'umount2("/proc", MNT_DETACH)',
            'move_mount("/proc")',
        ],
    ),
    (steps.SetIds(uid=1000, gid=100), ["setgid(100)", "setuid(1000)"]),
    (
        steps.ConnectTerminal(),
        ['open("/dev/ptmx", O_RDWR|O_NOCTTY)', "setsid()", "ioctl(TIOCSCTTY)"],
    ),
    (
        steps.ChangeDirectory(candidates=("/build/source", "/build", "/")),
        ['chdir("/build/source")'],
    ),
    (steps.SetLimit(resource="core", soft=0), ["setrlimit(4, {rlim_cur=0})"]),
    (
        steps.SetLimit(resource="nofile", ceiling=1024),
        ["setrlimit(7, {rlim_cur=the hard limit, 1024 at most})"],
    ),
    (steps.SetUmask(umask=0o022), ["umask(022)"]),
    (steps.SetPersonality(persona=0x0040000), ["personality(0x40000)"]),
    (steps.SetParentDeathSignal(signal=9), ["prctl(1, 9)"]),
    (steps.NoNewPrivileges(), ["prctl(38, 1)"]),
    (
        steps.ScopeAbstractSockets(),
        ["landlock_restrict_self({scoped=LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET})"],
    ),
    (
        steps.InstallFilter(program=bytes(8 * 45)),
        ["prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, {len=45})"],
    ),
]


@pytest.mark.parametrize(("step", "calls"), CALLS, ids=[type(step).__name__ for step, _ in CALLS])
def test_a_step_makes_its_calls(step, calls):
    recorder = Recorder()
    apply(step, recorder)
    assert recorder.calls == calls


def test_every_kind_of_step_is_in_the_table():
    assert {type(step) for step, _ in CALLS} == set(EnterStep.__args__)


@pytest.mark.parametrize("refused", [0, 1])
def test_a_refused_call_ends_the_step(refused):
    recorder = Recorder(refuse=refused, errno=errno.EPERM)
    with pytest.raises(OSError, match="refused") as caught:
        apply(steps.SetIds(uid=1000, gid=100), recorder)
    assert caught.value.filename == ["setgid(100)", "setuid(1000)"][refused]
    assert len(recorder.calls) == refused


class Doors(Recorder):
    """Lets nobody into some directories."""

    def __init__(self, *closed: str) -> None:
        super().__init__()
        self.closed = closed

    def chdir(self, path: str) -> None:
        super().chdir(path)
        if path in self.closed:
            raise OSError(errno.EACCES, "closed", f"chdir({path})")


def test_the_next_directory_is_tried_where_one_cannot_be_entered():
    doors = Doors("/build/source")
    apply(steps.ChangeDirectory(candidates=("/build/source", "/build", "/")), doors)
    assert doors.calls == ['chdir("/build/source")', 'chdir("/build")']


def test_the_last_directory_has_to_be_entered():
    with pytest.raises(OSError, match="closed"):
        apply(steps.ChangeDirectory(candidates=("/build", "/")), Doors("/build", "/"))
