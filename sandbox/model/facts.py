"""What was found, as data: the kept directory, what Nix knows, what this machine is.

Only `sandbox/host/` makes these. They hold no decision: those are `model.rules`.
"""

from __future__ import annotations

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.aterm import Derivation
    from sandbox.model.environment import BuildEnvironment
    from sandbox.model.nixconf import NixSettings
    from sandbox.model.profile import Profile
    from sandbox.model.spec import Looked


class EnvVars(Value):
    """The file `env-vars` that stdenv leaves in a build directory.

    `state`: "read", "unreadable" (mode or owner), "absent", or "unsafe" (a link, a fifo, a device,
    or too large to be one). The other fields are variables of it that decide something; `shell`
    is the builder's bash where SHELL is no bash of the store.
    `overlong`: names and bytes of those that make it too long for execve(2) of this machine.
    """

    state: str
    shell: str = ""
    out: str = ""
    name: str = ""
    working_directory: str = ""
    build_top: str = ""
    mtime_ns: int = 0
    references: tuple[str, ...] = ()
    overlong: tuple[tuple[str, int], ...] = ()


class KeptDirectory(Value):
    """What is left of a failed build. `path` is the build's own directory, `outer` what holds it.

    `looked` tells it from another that comes to its place; None for a build that has not begun.
    `layout`: "flat", "build", "named-pid-build", "pid-build", "b" (see `model.profile`).
    `ctime_ns`: when either was changed last, as Nix does when it keeps one; 0 if not known.
    """

    outer: str
    path: str
    layout: str
    name_hint: str
    uid: int
    gid: int
    mode: int
    mtime_ns: int
    env_vars: EnvVars
    ctime_ns: int = 0
    structured: bool = False
    looked: Looked | None = None


class StoreObjects(Value):
    """Store paths that exist, told apart by what they are, each kind in order.

    `links` are pairs of a path and what the link says. Not a value for each path: there may be
    thousands.
    """

    directories: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(sorted((*self.directories, *self.files, *(path for path, _ in self.links))))

    def __len__(self) -> int:
        return len(self.directories) + len(self.files) + len(self.links)


class NixFacts(Value):
    """What Nix's files say about the build.

    `derivation_refused`: why what seemed to be the derivation is none.
    `inputs_from`: "database", "nix-store", "references" or "whole-store". `inputs_exact` is False
    where rows of the database may have been missed. `outputs`: pairs of an output's name and path;
    `partial`: those of the paths where the failed build left something, and where that lies.
    `overlong`: as in `EnvVars`, of the variables in `environment`.
    `looked`: what lies there, and the store if it is neither root's nor the caller's.
    """

    profile: Profile
    profile_from: str
    settings: NixSettings
    store_dir: str
    real_store_dir: str
    derivation_path: str = ""
    derivation: Derivation | None = None
    derivation_from: str = ""
    derivation_refused: str = ""
    environment: BuildEnvironment | None = None
    overlong: tuple[tuple[str, int], ...] = ()
    inputs: StoreObjects = StoreObjects()
    inputs_from: str = ""
    missing_inputs: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    partial: tuple[tuple[str, str], ...] = ()
    looked: tuple[Looked, ...] = ()


class HostFile(Value):
    """A file of the host that may be shown inside. `real` is without links; `kind` as in `Bind`."""

    path: str
    real: str
    kind: str


class MachineFacts(Value):
    """What this machine is and who runs this. `devices` are the names in /dev that exist.

    `files` are those that some rule may want, if they exist. `uids` and `gids` are the ids that
    this user namespace has, in ranges of a first one and a count, as root of it may use them; of
    anybody else they are empty. `outside` is the id that root of it is where it was made.
    """

    uid: int
    gid: int
    groups: int
    machine: str
    kernel: tuple[int, int]
    devices: tuple[str, ...]
    landlock_abi: int
    files: tuple[HostFile, ...] = ()
    uids: tuple[tuple[int, int], ...] = ()
    gids: tuple[tuple[int, int], ...] = ()
    outside: int = 0


class PhaseScripts(Value):
    """The texts that make the word `phase`, from `sandbox/phases/`: what the shell of a person
    reads, what the word starts, and what the build's bash runs then.
    """

    word: str
    parent: str
    child: str


class Request(Value):
    """What was asked for: the command (empty for an interactive shell) and what is to differ.

    `history`: lines that an interactive bash finds in its history, the newest last.
    `phases` gives an interactive shell the word `phase`; with `phase_words` that word is run with
    them in place of a shell. `phase` is the one that failed, as far as that is known.

    `script`: the shell reads no terminal, and does what it reads without a prompt.
    `shell_options`: with them bash is started, without a command, in place of an interactive shell.
    `unsandboxed`: None leaves it to the evidence; True shows the host as an unsandboxed build saw
    it; False makes a sandbox all the same.
    """

    command: tuple[str, ...] = ()
    shell_options: tuple[str, ...] = ()
    interactive: bool = False
    script: bool = False
    term: str = ""
    phase: str = ""
    told: tuple[tuple[str, str, str], ...] = ()
    history: tuple[str, ...] = ()
    phases: PhaseScripts | None = None
    phase_words: tuple[str, ...] | None = None
    inputs_writable: bool = False
    whole_store: bool = False
    unsandboxed: bool | None = None
    copy: bool = False
