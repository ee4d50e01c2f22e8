"""Frozen values: what every description, fact and plan in this project is made of.

A stand-in for `@dataclass(frozen=True, kw_only=True)` that costs nothing to import. `dataclasses`
loads `inspect` and `re`, which takes longer than everything `nix-build-shell` does before the
command runs; `docs/decisions/` has the figures. Only what the project uses is here: fields by
keyword, defaults, equality, hash, a readable repr, and `replace`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeVar, dataclass_transform

    C = TypeVar("C")
else:

    def dataclass_transform(**_: object) -> Callable[[C], C]:
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Value:
    """A value with named fields, fixed for good when it is made.

    >>> class Link(Value):
    ...     path: str
    ...     target: str = "/proc/self/fd"
    >>> Link(path="/dev/fd")
    Link(path='/dev/fd', target='/proc/self/fd')
    >>> Link(path="/dev/fd") == Link(path="/dev/fd"), Link(path="/dev/fd").replace(path="/x").path
    (True, '/x')
    """

    _fields: tuple[str, ...] = ()
    _names: frozenset[str] = frozenset()
    _defaults: dict[str, Any] = {}  # noqa: RUF012  filled once for each class, below

    def __init_subclass__(cls) -> None:
        own = tuple(cls.__annotations__)
        cls._fields = tuple(dict.fromkeys(cls._fields + own))
        cls._names = frozenset(cls._fields)
        cls._defaults = cls._defaults | {k: cls.__dict__[k] for k in own if k in cls.__dict__}

    def __init__(self, **given: Any) -> None:
        fields = self.__dict__
        fields.update(self._defaults)
        fields.update(given)
        if fields.keys() != self._names:
            missing = [f for f in self._fields if f not in fields]
            unknown = [f for f in fields if f not in self._fields]
            raise TypeError(f"{type(self).__name__}: missing {missing}, unknown {unknown}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    __delattr__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[f] for f in self._fields)))

    def __repr__(self) -> str:
        inner = ", ".join(f"{f}={self.__dict__[f]!r}" for f in self._fields)
        return f"{type(self).__name__}({inner})"

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def fields(self) -> dict[str, Any]:
        """The fields and what they hold, in the order of the class."""
        return {f: self.__dict__[f] for f in self._fields}
