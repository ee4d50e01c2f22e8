"""A change of one text carried over to another, of which the first is a later state.

`old` has become `new`; `base` has become `old` by somebody else's doing. What has to be done to
`base` so that the change is in it? Line by line, as diff3(1) has it: both `base` and `new` are
compared with `old`, and a run of lines that differs in `new` is carried if none of it differs in
`base`. Where both differ nobody can know what was meant: that is left out, and told. Lines beside
each other may differ, one on either side, which diff3 has for a conflict: what is carried is to be
tried before it is believed, and a repair is often beside the line that a recipe changes.
"""

from __future__ import annotations

from sandbox.model.textdiff import changed_runs, lines_of
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.textdiff import Run


class Carried(Value):
    """`content` is `base` with the change, as far as it fits.

    `left_out` are the runs that do not, each by its first line and the one behind its last in
    `new`, counted from 1; where lines were only removed the two are the same.
    """

    content: bytes
    left_out: tuple[tuple[int, int], ...] = ()


def carry(base: bytes, old: bytes, new: bytes) -> Carried:
    r"""Do to `base` what was done to `old` when it became `new`.

    >>> carry(b"1\n2\n3\n", b"one\n2\n3\n", b"one\n2\nthree\n")
    Carried(content=b'1\n2\nthree\n', left_out=())
    >>> carry(b"1\n2\n3\n", b"one\n2\n3\n", b"ONE\n2\nthree\n")
    Carried(content=b'1\n2\nthree\n', left_out=((1, 2),))
    """
    if base == old:
        return Carried(content=new)
    if base == new:
        return Carried(content=base, left_out=_places(changed_runs(lines_of(old), lines_of(new))))
    before, after, ours = lines_of(old), lines_of(new), lines_of(base)
    theirs = changed_runs(before, ours)
    fitting: list[Run] = []
    left_out: list[Run] = []
    for run in changed_runs(before, after):
        (left_out if _meets_any(run, theirs) else fitting).append(run)
    edits = [(run, after) for run in fitting] + [(run, ours) for run in theirs]
    merged: list[bytes] = []
    at = 0
    for (start, end, first, last), source in sorted(edits, key=lambda edit: edit[0][:2]):
        merged += before[at:start]
        merged += source[first:last]
        at = end
    merged += before[at:]
    return Carried(content=b"".join(merged), left_out=_places(left_out))


def _meets_any(run: Run, others: list[Run]) -> bool:
    return any(_meet(run[0], run[1], other[0], other[1]) for other in others)


def _meet(start: int, end: int, from_: int, to: int) -> bool:
    """Do two runs share a line? What is only put between lines may not even touch the other: which
    of both would come first?
    """
    if start == end or from_ == to:
        return start <= to and from_ <= end
    return start < to and from_ < end


def _places(runs: list[Run]) -> tuple[tuple[int, int], ...]:
    return tuple((first + 1, last + 1) for _, _, first, last in runs)
