"""The frames of HTTP/2 (RFC 9113) that gRPC needs: what they are called, and the bytes of those that we send.

Header fields go out as literals that enter no table: an answer is then the same bytes for everybody, made once.
"""

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Final

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES = 16 << 10  # of one frame, in both directions: what everybody takes without being asked
HEAD_BYTES = 9
MOST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535  # of the connection, and of a stream that nobody spoke of
USUAL_TABLE = 4_096

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
HEADER_TABLE_SIZE, ENABLE_PUSH, MOST_STREAMS, INITIAL_WINDOW, MOST_FRAME, MOST_HEADER_LIST = range(1, 7)

head_of: Final = Struct(">HBBBI").unpack_from  # the size comes in two parts: there is no number of three bytes
settings_of: Final = Struct(">HI").iter_unpack
_head = Struct(">BHBBI").pack
_message = Struct(">BI").pack


class Code(IntEnum):
    """Why a stream or a connection ends."""

    NONE = 0
    PROTOCOL = 1
    INTERNAL = 2
    FLOW_CONTROL = 3
    STREAM_CLOSED = 5
    FRAME_SIZE = 6
    REFUSED = 7
    CANCEL = 8
    COMPRESSION = 9
    CALM = 11


class Broken(Exception):
    """What a client sent leaves nothing to go on with: the connection ends, and is told why."""

    def __init__(self, code: Code, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(why)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write one frame.

    >>> frame(PING, ACK, 0, b"12345678").hex(" ")
    '00 00 08 06 01 00 00 00 00 31 32 33 34 35 36 37 38'
    """
    size = len(payload)
    return _head(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    """Write a header field as it is (RFC 7541, 6.2.2).

    >>> field(b"te", b"trailers")
    b'\\x00\\x02te\\x08trailers'
    """
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(size: int) -> bytes:
    """Write the length of a text, in seven bits and then in sevens (RFC 7541, 5.1)."""
    if size < 127:
        return bytes((size,))
    made = bytearray((127,))
    size -= 127
    while size > 127:
        made.append(size & 127 | 128)
        size >>= 7
    made.append(size)
    return bytes(made)


OPENING = b"\x88" + field(b"content-type", b"application/grpc")  # :status 200
OK = field(b"grpc-status", b"0")
SHRUNK = b"\x20"  # says that we use no table; who gives us a smaller one than usual wants to hear it


def answer(stream: int, body: bytes, opening: bytes) -> bytes:
    """Write a whole answer: its opening, one message and the end."""
    size = len(body) + 5
    return b"".join(
        (
            _head(0, len(opening), HEADERS, END_HEADERS, stream),
            opening,
            _head(0, size, DATA, 0, stream),
            _message(0, len(body)),
            body,
            _head(0, len(OK), HEADERS, END_HEADERS | END_STREAM, stream),
            OK,
        )
    )


def message(body: bytes) -> bytes:
    """Write a message as gRPC lays it into the data of a stream."""
    return _message(0, len(body)) + body


def trailers(status: int, told: str, more: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Write the fields that end a call."""
    lines = [field(b"grpc-status", b"%d" % status), field(b"grpc-message", escaped(told))]
    return b"".join([*lines, *(field(name, value) for name, value in more)])


def escaped(text: str) -> bytes:
    """Write a text with all but plain characters as %XX.

    >>> escaped("50 %\\n")
    b'50 %25%0A'
    """
    data = text.encode()
    if data.isascii() and text.isprintable() and b"%" not in data:
        return data
    return b"".join([b"%c" % byte if 32 <= byte < 127 and byte != 37 else b"%%%02X" % byte for byte in data])


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(
        SETTINGS, 0, 0, b"".join([name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs])
    )


def update(stream: int, size: int) -> bytes:
    """Let a client send so many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def reset(stream: int, code: Code) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: Code, why: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + why.encode())
