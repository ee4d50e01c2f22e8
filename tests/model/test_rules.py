"""What Nix did for a build: each rule, by facts made by hand."""

from __future__ import annotations

import pytest

from sandbox.errors import EvidenceError
from sandbox.model import rules
from sandbox.model.aterm import Output
from sandbox.model.environment import BuildEnvironment
from sandbox.model.facts import EnvVars, Request, StoreObjects
from sandbox.model.identity import FREE_ID
from sandbox.model.nixconf import SandboxPath
from sandbox.model.profile import parse_profile
from sandbox.model.spec import Bind, BuildDirectory, Directory, File, Inputs
from sandbox.model.spec import Output as PartialOutput
from tests.model import made
from tests.model.made import KEPT, MACHINE, NIX, at, described, host_file, settings, version

CALLER = MACHINE.replace(uid=made.CALLER, gid=made.CALLER, uids=(), gids=())
WITHOUT_ENV_VARS = KEPT.replace(env_vars=EnvVars(state="absent"))
FIXED = NIX.replace(derivation=made.derivation(made.FIXED))


def build_directory(sandbox):
    return next(e for e in sandbox.entries if isinstance(e, BuildDirectory))


def was_sandboxed(kept, nix):
    """Is it entered without being asked for by name?"""
    variables = BuildEnvironment(variables=(("stdenv", "/s"),))
    try:
        described(kept, nix.replace(environment=variables))
    except EvidenceError as error:
        return error.reason != "build-not-sandboxed"
    return True


def wants(**env):
    return NIX.replace(derivation=made.derivation(**env))


def subjects(sandbox):
    return {note.subject for note in sandbox.notes}


@pytest.mark.parametrize(
    ("top", "build_dir", "sandboxed"),
    [
        ("/build", "/build", True),
        ("/build", "/elsewhere", True),
        ("/elsewhere", "/elsewhere", True),
        ("/tmp/nix-build-hello.drv-0", "/build", False),
        ("/build/../etc", "/build", False),
    ],
)
def test_the_build_s_own_variable_settles_whether_it_was_sandboxed(top, build_dir, sandboxed):
    kept = KEPT.replace(env_vars=made.ENV_VARS.replace(build_top=top))
    nix = settings(sandbox="false", sandbox_build_dir=build_dir)
    assert was_sandboxed(kept, nix) is sandboxed


@pytest.mark.parametrize("layout", ["build", "named-pid-build", "pid-build"])
def test_without_it_a_directory_in_the_directory_tells_of_a_sandbox(layout):
    assert was_sandboxed(WITHOUT_ENV_VARS.replace(layout=layout), settings(sandbox="false"))


@pytest.mark.parametrize(
    ("setting", "derivation", "sandboxed"),
    [
        ("true", made.derivation(made.FIXED), True),
        ("false", made.derivation(), False),
        ("relaxed", made.derivation(), True),
        ("relaxed", made.derivation(made.FIXED), False),
        ("relaxed", made.derivation(made.IMPURE), False),
        ("relaxed", made.derivation(__noChroot="1"), False),
        ("relaxed", made.derivation(__noChroot=""), True),
        ("relaxed", None, True),
    ],
)
def test_else_the_setting_and_the_derivation_decide(setting, derivation, sandboxed):
    nix = settings(sandbox=setting).replace(derivation=derivation, real_store_dir=made.STORE)
    assert was_sandboxed(WITHOUT_ENV_VARS.replace(layout="flat"), nix) is sandboxed


def test_a_store_that_is_not_where_its_paths_say_is_always_sandboxed():
    kept = WITHOUT_ENV_VARS.replace(layout="flat")
    assert was_sandboxed(kept, settings(sandbox="false"))
    assert not was_sandboxed(kept, settings(sandbox="false").replace(real_store_dir=made.STORE))


def test_a_build_without_a_sandbox_is_entered_only_by_name():
    kept = KEPT.replace(env_vars=made.ENV_VARS.replace(build_top="/tmp/x"))
    with pytest.raises(EvidenceError) as caught:
        described(kept)
    assert caught.value.reason == "build-not-sandboxed"
    assert caught.value.evidence == ("NIX_BUILD_TOP=/tmp/x",)
    assert {"`--sandboxed`", "`--unsandboxed`"} <= set(caught.value.hint.split())
    inside = described(kept, request=made.REQUEST.replace(unsandboxed=False))
    assert build_directory(inside).path == "/tmp/x"
    assert "net" in inside.namespaces
    host = described(kept, request=made.REQUEST.replace(unsandboxed=True))
    assert "net" not in host.namespaces
    assert at(host, "/") == Bind(
        path="/", source="/", kind="directory", read_only=True, rule=at(host, "/").rule
    )


@pytest.mark.parametrize(
    "top",
    [
        "/",
        "/tmp",
        "/etc/x",
        "/dev/shm/x",
        "/nix/store/x",
        "/nix",
        "/tmp/../etc",
        "relative",
        "/a//b",
    ],
)
def test_a_build_directory_covers_nothing_of_a_sandbox_that_is_made_for_it(top):
    env_vars = made.ENV_VARS.replace(build_top=top)
    request = made.REQUEST.replace(unsandboxed=False)
    kept = KEPT.replace(env_vars=env_vars, path="/var/kept")
    assert build_directory(described(kept, request=request)).path == "/var/kept"
    kept = kept.replace(path="/dev/shm/kept")
    assert build_directory(described(kept, request=request)).path == "/build"


def test_a_request_for_the_host_s_files_changes_nothing_for_a_build_that_had_a_sandbox():
    request = made.REQUEST.replace(unsandboxed=True)
    assert described(request=request) == described()


@pytest.mark.parametrize(
    ("nix", "host_network"),
    [
        (NIX, False),
        (FIXED, True),
        (NIX.replace(derivation=made.derivation(made.IMPURE)), True),
        (NIX.replace(derivation=made.derivation(Output(name="out", hash_algo="r:sha256"))), False),
        (NIX.replace(derivation=None), False),
    ],
    ids=["ordinary", "fixed-output", "impure", "floating", "unknown"],
)
def test_only_builds_whose_content_is_checked_or_impure_have_the_host_s_network(nix, host_network):
    inside = described(nix=nix)
    assert ("net" not in inside.namespaces) is host_network
    assert ("network" in subjects(inside)) is host_network


def test_a_build_with_the_host_s_network_sees_the_host_s_name_files():
    files = tuple(host_file(f"/etc/{n}") for n in ("resolv.conf", "services", "hosts"))
    inside = described(nix=FIXED, machine=MACHINE.replace(files=files))
    for file in files:
        assert at(inside, file.path).source == file.real
        assert at(inside, file.path).read_only
    assert at(inside, "/etc/nsswitch.conf").content == "hosts: files dns\nservices: files\n"


def test_any_other_build_has_the_loopback_s_names_alone():
    files = tuple(host_file(f"/etc/{n}") for n in ("resolv.conf", "services", "hosts"))
    inside = described(machine=MACHINE.replace(files=files))
    assert at(inside, "/etc/hosts").content == "127.0.0.1 localhost\n::1 localhost\n"
    assert at(inside, "/etc/resolv.conf") is None


@pytest.mark.parametrize(
    ("nix", "bound"),
    [
        (version(2, 8), False),
        (version(2, 16), True),
        (version(2, 93, flavour="lix"), False),
        (version(2, 94, flavour="lix"), True),
    ],
)
def test_newer_releases_bind_the_certificates_for_fixed_outputs(nix, bound):
    bundle = host_file("/certs.crt")
    conf = nix.settings.replace(ssl_cert_file=bundle.path)
    machine = MACHINE.replace(files=(bundle,))
    inside = described(nix=nix.replace(settings=conf, derivation=FIXED.derivation), machine=machine)
    assert (at(inside, "/etc/ssl/certs/ca-certificates.crt") is not None) is bound
    ordinary = described(nix=nix.replace(settings=conf), machine=machine)
    assert at(ordinary, "/etc/ssl/certs/ca-certificates.crt") is None


def test_lix_has_a_cgroup_namespace_since_it_has_one():
    assert "cgroup" in described(nix=version(2, 93, flavour="lix")).namespaces
    for nix in (version(2, 92, flavour="lix"), version(2, 34)):
        assert "cgroup" not in described(nix=nix).namespaces


def test_root_becomes_the_build_user_again():
    inside = described()
    assert str(inside.uid_map) == f"1000 {made.BUILDER} 1"
    assert build_directory(inside).uid == made.BUILDER
    assert (inside.process.uid, inside.process.gid) == (1000, 100)


def test_root_is_never_root_inside():
    inside = described(KEPT.replace(uid=0, gid=0))
    assert str(inside.uid_map) == f"1000 {FREE_ID} 1"
    assert str(inside.gid_map) == f"100 {FREE_ID} 1"


FEW_IDS = MACHINE.replace(uids=((0, 65536),), gids=((0, 65536),), outside=100000)
ONE_ID = MACHINE.replace(uids=((0, 1),), gids=((0, 1),), outside=made.CALLER)


@pytest.mark.parametrize("kept", [KEPT.replace(uid=0, gid=0), KEPT.replace(uid=65534, gid=65534)])
def test_in_a_namespace_with_few_ids_the_last_is_for_who_has_none_there(kept):
    inside = described(kept, machine=FEW_IDS)
    assert (str(inside.uid_map), str(inside.gid_map)) == ("1000 65535 1", "100 65535 1")
    ends_with_nobody = FEW_IDS.replace(uids=((0, 65535),))
    assert str(described(kept, machine=ends_with_nobody).uid_map) == "1000 65533 1"


def test_a_builder_that_a_namespace_with_few_ids_has_is_itself():
    assert str(described(machine=FEW_IDS).uid_map) == f"1000 {made.BUILDER} 1"


@pytest.mark.parametrize("uid", [0, 65534])
def test_root_of_a_namespace_with_one_id_is_a_caller_without_rights(uid):
    inside = described(KEPT.replace(uid=uid, gid=uid), machine=ONE_ID)
    assert (str(inside.uid_map), str(inside.gid_map)) == ("1000 0 1", "100 0 1")
    assert (inside.process.uid, inside.process.gid) == (1000, 100)
    assert ("owners" in subjects(inside)) == (uid != 0)


@pytest.mark.parametrize("kept_outside", [True, False])
def test_the_only_id_of_a_namespace_is_not_root_s_outside(kept_outside):
    machine = ONE_ID.replace(outside=0)
    request = made.REQUEST.replace(unsandboxed=kept_outside)
    with pytest.raises(EvidenceError) as caught:
        described(machine=machine, request=request)
    assert caught.value.reason == "no-id-for-builder"


def test_an_unsandboxed_build_is_not_root_of_a_namespace_either():
    inside = described(machine=ONE_ID, request=made.REQUEST.replace(unsandboxed=True))
    assert str(inside.uid_map) == "1000 0 1"


def test_anybody_else_maps_the_own_id_alone():
    inside = described(machine=CALLER)
    assert str(inside.uid_map) == f"1000 {made.CALLER} 1"


def test_what_belonged_to_root_is_not_writable_for_the_caller_who_owns_it_now():
    modes = {e.path: e.mode for e in described(machine=CALLER).entries if isinstance(e, Directory)}
    assert {p: f"{modes[p]:o}" for p in ("/", "/etc", "/bin", "/nix", "/dev")} == {
        "/": "550",
        "/etc": "555",
        "/bin": "555",
        "/nix": "555",
        "/dev": "555",
    }
    assert "owners" in subjects(described(machine=CALLER))


@pytest.mark.parametrize("nix", [NIX, version(2, 34)])
def test_the_owner_of_an_own_build_keeps_what_the_build_could_do(nix):
    own = KEPT.replace(uid=made.CALLER, gid=made.CALLER)
    assert at(described(own, nix, CALLER), "/").mode == 0o750


def test_lix_s_owner_is_not_the_builder():
    own = KEPT.replace(uid=made.CALLER, gid=made.CALLER, layout="b")
    inside = described(own, version(2, 94, flavour="lix"), CALLER)
    assert at(inside, "/").mode == 0o550


def test_uid_range_maps_sixty_five_thousand_ids_with_root_inside():
    """Whoever kept it: a range from an ordinary account on would hold the accounts behind it."""
    inside = described(nix=wants(requiredSystemFeatures="kvm uid-range"))
    assert str(inside.uid_map) == "0 872415232 65536"
    assert (inside.process.uid, inside.process.gid) == (0, 0)


def test_uid_range_is_root_s_alone():
    with pytest.raises(EvidenceError) as caught:
        described(nix=wants(requiredSystemFeatures="uid-range"), machine=CALLER)
    assert caught.value.reason == "uid-range-needs-root"
    with pytest.raises(EvidenceError):
        described(nix=wants(requiredSystemFeatures="uid-range"), machine=FEW_IDS)


def test_a_feature_that_only_sounds_like_it_changes_nothing():
    inside = described(nix=wants(requiredSystemFeatures="uid-ranges"))
    assert inside.uid_map == described().uid_map


def test_groups_that_cannot_be_dropped_are_told():
    assert "groups" in subjects(described(machine=CALLER.replace(groups=2)))
    assert "groups" not in subjects(described(machine=CALLER))
    assert "groups" not in subjects(described(machine=MACHINE.replace(groups=2)))


def nodes(inside):
    return {e.path for e in inside.entries if isinstance(e, Bind) and e.path.startswith("/dev/")}


@pytest.mark.parametrize(
    ("devices", "features", "there"),
    [
        (("kvm", "null"), None, True),
        (("kvm", "null"), ("kvm", "big-parallel"), True),
        (("kvm", "null"), ("big-parallel",), False),
        (("kvm", "null"), (), False),
        (("null",), None, False),
        (("null",), ("kvm",), False),
    ],
)
def test_kvm_is_there_if_the_host_has_it_and_no_setting_leaves_it_out(devices, features, there):
    inside = described(
        nix=settings(system_features=features), machine=MACHINE.replace(devices=devices)
    )
    assert ("/dev/kvm" in nodes(inside)) is there


def test_a_device_that_the_host_lacks_is_lacking():
    inside = described(machine=MACHINE.replace(devices=("null",)))
    assert nodes(inside) == {"/dev/null", "/dev/ptmx"}


def test_dev_shm_has_the_size_of_the_setting():
    assert at(described(), "/dev/shm").options == "size=50%"
    assert at(described(nix=settings(sandbox_dev_shm_size="1G")), "/dev/shm").options == "size=1G"


@pytest.mark.parametrize(
    ("system", "machine", "persona"),
    [
        ("x86_64-linux", "x86_64", 0x0040000),
        ("i686-linux", "x86_64", 0x0040008),
        ("armv7l-linux", "aarch64", 0x0040008),
        ("i686-linux", "i686", 0x0040000),
    ],
)
def test_a_32_bit_build_sees_a_32_bit_machine(system, machine, persona):
    nix = NIX.replace(derivation=made.derivation().replace(system=system))
    assert (
        described(nix=nix, machine=MACHINE.replace(machine=machine)).process.personality == persona
    )


def test_there_is_a_filter_unless_nix_conf_says_no():
    assert described().process.filter is not None
    assert described(nix=settings(filter_syscalls=False)).process.filter is None


def test_abstract_sockets_are_scoped_where_nix_and_the_kernel_can():
    new = version(2, 35)
    assert described(nix=new).process.scope_abstract_sockets
    assert not described(
        nix=new, machine=MACHINE.replace(landlock_abi=5)
    ).process.scope_abstract_sockets
    assert not described(nix=version(2, 30)).process.scope_abstract_sockets


@pytest.mark.parametrize(
    ("nix", "uid", "closed"), [(FIXED, 1000, True), (FIXED, 0, False), (NIX, 1000, False)]
)
def test_abstract_sockets_of_the_host_never_take_a_builder_for_the_caller(nix, uid, closed):
    machine = MACHINE.replace(uid=uid, gid=uid)
    old = nix.replace(profile=version(2, 8).profile)
    assert described(nix=old, machine=machine).process.scope_abstract_sockets is closed
    without = described(nix=old, machine=machine.replace(landlock_abi=5))
    assert not without.process.scope_abstract_sockets
    assert ("sockets" in {note.subject for note in without.notes}) is closed


def test_newer_releases_raise_the_limit_of_open_files():
    assert described(nix=version(2, 34)).process.open_files_ceiling == 1048576
    assert described(nix=version(2, 33)).process.open_files_ceiling is None


def test_etc_is_closed_by_newer_releases():
    assert at(described(nix=version(2, 8)), "/etc").mode == 0o755
    assert at(described(nix=version(2, 24)), "/etc").mode == 0o555


@pytest.mark.parametrize(
    ("owner", "machine", "copy", "method"),
    [
        (made.BUILDER, MACHINE, False, "overlay"),
        (made.CALLER, CALLER, False, "overlay"),
        (made.BUILDER, CALLER, False, "copy"),
        (0, MACHINE, False, "copy"),
        (made.BUILDER, MACHINE, True, "copy"),
    ],
)
def test_an_overlay_is_for_those_whose_files_they_are(owner, machine, copy, method):
    kept = KEPT.replace(uid=owner, gid=owner)
    inside = described(kept, machine=machine, request=made.REQUEST.replace(copy=copy))
    assert build_directory(inside).method == method


@pytest.mark.parametrize("top", ["/build", "/b/u/i/l/d", "/tmp/build", "/tmp"])
def test_the_setting_says_where_the_build_saw_its_directory(top):
    kept = KEPT.replace(env_vars=made.ENV_VARS.replace(build_top=top))
    inside = described(kept, settings(sandbox_build_dir=top))
    assert build_directory(inside).path == top
    assert f"Nix build user:{top}:" in at(inside, "/etc/passwd").content


def test_inputs_are_read_only_unless_asked_for():
    found = at(described(), made.STORE)
    assert isinstance(found, Inputs)
    assert found.read_only
    assert not at(
        described(request=made.REQUEST.replace(inputs_writable=True)), made.STORE
    ).read_only


def test_each_input_is_shown_as_what_it_is():
    found = at(described(), made.STORE)
    assert found.directories == (f"{'a' * 32}-bash",)
    assert found.files == (f"{'c' * 32}-patch",)
    assert found.links == ((f"{'f' * 32}-link", "elsewhere"),)


def test_a_large_closure_has_its_places_in_memory():
    many = tuple(f"{made.STORE}/{n:032}-x" for n in range(rules.MOST_PLACES_ON_DISK + 1))

    def places(*paths):
        nix = NIX.replace(inputs=StoreObjects(directories=paths))
        return at(described(nix=nix), made.STORE).places

    assert (places(*many), places(*many[1:])) == ("memory", "disk")


def test_the_whole_store_is_shown_only_by_name():
    found = at(
        described(nix=NIX.replace(inputs=StoreObjects(), inputs_from="whole-store")), made.STORE
    )
    assert (found.places, found.rule) == ("store", "asked for: --whole-store")


def test_what_the_build_left_at_an_output_is_a_copy_and_no_input():
    left = NIX.replace(
        partial=((made.OUT, "/HOST/left"),),
        inputs=NIX.inputs.replace(directories=(*NIX.inputs.directories, made.OUT)),
    )
    inside = described(nix=left)
    assert at(inside, made.OUT) == PartialOutput(
        path=made.OUT,
        source="/HOST/left",
        uid=made.BUILDER,
        gid=made.BUILDER,
        rule="DerivationBuilder::cleanupBuild",
    )
    store = next(e for e in inside.entries if isinstance(e, Inputs))
    assert made.OUT.rpartition("/")[2] not in store.directories


def test_outputs_that_are_not_there_are_not_made():
    assert not any(isinstance(e, PartialOutput) for e in described().entries)


def shown(*entries, kinds=None, **changes):
    """The sandbox with these `sandbox-paths`, all of whose sources exist."""
    paths = tuple(
        SandboxPath(target=t, source=s or t) for t, _, s in (e.partition("=") for e in entries)
    )
    kinds = kinds or {}
    files = tuple(
        {p.source: host_file(p.source, kinds.get(p.source, "file")) for p in paths}.values()
    )
    return described(
        nix=settings(sandbox_paths=paths, **changes), machine=MACHINE.replace(files=files)
    )


def paths_of(sandbox):
    return [e.path for e in sandbox.entries if not isinstance(e, (BuildDirectory, Inputs))]


def test_bin_sh_is_nix_conf_s_if_that_exists():
    inside = shown("/bin/sh=/usr/bin/busybox")
    assert at(inside, "/bin/sh").source == "/HOST/usr/bin/busybox"


def test_bin_sh_is_the_build_s_own_shell_otherwise():
    paths = (SandboxPath(target="/bin/sh", source="/gone"),)
    for nix in (NIX, settings(sandbox_paths=paths)):
        shell = at(described(nix=nix), "/bin/sh")
        assert (shell.source, shell.within, shell.read_only) == (made.SHELL, True, True)


@pytest.mark.parametrize(
    ("changes", "has_one"),
    [
        ({}, True),
        ({"raw": (("sandbox-paths", ""),)}, False),
        ({"raw": (("extra-sandbox-paths", "/x"),)}, True),
        (
            {
                "raw": (("sandbox-paths", "/bin/sh=/gone"),),
                "sandbox_paths": (SandboxPath(target="/bin/sh", source="/gone"),),
            },
            True,
        ),
    ],
)
def test_phases_that_are_run_have_no_bin_sh_where_the_build_surely_had_none(changes, has_one):
    nix = settings(**changes)
    assert at(described(nix=nix), "/bin/sh") is not None
    shell = rules.own_shell(KEPT, nix, Request(phase_words=("--all",)))
    assert shell == (made.SHELL if has_one else "")


def test_a_bin_of_nix_conf_s_is_the_host_s_with_the_shell_that_it_has():
    inside = shown("/bin", kinds={"/bin": "directory"})
    assert [(e.source, e.read_only) for e in inside.entries if e.path == "/bin"] == [
        ("/HOST/bin", True)
    ]
    assert at(inside, "/bin/sh") is None


def test_a_shell_of_nix_conf_s_is_mounted_after_the_bin_that_it_lies_in():
    inside = shown("/bin/sh=/usr/bin/busybox", "/bin", kinds={"/bin": "directory"})
    assert [p for p in paths_of(inside) if p.startswith("/bin")] == ["/bin", "/bin/sh"]
    assert at(inside, "/bin/sh").source == "/HOST/usr/bin/busybox"


def test_a_build_without_either_has_no_bin_sh():
    nix = NIX.replace(environment=BuildEnvironment(variables=(("stdenv", "/s"),)))
    assert at(described(WITHOUT_ENV_VARS, nix), "/bin/sh") is None


def test_paths_of_nix_conf_bring_their_directories_once():
    inside = shown("/usr/bin/env", "/usr/bin/perl", "/usr/share/zoneinfo")
    made_here = [p for p in paths_of(inside) if p.startswith("/usr")]
    assert sorted(made_here) == sorted(
        ["/usr", "/usr/bin", "/usr/bin/env", "/usr/bin/perl", "/usr/share", "/usr/share/zoneinfo"]
    )


def test_devices_that_nix_conf_names_are_there():
    inside = shown("/dev/dri", "/dev/net/tun", "/dev/null", kinds={"/dev/dri": "directory"})
    assert at(inside, "/dev/dri").source == "/HOST/dev/dri"
    assert at(inside, "/dev/net/tun") is not None
    assert paths_of(inside).count("/dev/null") == 1


def test_a_file_that_nix_conf_names_takes_the_place_of_nix_s_own():
    inside = shown("/etc/hosts", "/etc/resolv.conf")
    assert at(inside, "/etc/hosts").source == "/HOST/etc/hosts"
    assert not any(isinstance(e, File) and e.path == "/etc/hosts" for e in inside.entries)


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/tmp", "/etc", "/dev", "/proc", "/proc/x", "/nix", "/nix/store", "/nix/store/x"),
        *("/build", "/build/x", "/dev/shm/x", "/dev/fd/9", "/etc/passwd/x", "/dev/ptmx"),
    ],
)
def test_nothing_of_nix_conf_covers_what_the_sandbox_itself_mounts(target):
    inside = shown(target)
    assert "sandbox-paths" not in {e.rule for e in inside.entries if e.path == target}
    assert at(inside, "/bin/sh") is not None


def test_a_name_that_only_begins_like_a_mount_is_no_part_of_it():
    inside = shown("/procession", "/nix/storehouse", "/development")
    for path in ("/procession", "/nix/storehouse", "/development"):
        assert at(inside, path).source == f"/HOST{path}"


def test_a_missing_source_is_left_out():
    paths = (SandboxPath(target="/opt/x", source="/opt/x", optional=True),)
    assert at(described(nix=settings(sandbox_paths=paths)), "/opt/x") is None


def test_the_environment_s_source_is_told():
    assert described().environment_source == "env-vars"
    nix = NIX.replace(environment=BuildEnvironment(variables=(("stdenv", "/s"),)))
    closed = described(KEPT.replace(env_vars=EnvVars(state="unreadable")), nix)
    assert closed.environment_source == "the derivation (env-vars is unreadable)"
    assert "env-vars" in subjects(closed)


def test_a_derivation_that_is_not_known_is_told():
    assert "derivation" in subjects(described(nix=NIX.replace(derivation=None)))
    assert "derivation" not in subjects(described())


@pytest.mark.parametrize(
    ("profile", "told"),
    [("2.35.4", False), ("2.36", True), ("9.9", True), ("lix-2.95.1", False), ("lix-2.96", True)],
)
def test_a_release_that_came_after_all_that_is_known_is_told(profile, told):
    shown = described(nix=NIX.replace(profile=parse_profile(profile)))
    assert ("profile" in subjects(shown)) == told


def test_a_plain_request_of_root_for_a_build_user_s_build_has_nothing_to_tell():
    assert described(request=Request(command=("true",))).notes == ()
