"""`nbs kernel install|uninstall|list`: which of this machine's Jupyters know the kernel, and for
which build.
"""

from __future__ import annotations

import os
import sys

import sandbox
from sandbox.cli import installed, speak
from sandbox.cli.actions import act
from sandbox.cli.parser import Parser
from sandbox.cli.pasteable import installing
from sandbox.errors import EvidenceError, MachineError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    Kernelspec = dict[str, Any]

MODULE = "nbs_kernel"
NEEDED = ("jupyter_client", "zmq")
MOST_BYTES = 1_000_000
USAGE = """\
usage: nbs kernel install [OPTIONS]
       nbs kernel uninstall [NAME…]
       nbs kernel list

The Jupyter kernel whose cells run in the sandbox of a failed build. `pip install` alone shows it to
the Jupyter of the same environment; `install` shows it to others, or makes an entry for one build.

  nbs kernel install                         for every Jupyter of this user
  nbs kernel install --build hello           an entry called after the build, for that build
  nbs kernel install --prefix /opt/jupyter   for the Jupyter that lives there
  nbs kernel list                            which entries there are
  nbs kernel uninstall nbs-hello-1.0         remove one

`nbs kernel install --help` lists the options.
"""


def command(argv: list[str]) -> int:
    """Do what the first word says."""
    actions = {"install": install, "uninstall": uninstall, "list": print_list}
    return act(argv, "nbs kernel", USAGE, actions)


def install(argv: list[str]) -> int:
    """Write a kernelspec that starts this Python, and say where."""
    asked = _install_arguments(argv)
    jupyter = _jupyter()
    specification, name = _kernelspec(), "nbs"
    # A distribution whose Python does not find the modules by itself names a program of its own.
    if specification["argv"][0] == "python":
        specification["argv"][0] = sys.executable
    if asked.build is not None:
        build = os.path.abspath(sandbox.find_build(asked.build, store=asked.store))
        label = name_of_build(build, asked.store)
        name = "nbs-" + _as_kernel_name(label)
        specification["display_name"] = f"{label} (nbs)"
        # Jupyter puts variables of its own environment in the place of $NAME.
        specification["env"] = {"NBS_BUILD": build.replace("$", "$$")}
    if asked.store:
        specification["argv"] += ["--store", os.path.abspath(asked.store)]
    if asked.display_name:
        specification["display_name"] = asked.display_name
    name = asked.name or name
    if name != _as_kernel_name(name):
        raise UsageError(
            f"`{name}` cannot be the name of a kernel",
            reason="option-value",
            hint=f"`--name {_as_kernel_name(name)}`, and the rest as `--display-name`",
        )
    prefix = sys.prefix if asked.sys_prefix else asked.prefix
    _check_free(jupyter, name, prefix)
    place = _write(jupyter, specification, name, prefix)
    named = sandbox.one_line(specification["display_name"])
    print(f"{name}: {named}, in {sandbox.one_line(place)}")
    return 0


def _install_arguments(argv: list[str]) -> argparse.Namespace:
    made = Parser(
        prog="nbs kernel install",
        description="Show the kernel to a Jupyter: of this user, unless another is named.",
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="every Jupyter of this user (default)")
    where.add_argument("--sys-prefix", action="store_true", help="the Jupyter of this Python")
    where.add_argument("--prefix", default="", metavar="DIR", help="the Jupyter installed in DIR")
    made.add_argument("--build", metavar="BUILD", help="an entry for this build alone")
    made.add_argument("--store", default="", metavar="STORE", help="its store, if not /nix/store")
    made.add_argument("--name", default="", help="the kernel's name for programs")
    made.add_argument("--display-name", default="", metavar="TEXT", help="what people see")
    return made.parse_args(argv)


def name_of_build(kept: str, store: str = "") -> str:
    """What the build was called, else what its directory is called."""
    try:
        case = sandbox.read(kept, store=store)
    except sandbox.Error:
        return os.path.basename(kept)
    name = sandbox.derivation_name(case.nix.derivation_path)
    return name or case.kept.name_hint or os.path.basename(kept)


def _as_kernel_name(text: str) -> str:
    """`text` of those characters alone that the name of a kernel may have."""
    kept = (c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text.lower())
    name = "".join(kept)
    # Jupyter replaces the directory of that name, and all that is in it.
    return f"nbs{name}" if name in (".", "..") else name


def _write(jupyter: Any, specification: Kernelspec, name: str, prefix: str) -> str:
    import json
    import shutil
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as private:
        # Jupyter copies the directory's mode too, and others than its owner may have to read it.
        made = f"{private}/made"
        os.mkdir(made)
        for logo in _logos():
            shutil.copy(logo, made)
        with open(f"{made}/kernel.json", "w", encoding="utf-8") as file:
            json.dump(specification, file, indent=2)
        try:
            place: str = jupyter.install_kernel_spec(
                made, kernel_name=name, user=not prefix, prefix=prefix or None
            )
        except OSError as error:
            raise MachineError(
                f"the kernel's directory `{error.filename or prefix}` cannot be written",
                reason="kernelspec-refused",
                evidence=(error.strerror or str(error),),
                hint="`nbs kernel install --user` needs no rights of others",
            ) from None
    return place


def uninstall(argv: list[str]) -> int:
    """Remove kernelspecs of ours, all or none, and say which."""
    made = Parser(prog="nbs kernel uninstall", description="Remove kernels from Jupyter's list.")
    made.add_argument("names", nargs="*", metavar="NAME", help="as `nbs kernel list` shows them")
    asked = made.parse_args(argv)
    jupyter = _jupyter()
    # Jupyter removes the first of a name.
    known: dict[str, str] = {}
    for name, place, _ in _installed(jupyter):
        known.setdefault(name, place)
    wanted = list(dict.fromkeys(asked.names)) or ["nbs"]
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"there is no kernel of this program called `{name}`",
                reason="kernel-unknown",
                hint="`nbs kernel list` shows them",
            )
    for name in wanted:
        try:
            jupyter.remove_kernel_spec(name)
        except OSError as error:
            raise MachineError(
                f"`{known[name]}` cannot be removed",
                reason="kernelspec-refused",
                evidence=(error.strerror or str(error),),
            ) from None
        print(f"removed {name} from {sandbox.one_line(known[name])}")
    return 0


def print_list(argv: list[str]) -> int:
    """Print the kernelspecs that start this kernel, with the build each is for."""
    made = Parser(prog="nbs kernel list", description="List the entries that start this kernel.")
    made.add_argument("--names", action="store_true", help="names alone, one a line")
    asked = made.parse_args(argv)
    rows = []
    for name, place, found in _installed(_jupyter()):
        build = str(found.get("env", {}).get("NBS_BUILD", "")).replace("$$", "$")
        rows.append((name, str(found["display_name"]), build or "-", str(found["argv"][0]), place))
    if asked.names:
        names = dict.fromkeys(sandbox.one_line(row[0]) for row in rows)
        sys.stdout.write("".join(f"{name}\n" for name in names))
        return 0
    if not rows:
        speak.say("Jupyter knows no kernel of this program.")
        speak.say("`nbs kernel install` shows it one.")
        return 0
    speak.print_table(("NAME", "SHOWN AS", "BUILD", "PYTHON", "PATH"), rows)
    return 0


def _jupyter() -> Any:
    """Jupyter's own manager of kernelspecs, if this Python could run the kernel at all."""
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MachineError(
            f"the kernel needs {' and '.join(f'`{name}`' for name in missing)}, "
            "which this Python does not have",
            reason="jupyter-missing",
            evidence=(sys.executable,),
            hint=f"`{installing('jupyter_client', 'pyzmq')}`",
        )
    from jupyter_client.kernelspec import KernelSpecManager

    # Not the entry for this Python's own IPython, which Jupyter adds by itself.
    return KernelSpecManager(ensure_native_kernel=False)


def _installed(jupyter: Any) -> Iterator[tuple[str, str, Kernelspec]]:
    """Name, directory and content of each kernelspec that starts this kernel.

    Of those with one name the first is what this Python's Jupyter starts; another may start the
    others, as one entry of the user's is for all of them.
    """
    listed = []
    for folder in dict.fromkeys(jupyter.kernel_dirs):
        of_folder = type(jupyter)(kernel_dirs=[folder], ensure_native_kernel=False)
        listed += of_folder.find_kernel_specs().items()
    for name, place in sorted(listed, key=lambda one: one[0]):
        found = _read(f"{place}/kernel.json")
        if is_ours(found):
            yield name, place, found


def _check_free(jupyter: Any, name: str, prefix: str) -> None:
    """What this Jupyter starts by that name, and what would be replaced, have to be ours."""
    known = jupyter.find_kernel_specs().get(name)
    written = f"{os.path.abspath(prefix)}/share/jupyter/kernels/{name}" if prefix else None
    for place in (known, written):
        if place and os.path.lexists(place) and not is_ours(_read(f"{place}/kernel.json")):
            raise UsageError(
                f"`{name}` is the name of another kernel",
                reason="kernel-name-taken",
                evidence=(place,),
                hint=f"`--name nbs-{name}`",
            )


def is_ours(specification: Kernelspec) -> bool:
    """Does what Jupyter starts by it become this program's kernel?"""
    return MODULE in specification.get("argv", ())


def _read(path: str) -> Kernelspec:
    """A kernelspec, empty where the file is none."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            read = json.loads(file.read(MOST_BYTES))
    except (OSError, ValueError):
        return {}
    known = isinstance(read, dict) and isinstance(read.get("argv"), list) and read["argv"]
    return {"display_name": "", **read} if known else {}


def _kernelspec() -> Kernelspec:
    """The kernelspec as this project has it, and pip installs it."""
    found = _read(f"{_source()}/kernel.json")
    if not is_ours(found):
        raise EvidenceError(
            "the kernel's own files are not where they were installed",
            reason="installation-damaged",
            evidence=(_source(),),
            hint="to install it once more, as it was installed, brings them back",
        )
    return found


def _logos() -> list[str]:
    source = _source()
    return [f"{source}/{name}" for name in os.listdir(source) if name.startswith("logo-")]


def _source() -> str:
    """Where kernel.json and the logos are."""
    return installed.directory(installed.KERNELSPEC)
