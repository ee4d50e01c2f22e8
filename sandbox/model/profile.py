"""Which Nix made the sandbox, and what that Nix does differently from the others.

Each property names one change in Nix's history and the releases it is in. The ranges come from the
release tags; a fix that went into several release lines is listed for each of them.
"""

from __future__ import annotations

from sandbox.errors import UsageError
from sandbox.model.value import Value

Version = tuple[int, int, int]


class Profile(Value):
    """A flavour of Nix ("nix" or "lix") and its version."""

    flavour: str = "nix"
    version: Version

    def __str__(self) -> str:
        major, minor, patch = self.version
        return f"{self.flavour}-{major}.{minor}" + (f".{patch}" if patch else "")

    @property
    def lix(self) -> bool:
        return self.flavour == "lix"

    @property
    def last_known(self) -> str:
        """The last release that is known, if this one comes after it; else nothing."""
        known = LAST_KNOWN[self.flavour]
        return "" if self.version[:2] <= known else f"{self.flavour}-{known[0]}.{known[1]}"

    def nix_since(self, *lines: Version) -> bool:
        """Is this CppNix at or after the first release with a fix, in its own line or a later one?

        `lines` are the first fixed releases, oldest line first; the last one holds for all later
        lines, those before only for their own `major.minor`.
        """
        if self.lix:
            return False
        own_line = any(v[:2] == self.version[:2] and self.version >= v for v in lines)
        return own_line or self.version >= lines[-1]

    @property
    def etc_mode(self) -> int:
        """/etc is closed for the builder once it is filled (startChild, since #6735)."""
        closed = self.lix or self.nix_since((2, 12, 1), (2, 13, 3), (2, 14, 0))
        return 0o555 if closed else 0o755

    @property
    def filters_fchmodat2(self) -> bool:
        return self.lix or self.nix_since((2, 18, 3), (2, 22, 0))

    @property
    def filters_getxattr(self) -> bool:
        return self.nix_since((2, 24, 0))

    @property
    def filters_listxattr(self) -> bool:
        return self.nix_since((2, 35, 0))

    @property
    def allows_known_calls_only(self) -> bool:
        """Lix lets through the calls it knows and answers ENOSYS to the rest."""
        return self.lix and self.version >= (2, 91, 0)

    @property
    def scopes_abstract_sockets(self) -> bool:
        return self.nix_since((2, 31, 4), (2, 32, 7), (2, 33, 4), (2, 34, 5), (2, 35, 0))

    @property
    def binds_certificates(self) -> bool:
        """Fixed-output builds get the host's certificate bundle."""
        return self.version >= (2, 94, 0) if self.lix else self.nix_since((2, 16, 0))

    @property
    def raises_open_files(self) -> bool:
        return self.nix_since((2, 34, 0))

    @property
    def cgroup_namespace(self) -> bool:
        return self.lix and self.version >= (2, 93, 0)


LAST_KNOWN = {"nix": (2, 35), "lix": (2, 95)}
"""The last releases whose source was read for the rules; later ones are taken to be like them."""

NEWEST = Profile(version=(2, 34, 8))
LAYOUT_DEFAULTS = {
    "flat": Profile(version=(2, 18, 3)),
    "build": Profile(version=(2, 26, 3)),
    "named-pid-build": Profile(version=(2, 31, 0)),
    "pid-build": NEWEST,
    "b": Profile(flavour="lix", version=(2, 94, 0)),
}
"""What a layout of the kept directory says about the Nix that kept it, when nothing else does."""


def parse_version(text: str) -> Version | None:
    """The version in `nix (Nix) 2.18.1`, `2.94.0-dev`, `nix-2.8`: the first dotted number."""
    for word in text.replace("-", " ").split():
        parts = word.split(".")
        numbers = []
        for part in parts[:3]:
            digits = part[: len(part) - len(part.lstrip("0123456789"))]
            if not digits:
                break
            numbers.append(int(digits))
        if len(numbers) > 1:
            major, minor, patch = (*numbers, 0)[:3]
            return major, minor, patch
    return None


def parse_profile(name: str) -> Profile:
    """The profile that `--profile` names: `2.18.1`, `nix-2.8`, `lix-2.94`."""
    version = parse_version(name)
    if version is None:
        raise UsageError(
            f"`{name}` does not name a version of Nix",
            reason="profile-unknown",
            hint="write it as `--profile 2.18.1` or `--profile lix-2.94`",
        )
    return Profile(flavour="lix" if "lix" in name.lower() else "nix", version=version)


def fits_layout(profile: Profile, layout: str, *, sandboxed: bool = True) -> bool:
    """Can this Nix have kept a directory of this layout?

    Every Nix keeps that of a build without a sandbox as it is, with no directory inside it.
    """
    if profile.lix:
        return layout == "flat" or (layout == "b" and profile.version >= (2, 93, 3))
    inner = profile.nix_since(
        (2, 18, 4), (2, 19, 5), (2, 20, 7), (2, 21, 3), (2, 22, 2), (2, 23, 1), (2, 24, 0)
    )
    nameless = profile.nix_since((2, 30, 4), (2, 31, 2), (2, 32, 0))
    match layout:
        case "flat":
            return not (inner and sandboxed)
        case "pid-build":
            return nameless
        case "named-pid-build":
            return profile.version[:2] in ((2, 30), (2, 31)) and not nameless
        case "build":
            return inner and profile.version < (2, 30, 0)
        case _:
            return False
