"""What a reader of shell text knows about each construct that it is inside of."""

from __future__ import annotations

from nbs_kernel.typed.words import ASSIGNMENT, Piece, Word

KEYWORDS_BEFORE_COMMANDS = frozenset(
    ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "coproc"]
)
KEYWORDS_AT_AN_END = frozenset(["fi", "done", "}", "esac"])
_WANTS = {"for": "name", "select": "name", "case": "case-word", "function": "function"}
KEYWORDS = KEYWORDS_BEFORE_COMMANDS | KEYWORDS_AT_AN_END | frozenset([*_WANTS, "[[", "]]", "in"])
_DECLARING = frozenset(["declare", "typeset", "local", "export", "readonly", "alias"])
_ROLES = {
    "command": "command",
    "name": "name",
    "function": "function",
    "pattern": "pattern",
    "in": "keyword",
    "case-in": "keyword",
}
REMEMBERED = 16


class Draft:
    """A word that is being read."""

    __slots__ = ("pieces", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.pieces: list[Piece] = []

    def plain(self) -> str | None:
        """The text, if there is nothing but unquoted text; only such a word can be a keyword."""
        if all(
            piece.kind == "text" and not piece.quote and piece.is_plain for piece in self.pieces
        ):
            return "".join([piece.text for piece in self.pieces])
        return None

    def text(self) -> str:
        """What can be known of it without running anything."""
        return "".join([piece.text for piece in self.pieces if piece.kind == "text"])


class Document:
    """A here-document that is still to come."""

    __slots__ = ("delimiter", "quoted", "tabs")

    def __init__(self, delimiter: str, *, quoted: bool, tabs: bool) -> None:
        self.delimiter = delimiter
        self.quoted = quoted
        self.tabs = tabs


class Frame:
    """One construct: `kind` is "list" (of commands), "array", "double" (quotes), "brace",
    "arithmetic" or "document"; `end` is what closes it.

    `wants` says what the next word of a list is: "command", "argument", "name", "in",
    "case-word", "case-in", "pattern" or "function".
    """

    __slots__ = (
        "before",
        "cases",
        "depth",
        "document",
        "documents",
        "draft",
        "end",
        "kind",
        "opened",
        "redirection",
        "single_is_text",
        "test",
        "variable",
        "wants",
    )

    def __init__(self, kind: str, end: str = "", draft: Draft | None = None) -> None:
        self.kind = kind
        self.end = end
        self.draft = draft
        self.wants = "command" if kind == "list" else "argument"
        self.before: list[str] = []
        self.redirection = ""
        self.test = False
        self.cases: list[str] = []
        self.documents: list[Document] = []
        self.document: Document | None = None
        self.depth = 0
        self.opened = 0
        self.single_is_text = False
        self.variable = ""

    def role(self) -> str:
        """The role of the word that is read now, or would begin here."""
        if self.redirection:
            return "delimiter" if self.redirection in {"<<", "<<-"} else "redirection"
        if self.wants == "command" and self.draft and self.is_assignment():
            return "assignment"
        if (
            self.wants == "argument"
            and self.before[:1]
            and self.before[0] in _DECLARING
            and self.draft
            and self.is_assignment()
        ):
            return "assignment"
        return _ROLES.get(self.wants, "argument")

    def is_assignment(self) -> bool:
        """Whether the word so far begins with `name=`."""
        first = self.draft.pieces[0] if self.draft and self.draft.pieces else None
        return bool(
            first and first.kind == "text" and not first.quote and ASSIGNMENT.match(first.text)
        )

    def end_word(self, at: int) -> Word | None:
        """The word that ends before `at`, and what it means for the next one."""
        draft = self.draft
        if draft is None or self.kind not in {"list", "array"}:
            return None
        role = self.role()
        text = draft.plain()
        if role == "command" and text in KEYWORDS:
            role = "keyword"
        before = tuple(self.before)
        self.draft = None
        if self.kind == "list":
            self._go_on(role, draft, text)
        return Word(start=draft.start, end=at, role=role, pieces=tuple(draft.pieces), before=before)

    def _go_on(self, role: str, draft: Draft, text: str | None) -> None:
        if self.redirection:
            self._end_redirection(draft)
        elif role == "assignment":
            if self.wants == "argument":
                self._remember(draft.text())
        elif self.wants == "command":
            self._after_command(text, draft)
        elif self.wants == "argument":
            self._remember(draft.text())
            if self.test and text == "]]":
                self.test = False
        else:
            self._after_special(text, draft)

    def _remember(self, text: str) -> None:
        self.before.append(text)
        if len(self.before) > 2 * REMEMBERED:
            # The first and the last words decide what another can be.
            del self.before[REMEMBERED]

    def _end_redirection(self, draft: Draft) -> None:
        if self.redirection in {"<<", "<<-"}:
            quoted = draft.plain() is None
            tabs = self.redirection == "<<-"
            self.documents.append(Document(draft.text(), quoted=quoted, tabs=tabs))
        self.redirection = ""

    def _after_command(self, text: str | None, draft: Draft) -> None:
        if text in KEYWORDS_BEFORE_COMMANDS or (text == "-p" and self.before == ["time"]):
            self.before = ["time"] if text == "time" else []
            return
        self.before = [draft.text()]
        if text in _WANTS:
            self.wants = _WANTS[text]
            return
        if text == "esac" and self.cases:
            self.cases.pop()
        self.test = text == "[["
        self.wants = "argument"

    def _after_special(self, text: str | None, draft: Draft) -> None:
        if self.wants == "name":
            self._remember(draft.text())
            self.wants = "in"
        elif self.wants == "in":
            self._after_name(text)
        elif self.wants == "function":
            self._remember(draft.text())
            self.wants = "command"
        elif self.wants == "case-word":
            self.wants = "case-in"
        elif self.wants == "case-in":
            self.cases.append("pattern")
            self.wants = "pattern"
        elif text == "esac":  # where a pattern could stand
            self.cases.pop()
            self.before = ["esac"]
            self.wants = "argument"

    def _after_name(self, text: str | None) -> None:
        if text == "do":
            self.before = []
            self.wants = "command"
        else:
            self._remember("in")
            self.wants = "argument"

    def end_command(self, operator: str) -> None:
        """A new command begins after this operator or line end, if a command can be there."""
        if self.kind != "list" or self.wants in {"pattern", "case-in"}:
            return
        if self.test and operator != ";":
            return
        self.test = False
        self.before = []
        self.redirection = ""
        self.wants = "command"
        if self.cases and operator in {";;", ";&", ";;&"}:
            self.wants = "pattern"

    def defines_function(self) -> bool:
        """Whether `()` here would make the word before it the name of a function."""
        return self.kind == "list" and len(self.before) == 1 and self.wants == "argument"
