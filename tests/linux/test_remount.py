"""A living sandbox gets another build directory, and cannot tell it from the one before."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox.errors import EvidenceError, MachineError
from sandbox.linux import launch
from sandbox.linux.remount import Doors, Mounted, replace
from sandbox.model.spec import BuildDirectory
from sandbox.model.steps import MountOverlay
from sandbox.session.run import Run, copy
from sandbox.workspace.prepare import prepare
from sandbox.workspace.remove import remove_tree
from sandbox.workspace.workspace import Workspace
from tests.workspace.trees import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Kept

pytestmark = pytest.mark.namespaces

MOUNTS = 'cd /; while read -r _ _ _ line; do echo "$line"; done </proc/self/mountinfo'


@pytest.fixture(params=["root", "unprivileged"])
def caller(request: pytest.FixtureRequest, unprivileged: int) -> int:
    if request.param == "unprivileged":
        return unprivileged
    if os.getuid() != 0:
        pytest.skip("only root can be root")
    return 0


@pytest.fixture(params=["overlay", "copy"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def state(caller: int) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="nbs-remount-", dir="/tmp"))
    os.chown(path, caller, -1)
    yield path
    remove_tree(str(path))


class Living:
    """A sandbox whose bash does what it is told, line by line, and what it answers."""

    def __init__(self, kept: Kept, state: Path, method: str) -> None:
        os.environ |= {
            "NBS_STATE_HOME": str(state),
            "HOME": str(state),
            "XDG_CACHE_HOME": str(state),
        }
        case = sandbox.read(kept.path, store=kept.store)
        described = sandbox.describe(
            case, sandbox.Request(command=("bash", "--norc"), copy=method == "copy")
        )
        self.looked, self.uid_map = described.looked, described.uid_map
        self.workspace = Workspace(str(state)).__enter__()
        self.build = next(e for e in described.entries if isinstance(e, BuildDirectory))
        self.ids = described.process.uid, described.process.gid
        steps = sandbox.plan(described, self.workspace.path)
        stdin, self.orders = os.pipe()
        self.answers, stdout = os.pipe()
        run = Run(say=print, progress=None, stdio=(0, 1, 2), keep="")
        doors: list[Doors] = []
        # A file of the host, whose path is one that the sandbox has as well.
        stderr = os.open(state / "said", os.O_WRONLY | os.O_CREAT, 0o600)
        terms = launch.Terms(
            stdio=(stdin, stdout, stderr),
            meanwhile=lambda: prepare(steps.prepare, lambda step: copy(step, run)),
            adopted=lambda pid: doors.append(Doors(pid)),
        )
        self.pid = launch.start(steps, terms)
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        self.doors = doors[0]

    def say(self, line: str) -> str:
        os.write(self.orders, f"{line}\necho END\n".encode())
        said = ""
        while not said.endswith("END\n"):
            piece = os.read(self.answers, 4096).decode()
            assert piece, said
            said += piece
        return said.removesuffix("END\n")

    def replace(self, *, between: Callable[[], None] = lambda: None, kill: bool = False) -> None:
        """With new directories, with a file in the upper one."""
        replace(
            self.doors,
            (self.mounted(),),
            between,
            looked=self.looked,
            ids=self.uid_map,
            places=(self.build.path, "/tmp"),
            kill=kill,
        )

    def mounted(self, upper: str = "") -> Mounted:
        for name in ("new-upper", "new-work"):
            path = Path(self.workspace.path) / name
            path.mkdir(mode=0o700)
            own = os.stat(self.workspace.upper)
            os.chown(path, own.st_uid, own.st_gid)
        (path.parent / "new-upper" / "fresh").write_text("it is new\n")
        os.chown(path.parent / "new-upper" / "fresh", own.st_uid, own.st_gid)
        upper = upper or f"{self.workspace.path}/new-upper"
        overlay = MountOverlay(
            lower=self.build.source,
            upper=upper,
            work=f"{self.workspace.path}/new-work",
            target=upper,
            uid=self.ids[0],
            gid=self.ids[1],
        )
        steps = (overlay,) if self.build.method == "overlay" else ()
        return Mounted(path=self.build.path, top=upper, steps=steps)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.doors.close()
        self.workspace.__exit__()
        assert not self.workspace.removal.left, self.workspace.removal


@pytest.fixture
def living(
    hand_made: Kept, state: Path, method: str, caller: int
) -> Callable[[Callable[[Living], None]], None]:
    """Run a function with a living sandbox, as the caller."""

    def run(function: Callable[[Living], None]) -> None:
        def child() -> None:
            one = Living(hand_made, state, method)
            try:
                function(one)
            finally:
                one.end()

        in_child(child, caller)

    return run


def mounts(one: Living) -> list[str]:
    """The mount table, without the numbers; of a bind mount it has the path on its file system."""
    return sorted(one.say(MOUNTS).replace("/new-upper ", "/upper ").splitlines())


def test_the_new_directory_is_there_and_the_mount_table_looks_as_before(living) -> None:
    def check(one: Living) -> None:
        assert one.say("pwd; echo change > notes; cat notes") == "/build\nchange\n"
        before = mounts(one)
        one.say("cd /")
        one.replace()
        lower = "what the build wrote\n" if one.build.method == "overlay" else ""
        assert one.say("cd /build; cat fresh; cat notes 2>/dev/null") == "it is new\n" + lower
        assert mounts(one) == before
        below = "env-vars\n" if one.build.method == "overlay" else ""
        assert (
            one.say("cd /build; echo more > fresh; mkdir d; rm -f notes; ls")
            == f"d\n{below}fresh\n"
        )
        upper = Path(one.workspace.path) / "new-upper"
        assert (upper / "fresh").read_text() == "more\n"
        assert (upper / "d").is_dir()

    living(check)


def test_between_the_old_and_the_new_the_directories_can_be_renamed(living) -> None:
    def check(one: Living) -> None:
        one.say("cd /")
        path = one.workspace.path

        def between() -> None:
            os.rename(f"{path}/upper", f"{path}/old")
            os.rename(f"{path}/new-upper", f"{path}/upper")

        one.replace(between=between)
        assert one.say("cat /build/fresh; echo x > /build/y") == "it is new\n"
        assert (Path(path) / "upper" / "y").read_text() == "x\n"
        assert not (Path(path) / "old" / "y").exists()

    living(check)


def test_programs_inside_are_named_and_nothing_is_changed(living) -> None:
    def check(one: Living) -> None:
        one.say(
            "cd /; sleep 300 & until read -r name </proc/$!/comm && [ $name = sleep ]; do :; done"
        )
        with pytest.raises(MachineError) as caught:
            one.replace(between=lambda: pytest.fail("it went on"))
        assert caught.value.reason == "processes-inside"
        pid = one.say("echo $!").strip()
        assert caught.value.evidence == (f"sleep (process {pid})",)
        assert not one.say("cat /build/fresh 2>/dev/null")

    living(check)


def test_programs_inside_are_ended_if_that_is_asked_for(living) -> None:
    def check(one: Living) -> None:
        one.say("sleep 300 & (trap '' TERM HUP INT; while :; do sleep 0.01; done) & cd /")
        one.replace(kill=True)
        assert one.say("cat /build/fresh") == "it is new\n"
        assert one.say("wait 2>/dev/null; jobs") == ""

    living(check)


@pytest.mark.parametrize(
    ("line", "evidence"),
    [
        ("mkdir /build/sub; cd /build/sub", "bash (process 1) is in /build/sub"),
        ("cd /; exec 5>/build/open", "bash (process 1) has /build/open as 5"),
    ],
)
def test_what_the_first_process_has_open_is_named_and_nothing_is_changed(
    living, line: str, evidence: str
) -> None:
    """It would go on in the old directory, where nobody looks any more."""

    def check(one: Living) -> None:
        one.say(line)
        with pytest.raises(MachineError) as caught:
            one.replace(between=lambda: pytest.fail("it went on"), kill=True)
        assert caught.value.reason == "processes-inside"
        assert caught.value.evidence == (evidence,)
        one.say("cd /; exec 5>&-")

    living(check)


def test_what_is_refused_by_the_kernel_is_said_before_anything_is_changed(living) -> None:
    def check(one: Living) -> None:
        one.say("cd /")
        new = (one.mounted(f"{one.workspace.path}/nothing"),)
        with pytest.raises(MachineError) as caught:
            replace(one.doors, new, lambda: pytest.fail("it went on"))
        assert caught.value.reason == "remount-refused"
        assert one.say("cat /build/notes") == "what the build wrote\n"

    living(check)


def test_another_directory_than_was_looked_at_is_not_mounted(living) -> None:
    def check(one: Living) -> None:
        if one.build.method != "overlay":
            return
        one.say("cd /")
        one.looked = tuple(looked.replace(inode=looked.inode + 1) for looked in one.looked)
        with pytest.raises(EvidenceError) as caught:
            one.replace(between=lambda: pytest.fail("it went on"))
        assert caught.value.reason == "evidence-changed"
        assert one.say("cat /build/notes") == "what the build wrote\n"

    living(check)


def test_an_error_between_leaves_the_old_directory(living) -> None:
    def check(one: Living) -> None:
        one.say("cd /")

        def fail() -> None:
            raise OSError(28, "full")

        with pytest.raises(OSError, match="full"):
            one.replace(between=fail)
        assert one.say("cat /build/notes") == "what the build wrote\n"

    living(check)
