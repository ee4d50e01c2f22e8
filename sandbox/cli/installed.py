"""What is installed beside the packages: in a checkout, or where pip or Nix have put it."""

from __future__ import annotations

import os

import sandbox

KERNELSPEC = ("kernelspec", "jupyter/kernels/nbs", "kernel.json")
NOTEBOOKS = ("notebooks", "nix-build-shell/notebooks", "README.md")
"""Its directory in a checkout, the one below share/, and a file that is there."""


def directory(data: tuple[str, str, str]) -> str:
    """The directory of one of these; of one that is not found, where a checkout would have it."""
    in_checkout, below_share, file = data
    root = os.path.dirname(os.path.dirname(os.path.abspath(sandbox.__file__)))
    checkout = f"{root}/{in_checkout}"
    if os.path.isdir(checkout):
        return checkout
    from importlib.metadata import PackageNotFoundError, files

    try:
        listed = files("nix-build-shell") or []
    except PackageNotFoundError:
        listed = []
    wanted = f"/share/{below_share}/{file}"
    found = [one for one in listed if f"/{one.as_posix()}".endswith(wanted)]
    return os.path.dirname(os.path.abspath(str(found[0].locate()))) if found else checkout
