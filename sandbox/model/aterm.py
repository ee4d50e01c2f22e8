"""The text of a .drv file, and the derivation it stands for.

Nix: `parseDerivation` and `Derivation::unparse` in libstore/derivations.cc. Text is held as `str`
with bytes that are not UTF-8 as surrogate escapes, the way Python's `os` does, so that whatever
bytes a recipe has put in are there again when the text is written.
"""

from __future__ import annotations

from sandbox.errors import DerivationSyntaxError
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")

DYNAMIC_DERIVATIONS = "xp-dyn-drv"

# Nix sets no limit. Its own recipes nest two or three deep, and a bound keeps a hostile file from
# using up the stack here and wherever the nested values are compared.
_DEEPEST = 64

_BACKSLASH = 0x5C


class Output(Value):
    """One output, as the .drv has it: the three texts together say how its path comes about.

    >>> Output(name="out", path="/nix/store/q-a", hash_algo="r:sha256", hash="00ff").fixed
    True
    """

    name: str
    path: str = ""
    hash_algo: str = ""
    hash: str = ""

    @property
    def fixed(self) -> bool:
        """What it will contain is known beforehand, by its hash."""
        return self.hash not in {"", "impure"}

    @property
    def floating(self) -> bool:
        """Its path follows from what the build will have put in it."""
        return bool(self.hash_algo) and not self.hash

    @property
    def impure(self) -> bool:
        """It is built again each time, and may look at the network."""
        return self.hash == "impure"

    @property
    def deferred(self) -> bool:
        """Its path can be computed only when those of the inputs are known."""
        return not (self.path or self.hash_algo or self.hash)


class DynamicInput(Value):
    """Outputs wanted of a derivation that is itself the output `name` of another."""

    name: str
    outputs: tuple[str, ...]
    inner: tuple[DynamicInput, ...] = ()


class Derivation(Value):
    """A .drv file. Its name is not inside: the file name holds it.

    `dynamic_inputs` has an entry for each of `input_derivations` that names outputs of outputs,
    which only a text of the version `xp-dyn-drv` can.
    """

    outputs: tuple[Output, ...]
    input_derivations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    input_sources: tuple[str, ...] = ()
    system: str
    builder: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    version: str = ""
    dynamic_inputs: tuple[tuple[str, tuple[DynamicInput, ...]], ...] = ()

    def get(self, name: str) -> str | None:
        """What the recipe sets `name` to; of two entries the last counts, as in Nix."""
        return next((value for key, value in reversed(self.env) if key == name), None)

    @property
    def fixed_output(self) -> bool:
        """Nix: `DerivationType::isFixed`."""
        return bool(self.outputs) and all(output.fixed for output in self.outputs)

    @property
    def impure(self) -> bool:
        """Nix: `DerivationType::isImpure`."""
        return any(output.impure for output in self.outputs)

    @property
    def deferred(self) -> bool:
        """Nix never builds such a .drv itself, but one that it resolves from it."""
        return any(output.deferred for output in self.outputs)

    @property
    def structured_attributes(self) -> bool:
        """`__structuredAttrs = true`: `__json` holds all attributes, and none is a variable."""
        return self.get("__json") is not None


def parse(data: bytes) -> Derivation:
    """Read the text of a .drv. Raises DerivationSyntaxError and nothing else, for any bytes."""
    scan = _Scanner(data)
    version = ""
    if scan.take(b"DrvWithVersion("):
        version = scan.string()
        if version != DYNAMIC_DERIVATIONS:
            raise scan.error("it has a version that is not known")
        scan.expect(b",")
    else:
        scan.expect(b"Derive(")
    outputs = scan.sequence(scan.output)
    scan.expect(b",")
    inputs, dynamic = _inputs(scan, versioned=bool(version))
    derivation = Derivation(
        version=version,
        outputs=outputs,
        input_derivations=inputs,
        dynamic_inputs=dynamic,
        input_sources=scan.next_strings(),
        system=scan.next_string(),
        builder=scan.next_string(),
        args=scan.next_strings(),
        env=scan.next_pairs(),
    )
    scan.expect(b")")
    if scan.at != len(data):
        raise scan.error("it goes on after its end")
    return derivation


def end_of_quoted(data: bytes, start: int, quote: bytes = b'"') -> int:
    """Where the quoted text that begins at `start` ends: at a quote with no backslash before it.

    -1 if it does not end. `start` is behind an opening quote, which stops the count of backslashes.
    """
    end = data.find(quote, start)
    while end > 0 and data[end - 1] == _BACKSLASH:
        first = end - 1
        while first > start and data[first - 1] == _BACKSLASH:
            first -= 1
        if (end - first) % 2 == 0:
            break
        end = data.find(quote, end + 1)
    return end


class _Scanner:
    """A place in the text, which moves forward only."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def error(self, message: str) -> DerivationSyntaxError:
        return DerivationSyntaxError(message, offset=self.at)

    def take(self, token: bytes) -> bool:
        if not self.data.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token: bytes) -> None:
        if not self.take(token):
            raise self.error(f"expected `{token.decode()}`")

    def string(self) -> str:
        data, start = self.data, self.at + 1
        if not data.startswith(b'"', self.at):
            raise self.error("expected a string")
        end = end_of_quoted(data, start)
        if end < 0:
            raise self.error("a string does not end")
        self.at = end + 1
        raw = data[start:end]
        return (_unescape(raw) if b"\\" in raw else raw).decode("utf-8", "surrogateescape")

    def sequence(self, read: Callable[[], T]) -> tuple[T, ...]:
        self.expect(b"[")
        if self.take(b"]"):
            return ()
        items = [read()]
        while self.take(b","):
            items.append(read())
        self.expect(b"]")
        return tuple(items)

    def strings(self) -> tuple[str, ...]:
        """A list of strings, cut at once if nothing in it is escaped: a large closure is one."""
        data, start = self.data, self.at + 2
        end = data.find(b'"]', start) if data.startswith(b'["', self.at) else -1
        raw = data[start : max(end, start)]
        items = raw.split(b'","')
        if end < 0 or b"\\" in raw or raw.count(b'"') != 2 * (len(items) - 1):
            return self.sequence(self.string)
        self.at = end + 2
        return tuple(raw.decode("utf-8", "surrogateescape").split('","'))

    def pair(self) -> tuple[str, str]:
        self.expect(b"(")
        name, value = self.string(), self.next_string()
        self.expect(b")")
        return name, value

    def output(self) -> Output:
        self.expect(b"(")
        output = Output(
            name=self.string(),
            path=self.next_string(),
            hash_algo=self.next_string(),
            hash=self.next_string(),
        )
        self.expect(b")")
        return output

    def next_string(self) -> str:
        self.expect(b",")
        return self.string()

    def next_strings(self) -> tuple[str, ...]:
        self.expect(b",")
        return self.strings()

    def next_pairs(self) -> tuple[tuple[str, str], ...]:
        self.expect(b",")
        return self.sequence(self.pair)


def _unescape(raw: bytes) -> bytes:
    r"""Undo Nix's escapes: \n, \r and \t, and a backslash before any other byte stands for it.

    Cut at the escaped backslashes first: every backslash that is left begins an escape.
    """
    return b"\\".join(
        piece.replace(b"\\n", b"\n")
        .replace(b"\\r", b"\r")
        .replace(b"\\t", b"\t")
        .replace(b"\\", b"")
        for piece in raw.split(b"\\\\")
    )


def _inputs(
    scan: _Scanner, *, versioned: bool
) -> tuple[
    tuple[tuple[str, tuple[str, ...]], ...], tuple[tuple[str, tuple[DynamicInput, ...]], ...]
]:
    dynamic: dict[str, tuple[DynamicInput, ...]] = {}
    seen: set[str] = set()

    def one() -> tuple[str, tuple[str, ...]]:
        scan.expect(b"(")
        path = scan.string()
        if versioned and path in seen:
            raise scan.error("it names one input twice")
        seen.add(path)
        scan.expect(b",")
        outputs, inner = _wanted(scan, depth=0 if versioned else _DEEPEST)
        if inner:
            dynamic[path] = inner
        scan.expect(b")")
        return path, outputs

    return scan.sequence(one), tuple(dynamic.items())


def _wanted(scan: _Scanner, *, depth: int) -> tuple[tuple[str, ...], tuple[DynamicInput, ...]]:
    """Nix: `parseDerivedPathMapNode`."""
    if depth == _DEEPEST or not scan.take(b"("):
        return scan.strings(), ()

    def one() -> DynamicInput:
        scan.expect(b"(")
        name = scan.string()
        scan.expect(b",")
        outputs, inner = _wanted(scan, depth=depth + 1)
        scan.expect(b")")
        return DynamicInput(name=name, outputs=outputs, inner=inner)

    outputs = scan.strings()
    scan.expect(b",")
    inner = scan.sequence(one)
    scan.expect(b")")
    return outputs, inner


def unparse(derivation: Derivation) -> bytes:
    """The text that Nix would write, in the order that the derivation has."""
    dynamic = dict(derivation.dynamic_inputs)
    head = f'DrvWithVersion("{derivation.version}",' if derivation.version else "Derive("
    outputs = (
        _list(map(_quote, (o.name, o.path, o.hash_algo, o.hash)), b"()") for o in derivation.outputs
    )
    inputs = (
        b"(%b,%b)" % (_quote(path), _write_wanted(wanted, dynamic.get(path, ())))
        for path, wanted in derivation.input_derivations
    )
    fields = (
        _list(outputs),
        _list(inputs),
        _strings(derivation.input_sources),
        _quote(derivation.system),
        _quote(derivation.builder),
        _strings(derivation.args),
        _list(b"(%b,%b)" % (_quote(name), _quote(value)) for name, value in derivation.env),
    )
    return head.encode() + b",".join(fields) + b")"


def _write_wanted(outputs: tuple[str, ...], inner: tuple[DynamicInput, ...]) -> bytes:
    if not inner:
        return _strings(outputs)
    nested = _list(b"(%b,%b)" % (_quote(i.name), _write_wanted(i.outputs, i.inner)) for i in inner)
    return b"(%b,%b)" % (_strings(outputs), nested)


def _strings(values: tuple[str, ...]) -> bytes:
    return _list(map(_quote, values))


def _list(items: Iterable[bytes], brackets: bytes = b"[]") -> bytes:
    return brackets[:1] + b",".join(items) + brackets[1:]


def _quote(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogateescape")
    for plain, escaped in (
        (b"\\", b"\\\\"),
        (b'"', b'\\"'),
        (b"\n", b"\\n"),
        (b"\r", b"\\r"),
        (b"\t", b"\\t"),
    ):
        raw = raw.replace(plain, escaped)
    return b'"' + raw + b'"'
