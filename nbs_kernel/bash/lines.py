"""Command lines for the shell that runs the cells, as bytes.

The other half is `startup.bash`, which defines the functions that are called here.
"""

from __future__ import annotations

import re

from sandbox import Value

_PLAIN = {n: chr(n) for n in range(0x20, 0x7F) if chr(n) not in "\\'!"}
_ESCAPES = {n: _PLAIN.get(n, f"\\{n:03o}") for n in range(256)} | {10: "\\n"}

_OWN_TRAP = re.compile(r"\btrap\b.*\b(?:ERR|EXIT|0)\b", re.DOTALL)
_INTERRUPT_TRAP = re.compile(r"\btrap\b.*(?:INT\b|\b2\b)", re.DOTALL)
_BRACE = re.compile(r"(?:^|[\s;&|()])\}")
_SEEN = "${__nbs_none/${__nbs_seen:=$BASH_COMMAND}}"
"""Nothing. Yet it keeps the last command of the cell, before there is another."""

PADDING = 2_000
"""So many lines of a cell are told apart from those of the next cells."""


class Setting(Value):
    """What a cell is run with.

    `input`, `output` and `error` are paths. `options` are the letters of `set` that the shell puts
    back for the cell; `traps` are what `__nbs_begin` has to know of the user's traps for ERR and
    EXIT; `debugging`: the user has once spoken of DEBUG traps, which see every command;
    `offer` are the words for `__nbs_offer`, none where nothing is offered.
    """

    input: str = "/dev/null"
    output: str
    error: str = ""
    options: str = ""
    traps: tuple[str, str] = ("", "")
    debugging: bool = False
    offer: tuple[str, ...] = ()


def quote(text: str) -> str:
    r"""Text as one word of bash, of printable ASCII alone, without `!`, whatever the options are.

    Raises ValueError for NUL, which no word can have.

    >>> print(quote("it's\n\N{EURO SIGN}!"))
    $'it\047s\n\342\202\254\041'
    """
    if "\0" in text:
        raise ValueError("a NUL byte is in the text, which bash cannot take")
    encoded = text.encode("utf-8", "surrogateescape")
    return "$'" + encoded.decode("latin-1").translate(_ESCAPES) + "'"


def cell(number: int, code: str, setting: Setting, *, extglob: bool = False) -> bytes:
    """The command lines that run a cell and have its end told.

    All of it is one command of bash's, so that a syntax error anywhere runs nothing, and an error
    of expansion ends the cell and not only the line. With `extglob` the cell is parsed with that
    option on, for one that turns it on itself.
    """
    flags = _flags(code, setting)
    tell = "" if "n" in flags else f'\n{{ \\__nbs_end "$?"; }} 2>"/dev/null{_SEEN}"'
    begin = _begin(flags, setting, extglob=extglob)
    # The empty line is for a cell that ends in a backslash.
    text = f"{{ {begin}\n{code}\n{tell}\n}} {_redirections(setting)}"
    done = f"\\__nbs_done {number}"
    evaluate = f"\\builtin eval {quote(text)}; {done} inline"
    if setting.debugging:
        hide = "__nbs_debug=$(\\builtin trap -p DEBUG); \\builtin trap - DEBUG; "
        evaluate = hide + evaluate
    else:
        # An EXIT trap writes where the shell itself does. A DEBUG trap would too.
        evaluate = f"\\exec 1<>{setting.output}; {evaluate}"
    if extglob:
        evaluate = f"\\builtin shopt -s extglob; {evaluate}"
    # The lines of a cell are not those of any other: line numbers tell which cell a function is of.
    padding = "\n" * min(code.count("\n"), PADDING)
    return f"{evaluate}\n{done} '' '{padding}'\n".encode("ascii")


def _begin(flags: str, setting: Setting, *, extglob: bool) -> str:
    traps = " ".join(map(quote, setting.traps)) if any(setting.traps) else ""
    offer = f"\\__nbs_offer {' '.join(setting.offer)}; " if setting.offer else ""
    begin = f'{offer}\\__nbs_begin "$LINENO" "{flags}" {traps}'.rstrip()
    # What it returns is `$?` for the cell, and no failure. Tracing shows what comes after it.
    begin += "" if "x" in setting.options else " && \\builtin :"
    if setting.debugging:
        begin += '; \\builtin eval "$__nbs_debug"'
    return "\\builtin shopt -u extglob; " + begin if extglob else begin


def _flags(code: str, setting: Setting) -> str:
    debugs = setting.debugging or "DEBUG" in code
    told = (("n", debugs), ("t", _OWN_TRAP.search(code)), ("b", "enable" in code))
    return "".join(letter for letter, is_so in told if is_so)


def _redirections(setting: Setting) -> str:
    # To be read and written, as a builder's are: pagers read the terminal that they write to.
    error = f"2<>{setting.error}" if setting.error else "2>&1"
    return f"<{setting.input} 1<>{setting.output} {error} 62>&-"


def done(number: int) -> bytes:
    """Ask once more for the end of a cell: an interrupt may have hit the answer."""
    return f"\n\\__nbs_done {number}\n".encode("ascii")


def question(number: int, words: tuple[str, ...]) -> bytes:
    """Ask something between cells."""
    return f"\\__nbs_answer {number} {' '.join(map(quote, words))}\n".encode("ascii")


def may_close_the_group(code: str) -> bool:
    """Whether a `}` stands where it could end the braces that the cell is put into.

    Such a cell has to be parsed by itself first: a wrong one could be two right commands in them.
    """
    return _BRACE.search(code) is not None


def speaks_of_debug(code: str) -> bool:
    """Whether the cell could set a DEBUG trap."""
    return "DEBUG" in code


def speaks_of_interrupts(code: str) -> bool:
    """Whether the cell could set a trap for interrupts."""
    return _INTERRUPT_TRAP.search(code) is not None


def startup(template: bytes, nonce: str) -> bytes:
    """The start-up file for a shell whose records are known by `nonce`."""
    return template.replace(b"@NONCE@", nonce.encode("ascii"))
