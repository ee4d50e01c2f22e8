"""Has a key in a session keyring of its own and one in its user's, and runs a command with both.

    keyholder.py COMMAND… RINGS

In the place of the last word the command gets the numbers of the two keyrings. Afterwards one line
says, as JSON, what the command wrote, and the keys in the two before and after.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys

KEYCTL_GET_KEYRING_ID, KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_DESCRIBE = 0, 1, 6
KEYCTL_UNLINK, KEYCTL_READ = 9, 11
SESSION, USER = -3, -4
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    numbers = {"add_key": 248, "keyctl": 250}
    result = libc.syscall(numbers[name], *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def names_in(ring: int) -> list[str]:
    keys = (ctypes.c_int32 * 64)()
    count = call("keyctl", KEYCTL_READ, ring, keys, ctypes.sizeof(keys)) // 4
    found = []
    for key in keys[:count]:
        text = ctypes.create_string_buffer(256)
        call("keyctl", KEYCTL_DESCRIBE, key, text, len(text))
        found.append(text.value.decode().rpartition(";")[2])
    return found


def main() -> None:
    call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)
    call("add_key", b"user", b"nbs-tests-session", b"SECRET", 6, SESSION)
    key = call("add_key", b"user", b"nbs-tests-user", b"SECRET", 6, USER)
    rings = [call("keyctl", KEYCTL_GET_KEYRING_ID, ring, 0) for ring in (SESSION, USER)]
    try:
        command = [*sys.argv[1:-1], *map(str, rings)]
        before = [names_in(ring) for ring in (SESSION, USER)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = {"said": done.stdout, "erred": done.stderr, "status": done.returncode}
        after = [names_in(ring) for ring in (SESSION, USER)]
        sys.stdout.write(json.dumps({**said, "before": before, "after": after}))
    finally:
        call("keyctl", KEYCTL_UNLINK, key, USER)


main()
