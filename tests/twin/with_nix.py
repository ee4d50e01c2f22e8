"""Tests against a newer Nix: in a private Debian root, which has that Nix in a package.

    python3 tests/twin/with_nix.py 2.26|2.34 [ARGUMENT OF PYTEST…]
    python3 tests/twin/with_nix.py --prepare                         only makes the roots

Without the name of a file the twin test is run. For root. The first call makes the root with mmdebstrap, some 500 MB, from the mirror that this
machine's apt uses; `NBS_TWIN_ROOTS` is where roots are kept (~/.cache/nix-build-shell-tests/roots).
Nothing of the machine is changed: what runs has a mount namespace of its own, and enters the root
with pivot_root(2), since a process that is in a chroot(2) may not make user namespaces.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = {"2.26": "trixie", "2.34": "forky"}
PACKAGES = (
    "nix-bin,python3,python3-pytest,gcc,libc6-dev,patchelf,make,bzip2,xz-utils,gawk,strace,iproute2"
    ",hostname,patch,procps,diffutils,passwd"
)
CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 0x2
SHARED_DIRECTORIES = ("/dev", "/proc", "/sys")
PIVOT_ROOT = {"x86_64": 155}.get(os.uname().machine, 41)

libc = ctypes.CDLL(None, use_errno=True)


def mirror() -> str:
    """The archive that apt fetches the main component of this machine's Debian from."""
    wanted = ["--format", "$(SITE) $(COMPONENT)", "Created-By: Packages", "Origin: Debian"]
    asked = subprocess.run(
        ["apt-get", "indextargets", *wanted], capture_output=True, text=True, check=True
    )
    sites = [line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" main")]
    if not sites:
        raise SystemExit("apt knows no Debian archive; `apt-get update` may help")
    return sites[0]


def roots() -> Path:
    named = os.environ.get("NBS_TWIN_ROOTS")
    return Path(named) if named else Path.home() / ".cache/nix-build-shell-tests/roots"


def make_root(suite: str) -> Path:
    """The root of a suite, made if it is not there yet."""
    root = roots() / suite
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = root.with_suffix(".partial")
        subprocess.run(["rm", "-rf", str(partial)], check=True)
        command = ["mmdebstrap", "--mode=root", "--variant=minbase"]
        # A snapshot of an archive stays as it was on its day, and a rolling suite is signed for a week.
        command.append('--aptopt=Acquire::Check-Valid-Until "false"')
        command.append(f"--include={PACKAGES}")
        subprocess.run([*command, suite, str(partial), mirror()], check=True)
        partial.rename(root)
    return root


def check(result: int, call: str) -> None:
    if result != 0:
        raise SystemExit(f"{call}: {os.strerror(ctypes.get_errno())}")


def bind(source: str, target: Path) -> None:
    """Bind a directory of the machine below the root."""
    target.mkdir(parents=True, exist_ok=True)
    flags = MS_BIND | MS_REC
    check(libc.mount(source.encode(), str(target).encode(), None, flags, None), f"bind {source}")


def enter(root: Path) -> None:
    """Make `root` the root of this process alone. The repository is at its own path in it."""
    check(libc.unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    bind(str(root), root)
    for directory in SHARED_DIRECTORIES:
        bind(directory, Path(f"{root}{directory}"))
    bind(str(REPOSITORY), Path(f"{root}{REPOSITORY}"))
    os.chdir(root)
    check(libc.syscall(PIVOT_ROOT, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir(REPOSITORY)


def main(version: str, arguments: list[str]) -> None:
    if version == "--prepare":
        for suite in SUITES.values():
            make_root(suite)
        return
    if version not in SUITES:
        raise SystemExit(f"usage: with_nix.py {'|'.join(SUITES)} [ARGUMENT OF PYTEST…]")
    enter(make_root(SUITES[version]))
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "NBS_TEST_CACHE": "/var/cache/nbs-tests",
        "NBS_TWIN_PLACE": "/srv",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # Its plugins may be newer or older than what the repository's own settings name.
    options = ["-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib -ra"]
    named = any(".py" in argument for argument in arguments)
    tests = [] if named else ["tests/twin/test_twin.py"]
    command = ["python3", "-m", "pytest", *options, *tests, *arguments]
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:])
