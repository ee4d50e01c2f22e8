"""The builder of the stand-in: a wheel by hatchling, installed by pip, then `postFixup`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def main(out: Path, given: dict[str, str]) -> None:
    top, site = Path(given["TMPDIR"]), out / given["site"]
    environment = given | {"HOME": str(top), "PATH": "/usr/bin:/bin"}
    shutil.copytree(given["src"], top / "source")
    subprocess.run(["chmod", "-R", "u+w", top / "source"], env=environment, check=True)
    python = [given["interpreter"], "-m"]
    build = [*python, "hatchling", "build", "-t", "wheel", "-d", top / "dist"]
    subprocess.run(build, cwd=top / "source", env=environment, check=True)
    (wheel,) = (top / "dist").iterdir()
    # A target and not a prefix, so that it does not matter whose Python it is.
    pip = [*python, "pip", "install", "--no-index", "--no-deps", "--no-compile", "--target", site]
    subprocess.run([*pip, wheel], env=environment, check=True)
    for folder in ("bin", "share"):
        (site / folder).rename(out / folder)
    (record,) = site.glob("*.dist-info/RECORD")
    record.write_text("".join(map(seen_from_site, record.read_text().splitlines(keepends=True))))
    for command in (out / "bin").iterdir():
        first, rest = command.read_text().split("\n", 1)
        # As wrapPythonPrograms does it: a command finds its modules by itself.
        command.write_text(f"{first}\nimport site; site.addsitedir({str(site)!r})\n{rest}")
    fixup = f". {given['functions']}\n{given['postFixup']}"
    subprocess.run(["bash", "-euc", fixup], env=environment, check=True)


def seen_from_site(line: str) -> str:
    """A line of RECORD after the move of what it names."""
    inner = line.removeprefix("../../")
    return f"../../../{inner}" if inner.startswith(("bin/", "share/")) else line


if __name__ == "__main__":
    main(Path(os.environ["out"]), dict(os.environ))  # noqa: SIM112  as Nix calls it
