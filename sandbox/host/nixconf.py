"""Nix's settings and folders, as the Nix that is called here would find them.

Nix: `loadConfFile` and `getUserConfigFiles` in libstore/globals.cc, `LocalFSStoreConfig`, and
`openFromNonUri`. A build by the daemon went by the daemon's own settings: those are the system's
file and what root's files say, so a difference from the caller's own files is possible and cannot
be seen afterwards.
"""

from __future__ import annotations

import os
import stat

from sandbox.model.nixconf import NixSettings, assignments, settings
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 1 << 20

_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
)


class NixLocations(Value):
    """Where a store and what belongs to it lie.

    `store_dir` is what the paths say (`/nix/store`), `real_store_dir` where their content is. The
    two differ for a diverted store (`--store /x`); `root` is then `/x`, else empty.
    """

    store_dir: str = "/nix/store"
    real_store_dir: str = "/nix/store"
    state_dir: str = "/nix/var/nix"
    log_dir: str = "/nix/var/log/nix"
    conf_dir: str = "/etc/nix"
    root: str = ""

    def real(self, path: str) -> str:
        """Where the content of a path of the store is on this machine; any other path as it is."""
        if path == self.store_dir or path.startswith(self.store_dir + "/"):
            return self.real_store_dir + path[len(self.store_dir) :]
        return path


def read_settings(environ: Mapping[str, str]) -> NixSettings:
    """All settings: the system's nix.conf, the user's files, then NIX_CONFIG; the last one wins.

    A file that is missing or cannot be read counts as empty, and so does a bad line.
    """
    pairs: list[tuple[str, str]] = []
    for path in (conf_dir(environ) + "/nix.conf", *reversed(user_files(environ))):
        text = read_text(path)
        if text is not None:
            pairs += assignments(text, path, read_text)
    if environ.get("NIX_CONFIG"):
        beside = os.path.join(_working_directory(), "NIX_CONFIG")
        pairs += assignments(environ["NIX_CONFIG"], beside, read_text)
    found = settings(pairs)
    return found if found.ssl_cert_file else found.replace(ssl_cert_file=_certificates(environ))


def conf_dir(environ: Mapping[str, str]) -> str:
    """The folder of the system's nix.conf."""
    return os.path.normpath(environ.get("NIX_CONF_DIR") or "/etc/nix")


def user_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The user's settings files, the one that wins first. They need not exist."""
    listed = environ.get("NIX_USER_CONF_FILES")
    if listed is not None:
        return tuple(os.path.abspath(path) for path in listed.split(":") if path)
    shared = environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    own = environ.get("NIX_CONFIG_HOME")
    if not own:
        own = (environ.get("XDG_CONFIG_HOME") or home(environ) + "/.config") + "/nix"
    return (f"{own}/nix.conf", *(f"{folder}/nix/nix.conf" for folder in shared if folder))


def home(environ: Mapping[str, str]) -> str:
    """HOME, else what the user database says, else `/`."""
    if environ.get("HOME"):
        return environ["HOME"]
    import pwd  # asks the network on some machines, and is hardly ever needed

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"


def read_text(path: str) -> str | None:
    """A settings file's text, or None: missing, not readable, not a file, or over 1 MiB."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            return None
        data = b""
        while piece := os.read(descriptor, MOST_BYTES):
            data += piece
            if len(data) > MOST_BYTES:
                return None
        return data.decode("utf-8", "surrogateescape")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _certificates(environ: Mapping[str, str]) -> str:
    """Nix: the constructor of `Settings`, and `getDefaultSSLCertFile`."""
    named = environ.get("NIX_SSL_CERT_FILE") or environ.get("SSL_CERT_FILE")
    if named:
        return named
    return next((path for path in _CERTIFICATES if os.path.exists(path)), "")


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def find_locations(
    environ: Mapping[str, str], settings: NixSettings, store: str = ""
) -> NixLocations:
    """Where the store is that `store` names, or else the setting `store`, NIX_REMOTE, the default.

    A store is named as for Nix's `--store`: `/x`, `local?root=/x`, `daemon`, `unix://…`, `auto`;
    the parameters root, store, real, state and log count. A store on another machine has the
    folders of this one's, where alone a kept directory can be seen.
    """
    uri = store or settings.store or environ.get("NIX_REMOTE") or "auto"
    name, _, query = uri.partition("?")
    given = _parameters(query)
    root = _root(name, given, environ)
    default_store = environ.get("NIX_STORE_DIR") or environ.get("NIX_STORE") or "/nix/store"
    store_dir = os.path.normpath(given.get("store") or default_store)
    if root:
        defaults = (f"{root}/nix/store", f"{root}/nix/var/nix", f"{root}/nix/var/log/nix")
    else:
        state_dir = environ.get("NIX_STATE_DIR") or "/nix/var/nix"
        defaults = (store_dir, state_dir, environ.get("NIX_LOG_DIR") or "/nix/var/log/nix")
    return NixLocations(
        store_dir=store_dir,
        real_store_dir=os.path.normpath(given.get("real") or defaults[0]),
        state_dir=os.path.normpath(given.get("state") or defaults[1]),
        log_dir=os.path.normpath(given.get("log") or defaults[2]),
        conf_dir=conf_dir(environ),
        root=root,
    )


def _root(name: str, given: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """The root of a diverted store, or nothing. Nix: `openFromNonUri`, `isNonUriPath`."""
    if given.get("root"):
        root = os.path.abspath(given["root"])
    elif name.startswith("local://"):
        root = os.path.normpath(_decode(name.removeprefix("local://")) or "/")
    elif "/" in name and "://" not in name:
        root = os.path.abspath(name)
    elif name == "auto" and not given:
        root = _home_store(environ)
    else:
        root = ""
    return "" if root == "/" else root


def _home_store(environ: Mapping[str, str]) -> str:
    """Without a /nix, a daemon and root, Nix keeps a diverted store below the home folder."""
    named = ("NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_STORE")
    if os.geteuid() == 0 or any(environ.get(variable) for variable in named):
        return ""
    if os.path.exists("/nix/var/nix"):
        return ""
    data = environ.get("XDG_DATA_HOME") or home(environ) + "/.local/share"
    root = f"{data}/nix/root"
    return root if os.path.isdir(root) else ""


def _parameters(query: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {name: _decode(value) for name, _, value in pairs}


def _decode(text: str) -> str:
    """Percent signs with two digits of base 16; anything else as it stands."""
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    decoded = first
    for piece in rest:
        try:
            decoded += bytes.fromhex(piece[:2].decode("ascii")) + piece[2:]
        except (ValueError, UnicodeDecodeError):
            decoded += b"%" + piece
    return os.fsdecode(decoded)
