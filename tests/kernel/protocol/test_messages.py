"""The wire format, against the library that every client uses."""

from __future__ import annotations

import pytest
from jupyter_client.session import Session

from nbs_kernel.messages import DELIMITER, MalformedError, Wire

KEY = b"a key of this test"


@pytest.fixture
def wire() -> Wire:
    return Wire(KEY, "hmac-sha256")


@pytest.fixture
def session() -> Session:
    return Session(key=KEY, packer="json", unpacker="json")


def sent(session: Session, kind: str, content: dict) -> list[bytes]:
    return session.serialize(session.msg(kind, content), ident=[b"someone"])


def test_a_client_understands_what_is_packed(wire: Wire, session: Session) -> None:
    content = {"text": "größe \x00\x1b[31m", "list": [1, None, {"a": True}]}
    msg_id, frames = wire.pack("stream", content, {"msg_id": "1"}, (b"topic",), {"m": 1})
    identities, rest = session.feed_identities(frames)
    message = session.deserialize(rest)
    assert identities == [b"topic"]
    assert message["header"]["msg_id"] == msg_id
    assert message["header"]["date"].tzinfo is not None
    assert (message["msg_type"], message["content"]) == ("stream", content)
    assert (message["parent_header"], message["metadata"]) == ({"msg_id": "1"}, {"m": 1})


def test_what_a_client_sends_is_understood(wire: Wire, session: Session) -> None:
    message = wire.unpack("shell", sent(session, "execute_request", {"code": "ls ü"}))
    assert (message.channel, message.identities) == ("shell", (b"someone",))
    assert (message.kind, message.content, message.flaw) == (
        "execute_request",
        {"code": "ls ü"},
        "",
    )


def test_half_a_character_survives(wire: Wire, session: Session) -> None:
    half = "\ud800"
    _, frames = wire.pack("stream", {"text": half}, {})
    message = session.deserialize(session.feed_identities(frames)[1])
    assert message["content"]["text"] == half


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([b"a"], "delimiter"),
        ([DELIMITER, b"", b"{}"], "parts"),
        ([DELIMITER, b"0" * 64, b"{}", b"{}", b"{}", b"{}"], "signature"),
        ([DELIMITER, b"\xff", b"{}", b"{}", b"{}", b"{}"], "signature"),
    ],
)
def test_what_nobody_with_the_key_sent_is_refused(
    wire: Wire, frames: list[bytes], why: str
) -> None:
    with pytest.raises(MalformedError, match=why):
        wire.unpack("shell", frames)


def test_a_message_that_comes_twice_is_refused(wire: Wire, session: Session) -> None:
    frames = sent(session, "kernel_info_request", {})
    wire.unpack("shell", frames)
    with pytest.raises(MalformedError, match="before"):
        wire.unpack("shell", frames)


@pytest.mark.parametrize("content", [b"[]", b"nonsense", b"\xff", b"[" * 100_000])
def test_content_that_is_no_object_is_a_flaw_that_can_be_answered(
    wire: Wire, session: Session, content: bytes
) -> None:
    frames = sent(session, "execute_request", {})
    frames[-1] = content
    frames[2] = session.sign(frames[3:])
    message = wire.unpack("shell", frames)
    assert (message.kind, message.content) == ("execute_request", {})
    assert "content" in message.flaw


def test_a_header_without_a_type_cannot_be_answered(wire: Wire, session: Session) -> None:
    frames = sent(session, "x", {})
    frames[3] = b'{"msg_id": "1", "msg_type": 5}'
    frames[2] = session.sign(frames[3:])
    with pytest.raises(MalformedError, match="header"):
        wire.unpack("shell", frames)


def test_without_a_key_nothing_is_signed() -> None:
    wire, session = Wire(b"", "hmac-sha256"), Session(key=b"", packer="json", unpacker="json")
    assert wire.unpack("shell", sent(session, "a_request", {})).kind == "a_request"


def test_an_unknown_signature_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="hmac-nothing"):
        Wire(KEY, "hmac-nothing")
