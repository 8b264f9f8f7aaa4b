"""A client that sends whatever bytes it is told, and reads answers one by one."""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One answer of the server; `extra` are the interim ones before it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    extra: tuple[int, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The word for machines of an error; every error says these three."""
        told = self.json
        assert set(told) <= {"error", "code", "request_id", "faults"}
        assert told["error"]
        assert told["request_id"] == self.headers["x-request-id"]
        return str(told["code"])


@dataclass(kw_only=True, slots=True)
class Raw:
    """One connection, and what it has received."""

    link: socket.socket
    held: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> "Raw":
        with suppress(BrokenPipeError, ConnectionResetError):  # what it has to say was said before
            self.link.sendall(data)
        return self

    def line(self) -> bytes:
        while b"\r\n" not in self.held:
            self._more()
        line, _, rest = bytes(self.held).partition(b"\r\n")
        self.held[:] = rest
        return line

    def reply(self, *, head: bool = False) -> Reply:
        """Read the next answer; `head` is one without a body. Raises `EOFError` when there is none."""
        extra: list[int] = []
        while True:
            first = self.line()
            assert first.startswith(b"HTTP/1.1 "), first
            status = int(first.split(b" ")[1])
            headers: dict[str, str] = {}
            while line := self.line():
                name, _, value = line.partition(b":")
                assert name.decode().lower() not in headers, name
                headers[name.decode().lower()] = value.strip().decode()
            if status >= 200:
                break
            extra.append(status)
        size = 0 if head else int(headers["content-length"])
        while len(self.held) < size:
            self._more()
        body = bytes(self.held[:size])
        del self.held[:size]
        return Reply(status=status, headers=headers, body=body, extra=tuple(extra))

    def ended(self) -> bool:
        """Wait for the server to close; says whether it sent nothing more before."""
        with suppress(ConnectionResetError):
            while data := self.link.recv(65_536):
                self.held += data
        return not self.held

    def close(self) -> None:
        self.link.close()

    def _more(self) -> None:
        try:
            data = self.link.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError(bytes(self.held[:200]))
        self.held += data


def request(method: str, target: str, body: bytes = b"", /, *, host: str = "localhost", **headers: str) -> bytes:
    """Write a request; a header `content_type` is sent as `content-type`."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}"]
    if body:
        lines.append(f"content-length: {len(body)}")
        headers.setdefault("content_type", "application/json")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """Write a body in chunks."""
    parts = [b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"
