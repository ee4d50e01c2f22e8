"""A gateway, as docs/how-to/jupyterhub.md starts it: its kernels are used over HTTP from elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from tornado.websocket import websocket_connect

from tests.kernel.conftest import ROOT
from tests.kernel.frontends.conftest import LIMIT_S, require, until
from tests.kernel.frontends.test_raw_client import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kernel.conftest import Home

pytestmark = pytest.mark.usefixtures("leaves_nothing")
GIVEN = ("PYTHONPATH", "NBS_BUILD", "NBS_STATE_HOME")
"""What else a kernel would have from being installed, and from the home of its user."""


@pytest.fixture
def gateway(make_home: Callable[[str], Home]) -> Iterator[str]:
    """The address of one. It gives its kernels no variable of its own but PATH."""
    require(modules=("kernel_gateway",))
    home = make_home("gateway-home")
    entry = home.path / "jupyter/kernels/nbs/kernel.json"
    told = json.loads(entry.read_text())
    entry.write_text(json.dumps({**told, "env": {n: home.environment[n] for n in GIVEN}}))
    page = (ROOT / "docs/how-to/jupyterhub.md").read_text()
    written = re.search(r"^jupyter kernelgateway (.*?)(?:  +#.*)?$", page, re.MULTILINE)
    assert written
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "kernel_gateway", *written[1].split(), f"--port={port}"]
    with (home.path / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=home.environment, cwd=home.path, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(address), "the gateway answers")
        assert process.poll() is None, (home.path / "gateway.log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait()


def asked(address: str, path: str, what: Any = None, method: str = "GET") -> Any:
    data = None if what is None else json.dumps(what).encode()
    request = urllib.request.Request(f"{address}{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as reply:
        return json.loads(reply.read() or b"null")


def answers(address: str) -> bool:
    try:
        return "nbs" in asked(address, "/api/kernelspecs")["kernelspecs"]
    except OSError:
        return False


async def run(address: str, kernel: str, code: str) -> tuple[str, str]:
    """What a cell prints, and the name of its error."""
    socket = await websocket_connect(f"ws{address[4:]}/api/kernels/{kernel}/channels")
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": uuid.uuid4().hex,
        "username": "",
        "version": "5.3",
    }
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": code}}
    await socket.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
    text, error = "", ""
    while True:
        seen = json.loads(await socket.read_message())
        if seen["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        content = seen["content"]
        text += content.get("text", "")
        error = content.get("ename", error)
        if content.get("execution_state") == "idle":
            socket.close()
            return text, error


def test_a_kernel_of_a_gateway_is_in_the_sandbox_and_is_listed(gateway: str) -> None:
    kernel = asked(gateway, "/api/kernels", {"name": "nbs"}, "POST")["id"]
    text, error = asyncio.run(run(gateway, kernel, "pwd; ls /usr"))
    assert "/build/hello" in text
    assert "cannot access '/usr'" in text
    assert error == "ExitStatus"
    # JupyterLab lists them, which a gateway forbids if it is not told otherwise.
    assert [found["id"] for found in asked(gateway, "/api/kernels")] == [kernel]
    asked(gateway, f"/api/kernels/{kernel}", method="DELETE")
