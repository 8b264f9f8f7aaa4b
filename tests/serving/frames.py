"""A client of HTTP/2 that sends whatever frames it is told, and reads answers frame by frame."""

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import hpack

from holdtrue.serving.grpc_messages import SERVICE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PROTOCOL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION, CALM = 1, 3, 5, 6, 7, 8, 9, 11
EMPTY = b"\x00\x00\x00\x00\x00"  # a message of nothing


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """Why something ends."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload, "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(**pairs: int) -> bytes:
    """Write settings; `s4` is the one of number 4."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", int(name[1:]), value) for name, value in pairs.items()))


def literal(name: str, value: str, *, first: bytes = b"\x00") -> bytes:
    """Write one header field as it is; with `first=b"@"` it enters the table."""
    said, meant = name.encode(), value.encode()
    return first + bytes([len(said)]) + said + bytes([len(meant)]) + meant


def headers(method: str = "ModelInfer", **more: str) -> bytes:
    """Write the headers of a call, each as it is, without compression."""
    lines = {
        ":method": "POST", ":scheme": "http", ":path": f"/{SERVICE}/{method}", ":authority": "x", "te": "trailers",
        "content-type": "application/grpc", **{name.replace("_", "-"): value for name, value in more.items()},
    }  # fmt: skip
    return b"".join(literal(name, value) for name, value in lines.items())


def call(stream: int, method: str, body: bytes = b"", **more: str) -> bytes:
    """Write a whole call of one message."""
    message = b"\x00" + len(body).to_bytes(4, "big") + body
    parts = [message[start : start + 16_384] for start in range(0, len(message), 16_384)]
    data = b"".join(frame(DATA, int(part is parts[-1]), stream, part) for part in parts)
    return frame(HEADERS, END_HEADERS, stream, headers(method, **more)) + data


OPENING = PREFACE + frame(SETTINGS, 0, 0)


@dataclass(kw_only=True, slots=True)
class Told:
    """How a stream ended."""

    fields: Mapping[str, str]
    data: bytes = b""
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.fields["grpc-status"])


@dataclass(kw_only=True, slots=True)
class Link:
    """One connection, and what it has received."""

    link: socket.socket
    held: bytearray = field(default_factory=bytearray)
    decoder: hpack.Decoder = field(default_factory=hpack.Decoder)
    goodbye: Frame | None = None

    def send(self, *data: bytes) -> "Link":
        with suppress(OSError):  # what it has to say was said before
            self.link.sendall(b"".join(data))
        return self

    def next(self) -> Frame | None:
        """Read a frame; None when the connection has ended."""
        while len(self.held) < 9 or len(self.held) < 9 + int.from_bytes(self.held[:3], "big"):
            try:
                data = self.link.recv(65_536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self.held += data
        size = int.from_bytes(self.held[:3], "big")
        made = Frame(self.held[3], self.held[4], int.from_bytes(self.held[5:9], "big"), bytes(self.held[9 : 9 + size]))
        del self.held[: 9 + size]
        if made.kind == GOAWAY:
            self.goodbye = made
        return made

    def until(self, kind: int, stream: int = 0) -> Frame:
        """Read up to a frame of this kind that is no confirmation."""
        while (made := self.next()) is not None:
            if (made.kind, made.stream) == (kind, stream) and not (kind in (SETTINGS, PING) and made.flags & ACK):
                return made
        raise EOFError(self.goodbye)

    def told(self, stream: int) -> Told:
        """Read up to the end of a stream."""
        made = Told(fields={})
        while (each := self.next()) is not None:
            if each.kind == HEADERS:  # all of them are read: they may build on each other
                fields = {str(name): str(value) for name, value in self.decoder.decode(each.payload)}
                if each.stream == stream:
                    made.fields = {**made.fields, **fields}
            if each.stream != stream:
                continue
            if each.kind == DATA:
                made.data += each.payload
            if each.kind == RST_STREAM:
                made.reset = each.code
                return made
            if each.flags & END_STREAM:
                return made
        raise EOFError(self.goodbye)

    def ended(self) -> int | None:
        """Read up to the end of the connection; gives the reason that was told."""
        while self.next() is not None:
            pass
        return None if self.goodbye is None else self.goodbye.code

    def alive(self, stream: int) -> bool:
        """Say whether a simple call is answered."""
        return self.send(call(stream, "ServerLive")).told(stream).status == 0

    def close(self) -> None:
        self.link.close()


def connected(target: str, *, opening: bytes = OPENING, room: int = 0) -> Link:
    """Connect; `room` is what the system may hold for us unread."""
    host, _, port = target.rpartition(":")
    link = socket.socket()
    if room:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    link.settimeout(60)
    link.connect((host, int(port)))
    return Link(link=link).send(opening)
