"""What both commands have in common: errors on stderr, exit codes, colour only where it is seen."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal imports enum
import os
import sys
import time

from sandbox import one_line, printable
from sandbox.errors import OUT_OF_DESCRIPTORS, Error, too_many_open_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

BOLD, RED, YELLOW, DIM, PLAIN = "1", "1;31", "1;33", "2", ""


def has_colour(stream: TextIO) -> bool:
    """On a terminal that does not refuse it; https://no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO) -> str:
    """`text` in an ANSI colour, if `stream` shows colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and has_colour(stream) else text


def say(text: str) -> None:
    """A line of talk, `printable`: on stderr, since stdout is for data. Its commands work here."""
    print(printable(_reachable(text)), file=sys.stderr, flush=True)


def _reachable(text: str) -> str:
    if "`n" not in text:
        return text  # and nothing is paid for
    from sandbox.cli import pasteable

    return pasteable.reachable(text)


def print_table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Columns on stdout. Whatever a cell says, it stays on its line."""
    lines = [tuple(map(one_line, row)) for row in (heading, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, cells in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        line = "  ".join(padded).rstrip()
        print(painted(line, PLAIN if number else BOLD, sys.stdout))


def progress() -> Callable[[int, int], None] | None:
    """A line on a terminal that counts what is copied, once that takes longer than a second."""
    if not sys.stderr.isatty():
        return None
    began = shown = time.monotonic()

    def show(files: int, count: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - began > 1 and now - shown > 1 / 10:
            shown = now
            line = f"\rcopying what was kept: {files:,} files, {count / 1e6:,.0f} MB\x1b[K\r"
            print(line, end="", file=sys.stderr, flush=True)

    return show


def show_error(error: Error) -> None:
    """The error as people read it: what, what was seen, the way on, and the word for machines."""
    stream = sys.stderr
    lines = [painted("error:", RED, stream) + " " + one_line(error.message)]
    lines += [f"  {one_line(line)}" for line in error.evidence]
    if error.hint:
        lines += ["", painted("hint:", YELLOW, stream) + " " + one_line(_reachable(error.hint))]
    word = f"({error.reason}, {error.exit_code})"
    lines.append(painted(word.rjust(80), DIM, stream))
    print("\n".join(lines), file=stream, flush=True)


def can_ask() -> bool:
    """Is there somebody who reads a question and can answer it?"""
    return os.isatty(0) and os.isatty(2)


def agreed(question: str) -> bool:
    """Does the person at the terminal say yes? Ctrl-C and the end of input say no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return False


def open_standard_descriptors() -> None:
    """/dev/null in the place of a standard descriptor that the caller has closed.

    The next file that is opened would get its number otherwise, and go inside as the command's.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115


def be_able_to_work() -> None:
    """Take back what who started us has left, and with which nothing would go well here."""
    # Where it is ignored, no child's status is kept, see wait(2).
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    # Where the mask has the owner's bits, what we make is closed to ourselves.
    os.umask(os.umask(0o077) & 0o077)


def run(command: Callable[[list[str]], int]) -> None:
    """Run a command's main function and exit with its status. The only place that exits."""
    status = 125
    try:
        open_standard_descriptors()
        be_able_to_work()
        status = _caught(command)
    finally:
        # Without taking the interpreter down first, which takes a third as long as making a
        # sandbox; and even if stderr is gone so that nothing could be said.
        os._exit(status)


def _caught(command: Callable[[list[str]], int]) -> int:
    try:
        status = _status(command)
        sys.stdout.flush()
    except Error as error:
        return _told(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; the interpreter must not find out once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:  # noqa: BLE001  any other is a bug of ours and is shown whole
        if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
            return _told(too_many_open_files(str(error)))
        import traceback

        traceback.print_exc()
        say("\nThis is a bug in nix-build-shell. Please report it with the output of `nbs doctor`.")
        return 125
    return status


def _told(error: Error) -> int:
    show_error(error)
    return error.exit_code


def _status(command: Callable[[list[str]], int]) -> int:
    try:
        return command(sys.argv[1:])
    except SystemExit as exit_:
        # argparse leaves this way, having said what there is to say.
        return exit_.code if isinstance(exit_.code, int) else 2
