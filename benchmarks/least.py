"""The least that enters: what `nix-build-shell` is measured against, beside bubblewrap.

It finds the derivation and the closure of a build that `benchmarks/enter.py` made, makes the mounts
and runs a command, in one file. It looks at nothing twice, tells no error, and leaves what it made
when it is killed: nobody should enter a build with it.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import stat

NAMESPACES = 0x10000000 | 0x20000 | 0x20000000 | 0x8000000 | 0x40000000 | 0x4000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
SYS_PIVOT_ROOT = 155
CLOSURE = """
    WITH RECURSIVE reached(id) AS (
        SELECT id FROM ValidPaths WHERE path IN ({marks})
        UNION SELECT reference FROM Refs JOIN reached ON referrer = reached.id
    )
    SELECT path FROM ValidPaths WHERE id IN reached
"""
DERIVER = (
    "SELECT v.path FROM DerivationOutputs o JOIN ValidPaths v ON o.drv = v.id WHERE o.path = ?"
)
DIRECTORIES = [
    "dev",
    "dev/pts",
    "dev/shm",
    "proc",
    "tmp",
    "etc",
    "bin",
    "nix",
    "nix/store",
    "build",
]
DEVICES = ["full", "kvm", "null", "random", "tty", "urandom", "zero"]
LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    """Raises OSError for what a call refuses."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    words = [text.encode() or None for text in (source, target, kind, data)]
    check(libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]))


def closure(root: str, out: str) -> list[str]:
    """What the derivation with this output names, and all that this refers to."""
    database = _sqlite3.connect(f"file:{root}/nix/var/nix/db/db.sqlite?immutable=1", uri=True)
    (derivation,) = database.execute(DERIVER, (out,)).fetchone()
    with open(root + derivation, encoding="utf-8") as file:
        sources = file.read().split("],[")[2].strip('"[]').split('","')
    rows = database.execute(CLOSURE.format(marks=",".join("?" * len(sources))), sources)
    paths = [path for (path,) in rows]
    for path in paths:
        if not stat.S_ISDIR(os.lstat(root + path).st_mode):
            raise NotADirectoryError(path)
    return paths


def prepare(workspace: str, paths: list[str]) -> None:
    """The root's directories, and the places to mount on."""
    for name in ("", "/root", "/upper", "/work"):
        os.mkdir(workspace + name)
    root = f"{workspace}/root"
    for name in [*DIRECTORIES, *(path[1:] for path in paths)]:
        os.mkdir(f"{root}/{name}")
    for name in [*(f"dev/{device}" for device in DEVICES), "etc/passwd", "etc/group", "etc/hosts"]:
        os.mknod(f"{root}/{name}")
    for name, end in LINKS.items():
        os.symlink(f"/proc/self/fd{end}", f"{root}/dev/{name}")


def become(build: str, workspace: str, paths: list[str], words: list[str]) -> None:
    """In the new namespaces: the mounts, the new root, and the command."""
    root, store = f"{workspace}/root", build.partition("/nix/")[0]
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount(root, root, "", MS_BIND)
    for path in paths:
        mount(store + path, root + path, "", MS_BIND | MS_REC)
    for name in DEVICES:
        mount(f"/dev/{name}", f"{root}/dev/{name}", "", MS_BIND)
    layers = f"lowerdir={build},upperdir={workspace}/upper,workdir={workspace}/work,userxattr"
    mount("overlay", f"{root}/build", "overlay", 0, layers)
    mount("none", f"{root}/proc", "proc")
    mount("none", f"{root}/dev/shm", "tmpfs")
    mount("none", f"{root}/dev/pts", "devpts", 0, "newinstance,mode=0620")
    check(libc.sethostname(b"localhost", 9))
    os.chdir(root)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."))
    check(libc.umount2(b".", MNT_DETACH))
    os.chdir("/build")
    os.execve(words[0], words, {})


def found(build: str, workspace: str, paths: list[str], words: list[str]) -> None:
    """The namespaces, and the command as their first process; never returns."""
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(NAMESPACES))
    maps = {"setgroups": "deny", "uid_map": f"1000 {uid} 1", "gid_map": f"100 {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    command = os.fork()
    if command == 0:
        become(build, workspace, paths, words)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))


def remove(path: str) -> None:
    """All of a directory. An overlay closes what it worked in."""
    os.chmod(path, 0o700)
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            remove(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(path)


def main(build: str, *command: str) -> None:
    """Run the command in the sandbox of `build`, and end with its status."""
    with open(f"{build}/env-vars", encoding="utf-8") as file:
        pairs = [line[len("export ") :].rstrip("\n").partition("=") for line in file]
    variables = {name: value.strip('"') for name, _, value in pairs}
    paths = closure(build.partition("/nix/")[0], variables["out"])
    state = os.environ.get("NBS_STATE_HOME") or os.environ.get("TMPDIR", "/tmp")
    workspace = f"{state}/least-{os.getpid()}"
    prepare(workspace, paths)
    shell = variables["SHELL"]
    words = [shell, "-c", 'source /build/env-vars; exec "$@"', "--", *command]
    founder = os.fork()
    if founder == 0:
        found(build, workspace, paths, words)
    status = os.waitstatus_to_exitcode(os.waitpid(founder, 0)[1])
    remove(workspace)
    os._exit(status)
