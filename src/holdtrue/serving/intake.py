"""Bytes become requests, by httptools and by limits that it does not have: what cannot be read raises a `Problem`.

Read strictly, for whoever stands before this server may have read the same bytes otherwise: no second header that
decides, no field after the body, no encoding of the body but chunks.
"""

import logging
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import final

import httptools

from holdtrue.serving.ask import Problem, malformed
from holdtrue.serving.exchange import Exchange, Limits, Line

ONCE = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"content-type",
        b"content-encoding",
        b"inference-header-content-length",
        b"origin",
        b"sec-fetch-site",
    }
)
OFFER = (b"upgrade", b"connection", b"http2-settings")
VERSIONS = ("1.0", "1.1")
# A body in chunks of a byte costs a thousand times its size: beyond the first 256 KiB of the wire, a quarter is body.
WIRE_FOR_BODY, WIRE_FREE = 4, 256 << 10
LOG = logging.getLogger("holdtrue.serving")


class Phase(Enum):
    """Where a connection stands: between requests, in a head, in a body."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


IDLE, HEAD, BODY = Phase.IDLE, Phase.HEAD, Phase.BODY


@final
class Intake:
    """Reads the requests of one connection.

    Attributes:
        since_s: when the request began that is being received, or when the connection fell idle.
        current: the request that is being received, once its first line is known.
        expects: the client waits to be told that its body may come.
    """

    __slots__ = (
        "_body",
        "_fields",
        "_head_bytes",
        "_limits",
        "_line",
        "_new",
        "_parser",
        "_pieces",
        "_received",
        "_take",
        "_wire_bytes",
        "current",
        "expects",
        "phase",
        "since_s",
    )  # fmt: skip

    def __init__(self, line: Line, take: Callable[[Exchange], None]) -> None:
        """Read for a connection; `take` gets each request that is whole."""
        self.phase = IDLE
        self.since_s = monotonic()
        self.current: Exchange | None = None
        self.expects = False
        self._line = line
        self._take = take
        self._limits = line.server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._fields = 0
        self._new = True  # HTTP/1.1; older clients get an answer and no more
        self._head_bytes = 0
        self._wire_bytes = 0  # of this phase, in the reads after the one in which it began
        self._body = b""
        self._pieces: bytearray | None = None  # of a body that comes in several
        self._received = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Read what came; raises `Problem`, and then nothing more can be read."""
        if self.phase is IDLE:
            self._begin()
        self._wire_bytes += len(data)
        rest = data
        while rest:
            rest = self._parse(rest)
        if self.phase is HEAD and self._wire_bytes > self._limits.head_bytes:
            raise _head_too_large(self._limits)
        if self.phase is BODY and self._wire_bytes > WIRE_FOR_BODY * self._received + WIRE_FREE:
            raise malformed("the chunks of the body are too small for its size")

    def end(self) -> Exchange | None:
        """Stop reading; gives the request that is not whole, if there is one."""
        self._forget()
        current, self.current = self.current, None
        self.phase, self.expects = IDLE, False
        return current

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        exchange = self.current
        if exchange is None:
            exchange = self.current = Exchange(self._line)
        exchange.target += url
        if len(exchange.target) > self._limits.target_bytes:
            raise Problem(414, "too large", f"a path has at most {self._limits.target_bytes:,} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange, limits = self.current, self._limits
        assert exchange is not None
        self._fields += 1
        self._head_bytes += len(name) + len(value) + 4
        if self._fields > limits.fields:
            raise Problem(431, "too large", f"a request has at most {limits.fields} header fields")
        if self._head_bytes > limits.head_bytes:
            raise _head_too_large(limits)
        if self.phase is BODY:  # a field after the body: whoever looked at the head for us did not see it
            return
        name = name.lower()
        if name in ONCE and name in exchange.headers:
            raise malformed(f"the header {name.decode('latin-1')} is there twice")
        exchange.headers[name] = value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        exchange, parser = self.current, self._parser
        assert exchange is not None
        self.phase = BODY
        self._wire_bytes = 0
        headers = exchange.headers
        exchange.method = parser.get_method()
        exchange.started_s = monotonic()
        version = parser.get_http_version()
        self._new = version == "1.1"
        if not self._new:
            _check_old(version, headers)
        elif b"host" not in headers:
            raise malformed("a request names its host")
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            raise malformed("a body comes whole or in chunks, and in no other transfer encoding")
        length = headers.get(b"content-length")
        if length is not None:
            self._check_room(int(length))
        if b"expect" in headers:
            self.expects = self._new and headers[b"expect"].lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        if self._pieces is not None:
            self._pieces += body
        elif self._received:
            self._pieces = bytearray(self._body)
            self._pieces += body
        else:
            self._body = body
        self._received += len(body)
        self._line.server.buffered += len(body)
        self._check_room(0)

    def on_message_complete(self) -> None:
        exchange, parser = self.current, self._parser
        assert exchange is not None
        if parser.should_upgrade():
            return  # `_parse` hears of it next
        if self._received:
            exchange.body = self._body if self._pieces is None else bytes(self._pieces)
            self._forget()
        exchange.keep = self._new and parser.should_keep_alive()
        self.current = None
        self.phase, self.expects = IDLE, False
        self.since_s = monotonic()
        self._take(exchange)

    # What is behind these.

    def _begin(self) -> None:
        self.phase = HEAD
        self.since_s = monotonic()
        self.current = None
        self._fields = self._head_bytes = self._wire_bytes = 0

    def _parse(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse; gives what the parser left."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            return self._without_offer(data, int(offered.args[0]))
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, Problem):
                raise cause from None
            LOG.error("a request could not be read", exc_info=cause)
            raise malformed("the request cannot be read") from None
        except httptools.HttpParserError:
            raise malformed("this is not HTTP/1.1") from None
        return b""

    def _without_offer(self, data: bytes | memoryview, offset: int) -> memoryview:
        """Read a request again without its offer to change the protocol, for which the parser takes no body.

        Clients that would rather speak HTTP/2 send one with their first request, and its body after it.
        """
        exchange, began_s = self.current, self.since_s
        assert exchange is not None
        if exchange.method == b"CONNECT":
            raise Problem(405, "method", "this server is no proxy")
        headers = exchange.headers
        lines = [b"%s: %s\r\n" % (name, value) for name, value in headers.items() if name not in OFFER]
        if b"close" in headers.get(b"connection", b"").lower():
            lines.append(b"connection: close\r\n")
        first = exchange.method, exchange.target, self._parser.get_http_version().encode()
        self._parser = httptools.HttpRequestParser(self)
        self._parse(b"%s %s HTTP/%s\r\n%s\r\n" % (*first, b"".join(lines)))
        self.since_s = began_s
        return memoryview(data)[offset:]

    def _check_room(self, announced: int) -> None:
        """Raise unless what was received, or is announced, may still come."""
        limits = self._limits
        if self._received + announced > limits.body_bytes:
            raise Problem(413, "too large", f"a body has at most {limits.body_bytes:,} bytes")
        if self._line.server.buffered + announced > limits.buffered_bytes:
            raise Problem(503, "overloaded", "too many requests are being received", retry_after_s=1.0)

    def _forget(self) -> None:
        self._line.server.buffered -= self._received
        self._received = 0
        self._body, self._pieces = b"", None


def _check_old(version: str, headers: dict[bytes, bytes]) -> None:
    if version not in VERSIONS:
        raise Problem(505, "version", "this server speaks HTTP/1.1")
    if b"transfer-encoding" in headers:
        raise malformed("HTTP/1.0 knows no chunks")


def _head_too_large(limits: Limits) -> Problem:
    return Problem(431, "too large", f"the head of a request has at most {limits.head_bytes:,} bytes")
