"""As much of HTTP/2 as the load needs: requests in fixed bytes, answers by their frames.

Source: RFC 9113 (frames), RFC 7541 (HPACK: indexed fields of the static table).
"""

from collections.abc import Iterator
from dataclasses import dataclass

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM = 1
END_HEADERS = 4
ACK = 1
HEAD = 9
OK = 0x88
"""``:status: 200`` of the static table."""
_REQUEST = bytes([0x82, 0x86, 0x84, 0x41, 9]) + b"127.0.0.1"
"""``GET``, ``http``, ``/``, and an authority as a literal."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its type, its flags, the stream it belongs to and what it holds."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
"""What a client says first."""
WIDE = frame(WINDOW_UPDATE, 0, 0, (0x7FFFFFFF - 65535).to_bytes(4, "big"))
"""Lets the server send 2 GiB on a connection before it has to be told again."""
BREACH = frame(PING, 0, 1, bytes(8))
"""A PING on a stream: the protocol does not allow it (RFC 9113, section 6.7)."""


def request(stream: int) -> bytes:
    """``GET /`` on a new stream."""
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, _REQUEST)


def frames(buffer: bytearray) -> Iterator[Frame]:
    """Take the complete frames off the front of ``buffer``."""
    while len(buffer) >= HEAD:
        end = HEAD + int.from_bytes(buffer[:3], "big")
        if len(buffer) < end:
            return
        stream = int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
        yield Frame(buffer[3], buffer[4], stream, bytes(buffer[HEAD:end]))
        del buffer[:end]
