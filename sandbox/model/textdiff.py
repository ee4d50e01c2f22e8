r"""Differences of two texts in unified form: bytes in, bytes out, whatever is in them.

A line ends with a newline alone, as patch(1) has it; a carriage return is a character of the line.
What both begin and end with is cut off first, without looking at lines. What is left is compared by
Myers' greedy algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986), which costs
little where little was changed, with a bound on its work: a text that was written anew is one
large hunk. `difflib` finds nicer differences at times, but takes time that grows with the square
of the number of equal lines, and a build has files of a hundred thousand of them.
"""

from __future__ import annotations

import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = tuple[int, int, int, int]

CONTEXT = 3
MOST_EDITS = 1000
MOST_STEPS = 3_000_000

NO_NEWLINE = b"\n\\ No newline at end of file\n"


def is_binary(content: bytes) -> bool:
    """Whether patch(1) could not carry it: there is no telling lines from data around a NUL."""
    return b"\0" in content


def hunks(old: bytes, new: bytes, context: int = CONTEXT) -> Iterator[bytes]:
    r"""The hunks of the difference, each with its `@@` line; none for equal texts.

    >>> print(b"".join(hunks(b"a\nb\nc\n", b"a\nB\nc")).decode())
    @@ -1,3 +1,3 @@
     a
    -b
    -c
    +B
    +c
    \ No newline at end of file
    <BLANKLINE>
    """
    if old == new:
        return
    head, tail = _common(old, new)
    head = _back(old, head, context)
    first = old.count(b"\n", 0, head)
    old_end, new_end = (
        _onward(old, len(old) - tail, context),
        _onward(new, len(new) - tail, context),
    )
    a, b = lines_of(old[head:old_end]), lines_of(new[head:new_end])
    for group in _grouped(changed_runs(a, b), context):
        yield _hunk(a, b, group, first, context)


def changed_runs(old: list[bytes], new: list[bytes]) -> list[Run]:
    """Where two lists differ: `old[a:b]` has become `new[c:d]`, as (a, b, c, d), in order.

    >>> changed_runs([b"a", b"b", b"c"], [b"a", b"x", b"b"])
    [(1, 1, 1, 2), (2, 3, 3, 3)]
    """
    start = 0
    shorter = min(len(old), len(new))
    while start < shorter and old[start] == new[start]:
        start += 1
    end = 0
    while end < shorter - start and old[-1 - end] == new[-1 - end]:
        end += 1
    numbers: dict[bytes, int] = {}
    a = [numbers.setdefault(x, len(numbers)) for x in old[start : len(old) - end]]
    b = [numbers.setdefault(x, len(numbers)) for x in new[start : len(new) - end]]
    runs = _compared(a, b) if a and b else [(0, len(a), 0, len(b))]
    return [(w + start, x + start, y + start, z + start) for w, x, y, z in runs if w < x or y < z]


def _compared(a: list[int], b: list[int]) -> list[Run]:
    """Myers' greedy algorithm: the runs that differ, or one for all where that costs too much.

    `reach[k]` is how far in `a` one comes on the diagonal k = x - y with `edits` edits. The reach
    of every round is kept, and tells the way back.
    """
    n, m = len(a), len(b)
    most = min(n + m, MOST_EDITS)
    reach = array.array("i", bytes(4 * (2 * most + 3)))
    rounds = []
    steps = 0
    for edits in range(most + 1):
        rounds.append(reach[most + 1 - edits : most + 2 + edits])
        for k in range(-edits, edits + 1, 2):
            at = most + 1 + k
            down = k == -edits or (k != edits and reach[at - 1] < reach[at + 1])
            x = reach[at + 1] if down else reach[at - 1] + 1
            begun = x
            while x < n and x - k < m and a[x] == b[x - k]:
                x += 1
            reach[at] = x
            steps += 1 + x - begun
            if x >= n and x - k >= m:
                return _way(rounds, edits, n, m)
        if steps > MOST_STEPS:
            break
    return [(0, n, 0, m)]


def _way(rounds: list[array.array[int]], edits: int, n: int, m: int) -> list[Run]:
    """The runs on the way that was found, from its end back to its start."""
    runs: list[Run] = []
    x, y = n, m
    for number in range(edits, 0, -1):
        reach, k = rounds[number], x - y
        # `reach` has the diagonals -number … number, as they were before this round.
        down = k == -number or (k != number and reach[number + k - 1] < reach[number + k + 1])
        before = k + 1 if down else k - 1
        px = reach[number + before]
        py = px - before
        run = (px, px, py, py + 1) if down else (px, px + 1, py, py)
        if runs and runs[-1][0] == run[1] and runs[-1][2] == run[3]:
            run = (run[0], runs[-1][1], run[2], runs.pop()[3])
        runs.append(run)
        x, y = px, py
    return runs[::-1]


def _grouped(runs: list[Run], context: int) -> Iterator[list[Run]]:
    """Runs whose context would touch, together."""
    group: list[Run] = []
    for run in runs:
        if group and run[0] - group[-1][1] > 2 * context:
            yield group
            group = []
        group.append(run)
    if group:
        yield group


def _hunk(a: list[bytes], b: list[bytes], group: list[Run], first: int, context: int) -> bytes:
    """One hunk. `first` is how many lines stand before those of both lists."""
    old_start, new_start = (max(0, group[0][side] - context) for side in (0, 2))
    # The context before the first run is as long on both sides.
    old_start = group[0][0] - min(group[0][0] - old_start, group[0][2] - new_start)
    new_start = group[0][2] - (group[0][0] - old_start)
    lines = []
    at = old_start
    for old_from, old_to, new_from, new_to in group:
        lines += [b" " + line for line in a[at:old_from]]
        lines += [b"-" + line for line in a[old_from:old_to]]
        lines += [b"+" + line for line in b[new_from:new_to]]
        at = old_to
    old_end = min(len(a), at + context)
    lines += [b" " + line for line in a[at:old_end]]
    new_end = group[-1][3] + old_end - at
    old_range = _range(first + old_start, old_end - old_start)
    new_range = _range(first + new_start, new_end - new_start)
    body = b"".join([x if x.endswith(b"\n") else x + NO_NEWLINE for x in lines])
    return f"@@ -{old_range} +{new_range} @@\n".encode() + body


def _range(before: int, count: int) -> str:
    """A range as diff writes it: of no lines, it is the line after which they would stand."""
    if count == 1:
        return f"{before + 1}"
    return f"{before + 1 if count else before},{count}"


def lines_of(text: bytes) -> list[bytes]:
    """The lines with their newlines. bytes.splitlines would split at a carriage return, too."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _common(old: bytes, new: bytes) -> tuple[int, int]:
    """How many bytes both begin and end with, in whole lines; they do not overlap."""
    shorter = min(len(old), len(new))
    head = _longest(shorter, lambda low, high: old[low:high] == new[low:high])
    head = old.rfind(b"\n", 0, head) + 1
    n, m = len(old), len(new)
    tail = _longest(
        shorter - head, lambda low, high: old[n - high : n - low] == new[m - high : m - low]
    )
    # The tail begins behind a newline of both.
    while tail and not (_begins_line(old, n - tail) and _begins_line(new, m - tail)):
        newline = old.find(b"\n", n - tail)
        tail = n - newline - 1 if newline >= 0 else 0
    return head, tail


def _begins_line(text: bytes, at: int) -> bool:
    return at == 0 or text[at - 1] == 0x0A  # noqa: PLR2004


def _longest(most: int, same: Callable[[int, int], bool]) -> int:
    """The largest n of 0 … `most` for which all below n is the same: `same(low, high)` tells."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _back(text: bytes, at: int, lines: int) -> int:
    """Where the line begins that is so many lines before the one that begins at `at`."""
    for _ in range(lines):
        if at == 0:
            break
        at = text.rfind(b"\n", 0, at - 1) + 1
    return at


def _onward(text: bytes, at: int, lines: int) -> int:
    """Where the line begins that is so many lines behind the one that begins at `at`."""
    for _ in range(lines):
        newline = text.find(b"\n", at)
        if newline < 0:
            return len(text)
        at = newline + 1
    return at
