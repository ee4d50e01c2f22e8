"""The environment of a builder: the one that real Nix gives, byte for byte, computed without Nix."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.model import aterm, environment, storepath
from sandbox.model.aterm import Derivation, Output
from sandbox.model.attributes import PathInfo
from sandbox.model.environment import BuildEnvironment, NixBehaviour
from tests.model.strategies import derivations

DRV = "/nix/store/3n58xw4373jp0ljirf06d8077j15pc4j-a-1.drv"
GLIBC = "/nix/store/4n58xw4373jp0ljirf06d8077j15pc4j-glibc"
BASH = "/nix/store/3n58xw4373jp0ljirf06d8077j15pc4j-bash"
CLOSURE = (
    PathInfo(path=GLIBC, nar_hash="sha256:g", nar_size=100, references=(GLIBC,)),
    PathInfo(path=BASH, nar_hash="sha256:b", nar_size=10, references=(GLIBC, BASH)),
)

PLAIN = Output(name="out", path="/nix/store/q-a-1")
FIXED = Output(name="out", path="/nix/store/q-a-1", hash_algo="sha256", hash="00")
FLOATING = Output(name="out", hash_algo="r:sha256")


def derivation(*outputs: Output, args: tuple[str, ...] = (), **env: str) -> Derivation:
    return Derivation(
        outputs=outputs or (PLAIN,),
        system="x86_64-linux",
        builder="/b",
        args=args,
        env=tuple(env.items()),
    )


def structured(*outputs: Output, **values: object) -> Derivation:
    return derivation(*outputs, __json=json.dumps(values))


def build(drv: Derivation, **options: object) -> BuildEnvironment:
    nix = options.pop("nix", NixBehaviour())
    return environment.build_environment(drv, derivation_path=DRV, nix=nix, **options)


def variables(drv: Derivation, **options: object) -> dict[str, str]:
    return dict(build(drv, **options).variables)


def test_a_recipe_that_sets_nothing_gets_what_nix_always_sets() -> None:
    assert build(derivation()).variables == (
        ("HOME", "/homeless-shelter"),
        ("NIX_BUILD_CORES", "0"),
        ("NIX_BUILD_TOP", "/build"),
        ("NIX_LOG_FD", "2"),
        ("NIX_STORE", "/nix/store"),
        ("PATH", "/path-not-set"),
        ("PWD", "/build"),
        ("TEMP", "/build"),
        ("TEMPDIR", "/build"),
        ("TERM", "xterm-256color"),
        ("TMP", "/build"),
        ("TMPDIR", "/build"),
    )


@pytest.mark.parametrize("name", ["PATH", "HOME", "NIX_STORE", "NIX_BUILD_CORES"])
def test_a_recipe_can_set_what_nix_only_proposes(name: str) -> None:
    assert variables(derivation(**{name: "mine"}))[name] == "mine"


@pytest.mark.parametrize("name", ["NIX_BUILD_TOP", "TMP", "TEMPDIR", "PWD", "NIX_LOG_FD", "TERM"])
def test_a_recipe_cannot_set_what_nix_insists_on(name: str) -> None:
    assert variables(derivation(**{name: "mine"}))[name] != "mine"


@given(derivations)
def test_variables_are_in_the_order_of_their_bytes(drawn: Derivation) -> None:
    drawn = drawn.replace(outputs=(PLAIN,))
    if not drawn.structured_attributes and not drawn.get("exportReferencesGraph"):
        names = [os.fsencode(name) for name, _ in build(drawn).variables]
        assert names == sorted(set(names))


def test_names_that_no_shell_can_hold_are_kept() -> None:
    assert variables(derivation(**{"a-b.c": "1"}))["a-b.c"] == "1"


def test_attributes_passed_as_file_are_files_and_no_variables() -> None:
    made = build(derivation(passAsFile="text other", text="long"), build_dir="/top")
    name = ".attr-" + storepath.nix32(hashlib.sha256(b"text").digest())
    assert made.files == ((name, b"long"),)
    assert dict(made.variables)["textPath"] == f"/top/{name}"
    assert "text" not in dict(made.variables)
    assert "otherPath" not in dict(made.variables)


def test_the_placeholder_of_a_floating_output_becomes_its_scratch_path() -> None:
    placeholder = storepath.placeholder("out")
    drv = derivation(
        FLOATING, args=(f"--prefix={placeholder}",), out=placeholder, passAsFile="f", f=placeholder
    )
    made = build(drv)
    scratch = storepath.scratch_path(DRV, "out", "/nix/store")
    assert dict(made.variables)["out"] == scratch
    assert made.arguments == (f"--prefix={scratch}",)
    assert made.files[0][1] == scratch.encode()


def test_a_path_that_is_known_from_elsewhere_is_taken() -> None:
    impure = Output(name="out", hash_algo="r:sha256", hash="impure")
    drv = derivation(impure, out=storepath.placeholder("out"))
    assert variables(drv, outputs={"out": "/nix/store/x", "no": "/y"})["out"] == "/nix/store/x"


@pytest.mark.parametrize(
    ("nix", "cores"),
    [
        (NixBehaviour(version=(2, 30, 4), cores=0, machine_cores=8), "0"),
        (NixBehaviour(version=(2, 31), cores=0, machine_cores=8), "8"),
        (NixBehaviour(version=(2, 31), cores=3, machine_cores=8), "3"),
        (NixBehaviour(version=(2, 95), lix=True, cores=0, machine_cores=8), "0"),
    ],
)
def test_the_number_of_cores_is_said_as_the_version_says_it(nix: NixBehaviour, cores: str) -> None:
    assert variables(derivation(), nix=nix)["NIX_BUILD_CORES"] == cores


@pytest.mark.parametrize(
    ("version", "lix", "host"),
    [
        ((2, 8, 0), False, True),
        ((2, 13, 3), False, True),
        ((2, 13, 4), False, False),
        ((2, 14, 1), False, True),
        ((2, 15), False, False),
        ((2, 90), True, False),
    ],
)
def test_old_versions_name_attribute_files_by_the_path_on_the_host(
    version: tuple[int, ...], lix: bool, host: bool
) -> None:
    nix = NixBehaviour(version=version, lix=lix)
    found = variables(structured(), nix=nix, host_build_dir="/tmp/nix-build-a-1.drv-0")
    top = "/tmp/nix-build-a-1.drv-0" if host else "/build"
    assert found["NIX_ATTRS_JSON_FILE"] == f"{top}/.attrs.json"
    assert found["NIX_ATTRS_SH_FILE"] == f"{top}/.attrs.sh"


def test_only_a_fixed_or_impure_build_sees_variables_of_the_host() -> None:
    nix = NixBehaviour(impure_env=(("http_proxy", "proxy"), ("HOME", "/home/me")))
    wish = {"impureEnvVars": "http_proxy no_proxy"}
    fixed = variables(derivation(FIXED, **wish), nix=nix)
    assert (fixed["http_proxy"], fixed["no_proxy"]) == ("proxy", "")
    assert fixed["HOME"] == "/homeless-shelter"
    assert fixed["NIX_OUTPUT_CHECKED"] == "1"
    impure = variables(
        derivation(Output(name="out", hash_algo="r:sha256", hash="impure"), **wish), nix=nix
    )
    assert impure["http_proxy"] == "proxy"
    assert "NIX_OUTPUT_CHECKED" not in impure
    assert "http_proxy" not in variables(derivation(**wish), nix=nix)


def test_lix_leaves_out_what_its_own_environment_has_not() -> None:
    nix = NixBehaviour(lix=True, version=(2, 93), impure_env=(("a", ""),))
    found = variables(derivation(FIXED, impureEnvVars="a b"), nix=nix)
    assert found["a"] == ""
    assert "b" not in found


def test_structured_attributes_are_in_files_only() -> None:
    made = build(structured(name="a", impureEnvVars=["x"]))
    assert set(dict(made.variables)) == {
        *dict(build(derivation()).variables), "NIX_ATTRS_JSON_FILE", "NIX_ATTRS_SH_FILE",
    }  # fmt: skip
    shown = json.loads(dict(made.files)[".attrs.json"])
    assert shown == {"impureEnvVars": ["x"], "name": "a", "outputs": {"out": PLAIN.path}}


def test_a_shell_reads_what_it_can_hold_of_structured_attributes() -> None:
    made = build(
        structured(
            text="it's\n", number=-3, whole=2.0, fraction=1.5, yes=True, no=False, nothing=None,
            items=["a", 1], pairs={"a b": "c", "1": True}, nested=[["a"]], **{"a-b": 1},
        )
    )  # fmt: skip
    assert dict(made.files)[".attrs.sh"].decode() == textwrap.dedent(
        r"""
        declare -a items=('a' 1 )
        declare no=
        declare nothing=''
        declare number=-3
        declare -A outputs=(['out']='/nix/store/q-a-1' )
        declare -A pairs=(['1']=1 ['a b']='c' )
        declare text='it'\''s
        '
        declare whole=2
        declare yes=1
        """
    ).lstrip("\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a":NaN}',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"a":"\\ud800"}',
        '{"a":1e999}',
        '{"a":"\udcff"}',
    ],
)
def test_attributes_that_nix_would_not_write_are_refused_in_one_way(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        build(derivation(__json=text))
    assert caught.value.reason == "attributes-syntax"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_their_value_in_json(number: float) -> None:
    made = build(structured(x=number))
    assert json.loads(dict(made.files)[".attrs.json"])["x"] == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(1e15, "1e+15"), (-1234567890123456.0, "-1.234567890123456e+15"), (1e14, "100000000000000.0"),
     (1e16, "1e+16"), (0.00001, "1e-05"), (0.1, "0.1")],
)  # fmt: skip
def test_floats_are_written_as_nix_writes_them(number: float, text: str) -> None:
    assert f'"x":{text}}}' in dict(build(structured(x=number)).files)[".attrs.json"].decode()


def test_a_graph_of_references_is_a_file_in_registration_format() -> None:
    made = build(derivation(exportReferencesGraph=f"graph {BASH}/bin"), closure=lambda _: CLOSURE)
    expected = f"{BASH}\n\n2\n{BASH}\n{GLIBC}\n{GLIBC}\n\n1\n{GLIBC}\n"
    assert made.files == (("graph", expected.encode()),)


def test_a_graph_of_references_in_structured_attributes_is_json() -> None:
    drv = structured(exportReferencesGraph={"graph": [BASH]})
    shown = json.loads(dict(build(drv, closure=lambda _: CLOSURE).files)[".attrs.json"])
    assert [entry["path"] for entry in shown["graph"]] == [BASH, GLIBC]
    assert [entry["closureSize"] for entry in shown["graph"]] == [110, 100]


@pytest.mark.parametrize(("version", "said"), [((2, 8), [False] * 2), ((2, 26, 3), [True] * 2)])
def test_later_versions_say_of_each_path_of_a_graph_that_it_is_valid(version, said) -> None:
    drv = structured(exportReferencesGraph={"graph": [BASH]})
    made = build(drv, closure=lambda _: CLOSURE, nix=NixBehaviour(version=version))
    shown = json.loads(dict(made.files)[".attrs.json"])
    assert [entry.get("valid", False) for entry in shown["graph"]] == said


def test_a_graph_that_cannot_be_written_is_named() -> None:
    assert build(derivation(exportReferencesGraph=f"graph {BASH}")).left_out == ("graph",)
    assert build(structured(exportReferencesGraph={"graph": [BASH]})).left_out == ("graph",)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".attrs.sh", "a/b"])
def test_no_recipe_names_a_file_outside_of_the_build_directory(name: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        build(derivation(exportReferencesGraph=f"{name} {BASH}"), closure=lambda _: CLOSURE)
    assert caught.value.reason == "derivation-refused"


@given(derivations)
def test_files_never_have_a_path_in_their_names(drawn: Derivation) -> None:
    try:
        made = build(drawn)
    except EvidenceError:
        return
    assert all("/" not in name and name not in {"", ".", ".."} for name, _ in made.files)


EXPRESSION = """
{ tools, kind }:
let
  base = {
    name = "probe-1";
    system = builtins.currentSystem;
    builder = "${tools}/busybox";
    args = [
      "sh" "-c"
      ''"$0" cat /proc/1/environ > probe-environ; "$0" cat /proc/1/cmdline > probe-cmdline; exit 1''
      "${tools}/busybox" "ä $(x)" (builtins.placeholder "out")
    ];
  };
  dependency = derivation (base // {
    name = "dependency";
    args = [ "sh" "-c" ''"$0" echo "$self $tools" > $out'' "${tools}/busybox" ];
    inherit tools; self = builtins.placeholder "out";
  });
  plain = {
    outputs = [ "out" "dev" "a-b" ];
    PATH = "/my/path"; HOME = "/my/home"; TMPDIR = "/no"; PWD = "/no"; TERM = "no";
    "a-b.c" = "not a shell's name"; "1x" = ""; empty = ""; "ä" = "ö\\n\\t\\"'\\\\$";
    list = [ "a" 1 true null ]; true = true; false = false; null = null;
    passAsFile = [ "long" "missing" "A" ]; long = "x\\ny" + builtins.placeholder "dev"; A = ""; B = "1"; a = "2";
    exportReferencesGraph = [ "graph" dependency "other.graph-1" tools ];
    impureEnvVars = [ "PROBE_SET" ];
  };
  impure.impureEnvVars = [ "PROBE_SET" "PROBE_UNSET" "HOME" ];
  fixed = impure // {
    outputHash = builtins.hashString "sha256" "x"; outputHashAlgo = "sha256"; outputHashMode = "flat";
  };
  floating = {
    outputs = [ "out" "dev" ]; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";
    passAsFile = [ "long" ]; long = builtins.placeholder "dev";
  };
  structured = {
    __structuredAttrs = true; outputs = [ "out" "dev" ];
    text = "it's\\n\\"\\\\ $x"; "ä" = "ö/"; "a-b" = 1; list = [ "a" 1 true null ]; true = true; false = false;
    null = null; int = -5; large = 3000000000; larger = 9223372036854775807; float = 1.5; whole = 2.0;
    set = { "k k" = "v"; b = 2; }; nested = { a = { b = 1; }; }; lists = [ [ 1 ] ]; emptyList = [ ]; emptySet = { };
    control = builtins.fromJSON ''"\\u0001\\u007f\\u001f\\b\\f\\u2028"''; PATH = "/mine";
    placeholder = builtins.placeholder "dev"; passAsFile = [ "text" ];
    exportReferencesGraph = { graph = [ dependency ]; two = [ tools dependency ]; };
  };
  kinds = {
    inherit plain fixed floating structured;
    impure = impure // { __impure = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
    structuredFixed = structured // fixed // { outputs = [ "out" ]; exportReferencesGraph = { }; placeholder = builtins.placeholder "out"; };
    structuredFloating = structured // floating;
  };
in derivation (base // kinds.${kind})
"""

KINDS = [
    "plain",
    "fixed",
    "floating",
    "structured",
    "impure",
    "structuredFixed",
    "structuredFloating",
]


def nix_version() -> tuple[int, ...]:
    # `nix-store --version` would open the machine's own store, and as root make one.
    answer = subprocess.run(["nix", "--version"], check=True, capture_output=True, text=True)
    return tuple(int(part) for part in answer.stdout.split()[-1].split(".")[:3] if part.isdigit())


class Failure:
    """A derivation that real Nix has built in its sandbox, in a store of its own, and that failed."""

    def __init__(self, folder, kind: str, cores: int) -> None:
        self.store = folder / "store"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        tools = folder / "tools"
        tools.mkdir()
        shutil.copy(shutil.which("busybox"), tools / "busybox")
        (folder / "probe.nix").write_text(EXPRESSION)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "USER": "probe",  # Nix insists on a name, which not every user id has
            "TMPDIR": str(self.temporary),
            "PROBE_SET": "it is",
            "NIX_CONF_DIR": str(folder),
        }
        features = "ca-derivations impure-derivations nix-command"
        (folder / "nix.conf").write_text(
            f"experimental-features = {features}\nsandbox = true\nsandbox-paths =\nbuild-users-group =\n"
            f"substituters =\ncores = {cores}\nsandbox-build-dir = /build\n"
        )
        arguments = [
            str(folder / "probe.nix"),
            "--arg",
            "tools",
            str(tools),
            "--argstr",
            "kind",
            kind,
        ]
        self.path = self.run("nix-instantiate", *arguments).stdout.decode().strip()
        built = self.run("nix-store", "--realise", "--keep-failed", self.path, check=False)
        kept = re.findall(r"keeping build directory ['\"](.+?)['\"]", built.stderr.decode())
        assert len(kept) == 1, built.stderr.decode()
        self.kept = kept[0]
        self.host_build_dir = self.kept.removesuffix("/build")
        drvs = [
            f"/nix/store/{n}"
            for n in os.listdir(self.store / "nix/store")
            if n.endswith("-probe-1.drv")
        ]
        self.path = next(
            (path for path in drvs if path != self.path), self.path
        )  # the resolved one
        self.derivation = aterm.parse((self.store / self.path.lstrip("/")).read_bytes())

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        command = (command[0], "--store", str(self.store), *command[1:])
        return subprocess.run(command, env=self.environ, check=check, capture_output=True)

    def closure(self, path: str) -> list[PathInfo]:
        answer = json.loads(self.run("nix", "path-info", "--json", "--recursive", path).stdout)
        # A list up to Nix 2.18.
        known = answer if isinstance(answer, dict) else {e["path"]: e for e in answer}
        base32 = {
            p: self.run("nix-store", "--query", "--hash", p).stdout.decode().strip() for p in known
        }
        return [
            PathInfo(
                path=p,
                nar_hash=base32[p],
                nar_size=e["narSize"],
                references=tuple(e["references"]),
                content_address=e.get("ca") or "",
            )
            for p, e in known.items()
        ]

    def file(self, name: str) -> bytes:
        with open(os.path.join(self.kept, name), "rb") as file:
            return file.read()


@pytest.mark.nix
@pytest.mark.namespaces
@pytest.mark.parametrize("kind", KINDS)
def test_nix_gives_the_builder_just_this_environment(tmp_path, kind: str) -> None:
    failure = Failure(tmp_path, kind, cores=3 if kind == "plain" else 0)
    passed = failure.file("probe-environ").split(b"\0")[:-1]
    at_random = (
        {"out": next(os.fsdecode(v[4:]) for v in passed if v.startswith(b"out="))}
        if kind == "impure"
        else {}
    )
    made = environment.build_environment(
        failure.derivation,
        derivation_path=failure.path,
        host_build_dir=failure.host_build_dir,
        nix=NixBehaviour(
            version=nix_version(),
            cores=3 if kind == "plain" else 0,
            machine_cores=os.cpu_count() or 1,
            impure_env=tuple(failure.environ.items()),
        ),
        closure=failure.closure,
        outputs=at_random,
    )
    assert [os.fsencode(f"{name}={value}") for name, value in made.variables] == passed
    assert [os.fsencode(a) for a in made.arguments] == failure.file("probe-cmdline").split(b"\0")[
        1:-1
    ]
    found = {name for name in os.listdir(failure.kept) if not name.startswith("probe-")}
    assert {name for name, _ in made.files} == found
    for name, data in made.files:
        assert data == failure.file(name), name
