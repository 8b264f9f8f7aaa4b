"""What supervisor and workers say to each other: messages over a pair of sockets, each whole and in order."""

import asyncio
from collections.abc import Callable
from typing import Any, cast, final

import msgspec

from holdtrue.serving.http import Limits
from holdtrue.serving.lane import MOST_ROWS
from holdtrue.serving.logs import LogFormat
from holdtrue.serving.quotas import Limits as QuotaLimits
from holdtrue.serving.router import Routing
from holdtrue.serving.scribe import Recording

MOST_BYTES = 1 << 30


class Oidc(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer whose tokens open the door, as `oidc.Issuer` has it; `keys` is an address, or a file."""

    name: str
    audience: str
    keys: str = ""
    is_file: bool = False


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message to a worker: all that it should know before it opens its door.

    Port 0 is no gRPC. `subject` is the column that names the person; `keys` holds the keys that seal receipts. `clock`
    is the file of a virtual clock.
    """

    endpoint: str
    traffic: str
    tokens: str
    anonymous: tuple[str, ...]
    hosts: tuple[str, ...]
    limits: Limits
    quotas: QuotaLimits
    recording: Recording
    most_wait_s: float
    rotate_bytes: int
    batch_rows: int = MOST_ROWS
    cache_rows: int = 0
    cache_url: str = ""
    oidc: Oidc | None = None
    log_format: LogFormat = "text"
    certificate: str = ""
    private_key: str = ""
    client_ca: str = ""
    grpc_host: str = ""
    grpc_port: int = 0
    subject: str = ""
    keys: str = ""
    clock: str = ""


class Load(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make a release ready; `plan` is the encoded plan."""

    number: int
    plan: bytes


class Follow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Share requests out in a new way."""

    number: int
    model: str
    routing: Routing


class Unload(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let a release go that no routing names."""

    number: int
    model: str
    release: str


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take requests: all that is served is there."""

    number: int


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take no new connections, answer what was asked, and end.

    For `grace_s`, connections that wait for nothing stay: who asks once more is answered, and told to go.
    """

    grace_s: float = 0.0


class Gathered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The metrics of all workers, as Prometheus reads them."""

    text: bytes


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A message was carried out, or says why not."""

    number: int
    fault: str = ""


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a worker counted so far; `gather` asks for the metrics of all workers."""

    metrics: list[Any]
    gather: bool = False
    faults: list[str] = []


ToWorker = Begin | Load | Follow | Unload | Open | Drain | Gathered
FromWorker = Done | Measured

_encode = msgspec.msgpack.Encoder().encode


@final
class Channel(asyncio.Protocol):
    """One end of the pair: sends messages, and hands over those that come."""

    def __init__(self, kind: Any, heard: Callable[[Any], None], lost: Callable[[], None]) -> None:
        """Take the type of what comes, and who hears it; `lost` is called when the other end is gone."""
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._heard = heard
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass

    def send(self, message: msgspec.Struct) -> None:
        data = _encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(data).to_bytes(4, "big") + data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            size = int.from_bytes(buffer[:4], "big")
            if size > MOST_BYTES:
                raise ValueError(f"a message of {size:,} bytes")  # the connection ends by it
            if len(buffer) < 4 + size:
                return
            message = self._decode(bytes(buffer[4 : 4 + size]))
            del buffer[: 4 + size]
            self._heard(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
