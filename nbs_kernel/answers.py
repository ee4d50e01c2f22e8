"""Answers to the requests that need no cell to run: what the kernel is, and help with typing.

They are given at once, also while a cell runs.
"""

from __future__ import annotations

from nbs_kernel import report
from nbs_kernel.magics.cell import bash_part
from nbs_kernel.messages import PROTOCOL, BadRequestError
from sandbox import VERSION, Error, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nbs_kernel.kernel import Kernel
    from nbs_kernel.messages import Message

HELP_LINKS = (
    ("Bash", "https://www.gnu.org/software/bash/manual/bash.html"),
    ("Nixpkgs: stdenv", "https://nixos.org/manual/nixpkgs/stable/#chap-stdenv"),
    ("Nix", "https://nix.dev/manual/nix/"),
)


class Answers:
    """A method for each type of request."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._by_kind: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "kernel_info_request": self._kernel_info,
            "is_complete_request": self._is_complete,
            "complete_request": self._complete,
            "inspect_request": self._inspect,
            "history_request": kernel.history.answer,
            "comm_info_request": lambda _: {"comms": {}},
            "connect_request": lambda _: self._kernel.channels.ports,
            "interrupt_request": self._interrupt,
            "shutdown_request": lambda content: {"restart": bool(content.get("restart"))},
        }

    def answer(self, message: Message) -> None:
        """From busy to idle, whatever is wrong. Raises `Stop`."""
        kernel = self._kernel
        kernel.state("busy", message)
        try:
            content = self._content(message)
        except Error as error:
            content = _refused(report.of_error(error))
        except BadRequestError as error:
            content = _refused(report.failure("BadRequest", "", str(error)))
        except Exception as error:  # noqa: BLE001  no client is ever left without a reply
            content = _refused(report.of_bug(error))
        ends = message.kind == "shutdown_request" and content["status"] == "ok"
        if message.kind.endswith("_request"):
            kind = message.kind.removesuffix("request") + "reply"
            kernel.channels.reply(message, kind, content)
            if ends:
                kernel.tell(kind, content, message.header)
        kernel.state("idle", message)
        if ends:
            kernel.stop()
        if kernel.current is not None:
            # Front ends show the state that was told last.
            kernel.state("busy", kernel.current.request)

    def _content(self, message: Message) -> dict[str, Any]:
        if message.flaw:
            return _refused(report.failure("BadRequest", "", message.flaw))
        if message.kind in self._by_kind:
            return {"status": "ok", **self._by_kind[message.kind](message.content)}
        if message.kind == "comm_open":
            content = {"comm_id": message.content.get("comm_id", ""), "data": {}}
            self._kernel.tell("comm_close", content, message.header)
        what = f"this kernel knows no {printable(message.kind)[:80]}"
        return _refused(report.failure("UnknownRequest", "", what))

    def _kernel_info(self, _: dict[str, Any]) -> dict[str, Any]:
        shell = self._kernel.cells.running
        return {
            "protocol_version": PROTOCOL,
            "implementation": "nbs",
            "implementation_version": VERSION,
            "language_info": {
                "name": "bash",
                "version": shell.version if shell is not None else "",
                "mimetype": "text/x-sh",
                "file_extension": ".sh",
                "pygments_lexer": "bash",
                "codemirror_mode": "shell",
                "nbconvert_exporter": "script",
            },
            "banner": "\n".join(self._kernel.known.banner),
            "debugger": False,
            "supported_features": [],
            "help_links": [{"text": text, "url": url} for text, url in HELP_LINKS],
        }

    def _is_complete(self, content: dict[str, Any]) -> dict[str, Any]:
        code = bash_part(_text(content, "code"))
        if code is None:
            return {"status": "complete"}
        shell = self._kernel.cells.running
        if shell is None:
            return {"status": "unknown"}
        syntax = shell.check(code)
        answer = {"status": syntax.state}
        if syntax.state == "incomplete":
            answer["indent"] = syntax.indent
        return answer

    def _complete(self, content: dict[str, Any]) -> dict[str, Any]:
        code = _text(content, "code")
        cursor = _cursor(content, code)
        return self._kernel.typed.complete(self._kernel.cells.running, code, cursor)

    def _inspect(self, content: dict[str, Any]) -> dict[str, Any]:
        code = _text(content, "code")
        cursor, detail = _cursor(content, code), int(content.get("detail_level") == 1)
        return self._kernel.typed.inspect(self._kernel.cells.running, code, cursor, detail)

    def _interrupt(self, _: dict[str, Any]) -> dict[str, Any]:
        self._kernel.interrupt()
        return {}


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name, "")
    if not isinstance(value, str):
        raise BadRequestError(f"`{name}` has to be a string")
    return value


def _cursor(content: dict[str, Any], code: str) -> int:
    value = content.get("cursor_pos")
    return value if isinstance(value, int) else len(code)


def _refused(failure: report.Failure) -> dict[str, Any]:
    return {"status": "error", **failure.content()}
