"""Directories for writable copies: one for each run, under a state directory that is ours alone.

    STATE/run/RANDOM/lock    held with flock(2) for as long as the run lives
                     root/   the new root is mounted here, in the run's own mount namespace
                     upper/  the changes of an overlay, or the whole copy
                     work/   the overlay's own

A run that was killed leaves its directory and frees its lock; `sweep` then removes it. The rule
that keeps this free of races: a lock counts when it is held on the file that has the name `lock`
*after* it was taken, and only who holds it so may remove that name. So of a start and any number
of sweepers that meet in one directory, exactly one owns it, and a start that lost takes another.

Python opens the lock with O_CLOEXEC, so a child that calls execve(2) gives it up there. A child
that goes on without execve(2) shares the lock, and keeps the directory alive with it, until it
calls `Workspace.forget`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import stat

from sandbox.errors import MachineError
from sandbox.workspace.ladder import OPEN_DIRECTORY
from sandbox.workspace.remove import Removal, remove_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

LOCK = "lock"
_ATTEMPTS = 100
_ELSEWHERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)


def state_directory(environ: Mapping[str, str]) -> str:
    """The directory that holds what outlives a command, made with mode 0700 if it is not there.

    It is the first that is set of `NBS_STATE_HOME`, `XDG_STATE_HOME`/nix-build-shell and
    ~/.local/state/nix-build-shell. Where the last two cannot be written, as without a home, it is
    /tmp/nix-build-shell-UID. A relative `XDG_STATE_HOME` is ignored, as the XDG Base Directory
    Specification asks.

    What `NBS_STATE_HOME` names may hold more, as /tmp does: then it stays as open as it is, and
    what is made in it is ours alone.

    Raises MachineError `state-directory-unsafe` for a link or another user's directory, or one that
    others use and write to, for then another could exchange what is in it.
    """
    chosen = environ.get("NBS_STATE_HOME")
    if chosen:
        path = os.path.abspath(chosen)
        try:
            return private_directory(path)
        except OSError as error:
            raise _refusal(error, path) from None
    fallback = f"/tmp/nix-build-shell-{os.geteuid()}"  # noqa: S108  its owner is verified
    for path in (_state_in_home(environ), fallback):
        try:
            if path:
                return private_directory(path)
        except OSError as error:
            if error.errno not in _ELSEWHERE or path == fallback:
                raise _refusal(error, path) from None
    raise AssertionError  # pragma: no cover


def _state_in_home(environ: Mapping[str, str]) -> str:
    """Where the state belongs by the caller's settings; empty without a home.

    Places of another user, as sudo may leave them in both variables, are not ours to fill.
    """
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg.startswith("/") and _is_below_ours(xdg):
        return f"{xdg}/nix-build-shell"
    homes = [environ.get("HOME", "")]
    if not _is_ours(homes[0]):
        try:
            homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
        except KeyError:
            return ""
    home = homes[-1]
    return f"{home}/.local/state/nix-build-shell" if _is_ours(home) else ""


def _is_ours(home: str) -> bool:
    try:
        return home.startswith("/") and os.stat(home).st_uid == os.geteuid()
    except OSError:
        return False


def _is_below_ours(path: str) -> bool:
    """Does what is there of the way to `path` belong to root and to us alone?"""
    here = os.path.realpath(path)
    while here != "/":
        try:
            if os.lstat(here).st_uid not in (0, os.geteuid()):
                return False
        except OSError:
            # Not there yet, or closed: then making it fails.
            pass
        here = os.path.dirname(here)
    return True


def private_directory(path: str) -> str:
    """Make `path`, and what is missing above it, for us alone; verify what is there already.

    One that others may have a use for is not closed: what is made in it is private by itself.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        _make_with_parents(path)
    directory = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(directory)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise _unsafe(path, status)
        if status.st_mode & 0o077 and not _is_shared(path, status):
            os.chmod(f"/proc/self/fd/{directory}", 0o700)
    finally:
        os.close(directory)
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
    return path


def _is_shared(path: str, status: os.stat_result) -> bool:
    """Is it for others too? Raises MachineError where they could exchange what is made in it."""
    if status.st_mode & stat.S_ISVTX:
        return True
    if not os.listdir(path):
        return False
    if status.st_mode & 0o022:
        raise _unsafe(path, status)
    return True


def _make_with_parents(path: str) -> None:
    if os.path.isdir(path):
        return
    _make_with_parents(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def _refusal(error: OSError, place: str) -> MachineError:
    from sandbox.workspace.refusals import refusal  # noqa: PLC0415  for a run that goes wrong

    return refusal(error, place)


def _unsafe(path: str, status: os.stat_result) -> MachineError:
    owner = f"it belongs to user {status.st_uid}, and you are user {os.geteuid()}"
    written = f"others can write to it: its mode is 0{stat.S_IMODE(status.st_mode):o}"
    seen = {
        stat.S_IFDIR: owner if status.st_uid != os.geteuid() else written,
        stat.S_IFLNK: "it is a symbolic link",
    }.get(stat.S_IFMT(status.st_mode), "it is no directory")
    return MachineError(
        f"`{path}` is not a directory of your own",
        reason="state-directory-unsafe",
        evidence=(seen,),
        hint="`export NBS_STATE_HOME=DIRECTORY` names another place",
    )


class Workspace:
    """The directory of one run. Made on entry, removed with all that is in it on exit.

    `root`, `upper` and `work` are absolute paths of empty directories with mode 0700, on one file
    system. What could not be removed is in `removal` afterwards, and the next `sweep` tries again.
    """

    def __init__(self, state: str) -> None:
        self.state = state
        self.removal = Removal()
        self.path = ""
        self._directory = self._lock = -1
        self._process = 0

    @property
    def root(self) -> str:
        return f"{self.path}/root"

    @property
    def upper(self) -> str:
        return f"{self.path}/upper"

    @property
    def work(self) -> str:
        return f"{self.path}/work"

    def __enter__(self) -> Self:
        """Raises MachineError `state-directory-unsafe`, `disk-full`, `too-many-open-files` or
        `workspace-unwritable`."""
        try:
            runs = private_directory(f"{self.state}/run")
            for _ in range(_ATTEMPTS):
                if self._take(f"{runs}/{os.urandom(8).hex()}"):
                    return self
        except OSError as error:
            self.__exit__()
            raise _refusal(error, self.state) from None
        except BaseException:
            self.__exit__()
            raise
        raise MachineError(
            f"`{self.state}` allows no locks, or something removes what is made in it",
            reason="workspace-unwritable",
        )

    def _take(self, path: str) -> bool:
        """Make and lock `path`. False if a sweeper came between the two and has it."""
        os.mkdir(path, 0o700)
        try:
            self._directory = os.open(path, OPEN_DIRECTORY)
            self._lock = take_lock(self._directory)
        except FileNotFoundError:
            pass
        except OSError:
            _remove_empty(path)
            raise
        if self._lock < 0:
            self.forget()
            return False
        self.path = path
        self._process = os.getpid()
        for name in ("root", "upper", "work"):
            os.mkdir(name, 0o700, dir_fd=self._directory)
        return True

    def __exit__(self, *_: object) -> None:
        """Remove everything, unless this is a forked child: the directory is its parent's."""
        if self._process == os.getpid():
            self.removal = remove_run(self._directory, self.path)
        self.forget()

    def forget(self) -> None:
        """Give up the lock in this process without removing anything.

        For a forked child that lives on without execve(2). The other processes that share the lock
        keep it.
        """
        for descriptor in (self._lock, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._directory = self._lock = -1
        self._process = 0


def sweep(state: str) -> tuple[str, ...]:
    """Remove the directories of runs that were killed; the names of those that are gone.

    Never waits: what is locked belongs to a run or to another sweeper. What cannot be removed is
    left for the next time, and what no run has made for whoever made it.
    """
    try:
        runs = os.open(f"{state}/run", OPEN_DIRECTORY)
    except OSError:
        return ()
    try:
        return tuple(name for name in os.listdir(runs) if _sweep_one(name, runs))
    finally:
        os.close(runs)


def _sweep_one(name: str, runs: int) -> bool:
    directory = lock = -1
    try:
        directory = os.open(name, OPEN_DIRECTORY, dir_fd=runs)
        if not is_of_a_run(directory):
            return False
        lock = take_lock(directory)
        return lock >= 0 and not remove_run(directory, name, runs).left
    except OSError:
        return False
    finally:
        for descriptor in (lock, directory):
            if descriptor >= 0:
                os.close(descriptor)


def is_of_a_run(directory: int) -> bool:
    """Was it made here? Before its lock is there it is empty, and the lock goes last.

    The state directory is the caller's to choose: `run` and `ws` in it may hold other things.
    """
    if stat.S_IMODE(os.fstat(directory).st_mode) != 0o700:  # noqa: PLR2004  as mkdir(2) made it
        return False
    found = os.listdir(directory)
    return not found or LOCK in found


def take_lock(directory: int) -> int:
    """Take the lock of a run's directory; -1 if another has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(LOCK, flags, 0o600, dir_fd=directory)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = os.stat(LOCK, dir_fd=directory, follow_symlinks=False)
        if os.path.samestat(named, os.fstat(lock)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return -1


def remove_run(directory: int, path: str, runs: int | None = None) -> Removal:
    """Remove a directory whose lock we hold: its lock last, for until then it is nobody else's."""
    removal = Removal()
    try:
        for name in os.listdir(directory):
            if name != LOCK:
                removal += remove_entry(name, directory)
        if not removal.left:
            os.unlink(LOCK, dir_fd=directory)
            os.rmdir(path, dir_fd=runs)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            removal += Removal(left=1, examples=(f"{path}: {error.strerror}",))
    return removal


def _remove_empty(path: str) -> None:
    """Take back a directory that could not be locked, for want of descriptors or of space."""
    try:  # noqa: SIM105  contextlib is not worth its import here
        os.rmdir(path)
    except OSError:
        pass
