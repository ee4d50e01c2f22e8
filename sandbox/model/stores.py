"""Stores that are not /nix/store: which one a kept directory belongs to."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STATE_FOLDERS = ("/nix/var/nix/builds/", "/nix/var/nix/b/")


def diverted_root(real: str, is_directory: Callable[[str], bool]) -> str:
    """The root of the diverted store (`nix --store ROOT`) in whose state directory `real` lies.

    Empty if that is /nix itself, or none. Nix 2.30 and newer keep builds below the store's root.
    """
    for folder in STATE_FOLDERS:
        root, found, _ = real.partition(folder)
        if found and root and is_directory(f"{root}/nix/store"):
            return root
    return ""
