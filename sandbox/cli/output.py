"""Standard output, whose errors are told from those of all else that is written."""

from __future__ import annotations

import codecs
import io
import sys

from sandbox.errors import stdout_unwritable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Stdout(io.FileIO):
    """Raises `MachineError` (`stdout-unwritable`); a reader that is gone is none."""

    def write(self, data: ReadableBuffer, /) -> int:
        """As `io.FileIO.write`, which gives None where nothing is taken now."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise stdout_unwritable(error) from None


def _in_any_way(error: UnicodeError) -> tuple[str | bytes, int]:
    """What was no text comes out as it was; what the terminal's code has not, by its number."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def tell_apart() -> None:
    """Let `sys.stdout` write with `Stdout`, unless somebody has put another in its place."""
    codecs.register_error("in-any-way", _in_any_way)
    old = sys.stdout
    if old is sys.__stdout__ and isinstance(old, io.TextIOWrapper):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(Stdout(1, "wb", closefd=False)),
            encoding=old.encoding,
            errors="in-any-way",
            line_buffering=old.line_buffering or old.write_through,
        )
