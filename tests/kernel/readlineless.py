"""A bash such as the standard environment's: without readline and without programmable completion.

It is built from the sources of Debian's package, which come through apt with a list of sources and
directories of our own, and kept in a cache. That takes about half a minute, and some on a busy machine.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

OPTIONS = ("--disable-readline", "--disable-progcomp", "--without-bash-malloc", "--disable-nls")
SOURCE = (
    "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {place} {release} main\n"
)
NEEDED = ("apt-get", "gcc", "make", "tar")
LIMIT_S = 1200


def readlineless_bash() -> str:
    """The path of that bash. Skips the test where it cannot be built, fails it where CI is set."""
    try:
        return _built()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stdout", "") or ""
        reason = f"a bash without readline cannot be built here: {error} {said[-2000:]}"
    if os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {reason}", pytrace=False)
    pytest.skip(reason)


@functools.cache
def _built() -> str:
    cache = _cache()
    bash = cache / "bash-without-readline"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "bash-without-readline.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _runs(bash):
            _build(bash)
    return str(bash)


def _cache() -> Path:
    named = os.environ.get("NBS_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache/nix-build-shell-tests"


def _runs(bash: Path) -> bool:
    if not bash.exists():
        return False
    done = subprocess.run([bash, "-c", "compgen"], capture_output=True, text=True, check=False)
    return "compgen: command not found" in done.stderr


def _build(bash: Path) -> None:
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        raise FileNotFoundError(f"{', '.join(missing)} not found")
    with tempfile.TemporaryDirectory(prefix="nbs-bash-") as name:
        place = Path(name)
        source = _fetch(place)
        environment = {**os.environ, "CFLAGS": "-O1 -w"}
        for command in (["./configure", *OPTIONS], ["make", f"-j{os.cpu_count() or 1}"]):
            _run(command, source, environment)
        shutil.copy(source / "bash", bash.with_suffix(".new"))
    os.replace(bash.with_suffix(".new"), bash)


def _fetch(place: Path) -> Path:
    """The source tree, without the changes that Debian makes to it."""
    for directory in ("lists/partial", "cache/archives/partial", "source"):
        (place / directory).mkdir(parents=True)
    (place / "sources.list").write_text(_source_of_this_machine())
    apt = ["apt-get", "-qq"]
    for name, value in (
        ("Dir::Etc::SourceList", place / "sources.list"),
        ("Dir::Etc::SourceParts", "/dev/null"),
        ("Dir::State::Lists", place / "lists"),
        ("Dir::Cache", place / "cache"),
        ("APT::Sandbox::User", ""),
    ):
        apt += ["-o", f"{name}={value}"]
    _run([*apt, "update"], place, None)
    _run([*apt, "source", "--download-only", "bash"], place, None)
    tree = next(place.glob("bash_*.orig.tar.*"))
    _run(["tar", "-xf", str(tree), "-C", "source", "--strip-components=1"], place, None)
    return place / "source"


def _source_of_this_machine() -> str:
    """The archive that this machine's packages come from, for sources."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    command.append("Created-By: Packages")
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    ):
        place, _, release_and_part = line.partition(" ")
        release, _, part = release_and_part.partition(" ")
        if part == "main" and release.isalpha():
            return SOURCE.format(place=place, release=release)
    raise FileNotFoundError("apt knows no archive with the main part of a release")


def _run(command: list[str], where: Path, environment: dict[str, str] | None) -> None:
    subprocess.run(
        command,
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
