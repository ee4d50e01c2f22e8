"""What the name under a cursor is: as the shell knows it, described in text."""

from __future__ import annotations

import os
import re
import stat

from nbs_kernel.typed import files, phases
from nbs_kernel.typed.reader import Reader
from nbs_kernel.typed.shown import SHORT_LINES, SHORT_VALUE, bounded, one_line
from nbs_kernel.typed.surroundings import described
from nbs_kernel.typed.synopses import synopsis
from nbs_kernel.typed.words import ASSIGNMENT, Word, expanded
from sandbox import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.typed.surroundings import Surroundings

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


def inspect(code: str, cursor: int, detail: int, around: Surroundings) -> Inspection:
    """What is known of what stands at the cursor."""
    for subject in subjects(code, cursor):
        text = _describe(subject, detail, around)
        if text:
            return Inspection(text=text)
    return Inspection()


def _describe(subject: Subject, detail: int, around: Surroundings) -> str:
    word = subject.word
    if word is not None and subject.kind == "argument" and word.before[:1] == (phases.WORD,):
        phase = phases.of_word(subject.text)
        return phases.about_again(phase, detail, around) if phase else ""
    is_path = word is not None and (subject.kind == "argument" or "/" in subject.text)
    path = expanded(word, around.value) if word is not None and is_path else None
    if path:
        about = about_file(os.path.join(around.directory, path), path, detail)
        if about:
            return about
    if not _ASKABLE.fullmatch(subject.text):
        return about_name(subject.text, {}, detail)
    return _about(subject, described(around.describe(subject.text)), detail, around)


def _about(subject: Subject, known: dict[str, str], detail: int, around: Surroundings) -> str:
    name = subject.text
    if subject.kind == "variable":
        known = {"variable": known["variable"]} if "variable" in known else {}
    elif phases.is_phase(name):
        about = phases.about(name, known, detail, around)
        if about:
            return about
    elif "variable" in known:
        known = {kind: text for kind, text in known.items() if kind != "variable"} or known
    if name == phases.WORD:
        about = phases.about_word(known.get("function", ""), around)
        if about:
            return about
    if subject.kind == "command" and name in around.own and "function" not in known:
        return around.own[name]
    return about_name(name, known, detail)


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
    return f"{name}: {title}\n{bounded(body, detail)}".rstrip()


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
