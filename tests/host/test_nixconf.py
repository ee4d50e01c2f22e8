"""Settings are read as Nix reads them, and the folders of any store are found."""

from __future__ import annotations

import os

import pytest

from sandbox.host.nixconf import NixLocations, find_locations, read_settings, user_files
from sandbox.model.nixconf import NixSettings, SandboxPath, assignments, sandbox_paths, settings


def parse(text: str, files: dict[str, str] | None = None) -> NixSettings:
    return settings(assignments(text, "/etc/nix/nix.conf", (files or {}).get))


@pytest.fixture
def environ(tmp_path):
    for name in ("conf", "config/nix", "shared/nix", "home/.config/nix"):
        (tmp_path / name).mkdir(parents=True)
    return {
        "NIX_CONF_DIR": str(tmp_path / "conf"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CONFIG_DIRS": str(tmp_path / "shared"),
        "HOME": str(tmp_path / "home"),
        "NIX_SSL_CERT_FILE": "/ca.crt",
    }


def test_an_empty_file_gives_the_defaults_of_nix():
    found = parse("")
    assert found == NixSettings()
    assert (found.sandbox, found.sandbox_build_dir) == ("true", "/build")
    assert found.system_features is None


def test_values_end_at_a_comment_and_blanks_become_one():
    assert parse("sandbox-paths = /a \t /b # /c\n").get("sandbox-paths") == "/a /b"


def test_a_later_line_wins():
    assert parse("sandbox = false\nsandbox = relaxed\n").sandbox == "relaxed"


def test_extra_appends_to_what_stands_before():
    found = parse("system-features = kvm\nextra-system-features = big-parallel\n")
    assert found.system_features == ("big-parallel", "kvm")
    assert found.extra_system_features == ()


def test_setting_a_list_anew_drops_what_extra_had_added():
    found = parse("extra-sandbox-paths = /a\nsandbox-paths = /b\n")
    assert [entry.target for entry in found.sandbox_paths] == ["/b"]


def test_extra_without_a_base_is_kept_apart_where_the_default_is_not_known():
    found = parse("extra-system-features = gccarch-x\nextra-sandbox-paths = /a\n")
    assert found.system_features is None
    assert found.extra_system_features == ("gccarch-x",)
    assert [entry.target for entry in found.sandbox_paths] == ["/a"]


def test_extra_of_a_setting_that_is_no_list_means_nothing():
    assert parse("cores = 2\nextra-cores = 3\n").cores == 2


def test_old_names_are_understood():
    found = parse("build-use-sandbox = false\nbuild-cores = 3\nbuild-extra-chroot-dirs = /a?\n")
    assert (found.sandbox, found.cores) == ("false", 3)
    assert found.sandbox_paths == (SandboxPath(target="/a", source="/a", optional=True),)


@pytest.mark.parametrize(
    "line",
    [
        "sandbox",
        "sandbox false",
        "sandbox=false",
        "= false",
        "include",
        "include a b",
        "\0 = \udcff",
    ],
)
def test_a_bad_line_is_passed_over(line):
    assert parse(f"{line}\ncores = 4\n").replace(raw=()) == NixSettings(cores=4)


@pytest.mark.parametrize("value", ["yes", "1", "", "Relaxed"])
def test_the_sandbox_setting_takes_three_words_alone(value):
    assert parse(f"sandbox = {value}\n").sandbox == "true"


@pytest.mark.parametrize(
    ("value", "cores"),
    [("0", 0), ("2K", 2048), ("-1", None), ("x", None), ("9" * 5000, None), ("٣", None)],
)
def test_cores_are_a_count_or_unknown(value, cores):
    assert parse(f"cores = {value}\n").cores == cores


def test_a_switch_takes_the_words_of_nix():
    assert [parse(f"filter-syscalls = {w}\n").filter_syscalls for w in ("no", "0", "yes", "?")] == [
        False, False, True, True,
    ]  # fmt: skip


def test_an_include_stands_where_it_is_written_and_is_relative_to_its_file():
    files = {
        "/etc/nix/a/b.conf": "include c.conf\ncores = 2\n",
        "/etc/nix/a/c.conf": "cores = 3\nsandbox = false\n",
    }
    found = parse("include a/b.conf\nsandbox = relaxed\n", files)
    assert (found.cores, found.sandbox) == (2, "relaxed")


def test_a_missing_include_is_passed_over():
    assert parse("include /gone\n!include /gone\ncores = 1\n").cores == 1


def test_files_that_include_each_other_come_to_an_end():
    files = {
        "/etc/nix/a": "include ./../nix/b\ncores = 5\n",
        "/etc/nix/b": "include a\ninclude nix.conf\n",
    }
    assert parse("include a\n", files).cores == 5


def test_a_file_that_includes_many_comes_to_an_end():
    files = {f"/etc/nix/{n}": f"include {n + 1}\n" * 10 for n in range(50)}
    assert parse("include 0\ncores = 7\n", files).cores == 7


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("/a", SandboxPath(target="/a", source="/a")),
        ("/a?", SandboxPath(target="/a", source="/a", optional=True)),
        ("/a=/b", SandboxPath(target="/a", source="/b")),
        ("/a=/b=c?", SandboxPath(target="/a", source="/b=c", optional=True)),
    ],
)
def test_a_sandbox_path_has_target_source_and_question_mark(entry, expected):
    assert sandbox_paths([entry]) == (expected,)


def test_of_two_sources_for_one_target_the_last_in_order_wins():
    assert sandbox_paths(["/a=/z", "/a=/b"]) == (SandboxPath(target="/a", source="/z"),)


def test_proc_as_a_source_is_left_out():
    assert sandbox_paths(["/proc", "/x=/proc", "", "?", "=/a"]) == ()


def test_the_users_files_win_over_the_systems_and_nix_config_over_all(environ, tmp_path):
    (tmp_path / "conf/nix.conf").write_text(
        "cores = 1\nsandbox = false\nstore = /s\nbuild-dir = /b\n"
    )
    (tmp_path / "shared/nix/nix.conf").write_text("cores = 2\nstore = /t\nbuild-dir = /c\n")
    (tmp_path / "config/nix/nix.conf").write_text("cores = 3\nbuild-dir = /d\n")
    found = read_settings(environ | {"NIX_CONFIG": "cores = 4\n"})
    assert (found.sandbox, found.store, found.build_dir, found.cores) == ("false", "/t", "/d", 4)


def test_the_home_folder_is_used_without_xdg(environ, tmp_path):
    del environ["XDG_CONFIG_HOME"]
    (tmp_path / "home/.config/nix/nix.conf").write_text("cores = 9\n")
    assert read_settings(environ).cores == 9


def test_named_user_files_replace_the_usual_ones(environ, tmp_path):
    (tmp_path / "config/nix/nix.conf").write_text("cores = 3\n")
    (tmp_path / "one").write_text("cores = 1\nsandbox = false\n")
    (tmp_path / "two").write_text("cores = 2\n")
    environ["NIX_USER_CONF_FILES"] = f"{tmp_path}/two::{tmp_path}/one"
    assert len(user_files(environ)) == 2
    found = read_settings(environ)
    assert (found.cores, found.sandbox) == (2, "false")


def test_no_file_at_all_gives_the_defaults_and_the_certificates(environ):
    assert read_settings(environ) == NixSettings(ssl_cert_file="/ca.crt")


@pytest.mark.parametrize("kind", ["fifo", "directory", "huge", "loop"])
def test_what_is_not_a_settings_file_counts_as_empty(environ, tmp_path, kind):
    path = tmp_path / "conf/nix.conf"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        path.write_text("cores = 1\n" + "#" * (2 << 20))
    else:
        path.symlink_to(path)
    assert read_settings(environ).cores is None


def test_without_anything_the_store_is_in_nix(environ):
    del environ["NIX_CONF_DIR"]
    assert find_locations(environ, NixSettings(store="daemon")) == NixLocations()


@pytest.mark.parametrize(
    "store", ["/x", "/x/", "/x/../x", "local?root=/x", "local?root=%2Fx", "local:///x"]
)
def test_a_diverted_store_has_all_below_its_root(store):
    found = find_locations({"NIX_STATE_DIR": "/elsewhere"}, NixSettings(), store)
    assert found.root == "/x"
    assert found.store_dir == "/nix/store"
    assert found.real_store_dir == "/x/nix/store"
    assert (found.state_dir, found.log_dir) == ("/x/nix/var/nix", "/x/nix/var/log/nix")
    assert found.real("/nix/store/abc/bin") == "/x/nix/store/abc/bin"
    assert found.real("/nix/storefront") == "/nix/storefront"


@pytest.mark.parametrize(
    "store", ["daemon", "unix:///run/nix.sock", "local", "auto?state=/nix/var/nix", "ssh://host"]
)
def test_any_other_store_has_the_folders_of_the_environment(store):
    environ = {
        "NIX_STORE_DIR": "/s",
        "NIX_STATE_DIR": "/v/",
        "NIX_LOG_DIR": "/l",
        "NIX_CONF_DIR": "/c",
    }
    found = find_locations(environ, NixSettings(), store)
    state = "/nix/var/nix" if "state" in store else "/v"
    assert found == NixLocations(
        store_dir="/s", real_store_dir="/s", state_dir=state, log_dir="/l", conf_dir="/c"
    )


def test_the_argument_wins_over_the_setting_and_that_over_the_environment():
    environ = {"NIX_REMOTE": "/c"}
    assert find_locations(environ, NixSettings(store="/b"), "/a").root == "/a"
    assert find_locations(environ, NixSettings(store="/b")).root == "/b"
    assert find_locations(environ, NixSettings()).root == "/c"


def test_every_folder_can_be_given_as_a_parameter():
    store = "local?root=/r&real=/p%20q&state=/s&log=/l&store=/gnu/store"
    assert find_locations({}, NixSettings(), store) == NixLocations(
        store_dir="/gnu/store", real_store_dir="/p q", state_dir="/s", log_dir="/l", root="/r"
    )


def test_a_damaged_parameter_stands_as_it_is():
    assert find_locations({}, NixSettings(), "local?root=/a%zz%4").root == "/a%zz%4"
