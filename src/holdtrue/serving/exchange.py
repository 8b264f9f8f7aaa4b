"""One request with its answer, the limits of a connection, and what all connections of a worker share."""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol, final, runtime_checkable

from holdtrue.serving.ask import Problem
from holdtrue.serving.quotas import Connections

STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
JSON = b"application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one connection, and all of them together, may take.

    Attributes:
        connections_each: of them from one address; None is no limit, since many clients may come through one proxy.
        pending: requests of one connection that wait for their answer, when it sends without waiting.
        buffered_bytes: bodies that are being received, over all connections of a worker.
        head_s, body_s: how long a head, and a whole request, may take to arrive.
        idle_s: how long a connection may say nothing between requests.
        write_s: how long a client may leave its answers unread, or read less than 64 KiB of them.
    """

    connections: int = 16_384
    connections_each: int | None = None
    body_bytes: int = 8 << 20
    head_bytes: int = 16 << 10
    fields: int = 64
    target_bytes: int = 4 << 10
    pending: int = 64
    buffered_bytes: int = 256 << 20
    head_s: float = 5.0
    body_s: float = 10.0
    idle_s: float = 75.0
    write_s: float = 10.0


@runtime_checkable
class Line(Protocol):
    """What a request came by."""

    closed: bool
    peer: str
    server: "Server"

    def answered(self) -> None:
        """Send every answer whose turn it is."""
        ...

    def leave(self) -> None:
        """End when nothing is waited for any more."""
        ...

    def check(self, now_s: float) -> None:
        """End when the client has been too slow."""
        ...


@runtime_checkable
class Watch(Protocol):
    """Follows one request, for whoever traces requests."""

    trace_id: str

    def note(self, **attributes: str | int) -> None:
        """Add what is known of the request by now."""
        ...

    def end(self, status: int) -> None:
        """The answer goes out, or nobody waits for it any more."""
        ...


@final
class Exchange:
    """One request, and its answer when it comes; answers go out in the order of the requests."""

    __slots__ = ("answer", "body", "connection", "headers", "keep", "method", "started_s", "target", "watch")

    def __init__(self, connection: Line) -> None:
        self.connection = connection
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.keep = True
        self.started_s = 0.0
        self.answer: bytes | None = None
        self.watch: Watch | None = None

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.connection.closed

    def reply(self, status: int, body: bytes, *, kind: bytes = JSON, headers: bytes = b"") -> None:
        """Answer, once; `headers` are whole lines."""
        connection = self.connection
        if self.answer is not None or connection.closed:
            return
        if self.watch is not None:
            self.watch.end(status)
        head = b"%scontent-type: %s\r\ncontent-length: %d\r\ndate: %s\r\nx-content-type-options: nosniff\r\n%s%s\r\n"
        end = b"" if self.keep else b"connection: close\r\n"
        head %= (STATUS[status], kind, len(body), connection.server.date, headers, end)
        self.answer = head if self.method == b"HEAD" else head + body
        connection.answered()


@runtime_checkable
class App(Protocol):
    """What is behind the server: takes a whole request and replies to it, now or later."""

    def __call__(self, exchange: Exchange, /) -> None: ...


@final
class Server:
    """What all connections of a worker share."""

    def __init__(
        self, app: App, limits: Limits, *, fail: Callable[[Exchange, Problem], None], wall: Callable[[], float]
    ) -> None:
        self.app = app
        self.limits = limits
        self.fail = fail
        self.wall = wall
        self.connections: set[Line] = set()
        most = limits.connections
        self.doors = Connections(most=most, most_each=limits.connections_each or most)
        self.buffered = 0
        self.draining = False
        self.cut = 0  # connections ended because of a limit
        self.date = formatdate(wall(), usegmt=True).encode()

    def sweep(self, now_s: float) -> None:
        """End every connection that has been too slow, and set the clock of the answers."""
        self.date = formatdate(self.wall(), usegmt=True).encode()
        for connection in list(self.connections):
            connection.check(now_s)

    def drain(self) -> None:
        """Let every connection go after the answers it waits for."""
        self.draining = True
        for connection in list(self.connections):
            connection.leave()
