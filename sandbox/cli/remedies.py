"""What allows a call that this machine's kernel has refused."""

from __future__ import annotations

import os
from errno import ENOSPC, ENOSYS

from sandbox.cli.pasteable import as_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.linux.probe import Refusal

NEEDED = (5, 12)
"""The release of Linux that has mount_setattr(2), the newest call that is needed."""
IN_CONTAINER = (
    "in a container, start it with `--security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined` (docker, podman)"
)
COVERED = (
    "something covers a part of /proc: in a container, "
    "`--security-opt systempaths=unconfined` (docker, podman) uncovers it"
)
COPIED = "kept directories are copied; `NBS_STATE_HOME` on ext4, xfs or btrfs avoids it"
FORBIDDING = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
)
"""Settings below /proc/sys, the value that forbids, and the one that allows."""


def remedy(refused: Refusal) -> str:
    """The likeliest first: a setting that says no to this call."""
    if refused.call.startswith("unshare(") and refused.errno == ENOSPC:
        return _of_limits(refused.call)
    if refused.call.startswith('mount("overlay"'):
        return COPIED
    if refused.call.startswith('mount("none"') and '"proc"' in refused.call:
        # Whoever may not mount anything was refused before that.
        return COVERED
    if refused.errno == ENOSYS and release() < NEEDED:
        return too_old()
    for setting, forbids, allows in FORBIDDING:
        if _setting(setting) == forbids:
            return _allowing(setting, allows)
    return IN_CONTAINER


def release() -> tuple[int, int]:
    """The first two numbers of the kernel's release; 0 for what is none."""
    major, minor = (
        int("".join(filter(str.isdigit, part)) or 0)
        for part in (*os.uname().release.split("."), "0")[:2]
    )
    return major, minor


def too_old() -> str:
    """What is to be said of an older kernel than is needed."""
    return f"Linux {NEEDED[0]}.{NEEDED[1]} or newer is needed (mount_setattr)"


def _of_limits(call: str) -> str:
    """namespaces(7): a limit for each kind, and unshare(2) tells of all in the same way."""
    flags = call.removeprefix("unshare(").removesuffix(")").split("|")
    kinds = [flag.removeprefix("CLONE_NEW").lower() for flag in flags]
    limits = [f"user/max_{'mnt' if kind == 'ns' else kind}_namespaces" for kind in kinds]
    # Of several the last: those before were tried alone. That of a namespace above is not seen.
    exhausted = next((one for one in limits if _setting(one) == "0"), limits[-1])
    return _allowing(exhausted, "15000")


def _allowing(setting: str, value: str) -> str:
    command = as_root(f"sysctl {setting.replace('/', '.')}={value}")
    return f"`{command}` allows it until the next boot"


def _setting(name: str) -> str:
    try:
        with open(f"/proc/sys/{name}", encoding="ascii", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""
