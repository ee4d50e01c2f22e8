"""What the shell answers between cells, as the kernel asks for it."""

from __future__ import annotations

OURS = "__nbs_"
OUR_EXIT = "exit"


def read(question: tuple[str, ...], fields: tuple[str, ...]) -> tuple[str, ...] | None:
    """The answer to a question from the fields of its record; None if they are not one.

    `("names",)`: five texts of names, a line each: functions, variables, aliases, built-ins and
    keywords (always empty: bash without programmable completion does not tell them).
    `("environment",)`: name and value of each exported variable, one after the other.
    `("describe", NAME)`: kind and text one after the other, for each that the name is: "alias",
    "keyword", "function", "builtin", "variable", "file".
    """
    if question == ("names",) and len(fields) == _NAMES:
        functions, variables, aliases, builtins = fields
        return (
            _functions(functions),
            _lines(variables),
            _lines(aliases),
            _last_words(builtins),
            "",
        )
    if question == ("environment",) and len(fields) % 2 == 0:
        return fields
    if len(question) == _DESCRIBE and len(fields) == _DESCRIPTIONS:
        return _described(question[1], fields)
    return None


_KINDS = ("alias", "keyword", "function", "builtin", "file")
_NAMES, _DESCRIBE, _DESCRIPTIONS = 4, 2, 6


def _lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line and not line.startswith(OURS))


def _last_words(text: str) -> str:
    """The names at the ends of lines such as `declare -fx NAME` and `enable NAME`."""
    return _lines("\n".join(line.rpartition(" ")[2] for line in text.split("\n")))


def _functions(text: str) -> str:
    return "\n".join(name for name in _last_words(text).split("\n") if name != OUR_EXIT)


def _described(name: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    variable, function, alias, types, path, help_text = (field.rstrip("\n") for field in fields)
    if name == OUR_EXIT and OURS in function:
        function = ""
    kinds = [kind for kind in types.split("\n") if kind != "function" or function]
    told = {
        "alias": alias if "alias" in kinds else "",
        "function": function,
        "builtin": help_text if "builtin" in kinds else "",
        "variable": variable,
        "file": path,
    }
    known: list[str] = [kind for kind in _KINDS if kind in kinds]
    if name.startswith(OURS):
        return ()
    if variable:
        known.append("variable")
    return tuple(text for kind in known for text in (kind, told.get(kind, "")))
