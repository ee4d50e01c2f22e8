"""The environment that Nix gives a builder, computed from the .drv alone.

Nix: `initEnv`, `initTmpDir` and `writeStructuredAttrs` in libstore/build (2.32 and newer:
`DesugaredEnv`). What stdenv's setup adds is not here: that is the builder's own doing.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.model import storepath
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sandbox.model.aterm import Derivation
    from sandbox.model.attributes import PathInfo

    Closure = Callable[[str], Iterable[PathInfo]]

DIRECTORIES = ("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD")
"""Variables that name the build's directory: programs look for a temporary one in all of them."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FILE_NAME_START = _LETTERS | {"_"}
_FILE_NAME = _FILE_NAME_START | frozenset("0123456789.-")

_DETECTS_CORES = (2, 31)
_SAYS_THAT_PATHS_ARE_VALID = (2, 12)
"""Nix 2.8 does not, 2.26 and 2.34 do, as seen. Between them 2.12 is taken: it writes JSON anew."""
_ATTRIBUTES_AT_HOST_PATH_UNTIL = (2, 13, 4)
_ATTRIBUTES_AT_HOST_PATH_AGAIN = ((2, 14), (2, 15))


class BuildEnvironment(Value):
    """What the builder is started with, and the files that Nix puts into its directory.

    `variables` are in the order of their names' bytes, which is the order Nix passes them in.
    `files` have names without a slash. `arguments` are those behind the builder's name.
    `left_out` names the files of `exportReferencesGraph` that could not be written because the
    closure was not given.
    """

    variables: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, bytes], ...] = ()
    arguments: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class NixBehaviour(Value):
    """The version of Nix that built, and what of its settings and machine the environment shows.

    `cores` is the setting as it stands, 0 for all; `machine_cores` is how many those are.
    `impure_env` is the environment of Nix itself, with the setting `impure-env` over it: in a
    multi-user installation that of the daemon.
    """

    version: tuple[int, ...] = (2, 8, 0)
    lix: bool = False
    cores: int = 0
    machine_cores: int = 1
    impure_env: tuple[tuple[str, str], ...] = ()

    def build_cores(self) -> str:
        """CppNix says from 2.31 on how many cores there are where the setting is 0."""
        detected = self.cores == 0 and not self.lix and self.version >= _DETECTS_CORES
        return str(self.machine_cores if detected else self.cores)

    def says_that_paths_are_valid(self) -> bool:
        """Lix began as Nix 2.18 and counts from 2.90 on."""
        return self.version >= _SAYS_THAT_PATHS_ARE_VALID

    def attributes_at_host_path(self) -> bool:
        """Old versions named the attribute files by a path that is not there in the sandbox."""
        first, end = _ATTRIBUTES_AT_HOST_PATH_AGAIN
        old = self.version < _ATTRIBUTES_AT_HOST_PATH_UNTIL or first <= self.version < end
        return old and not self.lix


def build_environment(
    derivation: Derivation,
    *,
    derivation_path: str,
    store_dir: str = "/nix/store",
    build_dir: str = "/build",
    host_build_dir: str = "",
    nix: NixBehaviour,
    closure: Closure | None = None,
    outputs: Mapping[str, str] | None = None,
) -> BuildEnvironment:
    """The environment of the builder of `derivation`.

    A derivation with floating or impure outputs, or with inputs of that kind, is not built itself:
    Nix writes and builds a resolved one, which has to be given here. `outputs` are paths known
    from elsewhere; Nix draws those of impure outputs at random, so that they cannot be computed.

    `build_dir` is the build directory as the builder sees it, `host_build_dir` as the host did when
    that matters (structured attributes before Nix 2.15). `closure` gives what Nix's database knows
    of a path and all that it refers to, for `exportReferencesGraph`.
    Raises EvidenceError where Nix would not have started such a build.
    """
    paths = output_paths(derivation, derivation_path=derivation_path, store_dir=store_dir)
    paths |= {name: path for name, path in (outputs or {}).items() if name in paths}
    rewrite = _rewriting(paths)
    text = derivation.get("__json")
    if text is None:
        shown = _plain_attributes(derivation, store_dir, build_dir, rewrite, closure)
    else:
        top = (host_build_dir if nix.attributes_at_host_path() else "") or build_dir
        shown = _structured_attributes(text, paths, store_dir, rewrite, closure, nix)
        shown = shown.replace(
            variables=(
                ("NIX_ATTRS_JSON_FILE", f"{top}/.attrs.json"),
                ("NIX_ATTRS_SH_FILE", f"{top}/.attrs.sh"),
            )
        )
    variables = {
        "PATH": "/path-not-set",
        "HOME": "/homeless-shelter",
        "NIX_STORE": store_dir,
        "NIX_BUILD_CORES": nix.build_cores(),
        **dict(shown.variables),
        **_fixed_variables(derivation, build_dir, nix, shown),
    }
    return BuildEnvironment(
        variables=tuple(
            (rewrite(name), rewrite(variables[name])) for name in sorted(variables, key=_encoded)
        ),
        files=shown.files,
        arguments=tuple(rewrite(argument) for argument in derivation.args),
        left_out=shown.left_out,
    )


def output_paths(derivation: Derivation, *, derivation_path: str, store_dir: str) -> dict[str, str]:
    """Where the builder puts each output: at its own path, or a scratch path if it has none."""
    return {
        output.name: output.path or storepath.scratch_path(derivation_path, output.name, store_dir)
        for output in derivation.outputs
    }


class _Shown(Value):
    """What the builder is shown of the attributes, and those of them that Nix itself reads."""

    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    left_out: tuple[str, ...] = ()
    impure_names: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


def _rewriting(paths: dict[str, str]) -> Callable[[str], str]:
    """Nix: `rewriteStrings` with `inputRewrites`: outputs' placeholders become their paths."""
    rewrites = sorted((storepath.placeholder(name), path) for name, path in paths.items())

    def rewrite(text: str) -> str:
        for placeholder, path in rewrites:
            text = text.replace(placeholder, path)
        return text

    return rewrite


def _fixed_variables(
    derivation: Derivation, build_dir: str, nix: NixBehaviour, shown: _Shown
) -> dict[str, str]:
    """Those that no recipe can set."""
    variables = dict.fromkeys(DIRECTORIES, build_dir)
    if derivation.fixed_output:
        variables["NIX_OUTPUT_CHECKED"] = "1"
    if derivation.fixed_output or derivation.impure:
        given = dict(nix.impure_env)
        for name in shown.impure_names:
            if name in given or not nix.lix:  # CppNix sets the others too, and leaves them empty
                variables[name] = given.get(name, "")
    if "recursive-nix" in shown.features:
        variables["NIX_REMOTE"] = f"unix://{build_dir}/.nix-socket"
    return {**variables, "NIX_LOG_FD": "2", "TERM": "xterm-256color"}


def _plain_attributes(
    derivation: Derivation,
    store_dir: str,
    build_dir: str,
    rewrite: Callable[[str], str],
    closure: Closure | None,
) -> _Shown:
    """Each attribute is a variable, or a file with the variable `<name>Path` that leads to it."""
    as_file = frozenset(_words(derivation, "passAsFile"))
    variables, files = [], []
    for name, value in sorted(dict(derivation.env).items(), key=lambda item: _encoded(item[0])):
        if name in as_file:
            file_name = storepath.pass_as_file_name(name)
            files.append((file_name, _encoded(rewrite(value))))
            variables.append((f"{name}Path", f"{build_dir}/{file_name}"))
        else:
            variables.append((name, value))
    graphs = _graph_roots(derivation, store_dir)
    if closure is not None:
        files += [(name, registration(closure(root))) for name, root in graphs]
    return _Shown(
        variables=tuple(variables),
        files=tuple(files),
        left_out=tuple(name for name, _ in graphs) if closure is None else (),
        impure_names=_words(derivation, "impureEnvVars"),
        features=_words(derivation, "requiredSystemFeatures"),
    )


def _graph_roots(derivation: Derivation, store_dir: str) -> tuple[tuple[str, str], ...]:
    """File names and store paths in `exportReferencesGraph`. The names have no slash."""
    words = _words(derivation, "exportReferencesGraph")
    if len(words) % 2:
        raise _refused("`exportReferencesGraph` is not a list of names and paths", *words)
    roots = []
    for name, path in zip(words[::2], words[1::2], strict=True):
        root = storepath.store_path_of(path, store_dir)
        if root is None:
            raise _refused("`exportReferencesGraph` names what is not in the store", path)
        if name[0] not in _FILE_NAME_START or not _FILE_NAME.issuperset(name):
            raise _refused("`exportReferencesGraph` has a file name that Nix refuses", name)
        roots.append((name, root))
    return tuple(roots)


def registration(infos: Iterable[PathInfo]) -> bytes:
    """Paths and their references in the format of `nix-store --register-validity`.

    Without hashes and derivers. Nix: `Store::makeValidityRegistration`.
    """
    lines = []
    for info in sorted(infos, key=lambda info: info.path):
        lines += [info.path, "", str(len(info.references)), *sorted(info.references)]
    return _encoded("".join(f"{line}\n" for line in lines))


def _structured_attributes(
    text: str,
    paths: dict[str, str],
    store_dir: str,
    rewrite: Callable[[str], str],
    closure: Closure | None,
    nix: NixBehaviour,
) -> _Shown:
    """No attribute is a variable: two files hold them all."""
    from sandbox.model import attributes  # noqa: PLC0415  json costs more than the rest together

    values = attributes.read(text)
    roots = attributes.graph_roots(values, store_dir)
    graphs = {}
    if closure is not None:
        for name, wanted in roots.items():
            infos = {info.path: info for path in wanted for info in closure(path)}
            graphs[name] = attributes.describe(
                infos.values(), valid=nix.says_that_paths_are_valid()
            )
    return _Shown(
        files=attributes.files(values, outputs=paths, graphs=graphs, rewrite=rewrite),
        left_out=tuple(roots) if closure is None else (),
        impure_names=attributes.strings(values, "impureEnvVars"),
        features=attributes.strings(values, "requiredSystemFeatures"),
    )


def _words(derivation: Derivation, name: str) -> tuple[str, ...]:
    """Nix: `tokenizeString`, which divides at these four and no other white space."""
    text = derivation.get(name) or ""
    for space in "\t\n\r":
        text = text.replace(space, " ")
    return tuple(word for word in text.split(" ") if word)


def _refused(message: str, *evidence: str) -> EvidenceError:
    return EvidenceError(message, reason="derivation-refused", evidence=evidence)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
