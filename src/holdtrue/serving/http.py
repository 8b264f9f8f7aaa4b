"""HTTP/1.1 for one connection: requests are answered in order, and everything is bounded in every direction.

Whoever sends slowly, reads slowly, sends too much or says nothing loses the connection; nobody else notices.

The path through it:
    exchange.py  one request with its answer, and what connections share
    intake.py    bytes become requests
    http.py      the connection
"""

import asyncio
from collections import deque
from time import monotonic
from typing import cast

from holdtrue.serving.ask import Problem, malformed
from holdtrue.serving.exchange import App, Exchange, Limits, Server
from holdtrue.serving.intake import BODY, HEAD, IDLE, Intake
from holdtrue.serving.quotas import origin

__all__ = ["App", "Connection", "Exchange", "Limits", "Server"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_S = 2.0
LEFT = 499  # the status, in traces, of a request whose client did not wait for the answer
READ_BYTES = 64 << 10  # that a slow reader must have read to be given longer
SLICE_BYTES = 16 << 10  # of what came in one piece, however many requests that is, before others have their turn


class Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_half",
        "_held",
        "_intake",
        "_left",
        "_paused_s",
        "_queue",
        "_refused",
        "_scheduled",
        "_source",
        "_stopped",
        "_taken",
        "_transport",
        "_unread",
        "closed",
        "peer",
        "server",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.closed = False
        self.peer = ""
        self._source = ""
        self._transport: asyncio.Transport | None = None
        self._intake = Intake(self, self._take)
        self._queue: deque[Exchange] = deque()
        self._paused_s: float | None = None
        self._unread = 0  # bytes of answers that were not sent when they were last looked at
        self._taken = 0  # requests so far
        self._held: bytes | memoryview = b""  # came with what is being worked on, and waits
        self._scheduled = False
        self._stopped = False  # what still comes is no request
        self._refused = False
        self._left = False  # the client has closed its side
        self._half = True  # one side of the connection can be closed alone

    # What the event loop calls.

    def connection_made(self, transport: object) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._half = transport.can_write_eof()
        server = self.server
        source = origin(self.peer)
        if not server.doors.enter(source):
            server.cut += 1
            self.closed = True
            transport.abort()
            return
        self._source = source
        server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self in self.server.connections:
            self.server.connections.discard(self)
            self.server.doors.leave(self._source)
        self._intake.end()
        for exchange in self._queue:
            if exchange.watch is not None and exchange.answer is None:
                exchange.watch.end(LEFT)
        self._queue.clear()
        # The collector of garbage comes seldom: what is large should not wait for it.
        self._transport = None
        self._held = b""

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            return
        if len(data) <= SLICE_BYTES:
            self._read(data)
            return
        self._held = memoryview(data)
        self._pause()
        self._read_on()

    def eof_received(self) -> bool:
        """Keep the other direction open for the answers that are still to come, where that can be."""
        self._stopped = self._left = True
        self._intake.end()
        return self._half and bool(self._queue)

    def pause_writing(self) -> None:
        self._paused_s = monotonic()
        self._unread = self._unsent_bytes()
        self._pause()

    def resume_writing(self) -> None:
        self._paused_s = None
        if self._stopped:
            self._intake.since_s = monotonic()
        if not self._full:
            self._resume()

    # What the intake, the exchanges and the server call.

    def _take(self, exchange: Exchange) -> None:
        """Hand a whole request on."""
        if self._stopped:  # it came in one piece with the one after which this connection ends
            raise malformed("nothing follows the last request")
        exchange.keep = exchange.keep and not self.server.draining
        self._stopped = not exchange.keep
        self._taken += 1
        self._queue.append(exchange)
        if len(self._queue) >= self.server.limits.pending:
            self._pause()
        self.server.app(exchange)

    def answered(self) -> None:
        """Send every answer whose turn it is."""
        transport, queue = self._transport, self._queue
        if self.closed or transport is None:
            return
        while queue and queue[0].answer is not None:
            exchange = queue.popleft()
            assert exchange.answer is not None
            transport.write(exchange.answer)
            if not exchange.keep:
                queue.clear()
                self._end()
                return
        if not queue:
            idle = self._intake.phase is IDLE
            if self._stopped:
                self._end()
                return
            if idle:
                self._intake.since_s = monotonic()
            else:
                self._go_on()
        if not self._full:
            self._resume()

    def leave(self) -> None:
        """End the connection when it waits for nothing; otherwise its last answer says that it ends."""
        if self._queue:
            self._queue[-1].keep = False
        elif self._intake.phase is IDLE:
            self._end()

    def check(self, now_s: float) -> None:
        """End the connection when it has been too slow."""
        transport, intake = self._transport, self._intake
        if self.closed or transport is None:
            return
        if self._paused_s is not None:
            if now_s - self._paused_s > self.server.limits.write_s and self._reads_nothing(now_s):
                self._cut()
        elif self._stopped:
            if not self._queue and now_s - intake.since_s > (LINGER_S if self._refused else self.server.limits.write_s):
                transport.abort()
            elif self._queue and self._left:
                # Whoever closed one side alone passes over this; where nobody is left, the system tells us so.
                transport.write(CONTINUE)
        elif transport.is_reading():
            self._check_sender(now_s - intake.since_s)
        else:
            intake.since_s = now_s  # it is we who keep the client waiting

    # What is behind these.

    def _read(self, data: bytes | memoryview) -> None:
        try:
            self._intake.feed(data)
        except Problem as problem:
            self._refuse(problem)
        else:
            self._go_on()

    def _read_on(self) -> None:
        """Read what is held, as far as there is room for its answers and others need not wait."""
        self._scheduled = False
        while self._held and not self._stopped and not self._full:
            taken = self._taken
            now, self._held = self._held[:SLICE_BYTES], self._held[SLICE_BYTES:]
            self._read(now)
            if self._held and self._taken > taken + 1:
                break
        if not self._full:
            self._resume()

    @property
    def _full(self) -> bool:
        """Whether a client must first take its answers."""
        return self._paused_s is not None or len(self._queue) >= self.server.limits.pending

    def _check_sender(self, waited_s: float) -> None:
        limits, phase = self.server.limits, self._intake.phase
        if phase is HEAD and waited_s > limits.head_s:
            self._refuse(Problem(408, "too slow", f"the head of a request arrives within {limits.head_s:g} s"))
        elif phase is BODY and waited_s > limits.body_s:
            self._refuse(Problem(408, "too slow", f"a request arrives within {limits.body_s:g} s"))
        elif phase is IDLE and not self._queue and waited_s > limits.idle_s:
            self._end()

    def _go_on(self) -> None:
        """Tell a client that waits for it that its body may come; not before the answers of earlier requests."""
        if self._intake.expects and not self._queue and self._transport is not None:
            self._intake.expects = False
            self._transport.write(CONTINUE)

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read, after the answers before it, and end the connection."""
        if self._stopped or self.closed:
            return
        self._stopped = self._refused = True
        exchange = self._intake.end() or Exchange(self)
        exchange.keep = False
        exchange.started_s = exchange.started_s or monotonic()
        self._queue.append(exchange)
        self.server.cut += 1
        self.server.fail(exchange, problem)

    def _end(self) -> None:
        """Close. Who was refused may still be sending, and would lose the answer if we closed our ears at once."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._stopped = True
        self._intake.since_s = monotonic()
        if self._refused and self._half and not self._left:
            transport.write_eof()
            self._resume()
        else:
            transport.close()

    def _cut(self) -> None:
        self.server.cut += 1
        self._stopped = True
        self._queue.clear()
        if self._transport is not None:
            self._transport.abort()

    def _reads_nothing(self, now_s: float) -> bool:
        """Say whether a client leaves its answers lying; else it has a little longer."""
        unsent = self._unsent_bytes()
        if unsent > self._unread - READ_BYTES:
            return True
        self._unread, self._paused_s = unsent, now_s
        return False

    def _unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or transport.is_reading():
            return
        if not self._held or self._stopped:
            transport.resume_reading()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._read_on)
