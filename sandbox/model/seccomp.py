"""Nix's system call filter: as rules that can be read, and as the bytes that the kernel takes.

Nix builds its filter with libseccomp (`setupSeccomp` in its Linux derivation builder); here the
same decisions are assembled by hand, so that nothing has to be installed. The filter looks at the
architecture of the call first, since one process can make calls of several.
"""

from __future__ import annotations

from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.model.profile import Profile

EPERM, ENOSYS, EOPNOTSUPP = 1, 38, 95
RET_ALLOW, RET_ERRNO, RET_KILL_THREAD = 0x7FFF0000, 0x00050000, 0
X32_BIT = 0x40000000
SET_USER_ID, SET_GROUP_ID = 0o4000, 0o2000

LOAD, JUMP_EQUAL, JUMP_ABOVE, JUMP_SET, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
OFFSET_NUMBER, OFFSET_ARCHITECTURE, OFFSET_ARGUMENTS = 0, 4, 16


class FilterRule(Value):
    """A call that answers `errno`; with a `mask`, only if that argument has one of its bits."""

    call: str
    errno: int
    argument: int = -1
    mask: int = 0


class Filter(Value):
    """The calls that are refused; every other is allowed.

    `unknown_from`: calls with this number or above are answered with ENOSYS; 0 when none are.
    """

    rules: tuple[FilterRule, ...]
    unknown_from: int = 0


def filter_for(profile: Profile) -> Filter:
    """What Nix refuses, by version. Nix: `setupSeccomp`; Lix: its list of allowed calls.

    The store holds neither set-user-id files nor extended attributes, so builders may make none.
    """
    chmods = [("chmod", 1), ("fchmod", 1), ("fchmodat", 2)]
    if profile.filters_fchmodat2:
        chmods.append(("fchmodat2", 2))
    refused = ["setxattr", "lsetxattr", "fsetxattr"]
    if profile.filters_getxattr:
        refused += ["getxattr", "lgetxattr", "fgetxattr"]
    if profile.filters_listxattr:
        refused += ["listxattr", "llistxattr", "flistxattr"]
    rules = [
        FilterRule(call=call, errno=EPERM, argument=argument, mask=SET_USER_ID | SET_GROUP_ID)
        for call, argument in chmods
    ]
    rules += [FilterRule(call=call, errno=EOPNOTSUPP) for call in refused]
    if not profile.allows_known_calls_only:
        return Filter(rules=tuple(rules))
    io_uring = ("io_uring_setup", "io_uring_enter", "io_uring_register")
    rules += [FilterRule(call=call, errno=ENOSYS) for call in io_uring]
    return Filter(rules=tuple(rules), unknown_from=LIX_FIRST_UNKNOWN_CALL)


def without_keys(filter_: Filter | None) -> Filter:
    """The same filter, which hides that the kernel keeps keys: keyrings(7).

    Keys are in no namespace. Who has a user's id finds that user's keyring by its number, and
    reads and changes what is in it.
    """
    hidden = tuple(FilterRule(call=call, errno=ENOSYS) for call in KEY_CALLS)
    if filter_ is None:
        return Filter(rules=hidden)
    return filter_.replace(rules=(*filter_.rules, *hidden))


KEY_CALLS = ("add_key", "request_key", "keyctl")
LIX_FIRST_UNKNOWN_CALL = 457
"""The calls that libseccomp 2.5.5 does not know begin here, on every architecture."""

_X86_64 = {
    "chmod": 90,
    "fchmod": 91,
    "fchmodat": 268,
    "setxattr": 188,
    "lsetxattr": 189,
    "fsetxattr": 190,
    "getxattr": 191,
    "lgetxattr": 192,
    "fgetxattr": 193,
    "listxattr": 194,
    "llistxattr": 195,
    "flistxattr": 196,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
}
_I386 = {
    "chmod": 15,
    "fchmod": 94,
    "fchmodat": 306,
    "setxattr": 226,
    "lsetxattr": 227,
    "fsetxattr": 228,
    "getxattr": 229,
    "lgetxattr": 230,
    "fgetxattr": 231,
    "listxattr": 232,
    "llistxattr": 233,
    "flistxattr": 234,
    "add_key": 286,
    "request_key": 287,
    "keyctl": 288,
}
_ARM = {**_I386, "fchmodat": 333, "add_key": 309, "request_key": 310, "keyctl": 311}
_GENERIC = {
    "fchmod": 52,
    "fchmodat": 53,
    "setxattr": 5,
    "lsetxattr": 6,
    "fsetxattr": 7,
    "getxattr": 8,
    "lgetxattr": 9,
    "fgetxattr": 10,
    "listxattr": 11,
    "llistxattr": 12,
    "flistxattr": 13,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
}
_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "fchmodat2": 452,
}

AUDIT_ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
_NUMBERS = {"x86_64": _X86_64, "i386": _I386, "aarch64": _GENERIC, "arm": _ARM}
_ARCHITECTURES = {
    "x86_64": ("x86_64", "i386"),
    "i686": ("i386",),
    "aarch64": ("aarch64", "arm"),
}


def _instruction(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One struct sock_filter: u16 code, u8 jt, u8 jf, u32 k, for little-endian machines."""
    return (
        code.to_bytes(2, "little")
        + bytes((if_true, if_false))
        + (k & 0xFFFFFFFF).to_bytes(4, "little")
    )


def _rule(rule: FilterRule, numbers: tuple[int, ...]) -> bytes:
    """The accumulator holds the call's number before, and after if the rule does not apply."""
    answer = _instruction(RETURN, RET_ERRNO | rule.errno)
    if rule.argument >= 0:
        low_word = OFFSET_ARGUMENTS + 8 * rule.argument
        answer = (
            _instruction(LOAD, low_word)
            + _instruction(JUMP_SET, rule.mask, 0, 1)
            + answer
            + _instruction(LOAD, OFFSET_NUMBER)
        )
    length = len(answer) // 8
    jumps = b""
    for place, number in enumerate(numbers):
        rest = len(numbers) - place - 1
        jumps += _instruction(JUMP_EQUAL, number, rest, 0 if rest else length)
    return jumps + answer


def _architecture(name: str, filter_: Filter) -> bytes:
    known = {**_NUMBERS[name], **_EVERYWHERE}
    program = _instruction(LOAD, OFFSET_NUMBER)
    for rule in filter_.rules:
        if rule.call in known:
            number = known[rule.call]
            x32 = (number | X32_BIT,) if name == "x86_64" else ()
            program += _rule(rule, (number, *x32))
    if filter_.unknown_from:
        program += _instruction(JUMP_ABOVE, filter_.unknown_from - 1, 0, 1)
        program += _instruction(RETURN, RET_ERRNO | ENOSYS)
    return program + _instruction(RETURN, RET_ALLOW)


def compile_filter(filter_: Filter, machine: str) -> bytes:
    """The filter as an array of struct sock_filter for `machine` (as in `uname -m`).

    Calls of an architecture that the machine cannot have are answered by ending the thread, as
    libseccomp does. An empty result means that this machine's numbers are not known here.
    """
    program = b""
    for name in reversed(_ARCHITECTURES.get(machine, ())):
        body = _architecture(name, filter_)
        head = _instruction(LOAD, OFFSET_ARCHITECTURE)
        length = len(body) // 8
        # A jump reaches 255 instructions at most, which one architecture's rules stay below.
        program += head + _instruction(JUMP_EQUAL, AUDIT_ARCH[name], 0, length) + body
    return program and program + _instruction(RETURN, RET_KILL_THREAD)
