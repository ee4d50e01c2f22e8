"""Nix's settings, from the text of nix.conf to values.

Nix: `AbstractConfig::applyConfig` and `Config::set` in libutil. Where Nix stops at a line that it
does not understand, this goes on: the build has been made, and a sandbox is wanted all the same.
Finding and reading the files is `host.nixconf`.
"""

from __future__ import annotations

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Read = Callable[[str], str | None]

MOST_INCLUDES = 100

_BLANK = " \t\r\n"
_ALIASES = {
    "build-use-chroot": "sandbox",
    "build-use-sandbox": "sandbox",
    "build-chroot-dirs": "sandbox-paths",
    "build-sandbox-paths": "sandbox-paths",
    "build-extra-chroot-dirs": "extra-sandbox-paths",
    "build-extra-sandbox-paths": "extra-sandbox-paths",
    "build-cores": "cores",
}
_SWITCH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
_MOST_DIGITS = 10
_SINGLE = (
    *("sandbox", "sandbox-build-dir", "sandbox-dev-shm-size", "build-dir", "filter-syscalls"),
    *("ssl-cert-file", "cores", "build-users-group", "store"),
)


class SandboxPath(Value):
    """An entry of `sandbox-paths`: what lies at `source` on the host is shown at `target`.

    `optional` (a question mark behind the entry): left out without a word where it is missing.
    """

    target: str
    source: str
    optional: bool = False


class NixSettings(Value):
    """The settings that decide something about a sandbox, and all that were set, as `raw`.

    What was not set has the default of Nix itself. Some defaults are chosen when Nix is built and
    cannot be read from a file: `sandbox_paths` (many have a static shell for `/bin/sh`) and, from
    the machine, `system_features`, `cores`; where these are not set the value is empty or None.
    `extra_system_features` are those appended to that unknown default.
    """

    sandbox: str = "true"
    sandbox_paths: tuple[SandboxPath, ...] = ()
    sandbox_build_dir: str = "/build"
    sandbox_dev_shm_size: str = "50%"
    system_features: tuple[str, ...] | None = None
    extra_system_features: tuple[str, ...] = ()
    build_dir: str = ""
    filter_syscalls: bool = True
    ssl_cert_file: str = ""
    cores: int | None = None
    build_users_group: str = "nixbld"
    experimental_features: tuple[str, ...] = ()
    store: str = ""
    raw: tuple[tuple[str, str], ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """A setting by the name that it has in nix.conf, as text; a list's items joined by blanks.

        What was appended to a default that nix.conf does not give is under `extra-NAME`.
        """
        return dict(self.raw).get(name, default)


def assignments(text: str, path: str, read: Read) -> tuple[tuple[str, str], ...]:
    """Names and values in the order of the text, with what it includes in its place.

    `read` gives the text of an included file, or None where there is none; a relative name is
    relative to the folder of `path`. A file that includes itself, by whatever way, is left out the
    second time.
    """
    found: list[tuple[str, str]] = []
    included = 0
    # The lines still to be read, the next one last, each with the files that led to it.
    waiting: list[tuple[str, tuple[str, ...]]]
    waiting = [(line, (path,)) for line in reversed(text.split("\n"))]
    while waiting:
        line, chain = waiting.pop()
        name, operator, *rest = *_words(line.partition("#")[0]), "", ""
        if name in ("include", "!include") and rest == ["", ""] and included < MOST_INCLUDES:
            inner = _absolute(operator, chain[-1])
            content = None if inner in chain else read(inner)
            included += 1
            if content is not None:
                waiting += [(line, (*chain, inner)) for line in reversed(content.split("\n"))]
        elif operator == "=":
            found.append((name, " ".join(rest).strip()))
    return tuple(found)


def _words(text: str) -> list[str]:
    """Nix splits at these four characters alone, `str.split` at any blank of Unicode."""
    for blank in _BLANK[1:]:
        text = text.replace(blank, " ")
    return [word for word in text.split(" ") if word]


def _absolute(path: str, beside: str) -> str:
    joined = path if path.startswith("/") else beside.rpartition("/")[0] + "/" + path
    parts: list[str] = []
    for part in joined.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def settings(pairs: Iterable[tuple[str, str]]) -> NixSettings:
    """What a series of assignments comes to: the last one wins, `extra-` appends."""
    raw: dict[str, str] = {}
    for name, value in pairs:
        _assign(raw, _ALIASES.get(name, name), value)
    features = raw.get("system-features")
    return NixSettings(
        sandbox=_sandbox(raw.get("sandbox", "")),
        sandbox_paths=sandbox_paths(_list(raw, "sandbox-paths")),
        sandbox_build_dir=_path(raw, "sandbox-build-dir", "/build"),
        sandbox_dev_shm_size=raw.get("sandbox-dev-shm-size") or "50%",
        system_features=None if features is None else tuple(sorted(set(_words(features)))),
        extra_system_features=tuple(sorted(set(_words(raw.get("extra-system-features", ""))))),
        build_dir=_path(raw, "build-dir", ""),
        filter_syscalls=_SWITCH.get(raw.get("filter-syscalls", ""), True),
        ssl_cert_file=raw.get("ssl-cert-file", ""),
        cores=_number(raw.get("cores", "")),
        build_users_group=raw.get("build-users-group", "nixbld"),
        experimental_features=tuple(sorted(set(_list(raw, "experimental-features")))),
        store=raw.get("store", ""),
        raw=tuple(sorted(raw.items())),
    )


def _assign(raw: dict[str, str], name: str, value: str) -> None:
    """Nix: `Config::set`. Setting a list anew drops what `extra-` had added before."""
    plain = name.removeprefix("extra-")
    if plain == name:
        raw[name] = value
        raw.pop(f"extra-{name}", None)
    elif plain not in _SINGLE:
        key = plain if plain in raw else name
        raw[key] = f"{raw[key]} {value}".strip() if key in raw else value


def _list(raw: dict[str, str], name: str) -> list[str]:
    return _words(raw.get(name, "")) + _words(raw.get(f"extra-{name}", ""))


def _path(raw: dict[str, str], name: str, default: str) -> str:
    value = raw.get(name, "")
    return _absolute(value, "/") if value.startswith("/") else default


def _sandbox(value: str) -> str:
    """Nix takes these three words alone here, not `yes` or `1`."""
    return value if value in ("true", "relaxed", "false") else "true"


def _number(value: str) -> int | None:
    """A count, with K, M, G or T for powers of 1024; None for what is none. Nix: `string2Int`."""
    digits = value[:-1] if value[-1:] in _UNITS else value
    if not (digits.isascii() and digits.isdigit() and len(value) <= _MOST_DIGITS):
        return None
    return int(digits) << _UNITS.get(value[-1:], 0)


def sandbox_paths(entries: Iterable[str]) -> tuple[SandboxPath, ...]:
    """`PATH`, `TARGET=SOURCE`, each with a `?` behind it if it may be missing; sorted by target.

    Nix takes the entries in sorted order and lets the last of those with one target win; it leaves
    out one whose source is `/proc`. Nix: `getPathsInSandbox`, and `doBind`'s caller.

    >>> sandbox_paths(["/bin/sh=/nix/store/x-busybox/bin/busybox", "/dev/dri?"])[1]
    SandboxPath(target='/dev/dri', source='/dev/dri', optional=True)
    """
    found: dict[str, SandboxPath] = {}
    for entry in sorted(set(entries)):
        optional = entry.endswith("?")
        target, equals, source = entry.removesuffix("?").partition("=")
        source = source if equals else target
        if target.startswith("/") and source:
            found[target] = SandboxPath(target=target, source=source, optional=optional)
    return tuple(found[target] for target in sorted(found) if found[target].source != "/proc")
