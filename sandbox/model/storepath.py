"""Store paths: what they look like, and how Nix computes them from what they stand for.

Nix: `Store::makeStorePath` and `hashPlaceholder` in libstore, `BaseNix32` in libutil.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError

NIX32 = "0123456789abcdfghijklmnpqrsvwxyz"
HASH_LENGTH = 32
LONGEST_NAME = 211

_HASH_BYTES = 20
_NIX32_BYTES = NIX32.encode()
_NAME = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?="
_NAME_BYTES = _NAME.encode()
NAME_CHARACTERS = frozenset(_NAME)
"""Those that the name of a store path may have. Nix: `checkName`."""


def nix32(data: bytes) -> str:
    """Nix's base 32: five bits a digit, from the end, without the letters e, o, t and u.

    >>> nix32(bytes.fromhex("08813cbee9903c62be4c5027726a418a300da4500b2d369d3af9286f4815ceba"))
    '1fnf2m46ya7r7afkcb8ba2j0sc4a85m749sh9jz64g4hx6z3r088'
    """
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 + 4) // 5
    return "".join([NIX32[number >> 5 * place & 31] for place in range(length - 1, -1, -1)])


def compress(digest: bytes, size: int = _HASH_BYTES) -> bytes:
    """Fold a hash to `size` bytes by exclusive or. Nix: `compressHash`."""
    folded = bytearray(size)
    for index, byte in enumerate(digest):
        folded[index % size] ^= byte
    return bytes(folded)


def make_store_path(kind: str, content: str, name: str, store_dir: str) -> str:
    """The store path for what a fingerprint says. Nix: `Store::makeStorePath`.

    `kind` is such as `source`, `output:out` or `text:…`; `content` such as `sha256:<base 16>`.
    """
    digest = _sha256(f"{kind}:{content}:{store_dir}:{name}")
    return f"{store_dir}/{nix32(compress(digest))}-{name}"


def derivation_name(path: str) -> str:
    """The name in a derivation's path, without its hash and its ending; empty where it has none.

    >>> derivation_name("/nix/store/8vpb25zwdpxrz9kpxp6wn6f2vchn1bm0-hello-1.0.drv")
    'hello-1.0'
    """
    return path.rpartition("/")[2].removesuffix(".drv").partition("-")[2]


def placeholder(output: str) -> str:
    """What stands in a recipe for the path of its own output until it is known.

    >>> placeholder("out")
    '/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9'
    """
    return "/" + nix32(_sha256(f"nix-output:{output}"))


def pass_as_file_name(attribute: str) -> str:
    """The file in the build directory that holds an attribute listed in `passAsFile`."""
    return ".attr-" + nix32(_sha256(attribute))


def output_path_name(derivation_name: str, output: str) -> str:
    """The name in an output's path. Nix: `outputPathName`."""
    return derivation_name if output == "out" else f"{derivation_name}-{output}"


def scratch_path(derivation_path: str, output: str, store_dir: str) -> str:
    """Where an output is built whose own path is not known before it is.

    So for a floating output, where `derivation_path` is that of the resolved derivation.
    Nix: `LocalDerivationGoal::makeFallbackPath`, `DerivationBuilderImpl` in newer ones.
    """
    file_name = derivation_path.rpartition("/")[2]
    name = split(file_name)[1].removesuffix(".drv")
    content = "sha256:" + 64 * "0"
    return make_store_path(
        f"rewrite:{file_name}:name:{output}", content, output_path_name(name, output), store_dir
    )


def split(path: str) -> tuple[str, str]:
    """The hash and the name in a store path, or in its last part alone.

    Raises EvidenceError (`not-a-store-path`).

    >>> split("/nix/store/3n58xw4373jp0ljirf06d8077j15pc4j-bash-5.2.drv")
    ('3n58xw4373jp0ljirf06d8077j15pc4j', 'bash-5.2.drv')
    """
    base = path.rpartition("/")[2]
    if not _is_base_name(base):
        raise EvidenceError(
            f"`{path}` is not the path of a store object", reason="not-a-store-path"
        )
    return base[:HASH_LENGTH], base[HASH_LENGTH + 1 :]


def is_store_path(path: str, store_dir: str) -> bool:
    """Whether this is a path directly in the store with a name that Nix allows."""
    parent, _, base = path.rpartition("/")
    return parent == store_dir and _is_base_name(base)


def store_path_of(path: str, store_dir: str) -> str | None:
    """The store path that `path` is or lies in, or None if it is outside of the store."""
    if not path.startswith(store_dir + "/"):
        return None
    base = path[len(store_dir) + 1 :].partition("/")[0]
    return f"{store_dir}/{base}" if _is_base_name(base) else None


def references(data: bytes, store_dir: str) -> set[str]:
    """All that looks like a store path in a text.

    A name goes on as long as Nix would allow, so a full stop behind a path counts as its last
    letter: compare with the paths that are there.
    """
    found = set()
    for piece in data.split(store_dir.encode("utf-8", "surrogateescape") + b"/")[1:]:
        digest = piece[:HASH_LENGTH]
        if piece[HASH_LENGTH : HASH_LENGTH + 1] != b"-" or digest.strip(_NIX32_BYTES):
            continue
        rest = piece[HASH_LENGTH + 1 : HASH_LENGTH + LONGEST_NAME + 2]
        name = rest[: len(rest) - len(rest.lstrip(_NAME_BYTES))]
        base = (digest + b"-" + name).decode()
        if _is_base_name(base):
            found.add(f"{store_dir}/{base}")
    return found


def _is_base_name(base: str) -> bool:
    """Nix: `StorePath::StorePath` and `checkName`, as the newer ones have it (dots may lead)."""
    digest, dash, name = (
        base[:HASH_LENGTH],
        base[HASH_LENGTH : HASH_LENGTH + 1],
        base[HASH_LENGTH + 1 :],
    )
    return (
        dash == "-"
        and 0 < len(name) <= LONGEST_NAME
        and not digest.strip(NIX32)
        and not name.strip(_NAME)
        and name.partition("-")[0] not in {".", ".."}
    )


def _sha256(text: str) -> bytes:
    from hashlib import sha256  # noqa: PLC0415  loads libcrypto, and few builds need a hash

    return sha256(text.encode("utf-8", "surrogateescape")).digest()
