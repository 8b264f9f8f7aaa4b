"""Prediction ids, and receipts: what was asked, what was answered, and by which release."""

import re
from typing import Annotated, final

import msgspec

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.record import RECEIPT, frame, unframe

STREAMS = 1 << 32
_COUNT_BITS = 42
# An id is checked for room only when the millisecond changes; no writer makes this many within one.
_HEADROOM = 1 << 24
_LAST_COUNT = (1 << _COUNT_BITS) - _HEADROOM
_LAST_MS = (1 << 48) - 1

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


@final
class Ids:
    """Prediction ids in the layout of UUID version 7 (RFC 9562), rising even when the clock steps back.

    After the 48 bits of Unix time in milliseconds come the number of the writer (32 bits, drawn anew for each process)
    and a counter (42 bits), around the bits that say version and variant.

    >>> ids = Ids(0xABCDEF01)
    >>> ids.next(1_700_000_000_000), ids.next(1_699_999_999_999)
    ('018bcfe568007abcb7bc040000000000', '018bcfe568007abcb7bc040000000001')
    """

    __slots__ = ("_ms", "_prefix", "_stream", "_tail")

    def __init__(self, stream: int) -> None:
        if not 0 <= stream < STREAMS:
            raise ValueError(f"the number of a stream has 32 bits, got {stream}.")
        self._stream = stream
        self._ms = -1
        self._prefix = f"{0:012x}7{stream >> 20:03x}"
        self._tail = ((0b10 << 62) | ((stream & 0xFFFFF) << _COUNT_BITS)) - 1

    def next(self, ms: int) -> str:
        """Give the next id; `ms` is the time since 1970."""
        if ms > self._ms:
            self._turn(ms)
        self._tail = tail = self._tail + 1
        return f"{self._prefix}{tail:x}"

    def _turn(self, ms: int) -> None:
        if ms > _LAST_MS or (self._ms >= 0 and self._tail & ((1 << _COUNT_BITS) - 1) >= _LAST_COUNT):
            raise Misuse(f"The ids of stream {self._stream:08x} are used up.", do="Start the process again.")
        self._ms = ms
        self._prefix = f"{ms:012x}7{self._stream >> 20:03x}"


def read_id(text: str) -> tuple[int, int, int]:
    """Give the time in milliseconds, the stream and the count of a prediction id; raises `Misuse` for a wrong one.

    >>> read_id("018bcfe568007abcb7bc040000000001") == (1_700_000_000_000, 0xABCDEF01, 1)
    True
    """
    if not re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", text):
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        raise Misuse(
            f"{shown!r} is no prediction id; it should be 32 hexadecimal digits such as "
            "018bcfe568007abcb7bc040000000001.",
            do="Use the id that came with the answer.",
        )
    tail = int(text[16:], 16)
    stream = int(text[13:16], 16) << 20 | tail >> _COUNT_BITS & 0xFFFFF
    return int(text[:12], 16), stream, tail & ((1 << _COUNT_BITS) - 1)


class Receipt(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The record of one prediction. New fields are only ever added at the end, with a default.

    Args:
        id: of the prediction.
        time_us: since 1970 UTC.
        release: digest of the release that answered.
        route: why this one: champion, canary, shadow, pinned, ...
        weight: probability that the router gave this release.
        batch: which run of the graph in this stream the rows were part of.
        place: the first row of this request in that batch.
        rows: how many rows it has.
        wire: how the body is to be read: v2, v2+binary:123, rows, mlflow, grpc, ...
        body: the request as it came; sealed when there is a subject.
        outputs: the tensors of the answer; sealed when there is a subject.
        trace: W3C trace id, or nothing.
        subject: whose personal data it holds, or nothing.
    """

    id: str
    time_us: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    release: str
    route: str
    weight: float
    batch: Count
    place: Count
    rows: Count
    wire: str
    body: bytes
    outputs: bytes
    trace: str = ""
    caller: str = ""
    request_id: str = ""
    subject: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Receipt).decode
_LARGE = 1 << 63


def pack(receipt: Receipt) -> bytes:
    """Give the bytes of a receipt, ready for the journal."""
    if (
        len(receipt.id) != 32
        or not 0 <= receipt.batch < _LARGE
        or not 0 <= receipt.place < _LARGE
        or not 0 <= receipt.rows < _LARGE
        or not -_LARGE <= receipt.time_us < _LARGE
    ):
        raise Misuse(
            "A receipt needs an id of 32 digits, and whole numbers from 0 below 2^63, but got"
            f" id {receipt.id!r}, batch {receipt.batch}, place {receipt.place}, rows {receipt.rows},"
            f" time_us {receipt.time_us}."
        )
    try:
        return frame(RECEIPT, _encode(receipt))
    except UnicodeEncodeError as error:
        raise _no_text(error) from None


def unpack(data: bytes) -> Receipt:
    """Read what `pack` gave; raises `Refused` when a bit of it changed."""
    return read_receipt(unframe(data, RECEIPT))


def read_receipt(payload: bytes) -> Receipt:
    """Read the payload of a record that was found whole."""
    try:
        return _decode(payload)
    except msgspec.DecodeError as error:
        raise Refused(
            f"A receipt cannot be read: {error}.", do="Read it with the version of Holdtrue that wrote it, or a newer."
        ) from None


def _no_text(error: UnicodeEncodeError) -> Misuse:
    return Misuse(f"{error.object[error.start : error.end]!r} is not text and cannot be recorded.", do="Decode it.")
