"""`nbs` alone and `nbs doctor` where the kernel refuses something: what is so, and what helps."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.host.made_store import MadeStore, env_vars, output, store_path

pytestmark = pytest.mark.namespaces

WITHOUT_NAMESPACES = "echo 1 > /proc/sys/user/max_user_namespaces"
"""The one is for whoever is not root any more."""
WITHOUT_NETWORKS = "echo 0 > /proc/sys/user/max_net_namespaces"
COVERED_PROC = "mount -t tmpfs none /proc/irq"


def where(taken: str, uid: int) -> list[str]:
    """What runs a command in a namespace whose root took something away, as the user `uid` of it."""
    become = f"unshare --user --map-user={uid} --map-group={uid}" if uid else ""
    within = ["unshare", "--user", "--map-root-user", "--mount"]
    return [*within, "sh", "-c", f'{taken} && exec {become} "$@"', "sh"]


@pytest.fixture(scope="module")
def home(open_directory):
    """A home where hello-1.0 failed, for everybody to read."""
    place = open_directory / "refusing"
    store = MadeStore(place / ".cache/nix-build-shell/demo")
    drv = store.derive("hello-1.0", "a", output("hello-1.0", "a"))
    store.log(drv, '@nix { "action": "setPhase", "phase": "checkPhase" }\n')
    variables = env_vars(out=store_path("hello-1.0", "a"), name="hello-1.0", NIX_BUILD_TOP="/build")
    store.keep("nix-1-0", env_vars=variables)
    return place


@pytest.fixture(scope="module")
def on(tool_command, home, unprivileged):
    """`nbs …` of somebody without rights where something was taken away."""
    start, environment = tool_command("sandbox.cli.nbs", unprivileged)
    who = {"user": unprivileged, "group": unprivileged, "extra_groups": ()}

    def run(taken: str, *words: str, uid: int = unprivileged) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*where(taken, uid), *start, *words],
            env=environment | {"HOME": str(home)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **(who if os.getuid() == 0 else {}),
        )

    return run


@pytest.fixture
def checks(on):
    """What `nbs doctor` finds, by the name of the check."""

    def run(taken: str) -> dict[str, dict[str, str]]:
        done = on(taken, "doctor", "--json")
        assert (done.returncode, done.stderr) == (1, "")
        return {one["name"]: one for one in json.loads(done.stdout)["checks"]}

    return run


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        (WITHOUT_NAMESPACES, "this machine refuses new namespaces."),
        (WITHOUT_NETWORKS, "this machine refuses new namespaces."),
        (
            COVERED_PROC,
            'this machine refuses mount("none", "/proc", "proc", 0, NULL) = Operation not permitted.',
        ),
    ],
)
def test_where_a_sandbox_cannot_be_made_nbs_sends_to_the_doctor(on, taken, told):
    first, _, *commands, _, _ = on(taken).stdout.splitlines()
    assert first == f"A sandbox cannot be made here: {told}"
    words = [line.strip().split("  ")[0] for line in commands]
    assert words == ["nbs doctor", "nbs show", "nbs log --errors"]


@pytest.mark.parametrize("taken", ["true", WITHOUT_NAMESPACES, WITHOUT_NETWORKS, COVERED_PROC])
def test_nbs_says_that_a_sandbox_cannot_be_made_where_none_can_be_entered(on, hand_made, taken):
    entered = on(taken, "shell", "--store", hand_made.store, hand_made.path, "--", "true")
    assert entered.returncode == (0 if taken == "true" else 125), entered.stderr
    told = on(taken).stdout.startswith("A sandbox cannot be made here")
    assert told == (entered.returncode == 125)


def test_without_user_namespaces_what_needs_them_is_not_tried(checks):
    found = checks(WITHOUT_NAMESPACES)
    failed = [name for name, one in found.items() if one["verdict"] == "failed"]
    assert failed == ["user namespace"]
    assert "user.max_user_namespaces=15000" in found["user namespace"]["remedy"]
    for name in ("net namespace", "id maps", "fresh /proc", "read-only inputs", "overlay"):
        assert found[name]["verdict"] == "untried"
        assert (found[name]["seen"], found[name]["remedy"]) == (
            "not tried: it needs the user namespace",
            "",
        )


def test_the_remedy_is_that_of_the_limit_that_was_reached(checks):
    found = checks(WITHOUT_NETWORKS)
    assert found["user namespace"]["verdict"] == "ok"
    assert "user.max_net_namespaces=15000" in found["net namespace"]["remedy"]


def test_a_proc_that_is_covered_in_part_is_told_with_what_uncovers_it(checks):
    found = checks(COVERED_PROC)
    failed = [name for name, one in found.items() if one["verdict"] == "failed"]
    assert failed == ["fresh /proc"]
    assert "systempaths=unconfined" in found["fresh /proc"]["remedy"]


def test_root_is_not_told_to_become_root(on):
    told = on("echo 0 > /proc/sys/user/max_user_namespaces", "doctor", uid=0)
    assert "→ `sysctl user.max_user_namespaces=15000` allows it" in told.stdout
    assert "→ `sudo sysctl " in on(WITHOUT_NAMESPACES, "doctor").stdout
