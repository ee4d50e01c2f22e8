"""`Sandbox` → `Sandbox`: one thing changed by name, all else as it was."""

from __future__ import annotations

from sandbox.model.spec import BuildDirectory, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.aterm import Derivation
    from sandbox.model.environment import BuildEnvironment
    from sandbox.model.spec import Entry


def from_the_start(
    sandbox: Sandbox, derivation: Derivation, environment: BuildEnvironment
) -> Sandbox:
    """The build itself, as Nix starts it: an empty directory with Nix's own files, the builder.

    Nix: DerivationBuilder::startBuilder and runChild. The builder's argv[0] is its base name.
    """
    entries = emptied(sandbox.entries, environment)
    top = next(e.path for e in entries if isinstance(e, BuildDirectory))
    process = sandbox.process.replace(
        program=derivation.builder,
        argv=(derivation.builder.rpartition("/")[2], *environment.arguments),
        environment=environment.variables,
        directories=(top,),
        interactive=False,
        startup_file="",
    )
    return sandbox.replace(entries=entries, process=process, environment_source="the derivation")


def emptied(entries: tuple[Entry, ...], environment: BuildEnvironment) -> tuple[Entry, ...]:
    """The build directory as Nix hands it to the builder: with nothing but Nix's own files."""
    files = tuple((n, c.decode(errors="surrogateescape")) for n, c in environment.files)
    return tuple(
        e.replace(method="empty", files=files) if isinstance(e, BuildDirectory) else e
        for e in entries
    )
