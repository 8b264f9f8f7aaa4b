"""One stream of a connection: data become the messages of a call, and answers go out as far as the client lets them.

A stream takes no more than its window holds, and gives the window back only for what was taken from it. Answers that
the client has no room for wait here, for a while.
"""

from collections import deque
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

from holdtrue.serving.ask import Problem, malformed
from holdtrue.serving.grpc_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    HEADERS,
    MOST_WINDOW,
    OK,
    Broken,
    Code,
    answer,
    field,
    frame,
    message,
    reset,
    update,
)
from holdtrue.serving.grpc_heads import Head
from holdtrue.serving.unpacking import unpacked

if TYPE_CHECKING:
    from holdtrue.serving.grpc_connection import Connection

WINDOW_BYTES = 1 << 20  # that a client may send before it is given more
READ_BYTES = 64 << 10  # that a slow reader must have taken to be given longer
WORTH_BYTES = 1 << 10  # a piece of an answer that is larger is worth the frames by which room was made for it
RESOURCE_EXHAUSTED = 8
ENCODINGS = frozenset({b"identity", b"gzip", b"deflate"})


@runtime_checkable
class Taker(Protocol):
    """What takes the messages of one call.

    Attributes:
        wants: it takes one more message now.
    """

    @property
    def wants(self) -> bool: ...

    def take(self, body: bytes, /) -> None:
        """Take a message."""
        ...

    def end(self) -> None:
        """Hear that no more messages come."""
        ...

    def fail(self, problem: Problem, status: int | None = None, /) -> None:
        """Hear that the call cannot go on, and say so to its client."""
        ...

    def leave(self) -> None:
        """Hear that nobody waits for an answer any more."""
        ...


@final
class Nobody:
    """Takes nothing: what a stream has before its call was let in, and after its end."""

    wants = False

    def take(self, body: bytes, /) -> None: ...

    def end(self) -> None: ...

    def fail(self, problem: Problem, status: int | None = None, /) -> None: ...

    def leave(self) -> None: ...


NOBODY = Nobody()


@final
class Stream:
    """One call, as its connection has it.

    Attributes:
        window: bytes that the client takes of this stream.
        ended: the client has sent all.
        since_s: when the message began that is awaited; None when none is.
        until_s: when its answer is worth nothing any more, on the monotonic clock.
        unsent: bytes of answers that wait for room.
    """

    __slots__ = (
        "_cutting", "_held", "_moved", "_opened", "_outbox", "_stuck_s", "_trailers", "_unreturned", "closed", "ended",
        "head", "id", "link", "since_s", "taker", "unsent", "until_s", "window",
    )  # fmt: skip

    def __init__(self, link: "Connection", id: int, head: Head, window: int, now_s: float) -> None:
        self.link = link
        self.id = id
        self.head = head
        self.window = window
        self.taker: Taker = NOBODY
        self.closed = False
        self.ended = False
        self.since_s: float | None = now_s
        self.until_s = inf if head.timeout_s is None else now_s + head.timeout_s
        self.unsent = 0
        self._held = bytearray()
        self._cutting = False
        self._unreturned = 0
        self._outbox: deque[memoryview] = deque()
        self._opened = False
        self._trailers: bytes | None = None
        self._stuck_s: float | None = None
        self._moved = 0

    # What the client sends.

    def feed(self, data: bytes, size: int, ended: bool) -> None:
        """Take what a frame brought; `size` is what it took of the window."""
        if self.ended:
            raise Broken(Code.STREAM_CLOSED, "there are data after the end of a stream")
        self._unreturned += size
        if self._unreturned > WINDOW_BYTES:
            raise Broken(Code.FLOW_CONTROL, "a stream has more data than its window")
        self.ended = ended
        if not self._held and self._is_whole(data) and self.taker.wants:
            self._hand(data[5:])
            data = b""
        if data:
            self._held += data
            self.link.server.buffered += len(data)
        self.go_on()

    def _is_whole(self, data: bytes) -> bool:
        """Say whether data are one plain message and no more, as they mostly are."""
        return (
            len(data) > 4
            and data[0] == 0
            and int.from_bytes(data[1:5], "big") == len(data) - 5
            and len(data) - 5 <= self.link.server.limits.body_bytes
        )

    def go_on(self) -> None:
        """Hand on every message that is there and wanted, and let the client send more."""
        if self._cutting or self.closed:
            return
        self._cutting = True
        try:
            while self.taker.wants and (body := self._next()) is not None:
                self._hand(body)
            self._look_on()
        except Problem as problem:
            self.taker.fail(problem.with_traceback(None), RESOURCE_EXHAUSTED if problem.status == 413 else None)
        finally:
            self._cutting = False

    def _hand(self, body: bytes) -> None:
        self.since_s = None
        self.taker.take(body)

    def _next(self) -> bytes | None:
        """Cut the next message off; None when it is not whole. Raises `Problem`."""
        held = self._held
        if len(held) < 5:
            return None
        size = int.from_bytes(held[1:5], "big")
        most = self.link.server.limits.body_bytes
        if size > most:
            raise Problem(413, "too large", f"a message has at most {most:,} bytes")
        if len(held) < size + 5:
            return None
        packed, body = held[0], bytes(held[5 : size + 5])
        del held[: size + 5]
        self.link.server.buffered -= size + 5
        if not packed:
            return body
        encoding = self.head.encoding
        if packed > 1 or encoding == b"identity":
            raise malformed("a message says that it is compressed, and the call does not say how")
        return unpacked(body, encoding, most, codings=ENCODINGS)

    def _look_on(self) -> None:
        """See what is to be waited for; raises `Problem` when nothing can come."""
        limits, server = self.link.server.limits, self.link.server
        if self.closed:
            return
        if not self.taker.wants:
            if self.ended and not self._held:
                self.taker.end()
            return
        if self.ended:
            if self._held:
                raise malformed("the call ends within a message")
            self.taker.end()
            return
        if server.buffered > limits.buffered_bytes:
            raise Problem(503, "overloaded", "too many requests are being received", retry_after_s=1.0)
        if self._held and self.since_s is None:
            self.since_s = monotonic()
        if self._unreturned > WINDOW_BYTES // 2:
            self.link.write(update(self.id, self._unreturned))
            self._unreturned = 0

    # What the client gets.

    def answer(self, body: bytes) -> None:
        """Give the one answer of a call, and end it."""
        link, size = self.link, len(body) + 5
        if size > FRAME_BYTES or size > self.window or size > link.window or link.full or self.closed:
            self.send(body)
            self.finish(OK)
            return
        link.window -= size
        link.write(answer(self.id, body, link.opening()))
        link.earn()
        self._end()

    def send(self, body: bytes) -> None:
        """Give one message of an answer."""
        if self.closed:
            return
        self._open()
        data = message(body)
        self._outbox.append(memoryview(data))
        self.unsent += len(data)
        self.pump()

    def finish(self, trailers: bytes) -> None:
        """End the call, after all that was given."""
        self._trailers = trailers
        self.pump()

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self.link.write(frame(HEADERS, END_HEADERS, self.id, self.link.opening()))

    def pump(self) -> None:
        """Send as much as there is room for."""
        link, outbox = self.link, self._outbox
        if self.closed:
            return
        while outbox:
            room = min(self.window, link.window, FRAME_BYTES)
            if room <= 0 or link.full:
                self._wait()
                return
            piece = outbox[0]
            part = piece[:room]
            link.write(frame(DATA, 0, self.id, bytes(part)))
            self._account(len(part))
            if len(part) == len(piece):
                outbox.popleft()
            else:
                outbox[0] = piece[room:]
            if len(part) == len(piece) or len(part) >= WORTH_BYTES:
                link.earn()
        self._stuck_s = None
        was_blocked = link.blocked.pop(self.id, None) is not None
        if self._trailers is not None:
            opening = b"" if self._opened else link.opening()
            link.write(frame(HEADERS, END_HEADERS | END_STREAM, self.id, opening + self._trailers))
            self._end()
        elif was_blocked:
            self.go_on()  # requests may have waited for their answers to have room

    def _account(self, size: int) -> None:
        self.window -= size
        self.link.window -= size
        self.unsent -= size
        self._moved += size
        if self._moved >= READ_BYTES:
            self._stuck_s = None

    def _wait(self) -> None:
        self.link.blocked[self.id] = self
        if self.link.window <= 0:
            self.link.shut()
        if self._stuck_s is None:
            self._stuck_s, self._moved = monotonic(), 0

    def widen(self, size: int) -> None:
        """Take what the client has room for now, or less; raises `Broken`."""
        self.window += size
        if self.window > MOST_WINDOW:
            raise Broken(Code.FLOW_CONTROL, "the window of a stream is too large")

    # Its end.

    def check(self, now_s: float) -> None:
        """End the call when its client is too slow to send, or to take its answers."""
        limits = self.link.server.limits
        if self._stuck_s is not None and now_s - self._stuck_s > limits.write_s:
            if self.window > 0:
                self._stuck_s = now_s  # it waits for the connection, which is looked at by itself
            else:
                self.reset(Code.CANCEL)
        elif now_s > self.until_s and self._trailers is None:
            self.taker.fail(Problem(504, "too late", "the deadline of the call has passed"))
        elif self.since_s is not None and not self.ended and now_s - self.since_s > limits.body_s:
            self.since_s = None
            self.taker.fail(Problem(408, "too slow", f"a request arrives within {limits.body_s:g} s"))

    def reset(self, code: Code) -> None:
        """End without an answer."""
        if not self.closed:
            self.link.write(reset(self.id, code))
            self.ended = True
            self._end()

    def refuse(self, status: int) -> None:
        """Answer as HTTP does what is no call of gRPC."""
        shown = field(b":status", b"%d" % status)
        self.link.write(frame(HEADERS, END_HEADERS | END_STREAM, self.id, shown))
        self._end()

    def _end(self) -> None:
        if not self.ended:
            self.link.write(reset(self.id, Code.NONE))  # what it still sends is not wanted
        self.close()
        self.link.left()

    def close(self) -> None:
        """Forget everything; what is large should not wait for the collector of garbage."""
        if self.closed:
            return
        self.closed = True
        link = self.link
        del link.streams[self.id]
        link.blocked.pop(self.id, None)
        link.server.buffered -= len(self._held)
        self._held = bytearray()
        self._outbox.clear()
        taker, self.taker = self.taker, NOBODY
        taker.leave()
