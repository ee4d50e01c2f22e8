"""Connection files, and the sockets that they ask for."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading

import pytest

from nbs_kernel.connection import CHANNELS, read_connection
from sandbox import Error


def own_address():
    """An address of this machine at which nobody else listens, so that free ports stay free."""
    number = os.getpid()
    return f"127.{100 + (number >> 16) % 100}.{(number >> 8) % 256}.{number % 254 + 1}"


IP = own_address()


def free_ports(count):
    held = [socket.create_server((IP, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def write(tmp_path, **changed):
    ports = dict(zip((f"{c}_port" for c in CHANNELS), free_ports(5), strict=True))
    data = {"transport": "tcp", "ip": IP, "key": "k", **ports, **changed}
    path = tmp_path / "kernel.json"
    path.write_text(json.dumps(data))
    return str(path), data


def test_a_connection_file_is_read_whole(tmp_path):
    path, data = write(tmp_path, curve_publickey="p", curve_secretkey="s")
    connection = read_connection(path)
    assert dict(connection.ports) == {c: data[f"{c}_port"] for c in CHANNELS}
    assert (connection.key, connection.signature_scheme) == (b"k", "hmac-sha256")
    assert (connection.curve_public, connection.curve_secret) == (b"p", b"s")
    assert connection.endpoint("hb") == f"tcp://{IP}:{data['hb_port']}"


def test_clients_can_connect_as_soon_as_the_sockets_listen(tmp_path):
    path, data = write(tmp_path)
    listening = read_connection(path).listen()
    try:
        for channel in CHANNELS:
            socket.create_connection((IP, data[f"{channel}_port"]), 30).close()
    finally:
        for descriptor in listening.values():
            os.close(descriptor)


def test_a_restarted_kernel_listens_where_the_one_before_did(tmp_path):
    path, data = write(tmp_path)
    for _ in range(2):
        listening = read_connection(path).listen()
        with socket.create_connection((IP, data["shell_port"]), 30):
            os.close(os.dup(listening["shell"]))
        for descriptor in listening.values():
            os.close(descriptor)


def test_sockets_of_the_file_system_are_for_their_owner_and_go_again(tmp_path):
    ports = {f"{channel}_port": number for number, channel in enumerate(CHANNELS, 1)}
    path, _ = write(tmp_path, transport="ipc", ip=str(tmp_path / "ipc"), **ports)
    connection = read_connection(path)
    for _ in range(2):  # one that was killed leaves them behind
        for descriptor in connection.listen().values():
            os.close(descriptor)
    assert connection.endpoint("shell") == f"ipc://{tmp_path}/ipc-1"
    assert stat.S_IMODE(os.stat(tmp_path / "ipc-1").st_mode) == 0o600
    connection.remove_sockets()
    assert not (tmp_path / "ipc-1").exists()


def test_a_kernel_waits_for_the_end_of_the_one_before_that_was_killed(tmp_path):
    with socket.create_server((IP, 0)) as dying:
        path, _ = write(tmp_path, shell_port=dying.getsockname()[1])
        death = threading.Timer(0.3, dying.close)
        death.start()
        for descriptor in read_connection(path).listen().values():
            os.close(descriptor)
        death.join()


def test_a_port_that_another_has_is_told_with_its_address(tmp_path, monkeypatch):
    monkeypatch.setattr("nbs_kernel.connection.PREDECESSOR_S", 0.1)
    with socket.create_server((IP, 0)) as other:
        port = other.getsockname()[1]
        path, _ = write(tmp_path, shell_port=port)
        with pytest.raises(Error) as caught:
            read_connection(path).listen()
    assert caught.value.reason == "connection-refused"
    assert str(port) in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "{}", '{"transport": "udp"}', '{"shell_port": "x"}', "\x00\xff", "[" * 100000],
)
def test_what_is_no_connection_file_is_told(tmp_path, text):
    (tmp_path / "kernel.json").write_text(text, encoding="latin-1")
    with pytest.raises(Error) as caught:
        read_connection(str(tmp_path / "kernel.json"))
    assert caught.value.reason == "connection-file"


def test_a_connection_file_that_is_not_there_is_told():
    with pytest.raises(Error) as caught:
        read_connection("/nowhere/kernel.json")
    assert caught.value.reason == "connection-file"
    assert caught.value.evidence == ("No such file or directory",)
