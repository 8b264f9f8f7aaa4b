"""Bytes of a connection become frames, and frames become heads, data and windows of streams.

What a client may make us do for nothing is paid from its patience: each frame that brings no request costs, answers and
time give back. What cannot be gone on with raises `Broken`.
"""

from time import monotonic
from typing import TYPE_CHECKING, final

from holdtrue.serving import grpc_frames as h2
from holdtrue.serving.grpc_frames import Broken, Code
from holdtrue.serving.grpc_heads import WIDEST, Head, Heads
from holdtrue.serving.grpc_stream import RESOURCE_EXHAUSTED, WINDOW_BYTES, Stream

if TYPE_CHECKING:
    from holdtrue.serving.grpc_connection import Connection

MOST_STREAMS = 100  # of one connection
WINDOW = 8 << 20  # of a connection; what it may leave with us is bounded by its streams
TURN = 64  # calls that are read before other connections have their turn
PATIENCE, PATIENCE_PER_S, EARNED = 4_000, 1_000, 4
SMALL_BYTES = 64  # a frame of data that is smaller, and not the last, brings too little
MOST_CONTINUATIONS = 16
LARGE_BYTES = 256  # of a head in several frames cost as much as a frame that brings nothing: they take long to read
FAREWELL = b"farewell"


@final
class Intake:
    """Reads one connection.

    Attributes:
        started, greeted: the preface is there, and the first settings.
        last: the stream that was opened last.
        turn: calls that were read in this turn.
        block_s: since when a head is awaited that comes in pieces; None when none is.
        shrunk: the client's table is smaller than usual, and it was not told that we use none.
    """

    __slots__ = (
        "_block", "_continuations", "_first_window", "_heads", "_link", "_patience", "_patience_s", "_received",
        "block_s", "greeted", "last", "shrunk", "started", "turn",
    )  # fmt: skip

    def __init__(self, link: "Connection") -> None:
        self.started = self.greeted = self.shrunk = False
        self.last = 0
        self.turn = 0
        self.block_s: float | None = None
        self._link = link
        self._heads = Heads(link.server.limits.head_bytes)
        self._first_window = h2.FIRST_WINDOW
        self._block: tuple[int, int, bytearray] | None = None  # a head that comes in pieces: stream, flags, bytes
        self._continuations = 0
        self._received = 0  # bytes of data for which the window was not given back
        self._patience, self._patience_s = float(PATIENCE), monotonic()

    def feed(self, data: bytes) -> int:
        """Take the frames that are whole; gives how far they go."""
        self.turn = 0
        if self.started:
            return self._frames(data, 0)
        if not h2.PREFACE.startswith(data[: len(h2.PREFACE)]):
            raise Broken(Code.PROTOCOL, "this is not HTTP/2")
        if len(data) < len(h2.PREFACE):
            return 0
        self.started = True
        offered = (
            (h2.MOST_STREAMS, MOST_STREAMS),
            (h2.INITIAL_WINDOW, WINDOW_BYTES),
            (h2.MOST_HEADER_LIST, self._link.server.limits.head_bytes),
        )
        self._link.write(h2.settings(*offered) + h2.update(0, WINDOW - h2.FIRST_WINDOW))
        return self._frames(data, len(h2.PREFACE))

    def earn(self) -> None:
        """Give patience back, for an answer."""
        if self._patience < PATIENCE:
            self._patience += EARNED

    def _frames(self, data: bytes, at: int) -> int:
        """Take the whole frames from a place on; gives how far they go."""
        end, link = len(data), self._link
        while end - at >= h2.HEAD_BYTES and self.turn < TURN and not link.closed:
            high, low, kind, flags, stream = h2.head_of(data, at)
            size = high << 8 | low
            if size > h2.FRAME_BYTES:
                raise Broken(Code.FRAME_SIZE, f"a frame has at most {h2.FRAME_BYTES:,} bytes")
            start = at + h2.HEAD_BYTES
            if end - start < size:
                break
            at = start + size
            self._take(kind, flags, stream & h2.MOST_WINDOW, data[start:at])
        return at

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and (kind != h2.CONTINUATION or stream != self._block[0]):
            raise Broken(Code.PROTOCOL, "a frame comes in the midst of a head")
        if not self.greeted:
            if kind != h2.SETTINGS or flags & h2.ACK:
                raise Broken(Code.PROTOCOL, "the first frame holds no settings")
            self.greeted = True
        if kind == h2.HEADERS:
            self._on_headers(flags, stream, payload)
        elif kind == h2.DATA:
            self._on_data(flags, stream, payload)
        elif kind == h2.CONTINUATION:
            self._on_continuation(flags, payload)
        else:
            self._spend(1)
            self._on_control(kind, flags, stream, payload)

    def _on_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == h2.WINDOW_UPDATE:
            self._on_window_update(stream, payload)
        elif kind == h2.RST_STREAM:
            self._on_reset(stream, payload)
        elif kind == h2.SETTINGS:
            self._on_settings(flags, stream, payload)
        elif kind == h2.PING:
            self._on_ping(flags, stream, payload)
        elif kind == h2.GOAWAY and stream:
            raise Broken(Code.PROTOCOL, "a farewell belongs to no stream")
        elif kind == h2.PUSH_PROMISE:
            raise Broken(Code.PROTOCOL, "clients promise nothing")
        elif kind == h2.PRIORITY and (len(payload) != 5 or not stream):
            raise Broken(Code.FRAME_SIZE if stream else Code.PROTOCOL, "a priority is wrong")

    def _spend(self, cost: float) -> None:
        """Take something from the client's patience with us, or ours with it."""
        self._patience -= cost
        if self._patience < 0:
            now_s = monotonic()
            self._patience = min(PATIENCE, self._patience + (now_s - self._patience_s) * PATIENCE_PER_S)
            self._patience_s = now_s
            if self._patience < 0:
                raise Broken(Code.CALM, "too many frames bring nothing")

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream & 1:
            raise Broken(Code.PROTOCOL, "a call has an odd number")
        if flags & h2.PADDED:
            payload = _unpadded(payload)
        if flags & h2.PRIORITISED:
            if len(payload) < 5:
                raise Broken(Code.PROTOCOL, "a priority is cut off")
            payload = payload[5:]
        if flags & h2.END_HEADERS:
            self._on_block(flags, stream, payload)
        else:
            self._block = (stream, flags, bytearray(payload))
            self.block_s = monotonic()
            self._continuations = 0

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise Broken(Code.PROTOCOL, "a head goes on that did not begin")
        stream, first_flags, block = self._block
        block += payload
        self._continuations += 1
        if len(block) > WIDEST * self._link.server.limits.head_bytes or self._continuations > MOST_CONTINUATIONS:
            raise self._too_large(stream)
        if flags & h2.END_HEADERS:
            self._spend(len(block) // LARGE_BYTES)
            self._block = self.block_s = None
            self._on_block(first_flags, stream, bytes(block))

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        """Open a stream, or take the trailers of one; the block is read in any case, as later ones build on it."""
        try:
            head = self._heads.read(block)
        except Broken as broken:
            raise self._too_large(number) if broken.code is Code.CALM else broken from None
        self.turn += 1
        ended = bool(flags & h2.END_STREAM)
        if number <= self.last:
            stream = self._link.streams.get(number)
            if stream is None or not ended:
                raise Broken(Code.STREAM_CLOSED, "a head comes for a stream that has ended")
            stream.feed(b"", 0, True)
            return
        self.last = number
        if self._link.drained or len(self._link.streams) >= MOST_STREAMS:
            self._spend(1)
            self._link.write(h2.reset(number, Code.REFUSED))
        elif head.malformed:
            self._spend(1)
            self._link.write(h2.reset(number, Code.PROTOCOL))
        else:
            self._begin(head, number, ended)

    def _too_large(self, number: int) -> Broken:
        """Tell the call whose head is too large; those after it cannot be read, so the connection ends."""
        why = f"the head of a call has at most {self._link.server.limits.head_bytes:,} bytes"
        if number > self.last:
            self.last = number
            fields = h2.OPENING + h2.trailers(RESOURCE_EXHAUSTED, why)
            self._link.write(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, number, fields))
        return Broken(Code.CALM, why)

    def _begin(self, head: Head, number: int, ended: bool) -> None:
        stream = Stream(self._link, number, head, self._first_window, self._link.heard_s)
        self._link.streams[number] = stream
        self._link.open(stream)
        if ended and not stream.closed:
            stream.feed(b"", 0, True)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        if number > self.last or not number:
            raise Broken(Code.PROTOCOL, "data come for a stream that did not begin")
        if flags & h2.PADDED:
            payload = _unpadded(payload)
        self._received += size
        if self._received > WINDOW // 2:
            self._link.write(h2.update(0, self._received))
            self._received = 0
        ended = bool(flags & h2.END_STREAM)
        stream = self._link.streams.get(number)
        if stream is None:
            self._spend(1)  # it was on its way when we ended the stream
            return
        if len(payload) < SMALL_BYTES and not ended:
            self._spend(1)
        stream.feed(payload, size, ended)

    def _on_window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(Code.FRAME_SIZE, "a window is told in 4 bytes")
        size = int.from_bytes(payload, "big") & h2.MOST_WINDOW
        if number > self.last or not size:
            raise Broken(Code.PROTOCOL, "a window is made wider by nothing, or for no stream")
        if not number:
            self._link.window += size
            if self._link.window > h2.MOST_WINDOW:
                raise Broken(Code.FLOW_CONTROL, "the window of the connection is too large")
            self._link.widened(size)
        elif number in self._link.streams:
            stream = self._link.streams[number]
            stream.widen(size)
            stream.pump()

    def _on_reset(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(Code.FRAME_SIZE, "a reset is told in 4 bytes")
        if number > self.last or not number:
            raise Broken(Code.PROTOCOL, "a stream is reset that did not begin")
        stream = self._link.streams.get(number)
        if stream is not None:
            stream.close()
            self._link.left()

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) % 6 or (flags & h2.ACK and payload):
            raise Broken(Code.PROTOCOL if number else Code.FRAME_SIZE, "settings are cut off, or of one stream")
        if flags & h2.ACK:
            return
        self._spend(len(payload) // 64)
        said = dict(h2.settings_of(payload))
        size = said.get(h2.INITIAL_WINDOW, self._first_window)
        if size > h2.MOST_WINDOW:
            raise Broken(Code.FLOW_CONTROL, "the window of streams is too large")
        if said.get(h2.ENABLE_PUSH, 0) > 1 or not h2.FRAME_BYTES <= said.get(h2.MOST_FRAME, h2.FRAME_BYTES) < 1 << 24:
            raise Broken(Code.PROTOCOL, "a setting has no such value")
        if said.get(h2.HEADER_TABLE_SIZE, h2.USUAL_TABLE) < h2.USUAL_TABLE:
            self.shrunk = True
        wider, self._first_window = size - self._first_window, size
        self._link.write(h2.frame(h2.SETTINGS, h2.ACK, 0))
        if wider:
            for stream in list(self._link.streams.values()):
                stream.widen(wider)
                stream.pump()

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise Broken(Code.PROTOCOL if number else Code.FRAME_SIZE, "a ping has 8 bytes, and belongs to no stream")
        if not flags & h2.ACK:
            self._link.write(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif payload == FAREWELL:
            self._link.say_last()


def _unpadded(payload: bytes) -> bytes:
    """Take the padding away."""
    if not payload or payload[0] >= len(payload):
        raise Broken(Code.PROTOCOL, "a frame has more padding than bytes")
    return payload[1 : len(payload) - payload[0]]
