"""What this machine is and who runs this: looks, and changes nothing."""

from __future__ import annotations

import ctypes
import os
import stat

from sandbox.model.facts import HostFile, MachineFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.nixconf import NixSettings

DEVICES = ("full", "kvm", "null", "random", "shm", "tty", "urandom", "zero")
NETWORK_FILES = ("/etc/resolv.conf", "/etc/services", "/etc/hosts")
SYS_LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1


def read_machine(settings: NixSettings) -> MachineFacts:
    """The facts that rules ask for; `settings` names files of the host that a build is shown."""
    system = os.uname()
    major, minor = system.release.split(".")[:2]
    wanted = (*NETWORK_FILES, settings.ssl_cert_file, *(p.source for p in settings.sandbox_paths))
    return MachineFacts(
        uid=os.geteuid(),
        gid=os.getegid(),
        groups=len([g for g in os.getgroups() if g != os.getegid()]),
        machine=system.machine,
        kernel=(int(major), int("".join(c for c in minor if c.isdigit()) or 0)),
        devices=tuple(name for name in DEVICES if os.path.exists(f"/dev/{name}")),
        landlock_abi=landlock_abi(),
        files=tuple(f for f in map(host_file, dict.fromkeys(wanted)) if f is not None),
    )


def host_file(path: str) -> HostFile | None:
    """The file at `path` with its links resolved; None where there is none."""
    if not path.startswith("/"):
        return None
    real = os.path.realpath(path)
    try:
        mode = os.stat(real).st_mode
    except OSError:
        return None
    return HostFile(path=path, real=real, kind="directory" if stat.S_ISDIR(mode) else "file")


def landlock_abi() -> int:
    """landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION; 0 where there is no Landlock."""
    call = ctypes.CDLL(None).syscall
    version = LANDLOCK_CREATE_RULESET_VERSION
    return max(0, int(call(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), version)))
