"""The file system: what Nix puts there, and nothing else."""

from __future__ import annotations

import os
import stat

import pytest

pytestmark = pytest.mark.namespaces

GROUP = """\
root:x:0:
nixbld:!:100:
nogroup:x:65534:
"""
PASSWD = """\
root:x:0:0:Nix build user:/build:/noshell
nixbld:x:1000:100:Nix build user:/build:/noshell
nobody:x:65534:65534:Nobody:/:/noshell
"""
HOSTS = """\
127.0.0.1 localhost
::1 localhost
"""


def test_the_root_holds_what_a_build_has(output):
    assert output("ls", "-A", "/").split() == ["bin", "build", "dev", "etc", "nix", "proc", "tmp"]


def test_etc_holds_the_files_that_nix_writes(output):
    assert output("ls", "-A", "/etc").split() == ["group", "hosts", "passwd"]


@pytest.mark.parametrize(
    ("name", "content"), [("group", GROUP), ("passwd", PASSWD), ("hosts", HOSTS)]
)
def test_the_files_of_etc_are_word_for_word_those_of_nix(output, name, content):
    assert output("cat", f"/etc/{name}") == content


def test_the_build_directory_holds_what_was_kept(output, kept):
    assert sorted(output("ls", "-A", "/build").split()) == sorted(os.listdir(kept.path))


def test_what_was_kept_can_be_changed_inside(shell):
    script = "echo more >> env-vars; mkdir new; mv env-vars new; ls new; tail -n 1 new/env-vars"
    assert shell(f"cd /build; {script}") == "env-vars\nmore\n"


def test_what_was_kept_stays_as_it_was(shell, kept):
    def evidence():
        found = {}
        for directory, _, names in os.walk(kept.path):
            for name in names:
                with open(f"{directory}/{name}", "rb") as file:
                    found[f"{directory}/{name}"] = file.read()
        return found

    before = evidence()
    shell("cd /build; echo more >> env-vars; rm -rf *; echo new > new")
    assert evidence() == before


def test_each_run_begins_with_what_was_kept(shell):
    shell("touch /build/left-by-the-first")
    assert "left-by-the-first" not in shell("ls -A /build")


@pytest.mark.parametrize("device", ["full", "null", "random", "tty", "urandom", "zero", "ptmx"])
def test_the_device_is_there(output, device):
    assert output("stat", "-L", "-c", "%F", f"/dev/{device}") == "character special file\n"


def test_kvm_is_there_if_the_host_has_it(run):
    assert (run("test", "-c", "/dev/kvm").returncode == 0) == os.path.exists("/dev/kvm")


def test_dev_holds_nothing_else(output):
    wanted = {"fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"}
    wanted |= {"tty", "urandom", "zero"}
    assert set(output("ls", "-A", "/dev").split()) - {"kvm"} == wanted


@pytest.mark.parametrize("device", ["full", "null", "random", "tty", "urandom", "zero"])
def test_the_device_is_the_host_s_own(output, device):
    status = os.stat(f"/dev/{device}")
    number = f"{os.major(status.st_rdev):x}:{os.minor(status.st_rdev):x}"
    assert output("stat", "-c", "%t:%T", f"/dev/{device}") == number + "\n"


def test_devices_do_what_they_are_there_for(shell):
    script = "echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 4 /dev/urandom | wc -c"
    assert shell(script).split() == ["00", "00", "00", "00", "4"]
    assert "No space left" in shell("(echo x > /dev/full) 2>&1 || true")


@pytest.mark.parametrize(
    ("directory", "kind"), [("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/proc", "proc")]
)
def test_the_directory_is_a_file_system_of_the_sandbox_s_own(output, directory, kind):
    mounts = [line.split() for line in output("cat", "/proc/mounts").splitlines()]
    assert [mount[2] for mount in mounts if mount[1] == directory] == [kind]


def test_a_pseudo_terminal_can_be_made(shell):
    # `exec` leaves ptmx open, and the terminal that it made appears in /dev/pts meanwhile.
    assert shell("exec 5<>/dev/ptmx; ls /dev/pts").split() == ["0", "ptmx"]


@pytest.mark.parametrize("directory", ["/dev/shm", "/tmp"])
def test_the_directory_is_open_to_all(output, directory):
    assert int(output("stat", "-c", "%a", directory), 8) & 0o777 == 0o777


@pytest.mark.parametrize("directory", ["/dev/shm", "/tmp", "/build"])
def test_the_directory_can_be_written(shell, directory):
    assert shell(f"echo text > {directory}/file; cat {directory}/file") == "text\n"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ],
)
def test_the_link_in_dev_leads_into_proc(output, link, target):
    assert output("readlink", f"/dev/{link}") == target + "\n"


def test_bin_holds_sh_alone(output):
    assert output("ls", "-A", "/bin") == "sh\n"


def test_sh_is_the_build_s_shell(output, kept):
    shell = kept.packages["bash"] + "/bin/bash"
    assert output("cmp", "/bin/sh", shell) == ""
    assert output("/bin/sh", "-c", 'echo "${BASH_VERSION:+bash}"') == "bash\n"


def test_the_store_holds_the_inputs_alone(output, kept):
    seen = set(output("ls", "-A", "/nix/store").split())
    assert os.path.basename(kept.packages["bash"]) in seen
    assert seen <= set(os.listdir(f"{kept.store}/nix/store"))
    # A build that does not need it does not see it; a path of the hand-made one names all.
    if kept.path.endswith(".drv-0"):
        assert os.path.basename(kept.packages["strace"]) not in seen


def test_the_inputs_cannot_be_changed(run, kept):
    for command in (
        ("touch", f"{kept.packages['bash']}/bin/new"),
        ("rm", "-f", f"{kept.packages['bash']}/bin/bash"),
    ):
        assert run(*command).returncode == 1


def test_outputs_can_be_made_in_the_store(shell):
    out = "/nix/store/00000000000000000000000000000000-out"
    assert shell(f"mkdir {out}; echo made > {out}/file; cat {out}/file") == "made\n"


def test_nothing_of_the_host_is_left_to_be_seen(shell, kept):
    for path in ("/usr", "/home", "/root", "/var", "/sys", kept.store, kept.path):
        assert shell(f"ls -d '{path}' 2>/dev/null || echo none") == "none\n"


def test_no_mount_is_seen_outside(shell):
    def mounts():
        with open("/proc/self/mountinfo") as file:
            return sorted(line.split()[4] for line in file)

    before = mounts()
    shell("true")
    assert mounts() == before


def test_no_mount_shares_what_happens_to_it_with_the_host(shell):
    # Only the store hands on mounts, and only to namespaces that are made inside.
    lines = shell("cat /proc/self/mountinfo").splitlines()
    propagating = [line.split()[4] for line in lines if "master:" in line.partition(" - ")[0]]
    assert propagating == []


def test_the_mount_namespace_is_a_new_one(output):
    assert output("readlink", "/proc/self/ns/mnt").strip() != os.readlink("/proc/self/ns/mnt")


def test_links_and_modes_of_what_was_kept_are_as_they_were(output, kept):
    for name in os.listdir(kept.path):
        mode = stat.S_IMODE(os.lstat(f"{kept.path}/{name}").st_mode)
        assert int(output("stat", "-c", "%a", f"/build/{name}"), 8) == mode
