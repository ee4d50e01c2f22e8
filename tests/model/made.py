"""Facts made by hand, for rules, plans and renderings: one build that is like most, and changes to it.

Every path of the host in them begins with /HOST, and the workspace is /WORKSPACE, so that a test can
tell them from the paths inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.model import rules
from sandbox.model.aterm import Derivation, Output
from sandbox.model.facts import (
    EnvVars,
    HostFile,
    KeptDirectory,
    MachineFacts,
    NixFacts,
    Request,
    StoreObjects,
)
from sandbox.model.nixconf import NixSettings
from sandbox.model.plan import Paths, Plan, plan
from sandbox.model.profile import Profile

if TYPE_CHECKING:
    from sandbox.model.spec import Entry, Sandbox

STORE = "/nix/store"
PATHS = Paths(root="/WORKSPACE/root", upper="/WORKSPACE/upper", work="/WORKSPACE/work")
BUILDER, CALLER = 30001, 12345
OUT = f"{STORE}/{'b' * 32}-hello-1.0"
DRV = f"{STORE}/{'d' * 32}-hello-1.0.drv"
SHELL = f"{STORE}/{'a' * 32}-bash/bin/bash"


def derivation(*outputs: Output, **env: str) -> Derivation:
    """A derivation with these outputs, one ordinary one if there are none."""
    return Derivation(
        outputs=outputs or (Output(name="out", path=OUT),),
        input_sources=(f"{STORE}/{'a' * 32}-bash",),
        system="x86_64-linux",
        builder=SHELL,
        args=("-e",),
        env=tuple(sorted(env.items())),
    )


FIXED = Output(name="out", path=OUT, hash_algo="sha256", hash="00")
IMPURE = Output(name="out", hash_algo="sha256", hash="impure")
ENV_VARS = EnvVars(
    state="read",
    shell=SHELL,
    out=OUT,
    name="hello-1.0",
    working_directory="/build/hello",
    build_top="/build",
    mtime_ns=1,
)
KEPT = KeptDirectory(
    outer="/HOST/kept",
    path="/HOST/kept/build",
    layout="build",
    name_hint="hello-1.0",
    uid=BUILDER,
    gid=BUILDER,
    mode=0o755,
    mtime_ns=1,
    env_vars=ENV_VARS,
)
MACHINE = MachineFacts(
    uid=0,
    gid=0,
    groups=0,
    machine="x86_64",
    kernel=(6, 1),
    devices=("full", "null", "random", "tty", "urandom", "zero"),
    landlock_abi=6,
    uids=((0, 2**32 - 1),),
    gids=((0, 2**32 - 1),),
)
NIX = NixFacts(
    profile=Profile(version=(2, 8, 0)),
    profile_from="made",
    settings=NixSettings(),
    store_dir=STORE,
    real_store_dir="/HOST/nix/store",
    derivation_path=DRV,
    derivation=derivation(),
    inputs=StoreObjects(
        directories=(f"{STORE}/{'a' * 32}-bash",),
        files=(f"{STORE}/{'c' * 32}-patch",),
        links=((f"{STORE}/{'f' * 32}-link", "elsewhere"),),
    ),
    inputs_from="database",
    outputs=(("out", OUT),),
)
REQUEST = Request(command=("make",))


def settings(**changes: Any) -> NixFacts:
    return NIX.replace(settings=NixSettings(**changes))


def version(*numbers: int, flavour: str = "nix") -> NixFacts:
    major, minor, patch = (*numbers, 0)[:3]
    return NIX.replace(profile=Profile(flavour=flavour, version=(major, minor, patch)))


def host_file(path: str, kind: str = "file") -> HostFile:
    return HostFile(path=path, real=f"/HOST{path}", kind=kind)


def described(
    kept: KeptDirectory = KEPT,
    nix: NixFacts = NIX,
    machine: MachineFacts = MACHINE,
    request: Request = REQUEST,
) -> Sandbox:
    return rules.sandbox(kept, nix, machine, request)


def planned(sandbox: Sandbox) -> Plan:
    return plan(sandbox, PATHS, "x86_64")


def at(sandbox: Sandbox, path: str) -> Entry | None:
    """The entry that is seen at `path`: the last one, which covers those before."""
    return next((e for e in reversed(sandbox.entries) if e.path == path), None)
