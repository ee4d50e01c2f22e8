"""ELF files and the libraries they need: read, and never run."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox.host.elf import read_elf
from sandbox.host.libraries import libraries, parse_cache

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = [p for p in map(shutil.which, ("bash", "gdb", "git", "nix", "python3", "strace")) if p]
STRINGS = b"\0libone.so\0libtwo.so\0/opt/$ORIGIN/lib\0"


def elf(*, wide: bool = True, order: str = "<", interpreter: bytes = b"/lib/ld.so\0") -> bytes:
    """A file with an interpreter, two libraries and a DT_RUNPATH, all in one segment at 0x1000."""
    header, segment = (64, 56) if wide else (52, 32)
    word, tag = ("Q", "q") if wide else ("I", "i")
    start = header + 3 * segment
    entries = [(1, 1), (1, 11), (29, 21), (5, 0), (10, len(STRINGS)), (0, 0)]
    size = struct.calcsize(order + tag + word)
    strings = start + len(interpreter) + size * len(entries)
    entries[3] = (5, 0x1000 + strings)
    body = interpreter + b"".join(struct.pack(order + tag + word, *e) for e in entries) + STRINGS

    def program_header(kind: int, offset: int, address: int, length: int) -> bytes:
        if wide:
            return struct.pack(order + "IIQQQQQQ", kind, 4, offset, address, 0, length, length, 8)
        return struct.pack(order + "IIIIIIII", kind, offset, address, 0, length, length, 4, 4)

    end = start + len(body)
    segments = (
        program_header(3, start, 0, len(interpreter))
        + program_header(2, start + len(interpreter), 0, size * len(entries))
        + program_header(1, 0, 0x1000, end)
    )
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = (3, 62, 1, 0, header, 0, 0, header, segment, 3, 0, 0, 0)
    return ident + struct.pack(f"{order}HHI{word * 3}IHHHHHH", *fields) + segments + body


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_class_and_byte_order_is_read(tmp_path: Path, wide: bool, order: str) -> None:
    path = tmp_path / "program"
    path.write_bytes(elf(wide=wide, order=order))
    found = read_elf(str(path))
    assert found is not None
    assert found.kind == (2 if wide else 1, 1 if order == "<" else 2, 62)
    assert found.interpreter == "/lib/ld.so"
    assert found.needed == ("libone.so", "libtwo.so")
    assert (found.rpath, found.runpath) == ("", "/opt/$ORIGIN/lib")


def test_a_file_that_is_cut_anywhere_is_none_or_has_lost_its_end(tmp_path: Path) -> None:
    whole = elf()
    path = tmp_path / "program"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read_elf(str(path)) is None


def test_a_byte_that_is_changed_anywhere_raises_nothing(tmp_path: Path) -> None:
    whole = elf()
    path = tmp_path / "program"
    for at in range(len(whole)):
        for byte in (0, 0x7F, 0xFF):
            path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            read_elf(str(path))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert read_elf(str(tmp_path / "fifo")) is None
    assert read_elf(str(tmp_path)) is None
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert read_elf(str(tmp_path / "text")) is None


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_libraries_are_those_that_the_loader_takes(program: str) -> None:
    real = os.path.realpath(program)
    said = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
    wanted = dict(re.findall(r"^\s+(\S+) => (/\S+) ", said, re.MULTILINE))
    if not wanted:
        pytest.skip("it is linked statically, or ldd knows nothing of it")
    found = libraries(real, elf_of(real))
    assert found.missing == ()
    taken = {name: path for name, path in found.found if not name.startswith("ld-")}
    assert taken == {name: os.path.realpath(path) for name, path in wanted.items()}


def elf_of(path: str):
    found = read_elf(path)
    assert found is not None
    return found


def test_a_library_beside_the_program_is_found_by_its_origin(tmp_path: Path) -> None:
    (tmp_path / "opt/bin").mkdir(parents=True)
    program = tmp_path / "opt/bin/program"
    data = elf().replace(b"/opt/$ORIGIN/lib", b"$ORIGIN/../lib\0\0")
    program.write_bytes(data)
    (tmp_path / "opt/lib").mkdir()
    (tmp_path / "opt/lib/libone.so.1").write_bytes(elf())
    (tmp_path / "opt/lib/libone.so").symlink_to("libone.so.1")
    (tmp_path / "opt/lib/libtwo.so").write_bytes(elf(wide=False))
    found = libraries(str(program), elf_of(str(program)))
    assert found.found == (("libone.so", str(tmp_path / "opt/lib/libone.so.1")),)
    assert found.missing == ("libtwo.so",), "it is one for another machine"


def test_the_cache_of_ldconfig_gives_names_and_paths_in_order() -> None:
    strings = b"libz.so.1\0/lib/libz.so.1\0/fast/libz.so.1\0"
    start = 48 + 2 * 24
    header = b"glibc-ld.so.cache1.1" + struct.pack("=II", 2, len(strings)) + bytes(20)
    entries = struct.pack("=iIIIQ", 0x303, start, start + 25, 0, 1 << 62)
    entries += struct.pack("=iIIIQ", 0x303, start, start + 10, 0, 0)
    data = header + entries + strings
    assert parse_cache(data) == {"libz.so.1": ["/lib/libz.so.1"]}
    assert parse_cache(b"old format" + data) == {"libz.so.1": ["/lib/libz.so.1"]}
    for length in range(len(data)):
        parse_cache(data[:length])
