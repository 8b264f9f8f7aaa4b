"""One process of the open loop: sends whole requests at times drawn beforehand and writes down when answers came.

    python open_loop.py '{"port": 8000, "requests": "FOLDER", "rate_per_s": 500, "seconds": 5, "connections": 64, ...}'

It never sleeps: it has a core to itself, and a timer of the system would be late by more than a fast server takes. A
request that finds no free connection waits for one, and its wait counts, as its latency begins when it was due.
"""

import errno
import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DRAIN_S = 5.0  # what is unanswered by then has failed


@dataclass(kw_only=True, slots=True)
class Connection:
    """A socket with at most one request under way: `due` is that of the request, `rest` what is not sent of it."""

    socket: socket.socket
    due: float = 0.0
    rest: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    wanted: int = 0
    is_chunked: bool = False


class Load:
    """The state of the loop."""

    def __init__(self, port: int, requests: list[bytes], connections: int) -> None:
        self.port = port
        self.requests = requests
        self.poll = select.epoll()
        self.by_fd: dict[int, Connection] = {}
        self.free: list[Connection] = []
        self.sent = 0
        self.latencies: list[float] = []
        self.late: list[float] = []
        for _ in range(connections):
            self.connect()

    def connect(self) -> None:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        connection = Connection(socket=made)
        self.by_fd[made.fileno()] = connection
        self.poll.register(made.fileno(), select.EPOLLIN)
        self.free.append(connection)

    def drop(self, connection: Connection) -> None:
        """Forget a connection that the server closed, with what was under way on it, and make another."""
        fd = connection.socket.fileno()
        self.poll.unregister(fd)
        del self.by_fd[fd]
        connection.socket.close()
        if connection in self.free:
            self.free.remove(connection)
        try:
            self.connect()
        except OSError:
            if not self.by_fd:
                raise

    def send(self, due: float) -> None:
        connection = self.free.pop()
        connection.due, connection.wanted, connection.is_chunked = due, 0, False
        connection.rest = self.requests[self.sent % len(self.requests)]
        self.sent += 1
        self.go_on(connection)

    def go_on(self, connection: Connection) -> None:
        """Send what the socket takes; the rest follows when it takes more."""
        try:
            taken = connection.socket.send(connection.rest)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self.drop(connection)
                return
            taken = 0
        connection.rest = connection.rest[taken:]
        wished = select.EPOLLIN | select.EPOLLOUT if connection.rest else select.EPOLLIN
        if connection.rest or taken == 0:
            self.poll.modify(connection.socket.fileno(), wished)

    def receive(self, connection: Connection) -> None:
        try:
            part = connection.socket.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.drop(connection)
            return
        connection.received += part
        if self.is_whole(connection):
            now = time.perf_counter()
            if connection.received.startswith(b"HTTP/1.1 200"):
                self.latencies.append(now - connection.due)
            connection.received.clear()
            self.free.append(connection)

    def is_whole(self, connection: Connection) -> bool:
        got = connection.received
        if not connection.wanted:
            end = got.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(got[:end]).lower()
            connection.wanted, connection.is_chunked = end + 4, b"transfer-encoding: chunked" in head
            place = head.find(b"content-length:")
            if place >= 0:
                connection.wanted += int(head[place + 15 :].split(b"\r\n", 1)[0])
        if connection.is_chunked:
            return got.endswith(b"\r\n0\r\n\r\n")
        return len(got) >= connection.wanted

    def turn(self, wait_s: float) -> None:
        """Take what has come."""
        for fd, events in self.poll.poll(wait_s, 256):
            connection = self.by_fd.get(fd)
            if connection is None:
                continue
            if events & select.EPOLLOUT and connection.rest:
                self.go_on(connection)
                if not connection.rest and fd in self.by_fd:
                    self.poll.modify(fd, select.EPOLLIN)
            if events & ~select.EPOLLOUT and fd in self.by_fd:
                self.receive(connection)


def run(load: Load, dues: list[float], seconds: float) -> None:
    """Send all that is due until the time is over; then wait a little for the answers."""
    begun = time.perf_counter() + 0.05
    waiting: deque[float] = deque()
    place = 0
    while place < len(dues) or waiting or len(load.free) < len(load.by_fd):
        now = time.perf_counter() - begun
        if now > seconds + DRAIN_S:
            return
        while place < len(dues) and dues[place] <= now:
            waiting.append(dues[place])
            if load.free:
                load.late.append(now - dues[place])
            place += 1
        while waiting and load.free:
            load.send(begun + waiting.popleft())
        load.turn(0)


def main() -> None:
    given = json.loads(sys.argv[1])
    files = sorted(Path(given["requests"]).iterdir(), key=lambda file: int(file.name))
    count = round(given["rate_per_s"] * given["seconds"])
    if given["is_even"]:
        dues = np.arange(count) / given["rate_per_s"]
    else:
        gaps = np.random.default_rng(given["seed"]).exponential(1 / given["rate_per_s"], count)
        dues = np.cumsum(gaps)
    load = Load(given["port"], [file.read_bytes() for file in files], given["connections"])
    run(load, dues.tolist(), float(dues[-1]) if count else 0.0)
    told = {
        "due": [count],
        "latencies_us": [round(value * 1e6, 1) for value in load.latencies],
        "late_us": [round(value * 1e6, 1) for value in load.late],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
