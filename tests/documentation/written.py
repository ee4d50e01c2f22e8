"""What the documentation tells people to type, page by page, with what it shows of the answer."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import textwrap
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox.cli import nbs, nix_build_shell

ROOT = Path(__file__).resolve().parent.parent.parent
TEXTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "notebooks/README.md"])
TEXTS = [path for path in TEXTS if path.parent != ROOT / "docs/notebooks"]
"""Without those that are made of the notebooks."""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MANUALS = sorted((ROOT / "docs/man").glob("*.1"))

HELPS = (("nix-build-shell",), ("nbs",), *(("nbs", verb) for verb in nbs.VERBS))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
PROMPT = re.compile(r"^(?P<inside>\[[\w.-]+ \w+\] /\S+)?\$(?: (?P<command>.*))?$")
"""What is typed follows `$ ` on the host, and `[hello-1.0 checkPhase] /build/hello$ ` inside."""
QUESTION = re.compile(r"^([A-Z][\w ]+\? \[.+\]) (\S+)$")
SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
EXAMPLE = re.compile(r"^  ((?:nbs|nix-build-shell|source|\$EDITOR)\b.*)$", re.MULTILINE)
EXPLANATION = re.compile(r"\s{2,}\S.*$|\s+# .*$")
"""Two spaces end a command; so does a comment."""

WORDS = ("phase", "tool", "snapshot", "restore", "snapshots")
"""What is a command inside alone."""
OURS = r"(?:\S+/)?(?:nbs|nix-build-shell)(?: |$)|jupyter |nix(?:-build|-store)? |make\.py |\./test |\.venv/"
COMMAND = re.compile(
    rf"(?:[A-Z_]+=\S+ |sudo |ssh (?:-\S+ )*\S+ |git \w+ \| |python3 )*(?:{OURS}|tests/|benchmarks/|-m )"
)
"""A span of prose that is one: it begins with a program, by way of others or not."""
ONLY_NAMED = re.compile(r"(nbs( ws| kernel)?|nix\S*|make\.py|jupyter) \S+")
"""A verb that a sentence speaks of, rather than a command that it tells to type."""
SOME_PATHS = (
    *("/nix/store/….drv", "/nix/store/…-hello-1.0.drv"),
    *("/nix/store/…-input.drv", "/nix/store/…-input"),
)
"""Paths that are shortened, and no places to fill in: which one is meant is clear."""
PLACEHOLDER = re.compile(r"(?<![\w$./-])[A-Z]{2,}(?![\w=])|[\[…]|BUILD|FILE|DIR\b|\|(?:zsh|fish)")
"""A form to fill in, not a command: `nbs cp FILE hello:PATH`."""


@dataclass(frozen=True)
class Step:
    """One command, or the answer to a question, and the lines that the page shows below it."""

    command: str
    where: str = "script"
    """Where it is typed: "script" (in one, or where ever), "terminal", "inside", or "answer"."""

    shown: tuple[str, ...] = ()


@dataclass
class Page:
    """What one page tells to type: in its blocks, in their order, then in its sentences."""

    name: str
    steps: list[Step] = field(default_factory=list)
    spans: list[Step] = field(default_factory=list)

    @property
    def typed(self) -> list[Step]:
        """What of the blocks can be typed as it is, without the forms."""
        return [step for step in self.steps if not is_form(step.command)]

    @property
    def said(self) -> list[Step]:
        """The same of the sentences, without a `nbs show` that only names the verb."""
        named = [span for span in self.spans if not ONLY_NAMED.fullmatch(span.command)]
        return [span for span in named if not is_form(span.command)]

    @property
    def commands(self) -> list[Step]:
        """All of it."""
        return [*self.typed, *self.said]


@functools.cache
def pages() -> tuple[Page, ...]:
    """All of them, those with nothing to type left out."""
    found = [
        *(_of_text(str(path.relative_to(ROOT)), path.read_text()) for path in TEXTS),
        *(_of_text(str(path.relative_to(ROOT)), _prose(path)) for path in NOTEBOOKS),
        *(_of_manual(path) for path in MANUALS),
        *(_of_help(*words) for words in HELPS),
    ]
    return tuple(page for page in found if page.steps or page.spans)


def is_form(command: str) -> bool:
    """Is there something in it that the reader has to fill in?"""
    for path in SOME_PATHS:
        command = command.replace(path, "")
    return PLACEHOLDER.search(re.sub(r"\$\w+|'[^']*'|\b[A-Z_]+=(?![A-Z])", "", command)) is not None


def _of_text(name: str, text: str) -> Page:
    page = Page(name)
    blocks = [(m.start(), m[1], m[2]) for m in FENCE.finditer(text)]
    prose = FENCE.sub(lambda m: " \n" * m[0].count("\n"), text)
    blocks += [(m.start(), "", textwrap.dedent(m[0])) for m in INDENTED.finditer(prose)]
    for _, language, block in sorted(blocks):
        if language == "sh":
            page.steps += [Step(command) for command in _script(block)]
        elif language in ("", "console", "text"):
            page.steps += _transcript(block) or [
                Step(line) for line in _script(block) if COMMAND.match(line)
            ]
    for span in dict.fromkeys(SPAN.findall(INDENTED.sub("", prose))):
        bare = " ".join(span.replace(r"\|", "|").split())
        inside = bare.split()[0] in WORDS
        if " " in bare and (inside or COMMAND.match(bare)):
            page.spans.append(Step(bare, "inside" if inside else "script"))
    return page


def _script(block: str) -> list[str]:
    """The commands of a block of shell: one a line, unless a brace is open."""
    commands: list[str] = []
    for line in block.splitlines():
        bare = EXPLANATION.sub("", line.strip())
        if commands and commands[-1].count("{") > commands[-1].count("}"):
            commands[-1] += f"\n{bare}"
        elif bare and not bare.startswith("#"):
            commands.append(bare)
    return commands


def _transcript(block: str) -> list[Step]:
    """The commands of a session and what each shows; lines before the first belong to none."""
    steps: list[Step] = []
    for line in block.splitlines():
        typed, asked = PROMPT.match(line), QUESTION.match(line)
        if typed:
            command = EXPLANATION.sub("", typed["command"] or "")
            steps.append(Step(command, "inside" if typed["inside"] else "terminal"))
        elif asked:
            steps[-1] = replace(steps[-1], shown=(*steps[-1].shown, asked[1]))
            steps.append(Step(asked[2], "answer"))
        elif steps and line.strip():
            steps[-1] = replace(steps[-1], shown=(*steps[-1].shown, line))
    return steps


def _prose(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def _of_manual(path: Path) -> Page:
    lines = re.findall(r"^\.Dl \$ (.*)$", path.read_text(), re.MULTILINE)
    steps = [Step(line.replace(r"\&", "")) for line in lines]
    return Page(str(path.relative_to(ROOT)), steps)


@functools.cache
def help_of(program: str, *words: str) -> str:
    """What a program of ours says to `--help` behind these words."""
    command = nbs.command if program == "nbs" else nix_build_shell.command
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        command([*words, "--help"])
    return said.getvalue()


def _of_help(*words: str) -> Page:
    examples = EXAMPLE.findall(help_of(*words))
    name = " ".join((*words, "--help"))
    return Page(name, [Step(EXPLANATION.sub("", line)) for line in examples])
