from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import MachineError
from sandbox.workspace import workspace as module
from sandbox.workspace.workspace import Workspace, state_directory, sweep
from tests.workspace.trees import UNPRIVILEGED, in_child, python

Run = Callable[[Callable[[], None]], None]

HOMELESS = 987_654
"""A user of whom nothing is known: no entry in passwd, no files."""

HOLD = (
    "from sandbox.workspace.workspace import Workspace",
    "import time",
    "workspace = Workspace(sys.argv[1]).__enter__()",
    "open(workspace.upper + '/file', 'w').close()",
    "print(workspace.path, flush=True)",
)
HEAVY = (
    "dataclasses re typing enum json pathlib subprocess tempfile shutil argparse collections "
    "contextlib socket logging ctypes sandbox.workspace.copy"
)


def start(state: Path, *lines: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a workspace and then does what `lines` say."""
    process = subprocess.Popen([*python(*HOLD, *lines), state], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def runs(state: Path) -> list[str]:
    return os.listdir(state / "run")


def test_a_workspace_is_private_and_goes_with_all_that_is_in_it(
    place: Path, run_as_caller: Run
) -> None:
    def check() -> None:
        with Workspace(str(place)) as workspace:
            assert os.path.dirname(workspace.path) == str(place / "run")
            for path in (workspace.path, workspace.root, workspace.upper, workspace.work):
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
                assert len(os.listdir(path)) == (4 if path == workspace.path else 0)
            os.makedirs(workspace.work + "/work/work")
            os.chmod(workspace.work + "/work/work", 0)
            os.chmod(workspace.work, 0)
            assert sweep(str(place)) == ()
        assert not workspace.removal.left
        assert runs(place) == []

    run_as_caller(check)


def test_a_workspace_goes_when_its_block_ends_with_an_error(place: Path) -> None:
    with pytest.raises(LookupError), Workspace(str(place)):
        raise LookupError
    assert runs(place) == []


def test_a_workspace_that_was_killed_is_swept_and_one_that_lives_stays(place: Path) -> None:
    killed, left = start(place, "time.sleep(100)")
    alive, held = start(place, "time.sleep(100)")
    try:
        assert sweep(str(place)) == ()
        kill(killed)
        assert sweep(str(place)) == (left.name,)
        assert runs(place) == [held.name]
        assert (held / "upper" / "file").exists()
    finally:
        kill(killed)
        kill(alive)
    assert sweep(str(place)) == (held.name,)


def test_a_child_that_calls_exec_does_not_hold_the_lock(place: Path) -> None:
    holder, path = start(
        place,
        "import os",
        "print(os.posix_spawnp('sleep', ['sleep', '100'], os.environ), flush=True)",
        "time.sleep(100)",
    )
    assert holder.stdout
    sleeper = int(holder.stdout.readline())
    # A parent goes on a moment before exec closes descriptors; the new name comes after that.
    while Path(f"/proc/{sleeper}/comm").read_text() != "sleep\n":
        time.sleep(0.001)
    kill(holder)
    try:
        assert sweep(str(place)) == (path.name,)
    finally:
        os.kill(sleeper, signal.SIGKILL)


def test_a_forked_child_shares_the_lock_until_it_forgets_it(place: Path) -> None:
    holder, path = start(
        place,
        "import os, signal",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        "child = os.fork()",
        "if child == 0:",
        "    signal.sigwait([signal.SIGUSR1])",
        "    workspace.forget()",
        "    print('forgotten', flush=True)",
        "else:",
        "    print(child, flush=True)",
        "time.sleep(100)",
    )
    assert holder.stdout
    child = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    try:
        assert sweep(str(place)) == ()
        os.kill(child, signal.SIGUSR1)
        assert holder.stdout.readline() == "forgotten\n"
        assert sweep(str(place)) == (path.name,)
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


def test_a_forked_child_does_not_remove_its_parents_workspace(place: Path) -> None:
    with Workspace(str(place)) as workspace:
        in_child(workspace.__exit__)
        assert os.path.isdir(workspace.upper)
        assert sweep(str(place)) == ()
    assert runs(place) == []


def test_sweeping_where_nothing_is_does_nothing(place: Path) -> None:
    assert sweep(str(place / "nothing")) == ()
    (place / "run").mkdir()
    assert sweep(str(place)) == ()


def test_what_a_start_left_before_its_lock_is_swept_and_what_is_no_directory_stays(
    place: Path,
) -> None:
    (place / "run").mkdir()
    (place / "run" / "started").mkdir(mode=0o700)
    (place / "run" / "file").touch()
    (place / "elsewhere" / "kept").mkdir(parents=True)
    (place / "run" / "link").symlink_to(place / "elsewhere")
    assert sweep(str(place)) == ("started",)
    assert sorted(runs(place)) == ["file", "link"]
    assert (place / "elsewhere" / "kept").exists()


def test_starts_and_sweepers_that_meet_take_nothing_from_each_other(
    place: Path, run_as_caller: Run
) -> None:
    def make_many() -> None:
        for _ in range(150):
            with Workspace(str(place)) as workspace:
                names = os.listdir(workspace.path)
                os.mkdir(workspace.upper + "/mine")
                assert sorted(names) == ["lock", "root", "upper", "work"]
            assert not workspace.removal.left

    def sweep_often() -> None:
        for _ in range(600):
            sweep(str(place))

    def leave_many() -> None:
        for number in range(600):
            os.mkdir(place / "run" / f"left-{number}", 0o700)

    def check() -> None:
        Workspace(str(place)).__enter__().__exit__()
        tasks = (make_many, make_many, sweep_often, sweep_often, leave_many)
        children = []
        for task in tasks:
            pid = os.fork()
            if pid == 0:
                try:
                    in_child(task)
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(tasks)
        sweep(str(place))
        assert runs(place) == []

    run_as_caller(check)


def test_a_start_whose_directory_a_sweeper_takes_tries_another_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper comes in the moment between mkdir(2) and flock(2), once on each side of open(2)."""
    real = module.take_lock
    swept = []

    def sweeping_first(directory: int) -> int:
        if len(swept) < 2:
            monkeypatch.setattr(module, "take_lock", real)
            swept.append(sweep(str(place)))
            monkeypatch.setattr(module, "take_lock", sweeping_first)
        return real(directory)

    monkeypatch.setattr(module, "take_lock", sweeping_first)
    with Workspace(str(place)) as workspace:
        assert runs(place) == [os.path.basename(workspace.path)]
    assert [len(names) for names in swept] == [1, 1]


def environ(**variables: Path | str) -> dict[str, str]:
    return {name: str(value) for name, value in variables.items()}


def test_the_state_is_where_the_settings_say(place: Path, run_as_caller: Run) -> None:
    def check() -> None:
        home = place / "home"
        home.mkdir()
        everything = {"NBS_STATE_HOME": place / "a/b", "XDG_STATE_HOME": place / "xdg"}
        assert state_directory(environ(**everything, HOME=home)) == f"{place}/a/b"
        del everything["NBS_STATE_HOME"]
        assert state_directory(environ(**everything, HOME=home)) == f"{place}/xdg/nix-build-shell"
        in_home = f"{home}/.local/state/nix-build-shell"
        assert state_directory(environ(XDG_STATE_HOME="relative", HOME=home)) == in_home
        assert state_directory(environ(HOME=home)) == in_home
        for path in (place / "a", place / "a/b", Path(in_home), Path(in_home).parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700

    run_as_caller(check)


@pytest.mark.usefixtures("as_root")
def test_without_a_home_the_state_is_in_tmp() -> None:
    fallback = f"/tmp/nix-build-shell-{HOMELESS}"

    def check() -> None:
        assert state_directory(environ(HOME="/homeless-shelter")) == fallback
        assert state_directory(environ(HOME="/nonexistent")) == fallback
        assert state_directory({}) == fallback
        assert state_directory(environ(XDG_STATE_HOME="/proc/none")) == fallback
        assert not os.path.exists("/nonexistent")
        os.rmdir(fallback)

    in_child(check, uid=HOMELESS)


@pytest.mark.usefixtures("as_root")
def test_an_unwritable_home_is_passed_by_and_an_unwritable_choice_is_an_error(place: Path) -> None:
    os.chown(place, HOMELESS, -1)

    def check() -> None:
        (place / "home").mkdir(mode=0o500)
        fallback = f"/tmp/nix-build-shell-{HOMELESS}"
        assert state_directory(environ(HOME=place / "home")) == fallback
        os.rmdir(fallback)
        with pytest.raises(MachineError) as caught:
            state_directory(environ(NBS_STATE_HOME=place / "home" / "state"))
        assert caught.value.reason == "workspace-unwritable"

    in_child(check, uid=HOMELESS)


@pytest.mark.usefixtures("as_root")
def test_places_of_another_user_are_not_filled(place: Path) -> None:
    os.chown(place, UNPRIVILEGED, -1)
    (place / "of-root").mkdir()
    (place.parent / f"{place.name}-link").symlink_to(place)
    for variables in (
        {"HOME": place},
        {"XDG_STATE_HOME": place / ".local/state"},
        {"XDG_STATE_HOME": place / "of-root"},
        {"XDG_STATE_HOME": f"{place}-link/state"},
    ):
        assert str(place) not in module._state_in_home(environ(**variables))
    (place.parent / f"{place.name}-link").unlink()


@pytest.mark.usefixtures("as_root")
def test_a_state_directory_of_another_user_is_refused(place: Path) -> None:
    (place / "state").mkdir()
    os.chown(place / "state", UNPRIVILEGED, -1)
    with pytest.raises(MachineError) as caught:
        state_directory(environ(NBS_STATE_HOME=place / "state"))
    assert caught.value.reason == "state-directory-unsafe"


def test_a_state_directory_that_is_a_link_is_refused(place: Path) -> None:
    (place / "target").mkdir()
    (place / "state").symlink_to(place / "target")
    with pytest.raises(MachineError) as caught:
        state_directory(environ(NBS_STATE_HOME=place / "state"))
    assert caught.value.reason == "state-directory-unsafe"
    (place / "target" / "run").symlink_to("/etc")
    with pytest.raises(MachineError) as caught, Workspace(str(place / "target")):
        pass
    assert caught.value.reason == "state-directory-unsafe"


def test_a_state_directory_that_others_can_enter_is_closed(place: Path) -> None:
    (place / "state").mkdir()
    (place / "state").chmod(0o755)
    state_directory(environ(NBS_STATE_HOME=place / "state"))
    assert stat.S_IMODE((place / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["/proc/state", "/proc/self/state/inner", "PLACE/link/inner"])
def test_a_place_where_nothing_can_be_made_is_an_error(place: Path, name: str) -> None:
    (place / "link").symlink_to("nowhere")
    with pytest.raises(MachineError) as caught:
        state_directory(environ(NBS_STATE_HOME=name.replace("PLACE", str(place))))
    assert caught.value.reason == "workspace-unwritable"


@pytest.mark.parametrize(("mode", "has"), [(0o1777, False), (0o1777, True), (0o755, True)])
def test_a_place_that_others_use_stays_open_and_what_is_made_in_it_is_closed(
    place: Path, mode: int, *, has: bool
) -> None:
    """As /tmp, /dev/shm, a home, or the root of another disk."""
    shared = place / "shared"
    shared.mkdir()
    if has:
        (shared / "file").touch()
    shared.chmod(mode)
    with Workspace(state_directory(environ(NBS_STATE_HOME=shared))):
        assert stat.S_IMODE(shared.stat().st_mode) == mode
        assert stat.S_IMODE((shared / "run").stat().st_mode) == 0o700


def test_a_place_where_others_can_exchange_what_is_made_is_refused_and_stays(place: Path) -> None:
    shared = place / "shared"
    shared.mkdir()
    (shared / "file").touch()
    shared.chmod(0o777)
    with pytest.raises(MachineError) as caught:
        state_directory(environ(NBS_STATE_HOME=shared))
    assert caught.value.reason == "state-directory-unsafe"
    assert caught.value.evidence == ("others can write to it: its mode is 0777",)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o777


def test_the_sweep_removes_nothing_that_no_run_has_made(place: Path) -> None:
    """A home, for one, may have a directory `run` of its own."""
    (place / "run/simulation").mkdir(parents=True)
    (place / "run/simulation/result").write_text("42")
    (place / "run/private").mkdir(mode=0o700)
    (place / "run/private/result").write_text("42")
    (place / "run/empty").mkdir()
    (place / "run/killed").mkdir(mode=0o700)
    (place / "run/killed/lock").touch()
    (place / "run/killed-at-once").mkdir(mode=0o700)
    assert sorted(sweep(str(place))) == ["killed", "killed-at-once"]
    assert sorted(runs(place)) == ["empty", "private", "simulation"]
    for name in ("simulation", "private"):
        assert os.listdir(place / "run" / name) == ["result"]


def test_nothing_heavy_is_imported(place: Path) -> None:
    """Every start of the command pays for these imports. The front door's own are not at issue."""
    done = subprocess.run(
        python(
            "import types",
            "package = sys.modules['sandbox'] = types.ModuleType('sandbox')",
            "package.__path__ = [sys.path[0] + '/sandbox']",
            "before = set(sys.modules)",
            "import sandbox.workspace.workspace",
            f"print(*(set({HEAVY!r}.split()) & (set(sys.modules) - before)))",
        ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=place,
    )
    assert done.stdout.split() == []
