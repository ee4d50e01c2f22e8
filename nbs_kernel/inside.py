"""The life of a kernel, from its first moment inside."""

from __future__ import annotations

from nbs_kernel.channels import Channels
from nbs_kernel.kernel import Kernel
from nbs_kernel.outside import Outside
from nbs_kernel.tripwire import set_tripwire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbs_kernel.connection import Connection
    from nbs_kernel.known import Known
    from sandbox import Error, Inside


def live(
    connection: Connection,
    listening: dict[str, int],
    inside: Inside | None,
    known: Known,
    descriptor: int,
    problem: Error | None,
) -> int:
    """Serve until told to end; the exit status.

    `inside` is None where there is no sandbox, and `problem` says why. `descriptor` leads to the
    supervisor. It waits for the word of the kernel before it, then takes the clients.
    """
    set_tripwire()
    outside = Outside(descriptor)
    handover = outside.take_over()
    channels = Channels(connection, listening)
    return Kernel(channels, inside, known, outside, handover, problem).serve()
