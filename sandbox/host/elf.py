"""What an ELF file says of itself: its loader, what it needs, where that is looked for (elf(5))."""

from __future__ import annotations

import os
import stat
import struct

from sandbox.model.value import Value

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH = 0, 1, 5, 10, 15, 29
MOST_HEADERS = 512
MOST_DYNAMIC_BYTES = 1 << 16
MOST_STRINGS_BYTES = 1 << 24
LONGEST_PATH = 4096


class Elf(Value):
    """`kind` is what two files must share to be loaded together: class, byte order and machine.

    `interpreter` is empty for what is linked statically, and for most libraries. `rpath` and
    `runpath` are as they stand there, `$ORIGIN` included.
    """

    kind: tuple[int, int, int]
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: str = ""
    runpath: str = ""


class _DamagedError(Exception):
    """It says what cannot be."""


class _Layout(Value):
    """Where the fields lie: the file's header, one program header, one entry of the dynamic part.

    Of a program header type, offset, address and size in the file are taken.
    """

    header: str
    segment: str
    picked: tuple[int, int, int, int]
    dynamic: str


_LAYOUTS = {
    1: _Layout(header="16xHHIIIIIHHH", segment="IIIIIIII", picked=(0, 1, 2, 4), dynamic="iI"),
    2: _Layout(header="16xHHIQQQIHHH", segment="IIQQQQQQ", picked=(0, 2, 3, 5), dynamic="qQ"),
}
_ORDERS = {1: "<", 2: ">"}


def read_elf(path: str) -> Elf | None:
    """None for what is no ELF file, or a damaged one. Raises OSError where it cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return _File(descriptor).read()
    except (_DamagedError, struct.error):
        return None
    finally:
        os.close(descriptor)


class _File:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._order, self._layout = "<", _LAYOUTS[2]
        self._segments: list[tuple[int, int, int, int]] = []

    def read(self) -> Elf | None:
        ident = os.pread(self._descriptor, 16, 0)
        if len(ident) < 16 or not ident.startswith(MAGIC):  # noqa: PLR2004  elf(5): EI_NIDENT
            return None
        if ident[4] not in _LAYOUTS or ident[5] not in _ORDERS:
            raise _DamagedError
        self._layout, self._order = _LAYOUTS[ident[4]], _ORDERS[ident[5]]
        fields = self._unpack(self._layout.header, 0)
        machine, table, size, count = fields[1], fields[4], fields[8], fields[9]
        if count > MOST_HEADERS:
            raise _DamagedError
        self._segments = [self._segment(table + size * n) for n in range(count)]
        elf = Elf(kind=(ident[4], ident[5], machine), interpreter=self._interpreter())
        return self._with_dynamic(elf)

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        form = self._order + form
        return struct.unpack(form, self._bytes(offset, struct.calcsize(form)))

    def _bytes(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._descriptor, size, offset)
        except (OSError, OverflowError):
            raise _DamagedError from None
        if len(data) != size:
            raise _DamagedError
        return data

    def _segment(self, offset: int) -> tuple[int, int, int, int]:
        fields = self._unpack(self._layout.segment, offset)
        kind, start, address, size = (fields[n] for n in self._layout.picked)
        return kind, start, address, size

    def _interpreter(self) -> str:
        for kind, start, _, size in self._segments:
            if kind == PT_INTERP and size <= LONGEST_PATH:
                return os.fsdecode(self._bytes(start, size).rstrip(b"\0"))
        return ""

    def _with_dynamic(self, elf: Elf) -> Elf:
        entries = self._dynamic()
        found = {tag: value for tag, value in entries if tag != DT_NEEDED}
        if DT_STRTAB not in found:
            return elf
        size = min(found.get(DT_STRSZ, 0), MOST_STRINGS_BYTES)
        strings = self._bytes(self._offset(found[DT_STRTAB]), size)

        def text(at: int) -> str:
            end = strings.find(b"\0", at)
            if end < 0:
                raise _DamagedError
            return os.fsdecode(strings[at:end])

        return elf.replace(
            needed=tuple(text(value) for tag, value in entries if tag == DT_NEEDED),
            rpath=text(found[DT_RPATH]) if DT_RPATH in found else "",
            runpath=text(found[DT_RUNPATH]) if DT_RUNPATH in found else "",
        )

    def _dynamic(self) -> list[tuple[int, int]]:
        for kind, start, _, size in self._segments:
            if kind == PT_DYNAMIC and size <= MOST_DYNAMIC_BYTES:
                form = self._order + self._layout.dynamic
                data = self._bytes(start, size - size % struct.calcsize(form))
                entries: list[tuple[int, int]] = []
                for tag, value in struct.iter_unpack(form, data):
                    if tag == DT_NULL:
                        break
                    entries.append((tag, value))
                return entries
        return []

    def _offset(self, address: int) -> int:
        for kind, start, first, size in self._segments:
            if kind == PT_LOAD and first <= address < first + size:
                return address - first + start
        raise _DamagedError
