"""What this machine is and who runs this: looks, and changes nothing."""

from __future__ import annotations

import ctypes
import os
import stat

from sandbox.model.facts import HostFile, MachineFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.model.nixconf import NixSettings

DEVICES = ("full", "kvm", "null", "random", "shm", "tty", "urandom", "zero")
NETWORK_FILES = ("/etc/resolv.conf", "/etc/services", "/etc/hosts")
SYS_LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1
FIRST_LIMIT = 128 << 10
"""Bytes that no kernel refuses to a program: neither in one variable nor in all of them."""


def read_machine(settings: NixSettings) -> MachineFacts:
    """The facts that rules ask for; `settings` names files of the host that a build is shown."""
    system = os.uname()
    major, minor = system.release.split(".")[:2]
    uids, gids = (id_map("uid"), id_map("gid")) if os.geteuid() == 0 else ((), ())
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
        uids=tuple((first, count) for first, _, count in uids),
        gids=tuple((first, count) for first, _, count in gids),
        outside=next((above for first, above, _ in uids if first == 0), 0),
    )


def id_map(kind: str) -> tuple[tuple[int, int, int], ...]:
    """user_namespaces(7): the ranges of ids of this process's namespace: the first, what it is in
    the namespace above, how many."""
    with open(f"/proc/self/{kind}_map", "rb") as file:
        rows = [tuple(map(int, line.split())) for line in file]
    return tuple((first, above, count) for first, above, count in rows)


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


def beyond_execve(variables: Iterable[tuple[str, str]]) -> tuple[tuple[str, int], ...]:
    """Which of a program's variables make them too long for execve(2), with their bytes.

    Those that are longer than a string may be, 32 pages; and where all together are longer than a
    quarter of the stack, and than 6 MiB at most, the longest of the others as well.
    """
    sizes = {n: len(f"{n}={v}".encode("utf-8", "surrogateescape")) + 1 for n, v in variables}
    total = sum(sizes.values())
    if total <= FIRST_LIMIT:
        return ()
    import resource  # few environments are that long

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    limit = 6 << 20 if stack < 0 else max(min(stack // 4, 6 << 20), FIRST_LIMIT)
    longest = 32 * os.sysconf("SC_PAGE_SIZE")
    found = []
    # The kernel counts a pointer to each as well.
    total += ctypes.sizeof(ctypes.c_void_p) * len(sizes)
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size <= longest and total <= limit:
            break
        found.append((name, size))
        total -= size
    return tuple(found)


def landlock_abi() -> int:
    """landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION; 0 where there is no Landlock."""
    call = ctypes.CDLL(None).syscall
    version = LANDLOCK_CREATE_RULESET_VERSION
    return max(0, int(call(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), version)))
