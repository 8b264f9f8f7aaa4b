"""Load over gRPC on frames written by hand: a closed loop of streams on several connections; prints what came of it.

A client library would need more time for a request than the server does, and the server would wait for it. Every
answer's status is read.

    python grpc_load.py '{"port": 9000, "requests": "FOLDER", "path": "/...", "connections": 4, "streams": 16, ...}'
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import hpack
import numpy as np

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
HEAD_BYTES, FRAME_BYTES = 9, 16_384
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDE = 2**30


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def pieces(stream: int, body: bytes) -> bytes:
    """Write a message as the data of a stream, which ends with it."""
    data = b"\x00" + len(body).to_bytes(4, "big") + body
    parts = [data[start : start + FRAME_BYTES] for start in range(0, len(data), FRAME_BYTES)]
    return b"".join([frame(DATA, int(place == len(parts) - 1), stream, part) for place, part in enumerate(parts)])


class Link(asyncio.Protocol):
    """One connection that keeps so many streams busy."""

    def __init__(self, head: bytes, bodies: list[bytes], streams: int, room: "list[int]") -> None:
        self.latencies_s: list[float] = []
        self.refused = 0
        self.ended = False
        self.first = bytearray()  # what was answered to the first request
        self._head = head
        self._bodies = bodies
        self._streams = streams
        self._room = room  # bytes that may be sent, over all streams
        self._most = max(len(body) for body in bodies) + 5
        self._next = 1
        self._sent: dict[int, float] = {}
        self._held = b""
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._said: dict[bytes, bool] = {}
        self._transport: Any = None
        self._taken = 0
        self._waiting = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        window = frame(SETTINGS, 0, 0, b"\x00\x04" + WIDE.to_bytes(4, "big"))
        transport.write(OPENING + window + frame(WINDOW_UPDATE, 0, 0, WIDE.to_bytes(4, "big")))
        self._waiting = self._streams

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    def data_received(self, data: bytes) -> None:
        data = self._held + data
        at, out = 0, []
        while len(data) - at >= HEAD_BYTES:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at - HEAD_BYTES < size:
                break
            start = at + HEAD_BYTES
            self._take(
                data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : start], "big"), data[start : start + size], out
            )
            at = start + size
        self._held = data[at:]
        while self._waiting and self._room[0] >= self._most:
            self._waiting -= 1
            out.append(self._ask())
        if out:
            self._transport.write(b"".join(out))

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, out: list[bytes]) -> None:
        if kind == DATA:
            if stream == 1:
                self.first += payload
            self._taken += len(payload)
            if self._taken > WIDE // 4:
                out.append(frame(WINDOW_UPDATE, 0, 0, self._taken.to_bytes(4, "big")))
                self._taken = 0
        elif kind == HEADERS:
            good = self._is_good(payload)
            if flags & 1:
                self._end(stream, good)
        elif kind == RST_STREAM and stream in self._sent:
            self._end(stream, False)
        elif kind in (SETTINGS, PING) and not flags & 1:
            out.append(frame(kind, 1, 0, payload if kind == PING else b""))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._room[0] += int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.ended = True

    def _is_good(self, block: bytes) -> bool:
        """Read the status of an answer; blocks that enter no table are read once."""
        known = self._said.get(block)
        if known is not None:
            return known
        before = list(self._decoder.header_table.dynamic_entries)
        good = (b"grpc-status", b"0") in list(self._decoder.decode(block, raw=True))
        if list(self._decoder.header_table.dynamic_entries) == before:
            self._said[block] = good
        else:
            self._said.clear()
        return good

    def _end(self, stream: int, good: bool) -> None:
        self.latencies_s.append(time.perf_counter() - self._sent.pop(stream))
        self.refused += not good
        if not self.ended:
            self._waiting += 1

    def _ask(self) -> bytes:
        stream, self._next = self._next, self._next + 2
        body = self._bodies[stream // 2 % len(self._bodies)]
        self._room[0] -= len(body) + 5
        self._sent[stream] = time.perf_counter()
        return frame(HEADERS, 4, stream, self._head) + pieces(stream, body)


async def load(given: dict[str, Any]) -> dict[str, Any]:
    """Keep all streams busy for so long; the first part is not counted."""
    bodies = [path.read_bytes() for path in sorted(Path(given["requests"]).iterdir())]
    fields = {
        ":method": "POST", ":scheme": "http", ":path": given["path"], ":authority": f"127.0.0.1:{given['port']}",
        "te": "trailers", "content-type": "application/grpc", "user-agent": "load",
    }  # fmt: skip
    head = b"".join(
        b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields.items()
    )
    loop = asyncio.get_running_loop()
    links: list[Link] = []
    for _ in range(given["connections"]):
        link = Link(head, bodies, given["streams"], [65_535])
        await loop.create_connection(lambda link=link: link, "127.0.0.1", given["port"])
        links.append(link)
    await asyncio.sleep(given["warm_s"])
    print("begin", flush=True)
    start, before = time.perf_counter(), [len(link.latencies_s) for link in links]
    await asyncio.sleep(given["seconds"])
    took_s = time.perf_counter() - start
    print("end", flush=True)
    counted = np.concatenate([link.latencies_s[since:] for link, since in zip(links, before, strict=True)])
    shown = counted if len(counted) else np.array([np.inf])
    return {
        "requests": len(counted),
        "seconds": took_s,
        "refused": sum(link.refused for link in links),
        "broken": sum(link.ended for link in links),
        "p50_us": float(np.quantile(shown, 0.5)) * 1e6,
        "p99_us": float(np.quantile(shown, 0.99)) * 1e6,
        "first": bytes(links[0].first[5:]).hex(),
    }


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(load(json.loads(sys.argv[1])))))
