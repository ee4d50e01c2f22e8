"""What goes back into a recipe, as Nix writes it: the line that applies a patch, and attributes."""

from __future__ import annotations

from sandbox.model.expression import KEYWORDS, string
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = frozenset("._+-")
_OLD = "(old.patches or [ ]) ++ "


class Attribute(Value):
    """An attribute, and how the word `phase` was called that has ended well with it."""

    name: str
    value: str
    tried: str = ""


def patches_line(file_name: str, *, has_patches: bool = False) -> str:
    """The attribute that applies a patch beside the recipe, behind those that there are.

    >>> patches_line("a.patch"), patches_line("a b.patch")
    ('patches = [ ./a.patch ];', 'patches = [ (./. + "/a b.patch") ];')
    >>> patches_line("a.patch", has_patches=True)
    'patches = (old.patches or [ ]) ++ [ ./a.patch ];'
    """
    is_plain = all(c.isascii() and (c.isalnum() or c in _PLAIN) for c in file_name)
    path = f"./{file_name}" if is_plain else f"(./. + {string('/' + file_name)})"
    return f"patches = {_OLD if has_patches else ''}[ {path} ];"


def attribute_lines(attribute: Attribute) -> Iterator[str]:
    """The lines of an attribute, with a comment that tells what it is there for.

    >>> "\\n".join(attribute_lines(Attribute(name="doCheck", value="1", tried="check")))
    '# `phase check` has passed with it\\ndoCheck = "1";'
    """
    if attribute.tried:
        yield f"# `phase {' '.join(attribute.tried.split())}` has passed with it"
    yield from f"{attribute.name} = {_text(attribute.value)};".split("\n")


def environment_lines(attributes: tuple[Attribute, ...]) -> Iterator[str]:
    """The lines for attributes that the recipe has in `env`, of which it has one.

    >>> list(environment_lines((Attribute(name="A", value="1"), Attribute(name="B", value="2"))))
    ['env = old.env // { A = "1"; B = "2"; };']
    """
    for tried in dict.fromkeys(one.tried for one in attributes if one.tried):
        yield f"# `phase {' '.join(tried.split())}` has passed with it"
    if attributes:
        pairs = "".join(f"{one.name} = {_line(one.value)}; " for one in attributes)
        yield f"env = old.env // {{ {pairs}}};"


def can_be_written(attribute: Attribute) -> bool:
    """Nix has no escape for most characters that a terminal obeys, and words of its own."""
    plain = attribute.value.replace("\n", "").replace("\t", "")
    return attribute.name not in KEYWORDS and (plain.isprintable() or not plain)


def _text(value: str) -> str:
    """Between two quotes if it has several lines and that gives them back, else in one.

    From the lines between two quotes Nix takes the blanks that all begin with, which are ours.
    """
    lines = value.split("\n")
    at_edge = any(line and line[0] != " " for line in lines)
    last_counts = not lines[-1] or not lines[-1].isspace()
    # What would run together with the quotes that end it, or with those of an escape.
    is_apart = "''" not in value and "'${" not in value and not value.endswith("'")
    if len(lines) == 1 or not (at_edge and last_counts and is_apart):
        return _line(value)
    indented = [f"  {line}" if line else "" for line in value.replace("${", "''${").split("\n")]
    return "\n".join(["''", *indented]) + "''"


def _line(value: str) -> str:
    return string(value).replace("\n", "\\n").replace("\t", "\\t")
