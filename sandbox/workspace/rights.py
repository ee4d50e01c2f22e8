"""Work on files that are ours, but whose modes keep us out.

A build may leave files of mode 0000 and directories that nobody may search. Root reads them
anyway. Another user does, as the owner, in a user namespace in which the owner's id is mapped:
there a process has CAP_DAC_OVERRIDE over all files of that id (user_namespaces(7)).
"""

from __future__ import annotations

import os

from sandbox.errors import MachineError
from sandbox.linux import syscalls
from sandbox.workspace.processes import carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.workspace.tally import Tally


def with_rights(work: Callable[[Tally], None], tally: Tally) -> None:
    """Do `work`, as root in this process, as another user in a forked one with such a namespace.

    What it counts with the tally that it is given is added to `tally`; nothing else that it changes
    in memory comes back. Raises what it raises, MachineError `user-namespaces-forbidden`, and
    `copy-interrupted` if the process was killed.
    """
    if os.geteuid() == 0:
        work(tally)
        return

    def there(_: int, counting: Tally) -> None:
        _enter_namespace()
        work(counting)

    carry_out(1, there, tally, 1)


def _enter_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        syscalls.unshare("user")
        syscalls.map_ids("self", f"{uid} {uid} 1", f"{gid} {gid} 1")
    except OSError as error:
        raise MachineError(
            "this machine does not let you create user namespaces",
            reason="user-namespaces-forbidden",
            evidence=(f"{error.filename} = {error.strerror}",),
            hint="`nbs doctor` finds out why, and says how to allow it",
        ) from None
