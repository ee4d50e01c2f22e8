"""What can be inside of a word of shell text: quotes, expansions, arithmetic.

The part of a `Reader` that needs no grammar of commands.
"""

from __future__ import annotations

import re

from nbs_kernel.typed.frames import Draft, Frame
from nbs_kernel.typed.quoting import from_ansi
from nbs_kernel.typed.words import NAME, Piece, Variable, Word

_IN_DOUBLE = re.compile(r'[^"\\$`]+')
_IN_BRACE = re.compile(r"""[^}"'\\$`]+""")
_IN_ARITHMETIC = re.compile(r"[^A-Za-z_()\]\"'\\$`]+")
_ANSI_END = re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL)
_BRACE_NAME = re.compile(r"[!#]?([A-Za-z_][A-Za-z0-9_]*)?")
_SPECIAL = frozenset("@*#?$!-0123456789")
_ESCAPED_IN_DOUBLE = frozenset('$`"\\')


class Scanner:
    """A text, how far it is read, what it is inside of there, and what was found."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.frames = [Frame("list")]
        self.words: list[Word] = []
        self.variables: list[Variable] = []
        self.comments: list[tuple[int, int]] = []
        self.quote = ""
        # Where in `frames` the one is that a backtick has opened: another one closes it.
        self.backtick = 0

    def _draft(self, start: int) -> Draft:
        frame = self.frames[-1]
        if frame.draft is None:
            frame.draft = Draft(start)
        return frame.draft

    def _add(self, kind: str, text: str, start: int, end: int, quote: str) -> None:
        self._draft(start).pieces.append(Piece(kind, text, start, end, quote))

    def _end_word(self, frame: Frame) -> None:
        word = frame.end_word(self.at)
        if word is not None:
            self.words.append(word)

    def _push(self, kind: str, end: str, length: int) -> None:
        frame = Frame(kind, end)
        frame.opened = self.at
        self.at += length
        self.frames.append(frame)

    def _close(self, length: int) -> None:
        """Leave the innermost frame; what it held is a part of the word around it, if any."""
        frame = self.frames.pop()
        self.at += length
        around = self.frames[-1]
        if around.draft is not None and around.draft.start <= frame.opened:
            quote = '"' if around.kind == "double" else ""
            kind = "variable" if frame.variable else "unknown"
            around.draft.pieces.append(Piece(kind, frame.variable, frame.opened, self.at, quote))

    def _escape(self, at: int) -> None:
        following = self.text[at + 1 : at + 2]
        self.at = min(at + 2, len(self.text))
        if following != "\n":
            self._add("text", following, at, self.at, "")

    def _single(self, at: int) -> None:
        end = self.text.find("'", at + 1)
        self._draft(at)
        if end < 0:
            self.quote, end = "'", len(self.text)
        self._add("text", self.text[at + 1 : end], at + 1, end, "'")
        self.at = min(end + 1, len(self.text))

    def _ansi(self, at: int) -> None:
        found = _ANSI_END.match(self.text, at + 2)
        end = found.end() if found else at + 2
        if self.text[end : end + 1] != "'":
            self.quote, end = "$'", len(self.text)
        self._add("text", from_ansi(self.text[at + 2 : end]), at + 2, end, "$'")
        self.at = min(end + 1, len(self.text))

    def _open_double(self, at: int) -> None:
        draft = self._draft(at)
        draft.pieces.append(Piece("text", "", at + 1, at + 1, '"'))
        self.frames.append(Frame("double", '"', draft))
        self.at += 1

    def _dollar(self, quote: str) -> None:
        at, text = self.at, self.text
        following = text[at + 1 : at + 2]
        name = NAME.match(text, at + 1)
        self._draft(at)
        if text.startswith("$((", at):
            self._push("arithmetic", "))", 3)
        elif following in {"(", "["}:
            self._push(*(("list", ")") if following == "(" else ("arithmetic", "]")), 2)
        elif following == "{":
            self._open_brace(at)
        elif following == "'" and not quote:
            self._ansi(at)
        elif following == '"' and not quote:
            self.at += 1
        elif name or not following:
            end = name.end() if name else at + 1
            self._variable(text[at + 1 : end], at, end, quote)
        elif following in _SPECIAL:
            self._add("unknown", "", at, at + 2, quote)
            self.at += 2
        else:
            self._add("text", "$", at, at + 1, quote)
            self.at += 1

    def _variable(self, name: str, at: int, end: int, quote: str) -> None:
        self.variables.append(Variable(name, at + 1, end, "$"))
        self._add("variable", name, at, end, quote)
        self.at = end

    def _open_brace(self, at: int) -> None:
        found = _BRACE_NAME.match(self.text, at + 2)
        name, end = (found[1] or "", found.end()) if found else ("", at + 2)
        in_double = any(frame.kind in {"double", "document"} for frame in self.frames[-1:])
        self._push("brace", "}", 2)
        frame = self.frames[-1]
        frame.draft = Draft(at)
        frame.single_is_text = in_double and self.text[end : end + 1] in {":", "-", "=", "+", "?"}
        if name or end == len(self.text):
            self.variables.append(Variable(name, end - len(name), end, "${"))
            self.at = end
            if name and end - len(name) == at + 2 and self.text[end : end + 1] == "}":
                frame.variable = name

    def _backtick(self) -> None:
        if not self.backtick:
            self._draft(self.at)
            self.backtick = len(self.frames)
            self._push("list", "`", 1)
            return
        while len(self.frames) > self.backtick + 1:
            self._end_word(self.frames[-1])
            self.frames.pop()
        self.backtick = 0
        self._end_word(self.frames[-1])
        self._close(1)

    def _double_step(self) -> None:
        at, character = self.at, self.text[self.at]
        if character == '"':
            self.frames.pop()
            self.at += 1
        elif character == "\\":
            self._escape_in_double(at)
        else:
            self._quoted_step(character, _IN_DOUBLE)

    def _escape_in_double(self, at: int) -> None:
        following = self.text[at + 1 : at + 2]
        self.at = min(at + 2, len(self.text))
        if following in _ESCAPED_IN_DOUBLE:
            self._add("text", following, at, self.at, '"')
        elif following != "\n":
            self._add("text", "\\" + following, at, self.at, '"')

    def _quoted_step(self, character: str, plain: re.Pattern[str]) -> None:
        if character == "$":
            self._dollar('"')
        elif character == "`":
            self._backtick()
        else:
            found = plain.match(self.text, self.at)
            end = found.end() if found else self.at + 1
            self._add("text", self.text[self.at : end], self.at, end, '"')
            self.at = end

    def _brace_step(self) -> None:
        frame, character = self.frames[-1], self.text[self.at]
        if character == "}":
            self._close(1)
        elif character == "\\":
            self.at += 2
        elif character == "'" and not frame.single_is_text:
            end = self.text.find("'", self.at + 1)
            self.at = len(self.text) if end < 0 else end + 1
        elif character == '"':
            self._open_double(self.at)
        else:
            self._quoted_step(character, _IN_BRACE)

    def _arithmetic_step(self) -> None:
        frame, text, at = self.frames[-1], self.text, self.at
        name = NAME.match(text, at)
        if name:
            self.variables.append(Variable(name[0], at, name.end(), ""))
            self.at = name.end()
        elif text[at] in "()]":
            self._arithmetic_parenthesis(frame, text[at])
        elif text[at] in '"$`':
            self._draft(at)
            self._quoted_step_in_arithmetic(text[at])
        else:
            found = _IN_ARITHMETIC.match(text, at)
            self.at = found.end() if found else at + 1 + (text[at] == "\\")

    def _quoted_step_in_arithmetic(self, character: str) -> None:
        if character == '"':
            self._open_double(self.at)
        else:
            self._quoted_step(character, _IN_ARITHMETIC)

    def _arithmetic_parenthesis(self, frame: Frame, character: str) -> None:
        if character == "(":
            frame.depth += 1
        elif frame.depth and character == ")":
            frame.depth -= 1
        elif self.text.startswith(frame.end, self.at):
            self._close(len(frame.end))
            return
        self.at += 1
