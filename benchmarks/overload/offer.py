"""Offers requests at an even rate, whatever comes back, and notes when each was answered and how.

It waits in the system between requests, so that the server has the processor. A request that finds no free connection
waits for one; its time begins when it was due.
"""

import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

DRAIN_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """One answer: when its request was due and when it came, in seconds since the beginning, and its status."""

    due_s: float
    at_s: float
    status: int


@dataclass(kw_only=True, slots=True)
class _Line:
    socket: socket.socket
    due_s: float = 0.0
    received: bytearray = field(default_factory=bytearray)


class Offer:
    """Connections to one server."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self._port = port
        self._request = request
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._free: deque[_Line] = deque()
        for _ in range(connections):
            self._connect()

    def run(self, rate_per_s: float, seconds: float) -> list[Got]:
        """Offer so many requests a second, for so long; `inf` sends on every connection as soon as it is free."""
        got: list[Got] = []
        waiting: deque[float] = deque()
        count = 0
        begun = time.monotonic()
        while True:
            now = time.monotonic() - begun
            if now > seconds + DRAIN_S:
                break
            if now < seconds:
                if rate_per_s == float("inf"):
                    waiting.extend([now] * (len(self._free) - len(waiting)))
                while rate_per_s < float("inf") and count / rate_per_s <= now:
                    waiting.append(count / rate_per_s)
                    count += 1
            elif not waiting and len(self._free) == len(self._lines):
                break
            while waiting and self._free:
                self._send(waiting.popleft())
            until = count / rate_per_s - (time.monotonic() - begun) if rate_per_s < float("inf") else 0.1
            self._turn(begun, max(0.0, min(until, 0.1)), got)
        for line in [line for line in self._lines.values() if line not in self._free]:
            got.append(Got(due_s=line.due_s, at_s=seconds + DRAIN_S, status=0))
            self._drop(line)
        return got

    def close(self) -> None:
        for line in self._lines.values():
            line.socket.close()
        self._poll.close()

    def _connect(self) -> None:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(socket=made)
        self._lines[made.fileno()] = line
        self._poll.register(made.fileno(), select.EPOLLIN)
        self._free.append(line)

    def _drop(self, line: _Line) -> None:
        handle = line.socket.fileno()
        self._poll.unregister(handle)
        del self._lines[handle]
        line.socket.close()
        self._connect()

    def _send(self, due_s: float) -> None:
        line = self._free.popleft()
        line.due_s = due_s
        line.received.clear()
        line.socket.sendall(self._request)

    def _turn(self, begun: float, wait_s: float, got: list[Got]) -> None:
        for handle, _ in self._poll.poll(wait_s, 512):
            line = self._lines[handle]
            try:
                data = line.socket.recv(65_536)
            except OSError:
                data = b""
            at_s = time.monotonic() - begun
            if not data:
                if line in self._free:
                    self._free.remove(line)
                else:
                    got.append(Got(due_s=line.due_s, at_s=at_s, status=0))
                self._drop(line)
                continue
            line.received += data
            if _is_whole(line.received):
                got.append(Got(due_s=line.due_s, at_s=at_s, status=int(line.received[9:12])))
                self._free.append(line)


def _is_whole(data: bytearray) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    place = data.find(b"content-length: ")
    return len(data) >= end + 4 + int(data[place + 16 : data.find(b"\r\n", place)])
