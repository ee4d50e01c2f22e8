"""Descriptions and plans as text, as plain data for JSON, and what differs between two of them."""

from __future__ import annotations

from sandbox.model.spec import (
    CALLER,
    Bind,
    BuildDirectory,
    Directory,
    Entry,
    File,
    Filesystem,
    Inputs,
    Output,
    Sandbox,
    Symlink,
)
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


LONGEST = 400


class Line(Value):
    """One fact about a sandbox: its section, what it is about, what holds, and its rule."""

    section: str
    subject: str
    text: str
    rule: str = ""


def lines(sandbox: Sandbox) -> tuple[Line, ...]:
    """The whole description, a line for each thing that decides something."""
    return (
        *_identity(sandbox),
        *(line for entry in sandbox.entries for line in _entry(entry)),
        *_process(sandbox),
        *(Line(section="notes", subject=n.subject, text=n.text) for n in sandbox.notes),
    )


def _identity(sandbox: Sandbox) -> Iterator[Line]:
    rule = "startChild"
    yield Line(section="build", subject="name", text=sandbox.name)
    yield Line(section="build", subject="profile", text=sandbox.profile)
    yield Line(section="build", subject="environment", text=sandbox.environment_source)
    for name in sandbox.namespaces:
        yield Line(section="namespaces", subject=name, text="new", rule=rule)
    yield Line(section="ids", subject="uid_map", text=str(sandbox.uid_map), rule=rule)
    yield Line(section="ids", subject="gid_map", text=str(sandbox.gid_map), rule=rule)
    yield Line(section="ids", subject="setgroups", text="deny", rule=rule)
    yield Line(section="names", subject="host name", text=sandbox.host_name, rule=rule)
    yield Line(section="names", subject="domain name", text=sandbox.domain_name, rule=rule)


def _entry(entry: Entry) -> Iterator[Line]:
    match entry:
        case Directory():
            text = f"directory, mode {entry.mode:04o}{_owner(entry.uid, entry.gid)}"
        case File():
            access = ", read-only" if entry.read_only else ""
            text = f"file, mode {entry.mode:04o}{access}, {entry.content!r}"
        case Symlink():
            text = f"link to {entry.target}"
        case Bind():
            where = " inside" if entry.within else ""
            access = "read-only" if entry.read_only else "writable"
            text = f"{entry.kind} {entry.source}{where}, {access}"
        case Filesystem():
            text = entry.fstype + (f", {entry.options}" if entry.options else "")
        case Output():
            text = f"copy of {entry.source}{_owner(entry.uid, entry.gid)}"
        case BuildDirectory():
            yield from _build_directory(entry)
            return
        case _:
            yield from _inputs(entry)
            return
    yield Line(section="files", subject=entry.path, text=text, rule=entry.rule)


def _build_directory(entry: BuildDirectory) -> Iterator[Line]:
    text = f"{entry.method} of {entry.source}{_owner(entry.uid, entry.gid)}"
    yield Line(section="files", subject=entry.path, text=text, rule=entry.rule)
    for name, content in entry.files:
        path = f"{entry.path}/{name}"
        yield Line(section="files", subject=path, text=f"file, {content!r}", rule=entry.rule)


def _inputs(entry: Inputs) -> Iterator[Line]:
    access = "read-only" if entry.read_only else "writable"
    text = f"{access}, from {entry.source}, {_PLACES[entry.places]}"
    yield Line(section="inputs", subject=entry.path, text=text, rule=entry.rule)
    for kind, names in (("directory", entry.directories), ("file", entry.files)):
        for name in names:
            text = f"{kind} {entry.source}/{name}, {access}"
            yield Line(section="inputs", subject=f"{entry.path}/{name}", text=text, rule=entry.rule)
    for name, target in entry.links:
        text = f"link to {target}"
        yield Line(section="inputs", subject=f"{entry.path}/{name}", text=text, rule=entry.rule)


_PLACES = {
    "disk": "each mounted on a place on disk",
    "memory": "each mounted on a place in memory",
    "store": "all that is there",
}


def _owner(uid: int, gid: int) -> str:
    """Whose it will be; nothing where it is whoever makes it."""
    user = "" if uid == CALLER else f", owner {uid}"
    return user + ("" if gid == CALLER else f", group {gid}")


def _process(sandbox: Sandbox) -> Iterator[Line]:
    process = sandbox.process
    rule = "runChild"

    def line(subject: str, text: str) -> Line:
        return Line(section="process", subject=subject, text=text, rule=rule)

    if process.program:
        yield line("program", process.program)
    yield line("argv", " ".join(map(repr, process.argv)))
    yield line("ids", f"{process.uid}:{process.gid}")
    yield line("directory", " or ".join(map(repr, process.directories)))
    yield line("umask", f"{process.umask:04o}")
    yield line("personality", f"{process.personality:#x}")
    yield line("no_new_privs", str(int(process.no_new_privileges)))
    yield line("parent death signal", str(process.parent_death_signal))
    yield line("core limit", "kept" if process.core_limit is None else str(process.core_limit))
    ceiling = process.open_files_ceiling
    yield line("open files", "kept" if ceiling is None else f"hard limit, {ceiling} at most")
    yield line("abstract sockets", "scoped" if process.scope_abstract_sockets else "open")
    yield line("terminal", "of its own" if process.interactive else "none")
    if process.startup_file:
        yield line("startup file", _beginning(repr(process.startup_file)))
    if process.filter is not None:
        for r in process.filter.rules:
            condition = f" if argument {r.argument} has {r.mask:#o}" if r.argument >= 0 else ""
            yield line(f"filter {r.call}", f"errno {r.errno}{condition}")
        if process.filter.unknown_from:
            yield line("filter unknown", f"errno 38 from call {process.filter.unknown_from} on")
    for name, value in process.environment:
        yield Line(section="environment", subject=name, text=repr(value), rule="initEnv")


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def visible(text: str) -> str:
    """`text` on one line, with what a terminal would act on as an escape: it may be hostile.

    >>> print(visible("a\\x1b[2Jb\\n"))
    a\\x1b[2Jb\\n
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def text(sandbox: Sandbox) -> str:
    """The description as people read it: sections, aligned, each line with its rule."""
    parts: list[str] = []
    section = ""
    for line in lines(sandbox):
        if line.section != section:
            section = line.section
            parts.append(f"\n{section}" if parts else section)
        rule = f"   [{visible(line.rule)}]" if line.rule else ""
        parts.append(f"  {visible(line.subject):<28} {visible(line.text)}{rule}")
    return "\n".join(parts) + "\n"


def difference(first: Sandbox, second: Sandbox) -> tuple[tuple[str, Line], ...]:
    """What only one of two descriptions has: pairs of "-" or "+" and a line, in any order."""
    old, new = lines(first), lines(second)
    gone, come = set(old) - set(new), set(new) - set(old)
    changes = [("-", line) for line in old if line in gone]
    changes += [("+", line) for line in new if line in come]
    return tuple(sorted(changes, key=lambda change: (change[1].section, change[1].subject)))


def data(value: object) -> Any:
    """A value as what JSON knows; each object says in `type` what it is. Bytes are hexadecimal."""
    if isinstance(value, Value):
        return {"type": type(value).__name__, **{k: data(v) for k, v in value.fields().items()}}
    if isinstance(value, (tuple, list)):
        return [data(item) for item in value]
    if isinstance(value, dict):
        return {k: data(v) for k, v in value.items()}
    return value.hex() if isinstance(value, bytes) else value
