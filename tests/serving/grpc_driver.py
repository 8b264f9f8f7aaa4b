"""Asks over gRPC with messages of our own, and serves it inside this process; clients of others are in test_clients."""

import asyncio
import struct
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tests.serving.endpoint import COLUMNS, NAME
from tests.serving.inside import Inside, inside

from holdtrue.serving.control import Begin
from holdtrue.serving.grpc_messages import KINDS, SERVICE, Message
from holdtrue.serving.grpc_plane import Plane
from holdtrue.serving.http import Limits
from holdtrue.serving.plan import Plan
from holdtrue.serving.quotas import Limits as QuotaLimits
from holdtrue.serving.scribe import Recording
from holdtrue.serving.wire.tensors import TYPES
from holdtrue.serving.wire.v2_grpc import PLACES

NUMBERS = ("age", "income", "nights")
WIDE = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """How a call ended."""

    code: grpc.StatusCode
    details: str = ""
    trailing: Mapping[str, Any]
    body: bytes = b""

    @property
    def message(self) -> Message:
        assert self.code is grpc.StatusCode.OK, (self.code, self.details)
        return read("ModelInferResponse", self.body)


def read(kind: str, body: bytes) -> Message:
    message = KINDS[kind]()
    message.ParseFromString(body)
    return message


class Client:
    """One connection."""

    def __init__(self, target: str, *, token: str = "", credentials: Any = None, options: Sequence[Any] = ()) -> None:
        options = [*WIDE, *options]
        self.channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def call(
        self,
        name: str,
        body: bytes = b"",
        *,
        metadata: Sequence[tuple[str, Any]] = (),
        timeout_s: float = 20.0,
        **more: Any,
    ) -> Reply:
        """Make one call; gives how it ended, whatever came of it."""
        method = self.channel.unary_unary(f"/{SERVICE}/{name}")
        try:
            answer, call = method.with_call(body, timeout=timeout_s, metadata=(*self.metadata, *metadata), **more)
        except grpc.RpcError as error:
            return ended(error)
        return Reply(code=grpc.StatusCode.OK, trailing=dict(call.trailing_metadata() or ()), body=answer)

    def infer(self, request: Message | bytes, **how: Any) -> Reply:
        return self.call("ModelInfer", request if isinstance(request, bytes) else request.SerializeToString(), **how)

    def stream(self, messages: Any, **how: Any) -> Any:
        return self.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(messages, metadata=self.metadata, **how)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


def ended(error: Any) -> Reply:
    """Take a failed call."""
    return Reply(code=error.code(), details=error.details() or "", trailing=dict(error.trailing_metadata() or ()))


def asked(table: Sequence[Mapping[str, Any]], *, raw: bool = True, model: str = NAME, **more: Any) -> Message:
    """Write rows as a request, numbers as FP64."""
    request = KINDS["ModelInferRequest"](model_name=model, **more)
    for name in COLUMNS:
        values = [row[name] for row in table]
        if name in NUMBERS:
            add(request, name, "FP64", [float("nan") if value is None else float(value) for value in values], raw=raw)
        else:
            add(request, name, "BYTES", [value or "" for value in values], raw=raw)
    return request


def add(request: Message, name: str, datatype: str, values: Sequence[Any], *, raw: bool) -> None:
    """Put one more tensor into a request."""
    tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(values), 1])
    if raw:
        request.raw_input_contents.append(raw_of(datatype, values))
    else:
        given = [value.encode() for value in values] if datatype == "BYTES" else values
        getattr(tensor.contents, PLACES[datatype]).extend(given)


def raw_of(datatype: str, values: Sequence[Any]) -> bytes:
    """Write values as the protocol has them raw."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)
    if datatype == "BF16":
        return (np.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.array(values, TYPES[datatype]).tobytes()


def outputs_of(response: Message) -> dict[str, tuple[str, list[int], bytes]]:
    """Give what was answered: datatype, shape and bytes of each output."""
    return {
        output.name: (output.datatype, list(output.shape), bytes(raw))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


@dataclass(kw_only=True, slots=True)
class Around:
    """An endpoint in this process that answers HTTP and gRPC."""

    here: Inside
    plane: Plane
    target: str

    def client(self, **how: Any) -> Client:
        return Client(self.target, **how)

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """What was counted under a name, by its labels."""
        found: dict[tuple[str, ...], float] = {}
        for each, labels, value in self.here.call(self.here.site.metrics.snapshot):
            if each == name and not isinstance(value, list):
                found[tuple(labels)] = value
        return found


@contextmanager
def around(plan: Plan, traffic: Path, *, limits: Limits | None = None, **settings: Any) -> Generator[Around]:
    """Serve both planes inside this process until the block ends."""
    limits = limits or Limits()
    tls = settings.pop("tls", {})
    with inside(plan, traffic, limits=limits, **settings) as here:

        async def start() -> tuple[Plane, int]:
            plane = Plane(here.endpoint, here.site, here.loop, here.server)
            port = plane.listen(begun(**tls))
            await plane.start()
            sweep(plane)
            return plane, port

        def sweep(plane: Plane) -> None:
            plane.sweep(time.monotonic())
            if not plane.ended:
                here.loop.call_later(0.05, sweep, plane)

        plane, port = asyncio.run_coroutine_threadsafe(start(), here.loop).result(timeout=20)
        try:
            yield Around(here=here, plane=plane, target=f"127.0.0.1:{port}")
        finally:
            asyncio.run_coroutine_threadsafe(plane.stop(0.5), here.loop).result(timeout=20)


def begun(*, certificate: str = "", private_key: str = "", client_ca: str = "") -> Begin:
    """The part of a worker's first message that says where gRPC is answered."""
    return Begin(
        endpoint="", traffic="", tokens="", anonymous=(), hosts=(), limits=Limits(), quotas=QuotaLimits(),
        recording=Recording(), most_wait_s=1.0, rotate_bytes=1 << 20, grpc_host="127.0.0.1", grpc_port=0,
        certificate=certificate, private_key=private_key, client_ca=client_ca,
    )  # fmt: skip
