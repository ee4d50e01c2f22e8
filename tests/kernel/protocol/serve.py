"""A kernel without a sandbox, for tests of the protocol: argv is a connection file.

No module can be imported any more when the kernel is made, as it is inside.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
sys.path.insert(0, ROOT)

from nbs_kernel import channels as channels_of_kernel  # noqa: E402  the path has to be set first
from nbs_kernel import executor  # noqa: E402
from nbs_kernel.bash import parser, shell  # noqa: E402
from nbs_kernel.channels import Channels  # noqa: E402
from nbs_kernel.connection import read_connection  # noqa: E402
from nbs_kernel.exchange import Reader, receive, send  # noqa: E402
from nbs_kernel.kernel import Kernel  # noqa: E402
from nbs_kernel.known import Known  # noqa: E402
from nbs_kernel.output import CellOutput  # noqa: E402
from nbs_kernel.requests import Handover  # noqa: E402
from nbs_kernel.tripwire import set_tripwire  # noqa: E402
from sandbox import Command, Error  # noqa: E402
from tests.kernel import local  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbs_kernel.outside import Outside
    from nbs_kernel.requests import Enter


class Local:
    """No sandbox: bash as it is on this machine."""

    start = staticmethod(local.start)

    def __init__(self, bash: str) -> None:
        self.shell = Command(
            argv=(bash, "--noprofile", "--noediting", "--rcfile", "/dev/fd/9", "-i"),
            environment=(("PATH", os.environ["PATH"]), ("HOME", "/homeless-shelter")),
            directories=(os.getcwd(),),
        )


class NextDoor:
    """A supervisor that knows one other place: a kernel like this one, in `/usr`."""

    def __init__(self, listening: Mapping[str, int]) -> None:
        self._listening = {name: os.dup(fd) for name, fd in listening.items()}
        self._pipe = self._neighbour = -1
        self.descriptor, self.is_asked = -1, False

    def enter(self, asked: Enter, *_: Any) -> None:
        if asked.build != "next-door":
            raise Error(
                f"there is no build `{asked.build}`", reason="no-build", hint="`nbs ls` lists them"
            )
        there, self._pipe = os.pipe()
        adopted = ",".join(f"{name}:{fd}" for name, fd in self._listening.items())
        os.chdir("/usr")
        own = [word for word in sys.argv[1:] if "=" not in word]
        argv = [sys.executable, __file__, *own, f"--adopt={adopted}", f"--taken={there}"]
        self._neighbour = os.fork()
        if self._neighbour == 0:
            for descriptor in (there, *self._listening.values()):
                os.set_inheritable(descriptor, True)
            os.execv(sys.executable, argv)
        os.close(there)

    def wait_with(self, step: Any) -> None: ...

    def interrupt(self) -> None: ...

    def list_names(self, _: str) -> tuple[str, ...]:
        return ()

    def remember(self, *line: Any) -> None: ...

    def hand_over(self, handover: Handover) -> None:
        send(self._pipe, handover)
        os.waitpid(self._neighbour, 0)


def failure() -> Error:
    return Error(
        "this machine makes no user namespaces",
        reason="no-user-namespaces",
        evidence=("unshare(CLONE_NEWUSER) = EPERM",),
        hint="`nbs doctor` tells what to do",
    )


def hold_hastily(hold: Any) -> Any:
    def hastily(channels: Channels, subscribers: int) -> None:
        hold(channels, subscribers)
        channels._held_until = 0.0
        channels._outbox.hold(0.0)

    return hastily


def wait_longer() -> None:
    """However busy the machine is, what is asked of bash is answered."""
    shell.ANSWER_S = parser.LIMIT_S = 30.0
    if "--hasty" in sys.argv:
        # Whoever waits for clients to come back has waited long enough at once.
        channels_of_kernel.Channels.hold = hold_hastily(channels_of_kernel.Channels.hold)  # type: ignore[method-assign]
    if "--patient" in sys.argv:
        # Whoever waits for clients to come back waits for them, and not for the end of a time.
        channels_of_kernel.RETURN_S = 600.0


def main() -> int:
    wait_longer()
    # In a sandbox /tmp is the build's own. Here another kernel of tests would have the same names.
    here = os.path.dirname(os.path.abspath(sys.argv[1]))
    executor.CellOutput = functools.partial(CellOutput, directory=here)  # type: ignore[misc, assignment]
    connection = read_connection(sys.argv[1])
    options = dict(a[2:].split("=") for a in sys.argv[2:] if "=" in a)
    if "adopt" in options:
        pairs = (pair.split(":") for pair in options["adopt"].split(","))
        listening = {name: int(descriptor) for name, descriptor in pairs}
        handover = receive(int(options["taken"]), Reader())
        assert isinstance(handover, Handover)
    else:
        listening, handover = connection.listen(), Handover()
        os.write(1, b"listens\n")
    # What is looked up once is looked up before nothing can be imported any more.
    local.namespaces_work()
    inside = None if "--nowhere" in sys.argv else Local(options.get("bash", "/bin/bash"))
    outside: Outside = NextDoor(listening)  # type: ignore[assignment]
    known = Known(name="hello-1.0", label="hello-1.0 buildPhase", banner=("hello-1.0 failed",))
    why = failure() if inside is None else None
    set_tripwire()
    channels = Channels(connection, listening)
    return Kernel(channels, inside, known, outside, handover, why).serve()


if __name__ == "__main__":
    sys.exit(main())
