"""What the launcher finds out about a build before the kernel is inside, where it cannot look."""

from __future__ import annotations

import os

import sandbox
from sandbox import Request, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox import Sandbox

SHELL_OPTIONS = ("--noprofile", "--noediting", "--rcfile", "/dev/fd/9", "-i")
"""How the kernel starts bash: it reads its commands from a channel, and this file first."""

TOOLS = "NBS_WITH_TOOLS"
"""The variable that names programs of the host, with `:` between them, for the word `tool`."""


class Known(Value):
    """What a kernel can say of its build.

    `label` is the name and the failing phase; `banner` the lines that say where one is; `facts`
    pairs of a name and a text; `plan` the sandbox as `nbs plan` prints it; `history` what was run
    before in kernels of this build: session, line, source.
    """

    name: str = ""
    label: str = ""
    banner: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    plan: str = ""
    history: tuple[tuple[int, int, str], ...] = ()


class Found(Value):
    """A build, the sandbox that the kernel enters, and what it will know of it.

    `store` and `derivation` are those that were asked for, to find it again.
    """

    path: str
    sandbox: Sandbox
    known: Known
    store: str = ""
    derivation: str = ""


def find(build: str, store: str = "", derivation: str = "") -> Found:
    """The build that is meant, "" for the newest failure of this machine.

    Raises `sandbox.Error` as `sandbox.find_build`, `read` and `describe` do.
    """
    path = sandbox.find_build(build, store=store)
    case = sandbox.read(path, store=store, derivation=derivation, start=True)
    log = sandbox.readable_log(case)
    phase = log.failing_phase if log is not None else ""
    request = Request(shell_options=SHELL_OPTIONS, phase=phase, phases=sandbox.phase_scripts())
    described = sandbox.describe(case, request)
    wanted = tuple(filter(None, os.environ.get(TOOLS, "").split(":")))
    if wanted:
        described = sandbox.with_tools(described, sandbox.find_tools(wanted, os.environ))
    name = sandbox.one_line(described.name or path.rstrip("/").rpartition("/")[2])
    banner = sandbox.introduction(described, log)
    if not build:
        banner = (*banner, sandbox.one_line(f"the newest failed build: {path}"))
    return Found(
        path=path,
        sandbox=described,
        known=Known(
            name=name,
            label=sandbox.one_line(f"{name} {phase}".strip()),
            banner=banner,
            facts=sandbox.facts(case),
            plan=sandbox.render(described),
        ),
        store=store,
        derivation=derivation,
    )
