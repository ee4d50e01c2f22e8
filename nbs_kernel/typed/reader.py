"""Reads the text of a cell as bash would, up to any point of it, and runs nothing.

Known not to be followed: aliases (their text is the shell's), groups of `extglob` outside of
patterns as patterns, and the second reading of escapes inside backticks.
"""

from __future__ import annotations

import re

from nbs_kernel.typed.frames import Document, Draft, Frame
from nbs_kernel.typed.scanning import Scanner
from nbs_kernel.typed.words import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN = re.compile(r"""[^ \t\n\\'"$`;&|<>()]+""")
_IN_DOCUMENT = re.compile(r"[^\\$`\n]+")
_REDIRECTION = re.compile(r"<<<|<<-|<<|<>|<&|<|>>|>\||>&|>")
_OPERATOR = re.compile(r";;&|;;|;&|;|&&|&>>|&>|&|\|\||\|&|\|")
_NUMBER = re.compile(r"[0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\}")
_FUNCTION = re.compile(r"\([ \t]*\)")
_PATTERN_GROUP = frozenset("?*+@!")


class Reader(Scanner):
    """Reads a text to its end. `words` and `variables` are what was found; see `place`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._steps: dict[str, Callable[[], None]] = {
            "list": self._list_step,
            "array": self._list_step,
            "double": self._double_step,
            "brace": self._brace_step,
            "arithmetic": self._arithmetic_step,
            "document": self._document_step,
        }
        while self.at < len(text):
            self._steps[self.frames[-1].kind]()
        self.at = len(text)

    def finish(self) -> None:
        """Count the words that the text leaves unfinished as words too."""
        for frame in reversed(self.frames):
            self._end_word(frame)

    def place(self) -> Place:
        """Where a cursor at the end of the text stands."""
        end, top = len(self.text), self.frames[-1]
        if self.comments and self.comments[-1][1] > end:
            return Place(kind="none", start=end)
        if self.variables and self.variables[-1].end == end and not self.quote:
            variable = self.variables[-1]
            return Place(
                kind="variable", start=variable.start, text=variable.name, style=variable.style
            )
        quote = self.quote
        if top.kind == "double":
            top, quote = self.frames[-2], '"'
        if top.kind not in {"list", "array"}:
            return Place(kind="none", start=end)
        return self._word_place(top, quote)

    def _word_place(self, frame: Frame, quote: str) -> Place:
        draft, before = frame.draft, tuple(frame.before)
        role = frame.role()
        if draft is None:
            return Place(kind=role, start=len(self.text), before=before)
        return Place(
            kind=role,
            start=draft.start,
            text=draft.text(),
            quote=quote,
            pieces=tuple(draft.pieces),
            before=before,
        )

    def _list_step(self) -> None:
        frame, at = self.frames[-1], self.at
        character = self.text[at]
        if character in " \t":
            self._end_word(frame)
            self.at += 1
        elif character == "\n":
            self._end_line(frame)
        elif character == "#" and frame.draft is None:
            self._comment()
        elif character in "<>&|;()":
            self._operator(frame, character)
        else:
            self._word_step(character)

    def _end_line(self, frame: Frame) -> None:
        self._end_word(frame)
        self.at += 1
        frame.end_command("\n")
        for document in reversed(frame.documents):
            inner = Frame("document", draft=Draft(self.at))
            inner.document = document
            self.frames.append(inner)
        frame.documents = []

    def _comment(self) -> None:
        end = self.text.find("\n", self.at)
        if self.backtick:
            closing = self.text.find("`", self.at)
            end = closing if 0 <= closing < (end if end >= 0 else len(self.text)) else end
        unfinished = end < 0
        end = len(self.text) if unfinished else end
        self.comments.append((self.at, end + unfinished))
        self.at = end

    def _word_step(self, character: str) -> None:
        at = self.at
        if character == "\\":
            self._escape(at)
        elif character == "'":
            self._single(at)
        elif character == '"':
            self._open_double(at)
        elif character == "$":
            self._dollar("")
        elif character == "`":
            self._backtick()
        else:
            self._plain(at)

    def _plain(self, at: int) -> None:
        found = _PLAIN.match(self.text, at)
        end = found.end() if found else at + 1
        if self.text[at] == "~" and self.frames[-1].draft is None:
            slash = self.text.find("/", at, end)
            end = slash if slash >= 0 else end
            self._add("tilde", self.text[at:end], at, end, "")
        else:
            self._add("text", self.text[at:end], at, end, "")
        self.at = end

    def _operator(self, frame: Frame, character: str) -> None:
        if character == "(":
            self._open(frame)
        elif character == ")":
            self._close_parenthesis(frame)
        elif character in "<>" and self.text[self.at + 1 : self.at + 2] == "(":
            self._draft(self.at)
            self._push("list", ")", 2)
        elif character in "<>":
            self._redirect(frame, _REDIRECTION)
        elif self.text.startswith("&>", self.at) and not frame.test:
            self._redirect(frame, _OPERATOR)
        else:
            self._end_word(frame)
            operator = self._take(_OPERATOR)
            frame.end_command(operator)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        text = found[0] if found else self.text[self.at]
        self.at += len(text)
        return text

    def _redirect(self, frame: Frame, pattern: re.Pattern[str]) -> None:
        plain = frame.draft.plain() if frame.draft else None
        if (
            plain is not None
            and _NUMBER.fullmatch(plain)
            and not self.text.startswith("&", self.at)
        ):
            frame.draft = None  # the number of a descriptor, not a word
        self._end_word(frame)
        operator = self._take(pattern)
        if not frame.test and frame.kind == "list":
            frame.redirection = operator

    def _open(self, frame: Frame) -> None:
        if frame.draft and self._goes_on(frame, frame.draft):
            self._push("array", ")", 1)
        else:
            self._end_word(frame)
            self._open_command(frame)

    def _goes_on(self, frame: Frame, draft: Draft) -> bool:
        """Whether a parenthesis here is a part of the word: an array, or a group of a pattern."""
        if self.text[self.at - 1] == "=" and frame.role() == "assignment":
            return True
        return bool(draft.pieces) and draft.pieces[-1].text[-1:] in _PATTERN_GROUP

    def _open_command(self, frame: Frame) -> None:
        function = _FUNCTION.match(self.text, self.at)
        if frame.test or frame.kind == "array" or frame.wants == "pattern":
            self.at += 1
        elif function and (frame.defines_function() or frame.wants == "command"):
            self.at = function.end()
            frame.end_command("\n")
        elif self.text.startswith("((", self.at) and frame.wants in {"command", "name"}:
            frame.wants = "argument" if frame.wants == "command" else "in"
            self._push("arithmetic", "))", 2)
        else:
            frame.wants = "argument"
            self._push("list", ")", 1)

    def _close_parenthesis(self, frame: Frame) -> None:
        self._end_word(frame)
        if frame.wants == "pattern" and frame.cases:
            frame.wants = "command"
            frame.before = []
            self.at += 1
        elif frame.test:
            self.at += 1
        elif frame.end == ")":
            self._close(1)
        else:
            self.at += 1
            frame.end_command("\n")

    def _document_step(self) -> None:
        document = self.frames[-1].document
        if document is None or (self._at_line_start() and self._ends(document)):
            self.frames.pop()
        elif document.quoted:
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end + 1
        elif self.text[self.at] == "\\":
            self.at += 2
        elif self.text[self.at] == "\n":
            self.at += 1
        else:
            self._quoted_step(self.text[self.at], _IN_DOCUMENT)

    def _at_line_start(self) -> bool:
        return self.at == 0 or self.text[self.at - 1] == "\n"

    def _ends(self, document: Document) -> bool:
        end = self.text.find("\n", self.at)
        if end < 0:
            return False
        line = self.text[self.at : end]
        if (line.lstrip("\t") if document.tabs else line) != document.delimiter:
            return False
        self.at = end + 1
        return True
