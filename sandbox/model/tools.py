"""Programs of the host inside: where their files are shown, and the word `tool` that runs them.

All of it lies below one directory that no build has, and no variable is set: a loader that is
called by name is told where the libraries are, and what the tool starts is not
(docs/decisions/0010-tools-of-the-host.md).
"""

from __future__ import annotations

from sandbox.errors import UsageError
from sandbox.model.command import shell_word
from sandbox.model.spec import Bind, Directory, Note, Sandbox
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.model.spec import Entry

PLACE = "/nbs-tools"
WORD = "tool"
RULE = "asked for: --with-tool"


class Tool(Value):
    """A program of the host. All paths are the host's, with no link in them.

    `name` is what it is called inside; `shown_as` where the program lies below its place: as on the
    host, for those that find their own files beside themselves. `libraries` are pairs of the name
    that the loader asks for and the file; `trees` and `files` lie below the place as on the host.
    `loader` is empty for what is linked statically. `program` runs with `arguments` before those of
    a person; for a script they name it.
    """

    name: str
    program: str
    shown_as: str
    loader: str = ""
    libraries: tuple[tuple[str, str], ...] = ()
    trees: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    script: str = ""

    @property
    def place(self) -> str:
        return f"{PLACE}/{self.name}"

    @property
    def inside(self) -> tuple[str, ...]:
        """The command inside, to which a person's arguments are added."""
        at = self.place
        loading: tuple[str, ...] = ()
        if self.loader:
            libraries = f"{at}/libraries"
            loading = (f"{libraries}/{_name(self.loader)}", "--library-path", libraries)
        script = (at + self.script,) if self.script else ()
        return (*loading, at + self.shown_as, *self.arguments, *script)

    @property
    def outside(self) -> tuple[str, ...]:
        """The same where the host's own files are shown."""
        return (self.program, *self.arguments, *((self.script,) if self.script else ()))


def _meant(words: tuple[str, ...], tools: tuple[Tool, ...], sandbox: Sandbox) -> tuple[str, ...]:
    """`tool NAME ARG…` as the command that it means; any other command as it is."""
    if words[:1] != (WORD,):
        return words
    known = {tool.name: tool for tool in tools}
    name = words[1] if len(words) > 1 else ""
    if name not in known:
        raise UsageError(
            f"there is no tool `{name}`" if name else "`tool` wants the name of a tool",
            reason="tool-unknown",
            evidence=(f"given with --with-tool: {', '.join(known)}",),
            hint=f"`--with-tool {shell_word(name or 'strace')}` gives the sandbox that program",
        )
    return (*_run(known[name], sandbox), *words[2:])


def with_tools(sandbox: Sandbox, tools: tuple[Tool, ...], command: tuple[str, ...] = ()) -> Sandbox:
    """`sandbox` with `tools` beside all that the build had, and the word `tool` in its shell.

    `command` is the one that was asked for: it may begin with that word. Raises `UsageError`
    (`tool-unknown`).
    """
    process = sandbox.process
    if command:
        before = process.argv[: -len(command)]
        process = process.replace(argv=(*before, *_meant(command, tools, sandbox)))
    if process.startup_file:
        process = process.replace(startup_file=process.startup_file + word(tools, sandbox))
    sandbox = sandbox.replace(process=process)
    names = ", ".join(tool.name for tool in tools)
    if _shows_host(sandbox):
        note = Note(subject="tools", text=f"of the host: {names}; `tool NAME` runs one")
        return sandbox.replace(notes=(*sandbox.notes, note))
    text = f"of the host, below {PLACE}: {names}; `tool NAME` runs one"
    return sandbox.replace(
        entries=(*sandbox.entries, *_entries(tools)),
        notes=(*sandbox.notes, Note(subject="tools", text=text)),
    )


def word(tools: tuple[Tool, ...], sandbox: Sandbox) -> str:
    """Text for bash that defines `tool`. It is not exported: no variable carries it on."""
    cases = "".join(
        f"    {shell_word(t.name)}) builtin shift;"
        f' {" ".join(map(shell_word, _run(t, sandbox)))} "$@" ;;\n'
        for t in tools
    )
    names = shell_word(", ".join(tool.name for tool in tools))
    return (
        "tool() {\n"
        "  case ${1-} in\n"
        f"{cases}"
        f"    *) builtin printf 'tool NAME [ARG...]: NAME is one of %s\\n' {names} >&2;"
        " builtin return 2 ;;\n"
        "  esac\n"
        "}\n"
    )


def _run(tool: Tool, sandbox: Sandbox) -> tuple[str, ...]:
    return tool.outside if _shows_host(sandbox) else tool.inside


def _shows_host(sandbox: Sandbox) -> bool:
    return any(isinstance(entry, Bind) and entry.path == "/" for entry in sandbox.entries)


def _entries(tools: tuple[Tool, ...]) -> list[Entry]:
    """Directories before what lies in them; each file and tree a mount that nobody can write to."""
    files: dict[str, Bind] = {}
    for tool in tools:
        libraries = dict(tool.libraries)
        if tool.loader:
            libraries[_name(tool.loader)] = tool.loader
        trees = [(tool.place + tree, tree, "directory") for tree in tool.trees]
        shown = [(tool.place + path, path, "file") for path in tool.files]
        shown += [(f"{tool.place}/libraries/{n}", path, "file") for n, path in libraries.items()]
        shown.append((tool.place + tool.shown_as, tool.program, "file"))
        for path, source, kind in (*trees, *shown):
            if not any(_below(path, tree) for tree, _, _ in trees if tree != path):
                files[path] = Bind(path=path, source=source, kind=kind, read_only=True, rule=RULE)
    parents = {parent for path in files for parent in _parents(path)}
    made = [Directory(path=path, mode=0o555, rule=RULE) for path in sorted(parents)]
    return [*made, *files.values()]


def _parents(path: str) -> Iterable[str]:
    parts = path.strip("/").split("/")[:-1]
    return ("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))


def _below(path: str, tree: str) -> bool:
    return path.startswith(tree + "/")


def _name(path: str) -> str:
    return path.rpartition("/")[2]
