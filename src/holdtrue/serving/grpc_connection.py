"""HTTP/2 for one connection of gRPC: its calls are answered as they come, and everything is bounded in every direction.

Whoever sends slowly, reads slowly, sends too much or what is no HTTP/2 loses the connection; nobody else notices.

The path through it:
    grpc_frames.py      what frames are
    grpc_heads.py       header blocks become heads of calls
    grpc_intake.py      bytes become frames, and frames what they mean for a stream
    grpc_stream.py      one call: messages in, answers out
    grpc_connection.py  the connection
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import cast, final

from holdtrue.serving import grpc_frames as h2
from holdtrue.serving.exchange import Server
from holdtrue.serving.grpc_frames import Broken, Code
from holdtrue.serving.grpc_intake import FAREWELL, TURN, Intake
from holdtrue.serving.grpc_stream import READ_BYTES, Stream
from holdtrue.serving.quotas import origin

IDLE = 4  # times as long as a connection of HTTP/1.1: clients of gRPC keep one and need it now and then
SILENT_S = 60.0  # then a client with open calls is asked whether it is there
LINGER_S, GOODBYE_S = 2.0, 1.0
MOST_IGNORED = 1 << 20  # bytes that are read and thrown away of a client that was refused
OTHER = b"""HTTP/1.1 400 Bad Request\r
content-type: text/plain\r
connection: close\r
\r
This port answers gRPC alone.
"""
LOG = logging.getLogger("holdtrue.serving")


@final
class Connection(asyncio.Protocol):
    """One client.

    Attributes:
        open: is told of each call.
        window: bytes of answers that the client takes over all streams.
        full: what was written is not sent yet, so no more should be.
        blocked: streams that have answers for which there is no room.
        heard_s: when something came last.
        drained: it was told which call was its last.
    """

    __slots__ = (
        "_all", "_granted", "_held", "_idle_s", "_ignored", "_intake", "_leaving_s", "_part_s", "_paused_s",
        "_pinged_s", "_scheduled", "_shut_s", "_source", "_stopped_s", "_transport", "_unread", "blocked", "closed",
        "drained", "full", "heard_s", "open", "peer", "server", "streams", "window",
    )  # fmt: skip

    def __init__(self, server: Server, connections: "set[Connection]", open: Callable[[Stream], None]) -> None:
        """Take what connections share; it is in `connections` while it lives."""
        self.server = server
        self.open = open
        self.closed = False
        self.peer = ""
        self.streams: dict[int, Stream] = {}
        self.blocked: dict[int, Stream] = {}
        self.window = h2.FIRST_WINDOW
        self.full = self.drained = False
        self.heard_s = now_s = monotonic()
        self._all = connections
        self._source = ""
        self._transport: asyncio.Transport | None = None
        self._intake = Intake(self)
        self._held = b""  # a frame that is not whole, or what waits for its turn
        self._scheduled = False
        self._part_s = now_s  # since when that frame is not whole
        self._idle_s = now_s
        self._pinged_s: float | None = None
        self._stopped_s: float | None = None  # since when nothing is read any more
        self._leaving_s: float | None = None  # since when the client is asked to go
        self._paused_s: float | None = None  # since when the system takes nothing, or too little
        self._unread = 0
        self._shut_s: float | None = None  # since when the window is shut, or opens too little
        self._granted = 0
        self._ignored = 0

    # What the event loop calls.

    def connection_made(self, transport: object) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        source = origin(self.peer)
        if not self.server.doors.enter(source):
            self.server.cut += 1
            self.closed = True
            transport.abort()
            return
        self._source = source
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self in self._all:
            self._all.discard(self)
            self.server.doors.leave(self._source)
        for stream in list(self.streams.values()):
            stream.close()
        self._transport = None
        self._held = b""

    def data_received(self, data: bytes) -> None:
        if self._stopped_s is not None or self.closed:
            self._ignore(len(data))
            return
        self.heard_s = monotonic()
        self._pinged_s = None
        if self._held:
            data = self._held + data
        if self._scheduled:
            self._held = data
        else:
            self._read(data)

    def eof_received(self) -> bool:
        return False  # no client of gRPC closes one side alone

    def pause_writing(self) -> None:
        self.full = True
        self._paused_s = monotonic()
        self._unread = self._unsent_bytes()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        self._paused_s = None
        self._pump()
        self._listen()

    # What the intake and the streams call.

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.closed and self._stopped_s is None:
            self._transport.write(data)

    def opening(self) -> bytes:
        """Give the fields that every answer opens with."""
        if self._intake.shrunk:
            self._intake.shrunk = False
            return h2.SHRUNK + h2.OPENING
        return h2.OPENING

    def earn(self) -> None:
        """Hear that the client got what it asked for."""
        self._intake.earn()

    def left(self) -> None:
        """Hear that a stream has come to its end."""
        if not self.streams:
            self._idle_s = self.heard_s
            if self.drained:
                self._end(Code.NONE)

    def shut(self) -> None:
        """Hear that the client has no room for an answer."""
        if self._shut_s is None:
            self._shut_s, self._granted = monotonic(), 0

    def widened(self, size: int) -> None:
        """Hear that it has room again."""
        self._granted += size
        if self._granted >= READ_BYTES:
            self._shut_s = None
        self._pump()
        if not self.blocked:
            self._shut_s = None

    def say_last(self) -> None:
        """Tell which call was the last; later ones the client makes elsewhere."""
        if self._leaving_s is not None and not self.drained:
            self.drained = True
            self.write(h2.goaway(self._intake.last, Code.NONE))
            if not self.streams:
                self._end(Code.NONE)

    # What the plane calls.

    def leave(self) -> None:
        """Ask the client to go: what it has sent by now is answered."""
        if self._leaving_s is None and self._stopped_s is None:
            self._leaving_s = monotonic()
            if not self._intake.greeted:
                self._end(Code.NONE)
                return
            # Which call is its last is told when it knows of the end: those on their way would be lost otherwise.
            self.write(h2.goaway(h2.MOST_WINDOW, Code.NONE, "this server ends") + h2.frame(h2.PING, 0, 0, FAREWELL))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def check(self, now_s: float) -> None:
        """End the connection when it has been too slow, and every call that has been."""
        limits = self.server.limits
        if self.closed:
            return
        if self._stopped_s is not None:
            if now_s - self._stopped_s > LINGER_S:
                self.abort()
        elif self._reads_nothing(now_s):
            self._cut()
        elif self.full or self._scheduled:
            self._excuse(now_s)
        elif not self._intake.greeted:
            if now_s - self._part_s > limits.head_s:
                self._refuse(Code.CALM, f"a connection is opened within {limits.head_s:g} s")
        elif self._intake.block_s is not None and now_s - self._intake.block_s > limits.head_s:
            self._refuse(Code.CALM, f"the head of a call arrives within {limits.head_s:g} s")
        elif self._held and now_s - self._part_s > limits.body_s:
            self._refuse(Code.CALM, f"a frame arrives within {limits.body_s:g} s")
        else:
            self._look_after(now_s)

    # What is behind these.

    def _look_after(self, now_s: float) -> None:
        for stream in list(self.streams.values()):
            stream.check(now_s)
        if self.closed or self._stopped_s is not None:
            return
        if self._leaving_s is not None and now_s - self._leaving_s > GOODBYE_S:
            self.say_last()
        elif not self.streams:
            if now_s - self._idle_s > IDLE * self.server.limits.idle_s:
                self._end(Code.NONE)
        elif self._pinged_s is not None:
            if now_s - self._pinged_s > self.server.limits.write_s:
                self._cut()
        elif now_s - self.heard_s > SILENT_S:
            self._pinged_s = now_s
            self.write(h2.frame(h2.PING, 0, 0, b"are you?"))

    def _excuse(self, now_s: float) -> None:
        """Let nobody be late while it is we who keep the client waiting."""
        self._part_s = now_s
        if self._intake.block_s is not None:
            self._intake.block_s = now_s
        for stream in self.streams.values():
            if stream.since_s is not None:
                stream.since_s = now_s

    def _reads_nothing(self, now_s: float) -> bool:
        """Say whether a client leaves its answers lying; who takes some has a little longer."""
        write_s = self.server.limits.write_s
        if self._shut_s is not None and now_s - self._shut_s > write_s:
            return True
        if self._paused_s is None or now_s - self._paused_s <= write_s:
            return False
        unsent = self._unsent_bytes()
        if unsent > self._unread - READ_BYTES:
            return True
        self._unread, self._paused_s = unsent, now_s
        return False

    def _unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _pump(self) -> None:
        for stream in list(self.blocked.values()):
            if self.full or self.window <= 0:
                break
            stream.pump()

    def _read(self, data: bytes) -> None:
        """Read whole frames, as many as there are turns for."""
        try:
            at = self._intake.feed(data)
        except Broken as broken:
            if not self._intake.started and data[:8].partition(b" ")[0].isalpha():
                self.write(OTHER)
                self._stop(lingers=True)
            self._refuse(broken.code, broken.why)
            return
        except Exception:
            LOG.exception("a connection could not be read")
            self._refuse(Code.INTERNAL, "something is wrong in the server; its log says more")
            return
        if at:
            self._part_s = self.heard_s
        self._held = data[at:]
        if self._intake.turn >= TURN:
            self._scheduled = True
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        self._scheduled = False
        if self._stopped_s is None and not self.closed:
            data, self._held = self._held, b""
            self._read(data)
            self._listen()

    def _listen(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or transport.is_reading():
            return
        if not self.full and not self._scheduled:
            transport.resume_reading()

    def _refuse(self, code: Code, why: str) -> None:
        self.server.cut += 1
        self._end(code, why)

    def _end(self, code: Code, why: str = "") -> None:
        """Say why, and end; who is refused may still be sending, and would lose the word if our ears closed at once."""
        if self._stopped_s is None:
            self.write(h2.goaway(self._intake.last, code, why))
            self._stop(lingers=code is not Code.NONE)

    def _stop(self, *, lingers: bool) -> None:
        transport = self._transport
        self._stopped_s = monotonic()
        for stream in list(self.streams.values()):
            stream.close()
        self._held = b""
        if transport is None or transport.is_closing():
            return
        if lingers and transport.can_write_eof():
            transport.write_eof()
            if not transport.is_reading():
                transport.resume_reading()
        else:
            transport.close()

    def _ignore(self, size: int) -> None:
        """Hear out, for a while, who was refused; a flood is left lying."""
        self._ignored += size
        if self._ignored > MOST_IGNORED and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _cut(self) -> None:
        self.server.cut += 1
        self.abort()
