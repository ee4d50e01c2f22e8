"""`--with-tool`: programs of the host inside, and nothing else that differs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import program

if TYPE_CHECKING:
    from tests.conftest import Kept, RunTool

pytestmark = pytest.mark.namespaces

SCRIPT = '#!/bin/sh -e\necho "from $0"\nprintf "<%s>" "$@"\n'
CRASH = """
static int deep(int *place, int more) { return more ? deep(place, more - 1) + 1 : *place; }
int main(int count, char **words) { return deep((int *)words[count], 3); }
"""


@pytest.fixture
def run(hand_made: Kept, run_nbs: RunTool, user: int | None):
    """Enter with tools, which are by their names or paths."""

    def run(*words: str, tools: tuple[str, ...] = (), **more: object):
        given = [f"--with-tool={tool}" for tool in tools]
        inside = ("--", *words) if words else ()
        place = ("--store", hand_made.store, *given, hand_made.path)
        return run_nbs("shell", *place, *inside, as_user=user, **more)

    return run


def test_strace_sees_what_the_build_s_programs_call(run) -> None:
    program("strace")
    done = run(
        "tool", "strace", "-f", "-e", "trace=execve", "bash", "-c", "ls /", tools=("strace",)
    )
    assert done.returncode == 0
    assert b"nbs-tools\n" in done.stdout
    called = re.findall(rb'execve\("(/nix/store/[^"]*/(?:bash|ls))"', done.stderr)
    assert [path.rpartition(b"/")[2] for path in called] == [b"bash", b"ls"]


def test_what_a_tool_starts_has_the_build_s_variables_and_files_alone(run) -> None:
    program("strace")
    plain = run("env")
    traced = run("tool", "strace", "-o", "/tmp/log", "env", tools=("strace",))
    assert sorted(traced.stdout.split(b"\n")) == sorted(plain.stdout.split(b"\n"))
    maps = run(
        *("tool", "strace", "-o", "/tmp/log", "cat", "/proc/self/maps"), tools=("strace",)
    ).stdout
    assert b"nbs-tools" not in maps


def test_without_the_option_nothing_of_it_is_there(run) -> None:
    assert b"nbs-tools" not in run("ls", "/").stdout
    done = run(input=b"type tool; exit 7\n")
    assert done.returncode == 7
    assert b"not found" in done.stderr


def test_the_word_is_in_the_shell_and_not_in_what_it_starts(run) -> None:
    program("strace")
    typed = (
        b"tool strace -o /tmp/log true && echo traced; env | grep -c tool; bash -c 'type tool'\n"
    )
    done = run(tools=("strace",), input=typed)
    assert done.stdout.split() == [b"traced", b"0"]
    assert b"of the host, below /nbs-tools" not in done.stdout


def test_a_process_that_runs_already_is_attached_to(run) -> None:
    program("strace")
    if Path("/proc/sys/kernel/yama/ptrace_scope").exists():
        pytest.skip("Yama may forbid it on this machine")
    typed = (
        b"sleep 1000 & tool strace -o /tmp/log -p $! & until grep -q 'TracerPid:.*[1-9]' "
        b"/proc/$(jobs -p %1)/status; do sleep 0.05; done; kill %1; wait %2; cat /tmp/log\n"
    )
    assert b"SIGTERM" in run(tools=("strace",), input=typed).stdout


def test_gdb_tells_where_a_program_of_the_build_crashed(
    run, hand_made: Kept, tmp_path: Path
) -> None:
    program("gdb")
    source = tmp_path / "crash.c"
    source.write_text(CRASH)
    crash = tmp_path / "crash"
    subprocess.run([program("gcc"), "-g", "-O0", "-static", "-o", crash, source], check=True)
    typed = b"base64 -d > crash << 'END'\n" + base64(crash) + b"END\nchmod +x crash\n"
    typed += b"PYTHONHOME=/nowhere PYTHONPATH=/nowhere "
    typed += b"tool gdb -nx -batch -ex 'python print(6 * 7)' -ex run -ex bt --args ./crash\n"
    done = run(tools=("gdb",), input=typed)
    assert b"Program received signal SIGSEGV" in done.stdout
    assert b"\n42\n" in b"\n" + done.stdout
    frames = re.findall(rb"^#\d+ .* in (\w+) \(", done.stdout, re.MULTILINE)
    assert frames == [b"deep"] * 4 + [b"main"]


def base64(path: Path) -> bytes:
    return subprocess.run(["base64", path], capture_output=True, check=True).stdout


def test_nothing_of_the_host_can_be_written_through_it(run, open_directory: Path) -> None:
    mine = open_directory / "own-tool"
    mine.write_text(SCRIPT)
    mine.chmod(0o777)
    inside = f"/nbs-tools/own-tool{mine}"
    typed = f"""
        echo more >> {inside}; chmod 700 {inside}; rm -f {inside}; mv {inside} /tmp/x
        touch /nbs-tools/new /nbs-tools/own-tool/new /nbs-tools/own-tool/libraries/new
        unshare -Urm mount -o remount,bind,rw {inside}; exit 0
    """
    run(tools=(str(mine),), input=typed.encode())
    assert (mine.read_text(), mine.stat().st_mode & 0o7777) == (SCRIPT, 0o777)
    done = run("bash", "-c", "echo /nbs-tools/*", tools=(str(mine),))
    assert done.stdout == b"/nbs-tools/own-tool\n"


def test_a_script_of_the_host_runs_with_its_own_interpreter(run, open_directory: Path) -> None:
    script = open_directory / "script"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    done = run("tool", "script", "a b", "", tools=(str(script),))
    assert done.stdout == f"from /nbs-tools/script{script}\n<a b><>".encode()


def test_a_script_of_python_has_the_modules_of_the_host(run, open_directory: Path) -> None:
    script = open_directory / "script.py"
    script.write_text(
        "#!/usr/bin/python3\nimport json, ssl, sys\nprint(json.dumps(sys.argv[1:]))\n"
    )
    script.chmod(0o755)
    done = run("tool", "script.py", "a b", tools=(str(script),))
    assert done.stdout == b'["a b"]\n'


def test_a_program_without_libraries_needs_none(run, tmp_path: Path, open_directory: Path) -> None:
    source = tmp_path / "static.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("it runs"); return 5; }\n')
    made = open_directory / "static-program"
    subprocess.run([program("gcc"), "-static", "-o", made, source], check=True)
    done = run("tool", "static-program", tools=(str(made),))
    assert (done.returncode, done.stdout) == (5, b"it runs\n")


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        (("no-such-program",), "tool-missing"),
        (("/etc/passwd",), "tool-missing"),
        (("/nowhere/strace",), "tool-missing"),
        (("",), "tool-missing"),
        (("TEXT",), "tool-refused"),
        (("PERL",), "tool-fixed"),
        (("SCRIPT", "OTHER/SCRIPT"), "tool-twice"),
    ],
)
def test_what_cannot_be_a_tool_is_told_before_anything_is_made(
    run, open_directory: Path, tools: tuple[str, ...], reason: str
) -> None:
    program("perl")
    (open_directory / "OTHER").mkdir(exist_ok=True)
    for name, text in (
        ("TEXT", "some text\n"),
        ("PERL", "#!/usr/bin/perl\n"),
        ("SCRIPT", SCRIPT),
        ("OTHER/SCRIPT", SCRIPT),
    ):
        (open_directory / name).write_text(text)
        (open_directory / name).chmod(0o755)
    words = tuple(str(open_directory / t) if t.isupper() else t for t in tools)
    done = run("true", tools=words)
    assert done.returncode == 2
    assert f"({reason}, 2)".encode() in done.stderr


def test_a_tool_that_was_not_given_is_told(run) -> None:
    done = run("tool", "gdb", tools=("true",))
    assert (done.returncode, b"(tool-unknown, 2)" in done.stderr) == (2, True)


def test_phases_take_no_tools(run_nbs: RunTool, hand_made: Kept) -> None:
    done = run_nbs("phase", "--with-tool=strace", hand_made.path)
    assert (done.returncode, b"option-unknown" in done.stderr) == (2, True)


def test_a_program_with_a_loader_and_libraries_of_its_own_place_runs_elsewhere(
    run, tmp_path: Path, open_directory: Path
) -> None:
    """As those of the Nix store are: an absolute interpreter and DT_RUNPATH, nothing in /lib."""
    place = Path(tempfile.mkdtemp(prefix="package-", dir=open_directory))
    place.chmod(0o755)
    (place / "lib").mkdir()
    loader = re.search(rb"interpreter: (\S+)\]", headers("bash"))
    assert loader is not None
    ld = os.path.realpath(loader[1].decode())
    shutil.copy(ld, place / "lib" / os.path.basename(ld))
    libc = subprocess.run(
        [program("gcc"), "-print-file-name=libc.so.6"], capture_output=True, check=True
    )
    shutil.copy(os.path.realpath(libc.stdout.decode().strip()), place / "lib/libc.so.6")
    source = tmp_path / "own.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("it runs"); return 6; }\n')
    options = (
        f"-Wl,--dynamic-linker={place}/lib/{os.path.basename(ld)}",
        f"-Wl,-rpath,{place}/lib",
    )
    subprocess.run([program("gcc"), *options, "-o", place / "own", source], check=True)
    done = run("tool", "own", tools=(str(place / "own"),))
    assert (done.returncode, done.stdout) == (6, b"it runs\n")
    (place / "lib/libc.so.6").rename(place / "lib/gone")
    lacking = run("tool", "own", tools=(str(place / "own"),))
    assert b"(tool-libraries, 2)" in lacking.stderr


def headers(name: str) -> bytes:
    return subprocess.run(
        [program("readelf"), "-l", program(name)], capture_output=True, check=True
    ).stdout
