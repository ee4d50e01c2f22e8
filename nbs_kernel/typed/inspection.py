"""What the name under a cursor is: as the shell knows it, described in text."""

from __future__ import annotations

import os
import re
import stat

from nbs_kernel.typed import files
from nbs_kernel.typed.reader import Reader
from nbs_kernel.typed.shown import one_line, plain
from nbs_kernel.typed.surroundings import described, value_of
from nbs_kernel.typed.synopses import synopsis
from nbs_kernel.typed.words import ASSIGNMENT, Word
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Describe = Callable[[str], tuple[str, ...] | None]

SHORT_LINES = 40
SHORT_VALUE = 2_000
LONG = 200_000
READ = 200_000
HEAD = 4_096
SHOWN_NAMES = 20

# What a shell is asked about can be no option, and no code wherever the answer is made.
_ASKABLE = re.compile(r"[A-Za-z0-9_.+:@%/][A-Za-z0-9_.+:@%/-]{0,200}")
_KINDS = (
    ("alias", "alias"),
    ("keyword", "keyword of the shell"),
    ("function", "function"),
    ("builtin", "built-in of the shell"),
    ("variable", "variable"),
    ("file", "program"),
)


class Subject(Value):
    """What is to be described: `kind` is "variable", "command", "argument"."""

    kind: str
    text: str
    word: Word | None = None


def subjects(code: str, cursor: int) -> tuple[Subject, ...]:
    """What the cursor may be asking about, the likeliest first.

    A variable or word that the cursor is in or just behind; at last the command that the word, or
    the blank after it, belongs to.
    """
    reader = Reader(code[:READ])
    reader.finish()
    found: list[Subject] = []
    found += [
        Subject(kind="variable", text=variable.name)
        for variable in reversed(reader.variables)
        if variable.name and variable.start - 1 <= cursor <= variable.end
    ]
    touched = [word for word in reader.words if word.start <= cursor <= word.end]
    for word in sorted(touched, key=lambda word: word.end - word.start):
        found += _of_word(word, cursor)
    found += _of_blank(reader, cursor)
    return tuple(dict.fromkeys(found))


def _of_word(word: Word, cursor: int) -> list[Subject]:
    if word.role == "assignment":
        found = ASSIGNMENT.match(word.text)
        if found and cursor <= word.start + found.end():
            return [Subject(kind="variable", text=found[1])]
        return []
    if word.role in {"command", "keyword", "function"}:
        return [Subject(kind="command", text=word.text, word=word)]
    if word.role in {"argument", "redirection"} and word.text:
        about = [Subject(kind="argument", text=word.text, word=word)]
        command = word.before[:1]
        return about + [Subject(kind="command", text=name) for name in command if name]
    return [Subject(kind="variable", text=word.text)] if word.role == "name" else []


def _of_blank(reader: Reader, cursor: int) -> list[Subject]:
    """The command of a cursor on the blanks behind it."""
    before = [word for word in reader.words if word.end <= cursor]
    between = reader.text[before[-1].end : cursor] if before else "\n"
    if between.strip(" \t") or not before:
        return []
    last = before[-1]
    name = last.text if last.role in {"command", "keyword"} else "".join(last.before[:1])
    return [Subject(kind="command", text=name)] if name else []


class Inspection(Value):
    """A text on the subject; empty if there is nothing to say."""

    text: str = ""

    def content(self) -> dict[str, object]:
        """The content of an inspect_reply."""
        data: dict[str, object] = {"text/plain": self.text} if self.text else {}
        return {"status": "ok", "found": bool(self.text), "data": data, "metadata": {}}


def inspect(
    code: str,
    cursor: int,
    detail: int,
    describe: Describe,
    directory: str,
    resolve: Callable[[Word], str | None],
) -> Inspection:
    """What is known of what stands at the cursor.

    `describe` asks the shell for a name; `resolve` gives the path that a word stands for, None if
    only running the text would tell.
    """
    for subject in subjects(code, cursor):
        text = _describe(subject, detail, describe, directory, resolve)
        if text:
            return Inspection(text=text)
    return Inspection()


def _describe(
    subject: Subject,
    detail: int,
    describe: Describe,
    directory: str,
    resolve: Callable[[Word], str | None],
) -> str:
    word = subject.word
    is_path = word is not None and (subject.kind == "argument" or "/" in subject.text)
    path = resolve(word) if word is not None and is_path else None
    if path:
        about = about_file(os.path.join(directory, path), path, detail)
        if about:
            return about
    if not _ASKABLE.fullmatch(subject.text):
        return about_name(subject.text, {}, detail)
    known = described(describe(subject.text))
    if subject.kind == "variable":
        known = {"variable": known["variable"]} if "variable" in known else {}
    elif "variable" in known and not _is_phase(subject.text):
        known = {kind: text for kind, text in known.items() if kind != "variable"} or known
    if _is_phase(subject.text) and subject.kind != "variable":
        return about_phase(subject.text, known, detail, describe)
    return about_name(subject.text, known, detail)


def about_name(name: str, known: dict[str, str], detail: int) -> str:
    """What the shell knows of a name: what it would run first, and then what that hides."""
    parts = [
        _part(name, kind, title, known[kind], detail) for kind, title in _KINDS if kind in known
    ]
    if not parts and synopsis(name):
        parts = [f"{name}: built-in or keyword of the shell\n{synopsis(name)}"]
    shown = parts if detail else parts[:1]
    return "\n\n".join(shown)


def _part(name: str, kind: str, title: str, text: str, detail: int) -> str:
    body = text.rstrip("\n")
    if kind in {"builtin", "keyword"}:
        body = body if body and detail else synopsis(name) or body
    if kind == "file":
        return f"{name}: {title} {one_line(body, SHORT_VALUE)}"
    if kind == "alias":
        return f"{name}: {title} for {one_line(body, SHORT_VALUE)}"
    return f"{name}: {title}\n{_bounded(body, detail)}".rstrip()


def _bounded(text: str, detail: int) -> str:
    if detail:
        return plain(text, LONG)
    lines = text[:LONG].split("\n")
    more = f"\n… ({len(lines) - SHORT_LINES} more lines)" if len(lines) > SHORT_LINES else ""
    return plain("\n".join(lines[:SHORT_LINES]), SHORT_VALUE * 2) + more


def _is_phase(name: str) -> bool:
    return name.endswith("Phase") and name.isidentifier()


def about_phase(name: str, known: dict[str, str], detail: int, describe: Describe) -> str:
    """What stdenv runs for a phase: the text of the variable if it is set, else the function.

    nixpkgs: `runPhase` in pkgs/stdenv/generic/setup.sh, `eval "${!curPhase:-$curPhase}"`.
    """
    is_set = bool(value_of(known.get("variable", "")))
    source = "variable" if is_set else "function"
    if not known.get(source):
        return about_name(name, known, detail)
    what = {"variable": "the text of the variable", "function": "the function"}[source]
    parts = [f"{name}: phase; runs {what}", _bounded(known[source].rstrip("\n"), detail)]
    stem = name.removesuffix("Phase")
    for hook in (f"pre{stem[:1].upper()}{stem[1:]}", f"post{stem[:1].upper()}{stem[1:]}"):
        about = described(describe(hook))
        parts += [
            f"hook {hook} ({kind})\n{_bounded(about[kind].rstrip(), detail)}"
            for kind in ("function", "variable")
            if about.get(kind)
        ]
    return "\n".join(parts)


def about_file(path: str, name: str, detail: int) -> str:
    """What a file is, from its mode and its first bytes; empty if there is none."""
    try:
        link = os.readlink(path) if os.path.islink(path) else ""
        status = os.stat(path)
    except (OSError, ValueError):
        return ""
    arrow = f" -> {one_line(link, SHORT_VALUE)}" if link else ""
    what = _what(path, status, detail)
    mode = stat.filemode(status.st_mode)
    return f"{one_line(name, SHORT_VALUE)}{arrow}\n{mode} {status.st_size:,} bytes, {what}"


def _what(path: str, status: os.stat_result, detail: int) -> str:
    if stat.S_ISDIR(status.st_mode):
        listing = files.entries(path, "")
        names = [one_line(e.name) + "/" * e.is_directory for e in listing[:SHOWN_NAMES]]
        more = ["…"] if len(listing) > SHOWN_NAMES else []
        return "\n    ".join(["directory", *names, *more])
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    try:
        head, _ = files.read(path, HEAD)
    except OSError:
        return "file"
    return _content(head, detail)


def _content(head: bytes, detail: int) -> str:
    if head.startswith(b"\x7fELF"):
        return "ELF binary"
    if b"\0" in head:
        return "binary data"
    lines = head.decode("utf-8", "replace").split("\n")
    kind = f"script for {one_line(lines[0][2:].strip(), 200)}" if head[:2] == b"#!" else "text"
    shown = lines[:SHORT_LINES] if detail else lines[:3]
    return "\n    ".join([kind, *(one_line(line, 200) for line in shown)])
